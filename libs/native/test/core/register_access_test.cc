#include <cstring>

#include "harness.hpp"
#include "ring0_guest.hpp"

using namespace mayfly;
using namespace mayfly::test;
namespace r0 = mayfly::test::ring0;

namespace {

template <typename T>
T get(SyncClient& client, Vm& vm, StateKind kind) {
  const auto bytes = client.get_state(vm, kind);
  T value{};
  CHECK_EQ(bytes.size(), sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

GeneralRegisters registers_of(SyncClient& client, Vm& vm) {
  return get<GeneralRegisters>(client, vm, StateKind::General);
}

SpecialRegisters special_of(SyncClient& client, Vm& vm) {
  return get<SpecialRegisters>(client, vm, StateKind::Special);
}

template <typename T>
void set(SyncClient& client, Vm& vm, StateKind kind, const T& value) {
  // SAFETY: the bytes of a local of this size.
  client.set_state(vm, kind, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

/** Sets all general registers. */
void set_registers(SyncClient& client, Vm& vm, const GeneralRegisters& registers) {
  set(client, vm, StateKind::General, GeneralRegistersUpdate{(1 << 18) - 1, registers});
}

void set_rip(SyncClient& client, Vm& vm, uint64_t rip) {
  GeneralRegistersUpdate update{1 << 16, {}};
  update.values.rip = rip;
  set(client, vm, StateKind::General, update);
}

template <typename T>
ErrorCode refusal(SyncClient& client, Vm& vm, StateKind kind, const T& value) {
  return code_of([&] { set(client, vm, kind, value); });
}

}  // namespace

GUEST(access_counts, "mov $1, %eax; out %al, $0x65; add $2, %rax; out %al, $0x65; ud2; 1: mov %rax, %rbx; hlt")
TEST("registers of an idle guest are those of its last exit, behind an OUT and at a fault") {
  SyncClient client;
  auto vm = make_vm(client, access_counts());
  CHECK_EQ(registers_of(client, *vm).rflags, 2u);
  CHECK_EQ(registers_of(client, *vm).rip, 0u);
  enter(client, *vm);
  CHECK_EQ(registers_of(client, *vm).rip, kCode + 7);
  CHECK_EQ(registers_of(client, *vm).rax, 1u);
  CHECK(go_on(client, *vm).exit == ExitKind::IoOut);
  CHECK_EQ(registers_of(client, *vm).rip, kCode + 13);
  CHECK(go_on(client, *vm).exit == ExitKind::Exception);
  CHECK_EQ(registers_of(client, *vm).rip, kCode + 13);
  CHECK_EQ(registers_of(client, *vm).rax, 3u);
  CHECK_EQ(registers_of(client, *vm).rsp, kStackTop - 8);
}

TEST("a guest goes on from the registers that were set, wherever it stood, and keeps those that were not") {
  SyncClient client;
  auto vm = make_vm(client, access_counts());
  CHECK(code_of([&] { go_on(client, *vm); }) == ErrorCode::Request);
  GeneralRegisters start = entry_at();
  start.rbx = 9;
  set_registers(client, *vm, start);  // a vCPU that never ran
  CHECK(go_on(client, *vm).exit == ExitKind::IoOut);
  set_rip(client, *vm, kCode + 15);  // at an OUT
  const Answer& halted = go_on(client, *vm);
  CHECK(halted.exit == ExitKind::Halt);
  CHECK_EQ(halted.registers.rbx, 1u);
  set_rip(client, *vm, kCode + 7);  // at a halt
  CHECK(go_on(client, *vm).exit == ExitKind::IoOut);
  CHECK(go_on(client, *vm).exit == ExitKind::Exception);
  CHECK(code_of([&] { go_on(client, *vm); }) == ErrorCode::Request);
  set_rip(client, *vm, kCode + 15);  // at a fault
  const Answer& again = go_on(client, *vm);
  CHECK(again.exit == ExitKind::Halt);
  CHECK_EQ(again.registers.rbx, 3u);
}

TEST("a state that is not one is refused, and the VM goes on") {
  SyncClient client;
  auto vm = make_vm(client, access_counts());
  CHECK(code_of([&] { set_rip(client, *vm, 0x800000000000); }) == ErrorCode::Request);
  CHECK(refusal(client, *vm, StateKind::Fpu, uint64_t{0}) == ErrorCode::Request);
  CHECK(refusal(client, *vm, StateKind::General, GeneralRegisters{}) == ErrorCode::Request);
  auto image = client.get_state(*vm, StateKind::Fpu);
  image[kMxcsrOffset + 2] = 1;
  CHECK(code_of([&] { client.set_state(*vm, StateKind::Fpu, image); }) == ErrorCode::Request);
  SpecialRegisters special = special_of(client, *vm);
  special.gs.base = 1ull << 63;
  CHECK(refusal(client, *vm, StateKind::Special, special) == ErrorCode::Request);
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
}

GUEST(swaps_xmm, "movq %rdi, %xmm3; fld1; out %al, $0x65; movq %xmm3, %rax; stmxcsr -8(%rsp); mov -8(%rsp), %ecx; hlt")
TEST("x87 and SSE registers are read and set at an OUT") {
  SyncClient client;
  auto vm = make_vm(client, swaps_xmm());
  enter(client, *vm, entry_with(0x1122334455667788));
  auto image = client.get_state(*vm, StateKind::Fpu);
  uint64_t xmm3 = 0;
  std::memcpy(&xmm3, image.data() + 160 + 3 * 16, sizeof xmm3);
  CHECK_EQ(xmm3, 0x1122334455667788u);
  CHECK_EQ(image[0] | image[1] << 8, 0x37f);
  CHECK_EQ(image[kMxcsrOffset] | image[kMxcsrOffset + 1] << 8, 0x1f80);
  CHECK_EQ(image[32 + 9], 0x3f);  // 1.0: sign and exponent 0x3fff
  xmm3 = 77;
  std::memcpy(image.data() + 160 + 3 * 16, &xmm3, sizeof xmm3);
  image[kMxcsrOffset + 1] = 0x3f;  // round down
  client.set_state(*vm, StateKind::Fpu, image);
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rax, 77u);
  CHECK_EQ(answer.registers.rcx & 0xffff, 0x3f80u);
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
  image = client.get_state(*vm, StateKind::Fpu);
  CHECK_EQ(image[kMxcsrOffset + 1], 0x1f);  // an entry resets it
}

GUEST(reads_bases, "wrfsbase %rdi; out %al, $0x65; rdfsbase %rax; rdgsbase %rbx; hlt")
TEST("a guest at CPL 3 has the CPU's special registers, of which the host may move FS and GS") {
  SyncClient client;
  auto vm = make_vm(client, reads_bases());
  enter(client, *vm, entry_with(0x123000));
  SpecialRegisters special = special_of(client, *vm);
  CHECK_EQ(special.cs.privilege_level, 3u);
  CHECK_EQ(special.cs.long_mode, 1u);
  CHECK_EQ(special.fs.base, 0x123000u);
  special.fs.base = 0x456000;
  special.gs.base = 0x789000;
  set(client, *vm, StateKind::Special, special);
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rax, 0x456000u);
  CHECK_EQ(answer.registers.rbx, 0x789000u);
  // At an exception the vCPU stands in the monitor, whose segments are nobody's business.
  CHECK_EQ(special_of(client, *vm).cs.privilege_level, 3u);
  for (uint64_t SpecialRegisters::*control : {&SpecialRegisters::cr0, &SpecialRegisters::cr3, &SpecialRegisters::cr4,
                                              &SpecialRegisters::efer}) {
    SpecialRegisters wanted = special_of(client, *vm);
    wanted.*control ^= 1 << 8;
    CHECK(refusal(client, *vm, StateKind::Special, wanted) == ErrorCode::Privilege);
  }
  SpecialRegisters wanted = special_of(client, *vm);
  wanted.cs.privilege_level = 0;
  CHECK(refusal(client, *vm, StateKind::Special, wanted) == ErrorCode::Privilege);
  wanted = special_of(client, *vm);
  wanted.idt.base += 8;
  CHECK(refusal(client, *vm, StateKind::Special, wanted) == ErrorCode::Privilege);
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
}

GUEST(access_boots, RING0_TABLES "mov $0x18, %eax; mov %eax, %fs; out %al, $0x65; sgdt 0x200400; mov %cr2, %rbx; mov %cr4, %rcx; "
                          "mov %fs, %edx; rdfsbase %rsi; hlt")
TEST("a guest built for ring 0 has the special registers that it believes in, and the host may change them as it could") {
  SyncClient client;
  auto vm = r0::make_vm(client, access_boots());
  SpecialRegisters special = special_of(client, *vm);
  CHECK_EQ(special.cr0, 0x80050033u);
  CHECK_EQ(special.cr3, 0u);
  CHECK_EQ(special.cr4, 0x620u);
  CHECK_EQ(special.efer, 0xd01u);
  CHECK_EQ(special.cs.type, 11u);
  CHECK_EQ(special.cs.long_mode, 1u);
  CHECK_EQ(special.cs.privilege_level, 0u);
  CHECK_EQ(special.ss.present, 0u);
  CHECK_EQ(special.tr.limit, 0xffffu);
  CHECK_EQ(special.gdt.limit, 0u);
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
  special = special_of(client, *vm);
  CHECK_EQ(special.cs.selector, 8u);
  CHECK_EQ(special.ss.selector, 0x10u);
  CHECK_EQ(special.ss.type, 3u);
  CHECK_EQ(special.fs.selector, 0x18u);
  CHECK_EQ(special.fs.base, 0x12003456u);
  CHECK_EQ(special.gdt.base, r0::kGdt);
  CHECK_EQ(special.idt.limit, 511u);
  special.cr2 = 0x1234;
  special.cr4 |= kCr4GlobalPages;
  special.gdt = {0x5000, 0x17, {}};
  special.fs.base = 0x777000;
  special.ds = {};
  set(client, *vm, StateKind::Special, special);
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK(read_bytes(*vm, r0::kScratch, 10) == r0::table_operand(0x17, 0x5000));
  CHECK_EQ(answer.registers.rbx, 0x1234u);
  CHECK_EQ(answer.registers.rcx, 0x6a0u);
  CHECK_EQ(answer.registers.rsi, 0x777000u);
  SpecialRegisters now = special_of(client, *vm);
  CHECK_EQ(now.ds.present, 0u);
  const auto refused = [&](auto&& change) {
    SpecialRegisters wanted = now;
    change(wanted);
    CHECK(refusal(client, *vm, StateKind::Special, wanted) == ErrorCode::Privilege);
    CHECK(special_of(client, *vm).cr2 == now.cr2);
  };
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cr0 ^= 1 << 16; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cr3 = 0x1000; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cr4 ^= 1 << 5; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cr8 = 1; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.efer = 0; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cs.privilege_level = 3; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.cs.long_mode = 0; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.ss.type = 1; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.es.privilege_level = 3, wanted.es.present = 1; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.tr.base = 1; });
  refused([](SpecialRegisters& wanted) { wanted.cr2 = 1, wanted.ldt.selector = 8; });
}

