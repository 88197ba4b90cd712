#include "harness.hpp"
#include "ring0_guest.hpp"

using namespace mayfly;
using namespace mayfly::test;
namespace r0 = mayfly::test::ring0;

namespace {

/** Runs a call and checks that it was refused by this name at this address. */
void check_refused(std::span<const uint8_t> code, const char* name, uint64_t offset = 0) {
  SyncClient client;
  auto vm = r0::make_vm(client, code);
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::UnsupportedInstruction);
  CHECK(r0::reason(answer) == name);
  CHECK_EQ(answer.rip, kCode + offset);
  CHECK_EQ(answer.size_bytes, 15u);
  CHECK(std::memcmp(&answer.error_code, code.data() + offset, std::min<std::size_t>(8, code.size() - offset)) == 0);
}

}  // namespace

GUEST(boots, RING0_TABLES "sgdt 0x200400; sidt 0x200410; str %ebx; sldt %ecx; smsw %rdx; mov %cr4, %rsi; hlt")
TEST("a guest built for ring 0 loads its tables and segments, and reads them back") {
  SyncClient client;
  auto vm = r0::make_vm(client, boots());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK(read_bytes(*vm, r0::kScratch, 10) == r0::table_operand(47, r0::kGdt));
  CHECK(read_bytes(*vm, r0::kScratch + 16, 10) == r0::table_operand(511, r0::kIdt));
  CHECK_EQ(answer.registers.rbx, 0u);
  CHECK_EQ(answer.registers.rcx, 0u);
  CHECK_EQ(answer.registers.rdx, 0x80050033u);
  CHECK_EQ(answer.registers.rsi, 0x620u);
  CHECK_EQ(answer.registers.rsp, kStackTop - 8);
  // Loading a selector sets its descriptor's accessed bit (guest-abi 9.2).
  CHECK_EQ(read_u64(*vm, r0::kGdt + 8), 0x00a09b0000000000u);
  CHECK_EQ(read_u64(*vm, r0::kGdt + 16), 0x00c0930000000000u);
}

GUEST(fs_base, "lgdt 0x200100; mov $0x18, %eax; mov %eax, %fs; rdfsbase %rbx; lgdt %fs:-0x12003356(,%rax,4); xor %eax, %eax; "
               "mov %eax, %fs; rdfsbase %rcx; hlt")
TEST("a segment load takes the base from the guest's descriptor, and an operand can use it") {
  SyncClient client;
  auto vm = r0::make_vm(client, fs_base());
  const Answer& answer = enter(client, *vm);
  CHECK_EQ(answer.registers.rbx, 0x12003456u);
  CHECK(answer.exit == ExitKind::Exception || answer.exit == ExitKind::Halt);
}

GUEST(toggles, "mov %cr4, %rax; mov %rax, %rcx; xor $0x80, %rcx; mov %rcx, %cr4; mov %cr4, %rbx; mov %rax, %cr4; "
               "mov %cr4, %rdx; hlt")
TEST("CR4.PGE toggles over the virtual CR4") {
  SyncClient client;
  auto vm = r0::make_vm(client, toggles());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x6a0u);
  CHECK_EQ(answer.registers.rdx, 0x620u);
}

GUEST(harmless, "cli; sti; clts; wbinvd; invd; mov $0x28, %eax; ltr %ax; str %ebx; mov %cr0, %rax; mov %rax, %cr0; "
                "mov %cr3, %rcx; mov %rcx, %cr3; mov %cr8, %rdx; mov %rdx, %cr8; mov $0x77, %esi; mov %rsi, %cr2; "
                "mov %cr2, %rdi; invlpg 0x1234; hlt")
TEST("instructions without effect for the guest pass, and control registers hold what was written") {
  SyncClient client;
  auto vm = r0::make_vm(client, harmless());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 0x28u);
  CHECK_EQ(answer.registers.rax, 0x80050033u);
  CHECK_EQ(answer.registers.rcx, 0u);
  CHECK_EQ(answer.registers.rdi, 0x77u);
}

GUEST(prefixed_halt, ".byte 0x66, 0xf4")
TEST("a hlt with prefixes is a halt") {
  SyncClient client;
  auto vm = r0::make_vm(client, prefixed_halt());
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
}

