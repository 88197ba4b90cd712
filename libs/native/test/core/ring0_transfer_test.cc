#include "harness.hpp"
#include "ring0_guest.hpp"

using namespace mayfly;
using namespace mayfly::test;
namespace r0 = mayfly::test::ring0;

// Selector 0x18 of the test GDT: data at base 0x12003456. 0x20: data that is not present. 0x28: user code.

GUEST(pops, RING0_TABLES "mov %rsp, %r12; push $0x18; pop %fs; rdfsbase %rbx; mov %fs, %ecx; push $0; pop %fs; rdfsbase %rdx; "
                         "pushw $0x18; popw %gs; rdgsbase %rsi; sub %rsp, %r12; hlt")
TEST("pop fs and pop gs load from the guest's GDT, in both sizes") {
  SyncClient client;
  auto vm = r0::make_vm(client, pops());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x12003456u);
  CHECK_EQ(answer.registers.rdx, 0u);
  CHECK_EQ(answer.registers.rsi, 0x12003456u);
  CHECK_EQ(answer.registers.r12, 0u);
}

GUEST(pops_absent, RING0_TABLES "push $0x20; pop %gs")
TEST("pop gs of a segment that is not present is #NP in the guest, with the stack as it was") {
  SyncClient client;
  auto vm = r0::make_vm(client, pops_absent());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.r15, 11u);
  CHECK_EQ(read_u64(*vm, answer.registers.rsp), 0x20u);
  CHECK_EQ(read_u64(*vm, answer.registers.rsp + 32), kStackTop - 16);
}

GUEST(loads_pointers,
      RING0_TABLES "movl $0x11223344, 0x200400; movw $0x18, 0x200404; lfs 0x200400, %eax; rdfsbase %rbx; "
                   "movabs $0x5566778899aabbcc, %rcx; mov %rcx, 0x200410; movw $0x18, 0x200418; .byte 0x48, 0x0f, 0xb5, 0x14, 0x25, 0x10, 0x04, 0x20, 0x00; "
                   "rdgsbase %rsi; movl $0x00107777, 0x200420; mov $-1, %rdi; lssw 0x200420, %di; hlt")
TEST("lss, lfs and lgs load segment and register, in each size") {
  SyncClient client;
  auto vm = r0::make_vm(client, loads_pointers());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rax, 0x11223344u);
  CHECK_EQ(answer.registers.rbx, 0x12003456u);
  CHECK_EQ(answer.registers.rdx, 0x5566778899aabbccu);
  CHECK_EQ(answer.registers.rsi, 0x12003456u);
  CHECK_EQ(answer.registers.rdi, 0xffffffffffff7777u);
}

GUEST(jumps_far,
      RING0_TABLES "lea 1f(%rip), %rax; mov %eax, 0x200400; movw $8, 0x200404; ljmp *0x200400; ud2; "
                   "1: lea 2f(%rip), %rax; mov %rax, 0x200410; movw $8, 0x200418; rex64 ljmp *0x200410; ud2; 2: mov $7, %ebx; hlt")
TEST("a far jump goes to 64-bit ring-0 code, by 32 and by 64 bits") {
  SyncClient client;
  auto vm = r0::make_vm(client, jumps_far());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 7u);
}

GUEST(calls_far,
      RING0_TABLES "mov %rsp, %r12; lea 1f(%rip), %rax; mov %rax, 0x200410; movw $8, 0x200418; rex64 lcall *0x200410; "
                   "3: add $1, %ebx; mov %eax, 0x200400; movw $8, 0x200404; lea 2f(%rip), %rax; mov %eax, 0x200400; "
                   "lcall *0x200400; ud2; 1: mov $5, %ebx; lretq; "
                   "2: mov (%rsp), %esi; mov 4(%rsp), %edi; sub %rsp, %r12; hlt")
TEST("a far call pushes code segment and return address, and a far return comes back") {
  SyncClient client;
  auto vm = r0::make_vm(client, calls_far());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 6u);
  CHECK(answer.registers.rsi > kCode && answer.registers.rsi < kCode + 0x200);
  CHECK_EQ(answer.registers.rdi, 8u);
  CHECK_EQ(answer.registers.r12, 8u);
}

namespace {

void check_refused(std::span<const uint8_t> code, const char* name) {
  SyncClient client;
  auto vm = r0::make_vm(client, code);
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::UnsupportedInstruction);
  CHECK(r0::reason(answer) == name);
}

}  // namespace

GUEST(jumps_to_data, RING0_TABLES "movl $0x10000, 0x200400; movw $0x10, 0x200404; ljmp *0x200400")
GUEST(calls_null, RING0_TABLES "movl $0x10000, 0x200400; movw $0, 0x200404; lcall *0x200400")
TEST("a far transfer to anything but 64-bit ring-0 code is refused by name") {
  check_refused(jumps_to_data(), "jmp far to no 64-bit ring-0 code");
  check_refused(calls_null(), "call far to no 64-bit ring-0 code");
}

GUEST(call_without_stack, RING0_TABLES "mov $0x20000, %esp; lea 1f(%rip), %rax; mov %eax, 0x200400; movw $8, 0x200404; "
                                       "1: lcall *0x200400")
TEST("a far call whose stack has run out is the guard page's fault") {
  SyncClient client;
  auto vm = r0::make_vm(client, call_without_stack());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, 14u);
  CHECK_EQ(answer.address & ~(kPageBytes - 1), kGuard);
}

// iretq with a frame whose stack selector is in AX and whose flags are in RBX.
#define IRETQ RING0_TABLES "mov %rdi, %rax; mov %rsp, %rcx; push %rax; push %rcx; push %rsi; push $8; lea 8f(%rip), %rdx; " \
                           "push %rdx; iretq; 8: pushfq; pop %rbx; mov %ss, %ebp; hlt"
GUEST(returns, IRETQ)
TEST("iretq takes a null stack segment and flags, and refuses others as ring 0 would") {
  SyncClient client;
  auto vm = r0::make_vm(client, returns());
  const Answer& null = enter(client, *vm, entry_with(0, 0x43));
  CHECK(null.exit == ExitKind::Halt);
  CHECK_EQ(null.registers.r15, 0u);
  CHECK_EQ(null.registers.rbx & 0x43, 0x43u);
  CHECK_EQ(enter(client, *vm, entry_with(0x10, 2)).registers.r15, 0u);
  CHECK_EQ(enter(client, *vm, entry_with(0x8, 2)).registers.r15, 13u);   // code
  CHECK_EQ(enter(client, *vm, entry_with(0x20, 2)).registers.r15, 12u);  // not present
  CHECK_EQ(enter(client, *vm, entry_with(0x11, 2)).registers.r15, 13u);  // another level
  CHECK_EQ(enter(client, *vm, entry_with(0x100, 2)).registers.r15, 13u);  // beyond the GDT
}

GUEST(nested, RING0_TABLES "pushfq; orl $0x4000, (%rsp); popfq; push $0; push %rsp; push $2; push $8; lea 8f(%rip), %rdx; "
                           "push %rdx; iretq; 8: hlt")
TEST("iretq of a nested task is #GP in the guest") {
  SyncClient client;
  auto vm = r0::make_vm(client, nested());
  CHECK_EQ(enter(client, *vm).registers.r15, 13u);
}
