#include <cstring>

#include "backend_under_test.hpp"
#include "guest.hpp"
#include "guest_memory.hpp"
#include "harness.hpp"
#include "shell.hpp"

// What slots, monitor and reset stand on (docs/driver-contract.md, "The list for a backend"): each function of Backend
// and BackendVm by itself, without a slot thread.

using namespace mayfly;
using namespace mayfly::test;

namespace {

/** A VM of `test_plan` with this code, run on the test's own thread. */
struct BareVm {
  GuestMemory memory{test_plan()};
  Shell shell;
  ExitInfo exit{};

  BareVm(Backend& backend, std::span<const uint8_t> code) : shell(backend) {
    memory.write(kCode, code);
    shell.bind(memory.plan(), memory.data());
    memory.attach(shell.monitor());
  }

  BackendVm& vm() { return shell.vm(); }

  const ExitInfo& run() {
    do vm().run(exit);
    while (exit.kind == BackendExit::Interrupted);
    return exit;
  }
  const ExitInfo& enter(const GeneralRegisters& registers) {
    vm().set_entry(shell.monitor().prepare_entry(registers));
    return run();
  }
};

GeneralRegisters at(const GeneralRegisters& from, uint64_t rip) {
  GeneralRegisters registers = from;
  registers.rip = rip;
  registers.rflags = user_rflags(registers.rflags);
  return registers;
}

}  // namespace

GUEST(outs, "mov $0x11223344, %eax; mov $0xfedc, %edx; out %al, %dx; out %ax, %dx; out %eax, %dx")
TEST("backend: an OUT has port, size, value and the privilege level that it was made at") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, outs());
  const uint32_t values[] = {0x44, 0x3344, 0x11223344};
  bare.enter(entry_at());
  for (uint32_t i = 0; i < 3; i++) {
    CHECK(bare.exit.kind == BackendExit::IoOut);
    CHECK_EQ(bare.exit.port, 0xfedc);
    CHECK_EQ(bare.exit.size_bytes, 1u << i);
    CHECK_EQ(bare.exit.value, values[i]);
    CHECK_EQ(bare.exit.privilege_level, 3);
    bare.vm().complete_pending();
    bare.vm().set_continue(bare.vm().registers());
    if (i < 2) bare.run();
  }
}

GUEST(traps, "ud2")
TEST("backend: an exception leaves from ring 0, with the guest's registers") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, traps());
  GeneralRegisters registers = entry_at();
  registers.r13 = 0x5eed;
  CHECK(bare.enter(registers).kind == BackendExit::IoOut);
  CHECK_EQ(bare.exit.privilege_level, 0);
  CHECK_EQ(bare.vm().registers().r13, 0x5eedu);
  const auto frame = bare.shell.monitor().read_frame(bare.exit.port, bare.vm().registers());
  CHECK(frame.has_value());
  CHECK_EQ(frame->vector, 6u);
  CHECK_EQ(frame->rip, kCode);
}

GUEST(shows, "out %al, $1")
TEST("backend: an entry starts with exactly these registers, whatever ran before") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, shows());
  for (const uint64_t value : {~0ull, 0x123456789abcdefull}) {
    GeneralRegisters wanted = entry_at();
    wanted.rax = wanted.rbx = wanted.rsi = wanted.r8 = wanted.r15 = value;
    CHECK(bare.enter(wanted).kind == BackendExit::IoOut);
    const GeneralRegisters found = bare.vm().registers();
    CHECK_EQ(found.rax, value);
    CHECK_EQ(found.rbx, value);
    CHECK_EQ(found.rsi, value);
    CHECK_EQ(found.r8, value);
    CHECK_EQ(found.r15, value);
    CHECK_EQ(found.rcx, 0u);
    CHECK_EQ(found.rsp, wanted.rsp);
    CHECK_EQ(found.rflags & ~(rflags::kInterrupt | rflags::kResume), rflags::kFixed);
  }
}

GUEST(reads_port, "in $0x60, %eax; out %al, $1; out %al, $2")
TEST("backend: a pending IN does not overwrite the registers of what comes next") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, reads_port());
  CHECK(bare.enter(entry_at()).kind == BackendExit::IoIn);
  CHECK_EQ(bare.exit.port, 0x60);
  CHECK_EQ(bare.exit.size_bytes, 4u);
  bare.vm().complete_pending();
  GeneralRegisters next = entry_at(kCode + 4);  // behind the second instruction
  next.rax = 0x77;
  CHECK(bare.enter(next).kind == BackendExit::IoOut);
  CHECK_EQ(bare.exit.port, 2);
  CHECK_EQ(bare.exit.value, 0x77u);
}