GUEST(do_rdmsr, "rdmsr")
GUEST(do_wrmsr, "wrmsr")
GUEST(do_rdpmc, "rdpmc")
GUEST(do_xsetbv, "xsetbv")
GUEST(do_swapgs, "swapgs")
GUEST(do_read_dr, "mov %dr7, %rax")
GUEST(do_write_dr, "mov %rax, %dr7")
GUEST(do_lmsw, "lmsw %ax")
GUEST(do_lldt, "lldt %ax")
GUEST(do_sysret, "sysretq")
GUEST(do_sysexit, "sysexitq")
GUEST(do_iret, "iretl")
GUEST(do_retf, "lretl")
GUEST(do_cr0, "mov %rax, %cr0")
GUEST(do_cr4, "mov %rax, %cr4")
GUEST(do_cr3, "mov %rsp, %cr3")
GUEST(do_cr8, "mov %rsp, %cr8")
GUEST(user_iretq, "lgdt 0x200100; push $0x10; push $0; push $2; push $0x10; push $0x10000; iretq")
TEST("what is not done for the guest is refused by name, with its bytes and its address") {
  check_refused(do_rdmsr(), "rdmsr");
  check_refused(do_wrmsr(), "wrmsr");
  check_refused(do_rdpmc(), "rdpmc");
  check_refused(do_xsetbv(), "xsetbv");
  check_refused(do_swapgs(), "swapgs");
  check_refused(do_read_dr(), "mov from dr");
  check_refused(do_write_dr(), "mov to dr");
  check_refused(do_lmsw(), "lmsw");
  check_refused(do_lldt(), "lldt");
  check_refused(do_sysret(), "sysret");
  check_refused(do_sysexit(), "sysexit");
  check_refused(do_iret(), "32-bit iret");
  check_refused(do_retf(), "32-bit retf");
  check_refused(user_iretq(), "iretq to no 64-bit ring-0 code", user_iretq().size() - 2);
  check_refused(do_cr0(), "mov to cr0");
  check_refused(do_cr4(), "mov to cr4");
  check_refused(do_cr3(), "mov to cr3");
  check_refused(do_cr8(), "mov to cr8");
}

