#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "harness.hpp"
#include "ring0_guest.hpp"

using namespace mayfly;
using namespace mayfly::test;
namespace r0 = mayfly::test::ring0;

// Guests in ring 0 of their VM, which a paravirtual KVM emulates an instruction at a time: no SSE here.
namespace {

constexpr uint64_t kRealMode = 0x9000;

std::shared_ptr<const Plan> supervisor_plan() {
  using namespace rights;
  return Plan::create(kMemoryBytes,
                      {
                          {0, r0::kTables, kRead | kWrite},
                          {kRealMode, kPageBytes, kRead | kWrite | kExecute},
                          {kCode, 4 * kPageBytes, kRead | kWrite | kExecute},
                          {kReadOnly, kPageBytes, kRead},
                          {kOutput, kPageBytes, kRead | kWrite},
                          {kGuard, kPageBytes, kRead | kStackGuard},
                          {kStack, kPageBytes, kRead | kWrite},
                          {kData, kDataPages * kPageBytes, kRead | kWrite},
                      },
                      {kOutput, kPageBytes}, std::nullopt, true);
}

/** The guest of `ring0_guest.hpp`, in ring 0. */
std::shared_ptr<Vm> make_supervisor(SyncClient& client, std::span<const uint8_t> code) {
  std::vector<uint8_t> handlers;
  std::vector<uint8_t> idt;
  for (uint8_t vector = 0; vector < 32; vector++) {
    handlers.insert(handlers.end(), {0x41, 0xbf, vector, 0, 0, 0, 0xf4});
    handlers.resize(handlers.size() + 9);
    const auto entry = r0::gate(r0::kHandlers + vector * 16);
    idt.insert(idt.end(), entry.begin(), entry.end());
  }
  std::vector<uint8_t> gdt;
  for (const uint64_t entry : {0ull, 0x00a09a0000000000ull, 0x00c0920000000000ull}) r0::append(gdt, entry);
  const auto tables = r0::page_tables();
  const auto gdt_operand = r0::table_operand(static_cast<uint16_t>(gdt.size() - 1), r0::kGdt);
  const auto idt_operand = r0::table_operand(32 * 16 - 1, r0::kIdt);
  const std::vector<uint8_t> real_mode = {0xb0, 0x42, 0xe6, 0x65, 0xf4};  // mov $0x42, %al; out %al, $0x65; hlt
  const Engine::Load load[] = {{0, tables},
                               {kRealMode, real_mode},
                               {kCode, code},
                               {r0::kHandlers, handlers},
                               {r0::kGdtOperand, gdt_operand},
                               {r0::kIdtOperand, idt_operand},
                               {r0::kGdt, gdt},
                               {r0::kIdt, idt}};
  return client.create_vm(supervisor_plan(), load);
}

SpecialRegisters special_of(SyncClient& client, Vm& vm) {
  const auto bytes = client.get_state(vm, StateKind::Special);
  SpecialRegisters value{};
  CHECK_EQ(bytes.size(), sizeof value);
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

void set_special(SyncClient& client, Vm& vm, const SpecialRegisters& value) {
  // SAFETY: the bytes of a local of this size.
  client.set_state(vm, StateKind::Special, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

/** Descriptors of vCPUs that this process holds. */
std::set<int> open_vcpus() {
  std::set<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the listing's own descriptor
    const auto target = std::filesystem::read_symlink(entry.path(), gone);
    if (!gone && target.string().starts_with("anon_inode:kvm-vcpu")) found.insert(std::stoi(entry.path().filename()));
  }
  return found;
}

uint64_t xcr0_of(int vcpu) {
  kvm_xcrs xcrs{};
  if (::ioctl(vcpu, KVM_GET_XCRS, &xcrs) < 0) throw Skip(std::string("KVM_GET_XCRS: ") + std::strerror(errno));
  return xcrs.nr_xcrs > 0 ? xcrs.xcrs[0].value : 0;
}

/** As the guest's own `xsetbv` would. */
void set_xcr0(int vcpu, uint64_t value) {
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = value;
  if (::ioctl(vcpu, KVM_SET_XCRS, &xcrs) < 0) throw Skip(std::string("KVM_SET_XCRS: ") + std::strerror(errno));
}

}  // namespace

GUEST(supervisor_boots, RING0_TABLES "sgdt 0x200400; sidt 0x200410; str %ebx; mov %cr4, %rsi; mov %rsi, %rdx; "
                                     "xor $0x80, %rdx; mov %rdx, %cr4; mov %rsi, %cr4; out %eax, $0x65; cli; mov %cr0, %rdx; hlt")
TEST("a guest does the same in ring 0 as at CPL 3: exits, registers and memory") {
  SyncClient client;
  auto supervisor = make_supervisor(client, supervisor_boots());
  auto user = r0::make_vm(client, supervisor_boots());
  for (Vm* vm : {supervisor.get(), user.get()}) {
    const Answer& out = enter(client, *vm);
    CHECK(out.exit == ExitKind::IoOut);
    CHECK_EQ(out.number, 0x65u);
    CHECK_EQ(out.size_bytes, 4u);
    const Answer& halt = go_on(client, *vm);
    CHECK(halt.exit == ExitKind::Halt);
  }
  const GeneralRegisters a = supervisor->answer().registers;
  const GeneralRegisters b = user->answer().registers;
  CHECK_EQ(a.rax, b.rax);
  CHECK_EQ(a.rbx, b.rbx);
  CHECK_EQ(a.rdx, b.rdx);
  CHECK_EQ(a.rsi, b.rsi);
  CHECK_EQ(a.rsp, b.rsp);
  // Behind the GDT's limit, which the two guests have different, the same; A and D bits of the tables are the CPU's.
  CHECK(read_bytes(*supervisor, r0::kScratch + 2, 0x800) == read_bytes(*user, r0::kScratch + 2, 0x800));
  CHECK(read_bytes(*supervisor, r0::kGdt, 24) == read_bytes(*user, r0::kGdt, 24));
  CHECK(read_bytes(*supervisor, kStack, kPageBytes) == read_bytes(*user, kStack, kPageBytes));
  const SpecialRegisters special = special_of(client, *supervisor);
  CHECK_EQ(special.cs.selector, 8u);
  CHECK_EQ(special.cs.privilege_level, 0u);
  CHECK_EQ(special.cr3, 0u);
  CHECK_EQ(special.idt.base, r0::kIdt);
}

GUEST(supervisor_faults, RING0_TABLES "test %rdi, %rdi; jnz 1f; ud2; 1: mov $0xc0000082, %ecx; cmp $2, %rdi; je 2f; rdmsr; "
                                      "2: xor %eax, %eax; xor %edx, %edx; wrmsr")
TEST("a supervisor's exceptions go to its own table, and every MSR is denied") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_faults());
  for (const auto& [what, vector] : {std::pair{0, 6}, std::pair{1, 13}, std::pair{2, 13}}) {
    const Answer& answer = enter(client, *vm, entry_with(static_cast<uint64_t>(what)));
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.r15, static_cast<uint64_t>(vector));
  }
}