GUEST(loads_and_stores, "mov (%rdi), %rax; out %al, $1; mov %rsi, (%rdi); out %al, $2")
TEST("backend: read-only memory reads as it is, and a store to it is an Mmio exit that changes nothing") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, loads_and_stores());
  Mapping beside = Mapping::anonymous(kPageBytes);
  const uint64_t word = 0x5eed;
  std::memcpy(beside.data(), &word, sizeof word);
  // The monitor maps kData to itself; below it lies other, read-only memory from here on.
  bare.vm().unmap(0);
  bare.vm().map(0, 0, bare.memory.data(), kData);
  bare.vm().map(5, kData, beside.data(), kPageBytes, false);
  bare.vm().forget_translations();
  CHECK(bare.enter(entry_with(kData, 1)).kind == BackendExit::IoOut);
  CHECK_EQ(bare.vm().registers().rax, word);
  CHECK(bare.enter([] {
              GeneralRegisters registers = entry_with(kData, 1);
              registers.rip = kCode + 5;
              return registers;
            }()).kind == BackendExit::Mmio);
  CHECK_EQ(bare.exit.address, kData);
  CHECK(bare.exit.write);
  CHECK_EQ(bare.exit.size_bytes, 8u);
  bare.vm().complete_pending();
  uint64_t after = 0;
  std::memcpy(&after, beside.data(), sizeof after);
  CHECK_EQ(after, word);
  bare.vm().unmap(5);
  bare.vm().forget_translations();
  CHECK(bare.enter(entry_with(kData)).kind == BackendExit::Mmio);
  CHECK(!bare.exit.write);
  bare.vm().complete_pending();
}

TEST("backend: a right that was taken away is gone for the next instruction") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, loads_and_stores());
  CHECK(bare.enter(entry_with(kData)).kind == BackendExit::IoOut);
  CHECK_EQ(bare.exit.privilege_level, 3);
  bare.shell.monitor().set_present(kData, kPageBytes, false);
  bare.vm().forget_translations();
  CHECK(bare.enter(entry_with(kData)).kind == BackendExit::IoOut);
  CHECK_EQ(bare.exit.privilege_level, 0);  // a page fault
  CHECK_EQ(bare.exit.fault_address, kData);
  bare.shell.monitor().set_present(kData, kPageBytes, true);
  CHECK(bare.enter(entry_with(kData)).kind == BackendExit::IoOut);
  CHECK_EQ(bare.exit.privilege_level, 3);
}

TEST("backend: a continuation has these registers; the bases of FS and GS stay, until they are set") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, shows());
  bare.enter(entry_at());
  bare.vm().complete_pending();
  bare.vm().set_segment_base(false, 0x1000);
  bare.vm().set_segment_base(true, 0x2000);
  GeneralRegisters next = at(entry_at(), kCode);
  next.rbx = 0xabc;
  for (int i = 0; i < 2; i++) {
    bare.vm().set_continue(next);
    CHECK(bare.run().kind == BackendExit::IoOut);
    CHECK_EQ(bare.vm().registers().rbx, 0xabcu);
    CHECK_EQ(bare.vm().segment_base(false), 0x1000u);
    CHECK_EQ(bare.vm().segment_base(true), 0x2000u);
    bare.vm().complete_pending();
  }
  bare.enter(entry_at());
  CHECK_EQ(bare.vm().segment_base(false), 0u);
  CHECK_EQ(bare.vm().segment_base(true), 0u);
}

TEST("backend: FPU state is what was set") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, shows());
  bare.enter(entry_at());
  bare.vm().complete_pending();
  std::vector<uint8_t> image(kFxsaveBytes);
  bare.vm().fpu(image);
  image[160] = 0x5a;  // XMM0
  bare.vm().set_fpu(image);
  std::vector<uint8_t> found(kFxsaveBytes);
  bare.vm().fpu(found);
  CHECK(found == image);
}

TEST("backend: the state of a vCPU goes to another VM") {
  const auto backend = open_test_backend();
  BareVm one(*backend, shows());
  BareVm other(*backend, shows());
  GeneralRegisters registers = entry_at();
  registers.r12 = 0x1234;
  one.enter(registers);
  one.vm().complete_pending();
  one.vm().set_segment_base(false, 0x3000);
  one.vm().set_continue(at(one.vm().registers(), kCode));
  one.run();
  one.vm().complete_pending();
  VcpuState state;
  one.vm().save(state);
  CHECK_EQ(state.registers.r12, 0x1234u);
  other.enter(entry_at());
  other.vm().complete_pending();
  other.vm().load(state, at(state.registers, kCode));
  CHECK(other.run().kind == BackendExit::IoOut);
  CHECK_EQ(other.vm().registers().r12, 0x1234u);
  CHECK_EQ(other.vm().segment_base(false), 0x3000u);
}

GUEST(counts, "incq 0x200000; out %al, $1")
TEST("backend: VMs side by side see nothing of each other") {
  const auto backend = open_test_backend();
  BareVm one(*backend, counts());
  BareVm other(*backend, counts());
  for (int i = 0; i < 3; i++) CHECK(one.enter(entry_at()).kind == BackendExit::IoOut);
  CHECK(other.enter(entry_at()).kind == BackendExit::IoOut);
  CHECK_EQ(one.memory.load<uint64_t>(kData), 3u);
  CHECK_EQ(other.memory.load<uint64_t>(kData), 1u);
}

GUEST(spins, "incq 0x200000; 1: jmp 1b")
TEST("backend: a kick flag that is set before a run makes it return, and nothing happened in the guest") {
  const auto backend = open_test_backend();
  BareVm bare(*backend, spins());
  bare.vm().set_entry(bare.shell.monitor().prepare_entry(entry_at()));
  *bare.vm().kick_flag() = 1;
  bare.vm().run(bare.exit);
  CHECK(bare.exit.kind == BackendExit::Interrupted);
  CHECK_EQ(bare.memory.load<uint64_t>(kData), 0u);
  *bare.vm().kick_flag() = 0;
}
