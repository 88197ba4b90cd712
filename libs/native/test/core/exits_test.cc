#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

GUEST(two_outs, "mov $0x11223344, %eax; mov $0x65, %edx; out %eax, (%dx); mov $7, %ebx; out %al, (%dx)")
TEST("an OUT settles with port, size and value, and a run without entry goes on after it") {
  SyncClient client;
  auto vm = make_vm(client, two_outs());
  const Answer& first = enter(client, *vm);
  CHECK(first.exit == ExitKind::IoOut);
  CHECK_EQ(first.number, 0x65u);
  CHECK_EQ(first.size_bytes, 4u);
  CHECK_EQ(first.value, 0x11223344u);
  CHECK_EQ(first.registers.rbx, 0u);
  const Answer& second = go_on(client, *vm);
  CHECK(second.exit == ExitKind::IoOut);
  CHECK_EQ(second.size_bytes, 1u);
  CHECK_EQ(second.value, 0x44u);
  CHECK_EQ(second.registers.rbx, 7u);
}

GUEST(out_word, "mov $0xabcd1234, %eax; mov $0xffff, %edx; out %ax, (%dx)")
TEST("an OUT of two bytes on the highest port settles") {
  SyncClient client;
  auto vm = make_vm(client, out_word());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.number, 0xffffu);
  CHECK_EQ(answer.size_bytes, 2u);
  CHECK_EQ(answer.value, 0x1234u);
}

GUEST(monitor_port, "mov $13, %eax; out %al, $0xcd; mov $1, %ebx; out %al, $0xce; hlt")
TEST("a guest's OUT to a port number of the monitor is an ordinary OUT") {
  SyncClient client;
  auto vm = make_vm(client, monitor_port());
  const Answer& first = enter(client, *vm);
  CHECK(first.exit == ExitKind::IoOut);
  CHECK_EQ(first.number, 0xcdu);
  const Answer& second = go_on(client, *vm);
  CHECK(second.exit == ExitKind::IoOut);
  CHECK_EQ(second.number, 0xceu);
  CHECK_EQ(second.registers.rbx, 1u);
  CHECK(go_on(client, *vm).exit == ExitKind::Halt);
}

GUEST(entry_registers,
      "push %rax; push %rdx; mov $0x200000, %eax; mov %rbx, (%rax); mov %rcx, 8(%rax); mov %rsi, 16(%rax); "
      "mov %rdi, 24(%rax); mov %rbp, 32(%rax); mov %r8, 40(%rax); mov %r15, 48(%rax); pop %rdx; pop %rcx; "
      "mov %rcx, 56(%rax); mov %rdx, 64(%rax); mov %rsp, 72(%rax); hlt")
TEST("an entry sets every register that the guest sees, through the trampoline too") {
  SyncClient client;
  auto vm = make_vm(client, entry_registers());
  GeneralRegisters registers = entry_at();
  registers.rax = 0xa1;
  registers.rbx = 0xb1;
  registers.rcx = 0xc1;
  registers.rdx = 0xd1;
  registers.rsi = 0x51;
  registers.rdi = 0xd2;
  registers.rbp = 0xb9;
  registers.r8 = 0x8888888888888888;
  registers.r15 = 0xffffffffffffffff;
  CHECK(enter(client, *vm, registers).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*vm, kData), 0xb1u);
  CHECK_EQ(read_u64(*vm, kData + 8), 0xc1u);
  CHECK_EQ(read_u64(*vm, kData + 16), 0x51u);
  CHECK_EQ(read_u64(*vm, kData + 24), 0xd2u);
  CHECK_EQ(read_u64(*vm, kData + 32), 0xb9u);
  CHECK_EQ(read_u64(*vm, kData + 40), 0x8888888888888888u);
  CHECK_EQ(read_u64(*vm, kData + 48), 0xffffffffffffffffu);
  CHECK_EQ(read_u64(*vm, kData + 56), 0xa1u);
  CHECK_EQ(read_u64(*vm, kData + 64), 0xd1u);
  CHECK_EQ(read_u64(*vm, kData + 72), kStackTop - 8);
}

GUEST(input, "mov $0x60, %edx; in (%dx), %al; hlt; hlt; hlt; hlt; hlt; hlt; mov $5, %ebx; out %al, $1")
TEST("an IN settles, and does not disturb the next entry") {
  SyncClient client;
  auto vm = make_vm(client, input());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::IoIn);
  CHECK_EQ(answer.number, 0x60u);
  CHECK_EQ(answer.size_bytes, 1u);
  CHECK(code_of([&] { go_on(client, *vm); }) == ErrorCode::Request);
  const Answer& next = enter(client, *vm, entry_at(kCode + 12));
  CHECK(next.exit == ExitKind::IoOut);
  CHECK_EQ(next.registers.rbx, 5u);
}

namespace {

void check_exception(std::span<const uint8_t> code, uint32_t vector, uint64_t error_code, uint64_t rip_offset,
                     uint64_t address) {
  SyncClient client;
  auto vm = make_vm(client, code);
  const Answer& answer = enter(client, *vm, entry_with(0x1234));
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, vector);
  CHECK_EQ(answer.error_code, error_code);
  CHECK_EQ(answer.rip, kCode + rip_offset);
  CHECK_EQ(answer.address, address);
  CHECK_EQ(answer.registers.rdi, 0x1234u);
  CHECK_EQ(answer.registers.rsp, kStackTop - 8);
  CHECK_EQ(answer.exits, 1u);
  CHECK(code_of([&] { go_on(client, *vm); }) == ErrorCode::Request);
}

}  // namespace