GUEST(takes_ud, RING0_TABLES "mov %rsp, %r14; pushf; pop %r13; ud2")
GUEST(takes_de, RING0_TABLES "mov %rsp, %r14; xor %ecx, %ecx; div %ecx")
GUEST(takes_bp, RING0_TABLES "mov %rsp, %r14; int3")
GUEST(takes_int, RING0_TABLES "mov %rsp, %r14; int $0x11")
GUEST(takes_no_int, RING0_TABLES "mov %rsp, %r14; int $0x80")
GUEST(takes_gp, RING0_TABLES "mov %rsp, %r14; movabs $0x8000000000000000, %rax; mov (%rax), %rax")
GUEST(takes_pf_read, RING0_TABLES "mov %rsp, %r14; mov 0x7fff0000, %rax")
GUEST(takes_pf_write, RING0_TABLES "mov %rsp, %r14; mov %rax, 0x18008")
GUEST(takes_pf_null, RING0_TABLES "mov %rsp, %r14; mov %rax, 0x10")
GUEST(takes_pf_fetch, RING0_TABLES "mov %rsp, %r14; mov $0x201000, %eax; jmp *%rax")
GUEST(takes_pf_monitor, RING0_TABLES "mov %rsp, %r14; mov $-0x8000000000, %rax; mov (%rax), %rax")
GUEST(takes_syscall, RING0_TABLES "mov %rsp, %r14; syscall")
GUEST(bad_selector, RING0_TABLES "mov %rsp, %r14; mov $0x48, %eax; mov %eax, %ds")
GUEST(absent_selector, RING0_TABLES "mov %rsp, %r14; mov $0x20, %eax; mov %eax, %es")
GUEST(absent_stack, RING0_TABLES "mov %rsp, %r14; mov $0x20, %eax; mov %eax, %ss")
TEST("exceptions arrive at the guest's own handlers, in the frame that ring 0 would push") {
  struct Expectation {
    std::span<const uint8_t> code;
    uint64_t vector;
    bool has_error_code;
    uint64_t error_code;
    int64_t rip_from_end;  // where the frame's RIP stands, from the end of the code
  };
  // The host's own tables are not the guest's: a present bit is that of the guest's page tables.
  const Expectation expectations[] = {
      {takes_ud(), 6, false, 0, -2},           {takes_de(), 0, false, 0, -2},
      {takes_bp(), 3, false, 0, 0},            {takes_int(), 17, false, 0, 0},
      {takes_no_int(), 13, true, 0x80 * 8 + 2, -2}, {takes_gp(), 13, true, 0, -3},
      {takes_pf_read(), 14, true, 0, -8},      {takes_pf_write(), 14, true, 3, -8},
      {takes_pf_null(), 14, true, 3, -8},      {takes_pf_fetch(), 14, true, 0x11, INT64_MIN},
      {takes_pf_monitor(), 14, true, 0, -3},   {takes_syscall(), 14, true, 0x11, INT64_MIN},
      {bad_selector(), 13, true, 0x48, -2},    {absent_selector(), 11, true, 0x20, -2},
      {absent_stack(), 12, true, 0x20, -2},
  };
  for (const Expectation& expected : expectations) {
    SyncClient client;
    auto vm = r0::make_vm(client, expected.code);
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.r15, expected.vector);
    const uint64_t old_stack = answer.registers.r14;
    CHECK_EQ(answer.registers.rsp, (old_stack & ~15ull) - (expected.has_error_code ? 48 : 40));
    uint64_t at = answer.registers.rsp;
    if (expected.has_error_code) CHECK_EQ(read_u64(*vm, std::exchange(at, at + 8)), expected.error_code);
    if (expected.rip_from_end != INT64_MIN)
      CHECK_EQ(read_u64(*vm, at), kCode + expected.code.size() + static_cast<uint64_t>(expected.rip_from_end));
    CHECK_EQ(read_u64(*vm, at + 8), 8u);
    CHECK_EQ(read_u64(*vm, at + 16) & 0x300, 0u);
    CHECK_EQ(read_u64(*vm, at + 24), old_stack);
    CHECK_EQ(read_u64(*vm, at + 32), 0x10u);
  }
}

GUEST(resumes, RING0_TABLES "sti; mov $1, %ebx; ud2; add $1, %ebx; mov %rsp, %r14; hlt")
GUEST(resume_handler, "push %rax; mov %ds, %eax; mov %eax, %ds; mov %cr2, %rdx; pop %rax; addq $2, (%rsp); add $10, %rbx; "
                      "mov 16(%rsp), %r12; iretq")
TEST("a handler resumes by iretq, with flags and stack as they were") {
  SyncClient client;
  auto vm = r0::make_vm(client, resumes(), resume_handler());
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.rbx, 12u);
  CHECK_EQ(answer.registers.r14, kStackTop - 8);
  CHECK((answer.registers.r12 & 0x200) != 0);
}

GUEST(overflow, RING0_TABLES "1: push %rax; jmp 1b")
GUEST(overflow_in_frame, RING0_TABLES "mov $0x20010, %esp; ud2")
GUEST(lost_stack, RING0_TABLES "mov $0x300000000, %rsp; ud2")
GUEST(no_gate, RING0_TABLES "movq $0, 0x201060; ud2")
GUEST(stack_gate, RING0_TABLES "movb $1, 0x201064; ud2")
GUEST(no_idt, "ud2")
TEST("an overflow is the guard page's fault, and what the guest cannot take ends it") {
  SyncClient client;
  for (const auto& code : {overflow(), overflow_in_frame()}) {
    auto vm = r0::make_vm(client, code);
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Exception);
    CHECK_EQ(answer.number, 14u);
    CHECK(answer.address >= kGuard && answer.address < kStack);
  }
  for (const auto& code : {lost_stack(), no_gate()}) {
    auto vm = r0::make_vm(client, code);
    CHECK(enter(client, *vm).exit == ExitKind::Shutdown);
  }
  auto vm = r0::make_vm(client, stack_gate());
  CHECK(enter(client, *vm).exit == ExitKind::UnsupportedInstruction);
  CHECK(r0::reason(vm->answer()) == "interrupt gate with IST");
  auto without = r0::make_vm(client, no_idt());
  CHECK(enter(client, *without).exit == ExitKind::Exception);
  CHECK_EQ(without->answer().number, 6u);
  CHECK_EQ(without->answer().rip, kCode);
}