GUEST(supervisor_store, "mov %rsi, (%rdi); hlt")
TEST("what a supervisor's regions do not allow ends it as mmio, and the VM runs again") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_store());
  for (const uint64_t address : {kReadOnly, kGuard + 8, uint64_t{0xa000}}) {
    const Answer& answer = enter(client, *vm, entry_with(address, 5));
    CHECK(answer.exit == ExitKind::Mmio);
    CHECK_EQ(answer.address, address);
    CHECK_EQ(answer.flags, answer_flags::kMmioWrite);
  }
  CHECK(enter(client, *vm, entry_with(kData, 5)).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*vm, kData), 5u);
}

// Changes page tables, descriptor tables, debug registers, KERNEL_GS_BASE and memory.
GUEST(supervisor_dirties, RING0_TABLES "mov $0x1234, %eax; mov %rax, %dr0; movq $0, 0x4000; movq $99, 0x203000; "
                                       "swapgs; mov %rax, %cr2; hlt")
GUEST(supervisor_inspects, "mov %dr0, %rax; mov 0x203000, %rbx; mov %cr2, %rcx; sidt 0x200500; movzwl 0x200500, %edx; hlt")
TEST("a restore brings back all of a supervisor: memory, page tables, special and debug registers") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_dirties());
  vm->write(kCode + 0x3000, supervisor_inspects());
  const auto snapshot = client.snapshot(*vm);
  const auto expected = read_bytes(*vm, 0, kMemoryBytes);
  for (int round = 0; round < 3; round++) {
    CHECK(enter(client, *vm, entry_at(), true).exit == ExitKind::Halt);
    CHECK_EQ(read_u64(*vm, kData + 0x3000), 99u);
    const Answer& answer = enter(client, *vm, entry_at(kCode + 0x3000), true);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.rax, 0u);
    CHECK_EQ(answer.registers.rbx, 0u);
    CHECK_EQ(answer.registers.rcx, 0u);
    CHECK_EQ(answer.registers.rdx, 0u);
    CHECK_EQ(client.compare(*vm), 0u);
    CHECK(read_bytes(*vm, 0, kMemoryBytes) == expected);
  }
  auto clone = client.create_vm(snapshot);
  CHECK(enter(client, *clone, entry_at(kCode + 0x3000)).exit == ExitKind::Halt);
  RequestBuilder priming;
  priming.entry(entry_at());
  CHECK(client.prime(*clone, priming, {{kData, 8}}) == nullptr);
}