GUEST(divide, "nop; xor %ecx, %ecx; div %ecx")
TEST("a division by zero is exception 0") { check_exception(divide(), 0, 0, 3, 0); }

GUEST(undefined, "ud2")
TEST("an undefined instruction is exception 6") { check_exception(undefined(), 6, 0, 0, 0); }

GUEST(breakpoint, "int3")
TEST("a breakpoint is exception 3, with rip after it") { check_exception(breakpoint(), 3, 0, 1, 0); }

GUEST(null_read, "mov 0x10, %rax")
TEST("a read of a page that no region names is exception 14") { check_exception(null_read(), 14, 4, 0, 0x10); }

GUEST(code_write, "mov %al, 0x10000")
TEST("a write to code is exception 14") { check_exception(code_write(), 14, 7, 0, kCode); }

GUEST(read_only_write, "mov %al, 0x18008")
TEST("a write to a read-only region is exception 14") { check_exception(read_only_write(), 14, 7, 0, kReadOnly + 8); }

GUEST(data_jump, "mov $0x200000, %eax; jmp *%rax")
TEST("a jump into data is exception 14 at the target") {
  SyncClient client;
  auto vm = make_vm(client, data_jump());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, 14u);
  CHECK_EQ(answer.rip, kData);
  CHECK_EQ(answer.address, kData);
}

GUEST(guard_read, "mov 0x1fff8, %rax")
TEST("a read of the guard page is exception 14, too") { check_exception(guard_read(), 14, 4, 0, kGuard + 0xff8); }

GUEST(recursion, "1: push %rax; jmp 1b")
TEST("a stack overflow is exception 14 with its address in the guard page") {
  SyncClient client;
  auto vm = make_vm(client, recursion());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, 14u);
  CHECK_EQ(answer.address, kStack - 8);
  CHECK_EQ(answer.exits, 1u);
}

GUEST(beyond_memory, "mov $0x40000000, %eax; mov (%rax), %rbx")
TEST("an access beyond guest memory is exception 14") { check_exception(beyond_memory(), 14, 4, 5, 0x40000000); }

GUEST(monitor_read, "mov $0xffffff8000006000, %rax; mov (%rax), %rbx")
TEST("a read of the monitor's descriptor tables is exception 14") {
  check_exception(monitor_read(), 14, 5, 10, 0xffffff8000006000);
}

GUEST(monitor_write, "mov $0xffffff800000d800, %rax; mov %rbx, (%rax)")
TEST("a write to the words of the trampoline is exception 14") {
  check_exception(monitor_write(), 14, 7, 10, 0xffffff800000d800);
}

GUEST(monitor_jump, "mov $0xffffff800000a000, %rax; jmp *%rax")
TEST("a jump to an exception stub is exception 14") {
  SyncClient client;
  auto vm = make_vm(client, monitor_jump());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.number, 14u);
  CHECK_EQ(answer.error_code, 0x15u);
}

GUEST(privileged_cli, "cli")
TEST("cli is exception 13") { check_exception(privileged_cli(), 13, 0, 0, 0); }
GUEST(privileged_cr3, "mov %cr3, %rax")
TEST("mov from cr3 is exception 13") { check_exception(privileged_cr3(), 13, 0, 0, 0); }
GUEST(privileged_msr, "mov $0xc0000082, %ecx; rdmsr")
TEST("rdmsr is exception 13") { check_exception(privileged_msr(), 13, 0, 5, 0); }
GUEST(kernel_selector, "mov $0x18, %eax; mov %eax, %ss")
TEST("loading a ring 0 selector is exception 13") { check_exception(kernel_selector(), 13, 0x18, 5, 0); }
GUEST(non_canonical, "mov $0x8000000000000000, %rax; mov (%rax), %rbx")
TEST("a non-canonical access is exception 13") { check_exception(non_canonical(), 13, 0, 10, 0); }

GUEST(system_call, "nop; syscall")
TEST("syscall is exception 6 at the instruction, as on a host that has it switched off") {
  check_exception(system_call(), 6, 0, 1, 0);
}

GUEST(alignment,
      "pushfq; orl $0x40000, (%rsp); popfq; mov $0x200000, %eax; movl $1, 1(%rax); movl $2, 9(%rax); out %al, $1")
TEST("a guest that sets AC gets no alignment fault") {
  SyncClient client;
  auto vm = make_vm(client, alignment());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(read_u64(*vm, kData + 9), 2u);
}

GUEST(wild_trampoline, "mov $0xffffff800000c000, %rax; jmp *%rax")
TEST("a jump into the trampoline enters the guest again and ends by the deadline") {
  SyncClient client;
  auto vm = make_vm(client, wild_trampoline());
  RequestBuilder request;
  request.entry(entry_at()).starts_call().deadline_us(2000);
  CHECK(client.run(*vm, request).exit == ExitKind::Cancelled);
}