GUEST(aligned, RING0_TABLES "pushf; orq $0x40000, (%rsp); popf; mov 0x200401, %rax; hlt")
TEST("a set alignment flag does not make ring 0 fault") {
  SyncClient client;
  auto vm = r0::make_vm(client, aligned());
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
}

// guest-abi 9.6: table pages from the heap, then PDPT[1] -> PD -> PT -> RSI, at 1 GiB.
#define MAP_REGION                                                                                         \
  "mov %cr3, %rax; mov (%rax), %rax; and $-4096, %rax; movq $0x210027, 8(%rax); movq $0x211027, 0x210000; " \
  "lea 0x67(%rsi), %rcx; mov %rcx, 0x211000; lea 0x1067(%rsi), %rcx; mov %rcx, 0x211008; "
GUEST(maps, RING0_TABLES MAP_REGION
      "mov $0x40000000, %ebx; mov (%rbx), %r8; movq $0x55, 8(%rbx); mov %rdi, 0x1000(%rbx); hlt")
TEST("a guest maps its own pages above 1 GiB, and what it writes there is restored") {
  SyncClient client;
  auto vm = r0::make_vm(client, maps());
  const uint64_t target = kData + 0x20000;
  write_u64(*vm, target, 0x1234);
  const auto snapshot = client.snapshot(*vm);
  const auto expected = read_bytes(*vm, 0, kMemoryBytes);
  for (uint64_t i = 0; i < 5; i++) {
    const Answer& answer = enter(client, *vm, entry_with(700 + i, target), true);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.r8, 0x1234u);
    CHECK_EQ(read_u64(*vm, target + 8), 0x55u);
    CHECK_EQ(read_u64(*vm, target + 0x1000), 700 + i);
    if (i == 2) CHECK_EQ(client.compare(*vm), 0u);
  }
  client.restore(*vm, snapshot);
  CHECK(read_bytes(*vm, 0, kMemoryBytes) == expected);
}

GUEST(remaps, RING0_TABLES MAP_REGION
      "mov $0x40000000, %ebx; mov (%rbx), %r8; addq $0x1000, 0x211000; invlpg (%rbx); mov (%rbx), %r9; "
      "movq $0, 0x211000; mov %cr4, %rax; xor $0x80, %rax; mov %rax, %cr4; mov (%rbx), %r10; hlt")
TEST("a flush makes changed and removed mappings take effect") {
  SyncClient client;
  auto vm = r0::make_vm(client, remaps());
  write_u64(*vm, kData + 0x20000, 1);
  write_u64(*vm, kData + 0x21000, 2);
  const Answer& answer = enter(client, *vm, entry_with(0, kData + 0x20000));
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.registers.r8, 1u);
  CHECK_EQ(answer.registers.r9, 2u);
  CHECK_EQ(answer.registers.r15, 14u);  // the third read faults into the guest's handler
}

GUEST(maps_and_writes, RING0_TABLES MAP_REGION "mov $0x40000000, %ebx; mov %rdi, (%rbx); hlt")
TEST("a mapping leads to nothing but the guest's memory, with its rights") {
  SyncClient client;
  for (const uint64_t target : {kReadOnly, kMemoryBytes, uint64_t{0x100000000}, kGuard, kMemoryBytes - kPageBytes}) {
    auto vm = r0::make_vm(client, maps_and_writes());
    const Answer& answer = enter(client, *vm, entry_with(7, target));
    CHECK(answer.exit == ExitKind::Mmio);
    CHECK_EQ(answer.address, target);
    CHECK_EQ(answer.flags, answer_flags::kMmioWrite);
  }
}

