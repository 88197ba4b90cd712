#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

// Stores every register class that a call could inherit at RDI, then dirties all of them.
GUEST(inspect,
      "pushfq; popq (%rdi);"
      "stmxcsr 8(%rdi); fnstcw 12(%rdi); fnstsw 14(%rdi);"
      "rdfsbase %rax; mov %rax, 16(%rdi); rdgsbase %rax; mov %rax, 24(%rdi);"
      "movq %xmm0, 32(%rdi); movq %xmm15, 40(%rdi);"
      "mov %ds, %eax; mov %eax, 48(%rdi); mov %fs, %eax; mov %eax, 52(%rdi);"
      "fnstenv 64(%rdi);"
      "mov $0x5555555555555555, %rax; movq %rax, %xmm0; movq %rax, %xmm15;"
      "wrfsbase %rdi; wrgsbase %rdi;"
      "movl $0x7fa0, -8(%rsp); ldmxcsr -8(%rsp); fld1; fld1; movw $0x27f, -8(%rsp); fldcw -8(%rsp);"
      "std; stc; xor %eax, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %fs;"
      "test %rsi, %rsi; jz 1f; cmp $1, %rsi; je 2f; ud2; 1: hlt; 2: jmp 2b")

GUEST(inspect_avx,
      "vmovdqu %ymm3, (%rdi); vextractf128 $1, %ymm7, 32(%rdi);"
      "vpcmpeqd %xmm1, %xmm1, %xmm1; vinsertf128 $1, %xmm1, %ymm1, %ymm1; vmovaps %ymm1, %ymm3; vmovaps %ymm1, %ymm7; hlt")

namespace {

constexpr uint64_t kSelectors = 48;

void check_clean(Vm& vm) {
  CHECK_EQ(read_u64(vm, kData) & ~uint64_t{0x10000}, 0x202u);
  CHECK_EQ(read_u64(vm, kData + 8) & 0xffffffff, 0x1f80u);
  CHECK_EQ((read_u64(vm, kData + 8) >> 32) & 0xffff, 0x37fu);
  CHECK_EQ(read_u64(vm, kData + 8) >> 48, 0u);
  CHECK_EQ(read_u64(vm, kData + 16), 0u);
  CHECK_EQ(read_u64(vm, kData + 24), 0u);
  CHECK_EQ(read_u64(vm, kData + 32), 0u);
  CHECK_EQ(read_u64(vm, kData + 40), 0u);
  CHECK_EQ((read_u64(vm, kData + 72) & 0xffff), 0xffffu);  // x87 tag word: all empty
}

}  // namespace

TEST("flags, x87, SSE, FS and GS bases start the same in each call, after a halt, a fault and a kill") {
  SyncClient client;
  auto vm = make_vm(client, inspect());
  uint64_t selectors = 0;
  for (int round = 0; round < 12; round++) {
    const uint64_t ending = round % 3;
    RequestBuilder request;
    request.entry(entry_with(kData, ending)).starts_call().deadline_us(ending == 1 ? 300 : 0);
    const Answer& answer = client.run(*vm, request);
    vm->end_call();
    CHECK(answer.exit == (ending == 0 ? ExitKind::Halt : ending == 1 ? ExitKind::Cancelled : ExitKind::Exception));
    check_clean(*vm);
    if (round == 0) selectors = read_u64(*vm, kData + kSelectors);
    CHECK_EQ(read_u64(*vm, kData + kSelectors), selectors);
  }
}

TEST("AVX state starts at zero in each call, where the host has AVX") {
  if (!__builtin_cpu_supports("avx")) return;
  SyncClient client;
  auto vm = make_vm(client, inspect_avx());
  for (int round = 0; round < 4; round++) {
    CHECK(enter(client, *vm, entry_with(kData)).exit == ExitKind::Halt);
    for (uint64_t offset = 0; offset < 48; offset += 8) CHECK_EQ(read_u64(*vm, kData + offset), 0u);
  }
}

GUEST(flags_in, "pushfq; popq (%rdi); hlt")
TEST("an entry's flags are kept but for those that a guest must not have") {
  SyncClient client;
  auto vm = make_vm(client, flags_in());
  GeneralRegisters registers = entry_with(kData);
  registers.rflags = 0x3402 | 0x41 | 0x4000 | 0x20000;  // IOPL 3, DF, CF, ZF, NT, VM
  CHECK(enter(client, *vm, registers).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*vm, kData) & 0xffffffff, 0x643u);
}

// FS and GS survive a host function, though the host wrote no register.
GUEST(keep_state,
      "mov $0x123456, %eax; wrfsbase %rax; movq %rax, %xmm4; out %al, $0x65; rdfsbase %rbx; movq %xmm4, %rcx; hlt")
TEST("a guest finds its state again after a host function") {
  SyncClient client;
  auto vm = make_vm(client, keep_state());
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
  const Answer& answer = go_on(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x123456u);
  CHECK_EQ(answer.registers.rcx, 0x123456u);
}

TEST("a snapshot at an OUT keeps extended state and segment bases for its VMs") {
  SyncClient client;
  auto vm = make_vm(client, keep_state());
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
  const auto snapshot = client.snapshot(*vm);
  auto clone = client.create_vm(snapshot);
  const Answer& answer = go_on(client, *clone);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x123456u);
  CHECK_EQ(answer.registers.rcx, 0x123456u);
}

GUEST(step_itself, "pushfq; orl $0x100, (%rsp); popfq; nop; nop; hlt")
TEST("a guest that sets its trap flag gets exception 1, and the next call has none") {
  SyncClient client;
  auto vm = make_vm(client, step_itself());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, 1u);
  CHECK(enter(client, *vm, entry_at(kCode + 10)).exit == ExitKind::Halt);
}