GUEST(flags_in_ring0, "cli; out %al, $0x65; sti; hlt")
TEST("IF of a guest built for ring 0 is the one that it believes in") {
  SyncClient client;
  auto vm = r0::make_vm(client, flags_in_ring0());
  enter(client, *vm);
  CHECK_EQ(registers_of(client, *vm).rflags & rflags::kInterrupt, 0u);
  go_on(client, *vm);
  CHECK(registers_of(client, *vm).rflags & rflags::kInterrupt);
}

GUEST(reads_input, "movq %rdi, %xmm5; mov $0x5000, %eax; wrfsbase %rax; mov 0x203000, %rax; movq %xmm5, %rbx; "
                   "rdfsbase %rcx; hlt")
TEST("the state of a warm snapshot can be read before it runs, changed, and taken in a snapshot again") {
  SyncClient client;
  auto vm = make_vm(client, reads_input());
  client.snapshot(*vm);
  RequestBuilder priming;
  priming.entry(entry_with(42));
  const auto warm = client.prime(*vm, priming, {{kData + 0x3000, 8}});
  CHECK(warm != nullptr);
  auto clone = client.create_vm(warm);
  const GeneralRegisters registers = registers_of(client, *clone);
  CHECK_EQ(registers.rdi, 42u);
  CHECK(registers.rip > kCode && registers.rip < kCode + kPageBytes);
  CHECK_EQ(special_of(client, *clone).fs.base, 0x5000u);
  const auto again = client.snapshot(*clone);
  auto copy = client.create_vm(again);
  for (Vm* each : {clone.get(), copy.get()}) {
    write_u64(*each, kData + 0x3000, 7);
    const Answer& answer = go_on(client, *each);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.rax, 7u);
    CHECK_EQ(answer.registers.rbx, 42u);
    CHECK_EQ(answer.registers.rcx, 0x5000u);
  }
  CHECK_EQ(registers_of(client, *copy).rax, 7u);
  client.restore(*copy, again);
  CHECK_EQ(registers_of(client, *copy).rip, registers.rip);
}

// Counts in RBX through the monitor and back: CR4 reads are #GP.
GUEST(access_loops, "1: mov %cr4, %rax; inc %rbx; cmp $0x620, %rax; je 1b; hlt")
TEST("a guest that was killed anywhere, the monitor included, goes on where it was") {
  SyncClient client;
  auto vm = r0::make_vm(client, access_loops());
  GeneralRegisters registers = entry_at();
  uint64_t last = 0;
  for (int round = 0; round < 200; round++) {
    set_registers(client, *vm, registers);
    RequestBuilder request;
    request.starts_call().deadline_us(200 + 7 * (round % 50));
    const Answer& answer = client.run(*vm, request);
    vm->end_call();
    CHECK(answer.exit == ExitKind::Cancelled);
    registers = registers_of(client, *vm);
    CHECK_EQ(registers.rip & ~(kPageBytes - 1), kCode);
    CHECK(registers.rbx >= last);
    last = registers.rbx;
  }
  CHECK(last > 200);
}