GUEST(wild_tables, RING0_TABLES "mov %cr3, %rax; mov %rdi, 8(%rax); movabs $0x8000000000, %rbx; mov (%rbx), %rcx; hlt")
TEST("page tables that lead out of guest memory are not walked") {
  SyncClient client;
  for (const uint64_t entry : {uint64_t{0x7fffffff000 | 3}, kMemoryBytes | 3, ~uint64_t{0}, uint64_t{3}}) {
    auto vm = r0::make_vm(client, wild_tables());
    const Answer& answer = enter(client, *vm, entry_with(entry));
    CHECK(answer.exit == ExitKind::Halt || answer.exit == ExitKind::Mmio);
  }
}

// A page of tables at 0x210000.. that maps many pages onto one: more than there is room for at once.
GUEST(maps_many, RING0_TABLES "mov %cr3, %rax; movq $0x210027, 8(%rax); mov $0x210000, %edx; xor %ecx, %ecx; "
      "1: movq $0x211027, (%rdx,%rcx,8); movq $0x212027, 0x1000(%rdx,%rcx,8); movq $0x214067, 0x2000(%rdx,%rcx,8); "
      "inc %ecx; cmp $512, %ecx; jb 1b; movabs $0x8000000000, %rbx; xor %ecx, %ecx; "
      "2: incq (%rbx); mov $0x40000000, %eax; add %rax, %rbx; inc %ecx; cmp $200, %ecx; jb 2b; hlt")
TEST("mappings beyond the room for real tables still work, one after another") {
  SyncClient client;
  auto vm = r0::make_vm(client, maps_many());
  client.snapshot(*vm);
  for (int i = 0; i < 2; i++) {
    CHECK(enter(client, *vm, entry_at(), true).exit == ExitKind::Halt);
    CHECK_EQ(read_u64(*vm, 0x214000), 200u);
  }
  CHECK_EQ(client.compare(*vm), 0u);
}

// The sequence of guest-abi 9.2: initialisation, and a dispatch that toggles CR4.PGE before it reads its input.
GUEST(initialises, RING0_TABLES "movq $1, 0x200600; hlt")
GUEST(dispatches, "mov %cr4, %rax; mov %rax, %rcx; xor $0x80, %rcx; mov %rcx, %cr4; mov %rax, %cr4; mov 0x203000, %rbx; "
                  "add $1, %rbx; mov %rbx, 0x204000; hlt")
TEST("the warm snapshot holds the virtual CPU, and a call with privileged instructions is one exit") {
  SyncClient client;
  auto vm = r0::make_vm(client, initialises(), dispatches());
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
  // Once to its end, so that the halt is patched before the snapshot.
  CHECK(enter(client, *vm, entry_at(r0::kResumeHandler)).exit == ExitKind::Halt);
  client.snapshot(*vm);
  CHECK_EQ(enter(client, *vm, entry_at(r0::kResumeHandler), true).exits, 4u);
  RequestBuilder prime;
  prime.entry(entry_at(r0::kResumeHandler));
  const auto warm = client.prime(*vm, prime, {{kData + 0x3000, 8}});
  CHECK(warm != nullptr);
  CHECK_EQ(warm->vcpu().virtual_cpu.gdt.base, r0::kGdt);
  auto clone = client.create_vm(warm);
  for (const auto& each : {vm, clone})
    for (uint64_t i = 1; i < 5; i++) {
      RequestBuilder request;
      std::vector<uint8_t> input;
      r0::append(input, i);
      request.restore().starts_call().write(kData + 0x3000, input);
      const Answer& answer = client.run(*each, request);
      each->end_call();
      CHECK(answer.exit == ExitKind::Halt);
      CHECK_EQ(answer.exits, 1u);
      CHECK_EQ(read_u64(*each, kData + 0x4000), i + 1);
    }
  CHECK_EQ(client.compare(*vm), 0u);
}

TEST("a plan for ring 0 keeps its regions off the page tables") {
  using namespace rights;
  const auto plan = [](uint64_t tables) {
    return code_of([&] { Plan::create(kMemoryBytes, {{kCode, kPageBytes, kRead}}, {}, tables); });
  };
  CHECK(plan(kCode) == ErrorCode::None);
  CHECK(plan(kCode + kPageBytes) == ErrorCode::Plan);
  CHECK(plan(0) == ErrorCode::Plan);
  CHECK(plan(100) == ErrorCode::Plan);
  CHECK(plan(2 * kMemoryBytes) == ErrorCode::Plan);
}
