#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend_under_test.hpp"
#include "guest.hpp"
#include "harness.hpp"
#include "probe.hpp"

// Exits that a guest behind a sound monitor cannot cause: the tests break something beneath it first.

using namespace mayfly;
using namespace mayfly::test;

namespace {

constexpr uint64_t kDescriptorOffset = 6 * kPageBytes;
constexpr uint64_t kFirstTableOffset = 16 * kPageBytes;

/** One VM run on the test's own thread. */
struct Rig {
  std::unique_ptr<Backend> backend = open_test_backend();
  GuestMemory memory{test_plan()};
  Shell shell{*backend};
  Outbox outbox;
  HaltSites halt_sites;
  VirtualCpu virtual_cpu;
  int signal_number = install_kick_signal(0);
  Interrupt interrupt{std::make_shared<KickTarget>(signal_number)};
  std::atomic<bool> stopping{false};
  DeadlineTimer timer{static_cast<pid_t>(::syscall(SYS_gettid)), signal_number};
  std::vector<uint8_t> outbox_area = std::vector<uint8_t>(kOutboxBytes);
  Answer answer{};

  explicit Rig(std::span<const uint8_t> code) {
    memory.write(kCode, code);
    shell.bind(memory.plan(), memory.data());
    memory.attach(shell.monitor());
    outbox.begin(outbox_area.data(), {.fresh = true, .traces = false});
  }

  const Answer& run(const GeneralRegisters& registers) {
    answer = Answer{};
    shell.vm().set_entry(shell.monitor().prepare_entry(registers));
    return run_on();
  }
  const Answer& run_on() {
    const OutRip out_rip = OutRip::AfterInstruction;
    GuestRun run({shell, memory, outbox, halt_sites, virtual_cpu, interrupt, stopping, timer, out_rip}, {0, 0}, answer);
    run.until_settled();
    return answer;
  }
};

}  // namespace

GUEST(trap_or_out, "test %rdi, %rdi; jz 1f; ud2; 1: out %al, $1")
TEST("a triple fault settles as shutdown, and the VM runs again after it") {
  Rig rig(trap_or_out());
  std::vector<uint8_t> saved(kPageBytes);
  uint8_t* descriptors = rig.shell.monitor().data() + kDescriptorOffset;
  std::memcpy(saved.data(), descriptors, kPageBytes);
  std::memset(descriptors + 0x800, 0, 0x800);
  CHECK(rig.run(entry_with(1)).exit == ExitKind::Shutdown);
  std::memcpy(descriptors, saved.data(), kPageBytes);
  CHECK(rig.run(entry_with(0)).exit == ExitKind::IoOut);
}

GUEST(loads, "mov (%rdi), %rax; out %al, $1")
TEST("an access to an address without memory settles as mmio, and does not disturb the next entry") {
  Rig rig(loads());
  const uint64_t nowhere = (2ull << 30) | 7 | (1ull << 63);
  std::memcpy(rig.shell.monitor().data() + kFirstTableOffset + (kReadOnly >> 12) * 8, &nowhere, sizeof nowhere);
  const Answer& answer = rig.run(entry_with(kReadOnly + 0x10));
  CHECK(answer.exit == ExitKind::Mmio);
  CHECK_EQ(answer.address, (2ull << 30) + 0x10);
  CHECK_EQ(answer.size_bytes, 8u);
  CHECK_EQ(answer.flags, 0u);
  rig.shell.vm().complete_pending();
  CHECK(rig.run(entry_with(kData)).exit == ExitKind::IoOut);
}

TEST("host memory that went away settles as unknown with the reason") {
  Rig rig(loads());
  CHECK_EQ(::mprotect(rig.memory.data() + kData, kPageBytes, PROT_NONE), 0);
  const Answer& answer = rig.run(entry_with(kData));
  CHECK(answer.exit == ExitKind::Unknown);
  CHECK(std::string(answer.reason).find("EFAULT") != std::string::npos);
}

TEST("an exit from ring 0 that no stub makes settles as unknown") {
  Rig rig(trap_or_out());
  // The stub of #UD becomes a jump over its push: the frame is not where a stub leaves it.
  uint8_t* stub = rig.shell.monitor().data() + 10 * kPageBytes + 6 * 16;
  stub[0] = 0x90;
  stub[1] = 0x90;
  const Answer& answer = rig.run(entry_with(1));
  CHECK(answer.exit == ExitKind::Unknown);
}

GUEST(endless, "1: jmp 1b")
TEST("a kick that arrives before an entry ends that entry") {
  Rig rig(endless());
  BackendVm& vm = rig.shell.vm();
  KickTarget self(rig.signal_number);
  self.attach(static_cast<pid_t>(::syscall(SYS_gettid)));
  vm.set_entry(rig.shell.monitor().prepare_entry(entry_at()));
  set_kick_flag(vm.kick_flag());
  self.kick();
  set_kick_flag(nullptr);
  CHECK_EQ(*vm.kick_flag(), 1);
  // Without the flag this would be the endless loop: the signal itself is over.
  ExitInfo exit{};
  vm.run(exit);
  CHECK(exit.kind == BackendExit::Interrupted);
  *vm.kick_flag() = 0;
}

TEST("the probe finds this host's convention of RIP at an OUT") {
  const auto backend = open_test_backend();
  const OutRip convention = probe_backend(*backend);
  CHECK(convention == OutRip::AtInstruction || convention == OutRip::AfterInstruction);
}

TEST("a signal that another part of the process handles is refused by name") {
  struct sigaction taken {};
  struct sigaction before {};
  taken.sa_handler = SIG_IGN;
  const int offset = 9;
  CHECK_EQ(::sigaction(SIGRTMIN + offset, &taken, &before), 0);
  CHECK(code_of([&] { install_kick_signal(offset); }) == ErrorCode::Option);
  CHECK_EQ(::sigaction(SIGRTMIN + offset, &before, nullptr), 0);
  CHECK(code_of([&] { install_kick_signal(offset); }) == ErrorCode::None);
  CHECK(code_of([&] { install_kick_signal(-1); }) == ErrorCode::Option);
  CHECK(code_of([&] { install_kick_signal(100); }) == ErrorCode::Option);
}