// Leaves its own base in KERNEL_GS_BASE: RBX what was there, RCX what is.
GUEST(supervisor_swaps,
      "mov $0x51510000, %eax; wrgsbase %rax; swapgs; rdgsbase %rbx; swapgs; rdgsbase %rcx; swapgs; hlt")
GUEST(supervisor_shows_swapped, "swapgs; rdgsbase %rbx; swapgs; hlt")
TEST("a restore brings KERNEL_GS_BASE of a supervisor back") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_swaps());
  vm->write(kCode + 0x3000, supervisor_shows_swapped());
  client.snapshot(*vm);
  for (int round = 0; round < 2; round++) {
    CHECK(enter(client, *vm, entry_at(), true).exit == ExitKind::Halt);
    CHECK_EQ(vm->answer().registers.rbx, 0u);
    CHECK_EQ(vm->answer().registers.rcx, 0x51510000u);
    CHECK(enter(client, *vm, entry_at(kCode + 0x3000), true).exit == ExitKind::Halt);
    CHECK_EQ(vm->answer().registers.rbx, 0u);
  }
}

// A KVM that emulates ring 0 runs no xsetbv: the host stands in for it, at the vCPU's own descriptor.
TEST("a restore brings XCR0 of a supervisor back") {
  constexpr uint64_t kX87Only = 1;
  SyncClient client({.spare_shells = 0});
  const auto others = open_vcpus();
  auto vm = make_supervisor(client, supervisor_store());
  auto own = open_vcpus();
  for (const int other : others) own.erase(other);
  CHECK_EQ(own.size(), 1u);
  const int vcpu = *own.begin();
  client.snapshot(*vm);
  const uint64_t clean = xcr0_of(vcpu);
  if ((clean | kX87Only) == kX87Only) throw Skip("this KVM gives guests no extended state beside x87");
  for (int round = 0; round < 2; round++) {
    CHECK(enter(client, *vm, entry_with(kData, 5), true).exit == ExitKind::Halt);
    set_xcr0(vcpu, kX87Only);
    CHECK_EQ(xcr0_of(vcpu), kX87Only);
    CHECK(enter(client, *vm, entry_with(kData, 5), true).exit == ExitKind::Halt);
    CHECK_EQ(xcr0_of(vcpu), clean);
  }
}

TEST("a supervisor starts without paging when its special registers say so") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_store());
  SpecialRegisters special{};
  special.cs.limit = special.ds.limit = special.tr.limit = 0xffff;
  special.cs.type = special.tr.type = 11;
  special.ds.type = 3;
  special.cs.present = special.ds.present = special.tr.present = 1;
  special.cs.code_or_data = special.ds.code_or_data = 1;
  set_special(client, *vm, special);
  CHECK_EQ(special_of(client, *vm).cr0 & 1, 0u);
  const Answer& answer = enter(client, *vm, entry_at(kRealMode));
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.value, 0x42u);
  CHECK(go_on(client, *vm).exit == ExitKind::Halt);
}

TEST("a supervisor's VM is never kept for the next one") {
  SyncClient client({.recycled_vms = 2});
  auto vm = make_supervisor(client, supervisor_store());
  const auto snapshot = client.snapshot(*vm);
  client.close(*vm);
  auto next = client.create_vm(snapshot);
  CHECK(enter(client, *next, entry_with(kData, 5)).exit == ExitKind::Halt);
  CHECK_EQ(read_u64(*next, kData), 5u);
  client.close(*next);
  CHECK_EQ(client.engine().recycled().kept, 0u);
}

GUEST(supervisor_spins, "jmp .")
TEST("a supervisor is killed by its deadline, and special registers that no CPU takes are refused") {
  SyncClient client;
  auto vm = make_supervisor(client, supervisor_spins());
  RequestBuilder request;
  request.entry(entry_at()).starts_call().deadline_us(2000);
  CHECK(client.run(*vm, request).exit == ExitKind::Cancelled);
  vm->end_call();
  SpecialRegisters special = special_of(client, *vm);
  special.efer &= ~uint64_t{0x400};  // paging and LME without LMA
  CHECK(code_of([&] { set_special(client, *vm, special); }) == ErrorCode::Request);
  CHECK_EQ(special_of(client, *vm).efer & 0xd01, 0xd01u);
  CHECK(code_of([] {
          Plan::create(kMemoryBytes, {}, {}, r0::kTables, true);
        }) == ErrorCode::Plan);
}
