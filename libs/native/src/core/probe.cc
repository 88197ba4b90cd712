#include "probe.hpp"

#include <string>

#include "error.hpp"

namespace mayfly {
namespace {

constexpr uint64_t kCodeAddress = 0x1000;
constexpr uint8_t kCode[] = {kPatchedByte, kHaltByte};  // out %al, (%dx); hlt
constexpr int kMaxInterruptions = 1000;

[[noreturn]] void refuse(const std::string& text) {
  throw KvmError(ErrorCode::NoHypervisor, "the probe guest did not run: " + text);
}

ExitInfo next_exit(BackendVm& vm) {
  ExitInfo exit{};
  for (int i = 0; i < kMaxInterruptions; i++) {
    vm.run(exit);
    if (exit.kind != BackendExit::Interrupted) return exit;
  }
  refuse("KVM_RUN is interrupted all the time");
}

}  // namespace

OutRip probe_backend(Backend& backend) {
  const auto plan = Plan::create(2 * kPageBytes, {{kCodeAddress, kPageBytes, rights::kRead | rights::kExecute}}, {});
  GuestMemory memory(plan);
  memory.write(kCodeAddress, kCode);
  Shell shell(backend);
  shell.bind(*plan, memory.data());
  memory.attach(shell.monitor());

  GeneralRegisters entry{};
  entry.rip = kCodeAddress;
  shell.vm().set_entry(shell.monitor().prepare_entry(entry));
  ExitInfo exit = next_exit(shell.vm());
  if (exit.kind != BackendExit::IoOut || exit.privilege_level != 3 || exit.size_bytes != 1)
    refuse("an OUT at CPL 3 did not arrive as an exit " + exit.reason);
  const uint64_t rip = shell.vm().registers().rip;
  if (rip != kCodeAddress && rip != kCodeAddress + 1) refuse("RIP at an OUT is neither at it nor after it");

  entry.rip = kCodeAddress + 1;
  shell.vm().set_entry(shell.monitor().prepare_entry(entry));
  exit = next_exit(shell.vm());
  if (exit.kind != BackendExit::IoOut || exit.privilege_level == 3)
    refuse("an exception did not arrive at the monitor " + exit.reason);
  const auto frame = shell.monitor().read_frame(exit.port, shell.vm().registers());
  if (!frame || frame->vector != 13 || frame->rip != kCodeAddress + 1) refuse("hlt at CPL 3 is no #GP");
  return rip == kCodeAddress ? OutRip::AtInstruction : OutRip::AfterInstruction;
}

}  // namespace mayfly
