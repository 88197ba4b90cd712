#include <thread>

#include "backend_under_test.hpp"
#include "guest.hpp"
#include "harness.hpp"
#include "shell.hpp"

using namespace mayfly;
using namespace mayfly::test;

namespace {

constexpr uint64_t kInput = kData + 0x3000;
constexpr uint64_t kResult = kData;

RequestBuilder entry_request(uint64_t rdi = 0) {
  RequestBuilder request;
  request.entry(entry_with(rdi));
  return request;
}

std::shared_ptr<const Snapshot> prime(SyncClient& client, Vm& vm, uint64_t deadline_us = 0) {
  RequestBuilder request = entry_request(0x1234);
  request.deadline_us(deadline_us);
  return client.prime(vm, request, {{kInput, 8}});
}

/** A call from the warm snapshot, on its own input. */
const Answer& warm_call(SyncClient& client, Vm& vm, uint64_t input, uint64_t deadline_us = 0) {
  RequestBuilder request;
  // SAFETY: the bytes of a local of 8 bytes.
  request.restore().starts_call().deadline_us(deadline_us).write(
      kInput, {reinterpret_cast<const uint8_t*>(&input), sizeof input});
  const Answer& answer = client.run(vm, request);
  vm.end_call();
  return answer;
}

}  // namespace

// Before the touch: a register, a store, the top of an AVX register's lower half, FS base. After it: all of them change.
GUEST(prologue,
      "mov $0x5a5a, %ebx; mov %rdi, 0x200008; incq 0x200010; mov $0x77, %eax; movq %rax, %xmm3; wrfsbase %rbx; std; "
      "mov 0x203000, %rcx; "
      "movq %xmm3, %rsi; rdfsbase %rdi; pushf; pop %r8; cld; add $1, %rcx; mov %rcx, 0x200000; mov 0x200010, %r9; "
      "incq 0x200010; pcmpeqb %xmm3, %xmm3; wrfsbase %rcx; mov 0x200008, %r10; hlt")

TEST("a warm snapshot stands before the first touch, and each call goes on from there with its own input") {
  SyncClient client;
  auto vm = make_vm(client, prologue());
  enter(client, *vm, entry_with(0));
  client.snapshot(*vm);
  const uint64_t counted = read_u64(*vm, kData + 0x10);
  const auto warm = prime(client, *vm);
  CHECK(warm != nullptr);
  auto clone = client.create_vm(warm);
  for (const auto& each : {vm, clone})
    for (uint64_t i = 1; i < 20; i++) {
      const Answer& answer = warm_call(client, *each, 1000 * i);
      CHECK(answer.exit == ExitKind::Halt);
      CHECK_EQ(answer.exits, 1u);
      CHECK_EQ(answer.registers.rbx, 0x5a5au);
      CHECK_EQ(answer.registers.rcx, 1000 * i + 1);
      CHECK_EQ(answer.registers.rax, 0x77u);
      CHECK_EQ(answer.registers.rsi, 0x77u);    // xmm3 as primed
      CHECK_EQ(answer.registers.rdi, 0x5a5au);  // FS base as primed
      CHECK((answer.registers.r8 & 0x400) != 0);
      CHECK_EQ(answer.registers.r9, counted + 1);
      CHECK_EQ(answer.registers.r10, 0x1234u);
      CHECK_EQ(read_u64(*each, kResult), 1000 * i + 1);
    }
  CHECK_EQ(client.compare(*vm), 0u);
}

GUEST(wide, "mov $-1, %eax; vmovd %eax, %xmm5; vpbroadcastd %xmm5, %ymm5; mov 0x203000, %rcx; "
            "vextracti128 $1, %ymm5, %xmm6; vmovq %xmm6, %rbx; vpxor %ymm5, %ymm5, %ymm5; hlt")
TEST("the upper halves of vector registers belong to the warm snapshot") {
  if (!__builtin_cpu_supports("avx2")) return;
  SyncClient client;
  auto vm = make_vm(client, wide());
  client.snapshot(*vm);
  CHECK(prime(client, *vm) != nullptr);
  for (uint64_t i = 0; i < 3; i++) {
    CHECK(warm_call(client, *vm, i).exit == ExitKind::Halt);
    CHECK_EQ(vm->answer().registers.rbx, ~uint64_t{0});
  }
}

GUEST(out_first, "mov %rdi, 0x200000; out %al, $0x65; mov 0x203000, %rax; hlt")
GUEST(log_first, "mov $0x41, %eax; mov $103, %edx; out %eax, (%dx); mov 0x203000, %rax; hlt")
GUEST(abort_first, "mov $0x4101, %eax; mov $102, %edx; out %eax, (%dx); mov 0x203000, %rax; hlt")
GUEST(halt_first, "mov %rdi, 0x200000; hlt")
GUEST(fault_first, "mov %rdi, 0x200000; mov 0x1f000, %rax; hlt")
GUEST(spin_first, "mov %rdi, 0x200000; jmp .")
GUEST(in_first, "mov $0x70, %edx; in (%dx), %al; mov 0x203000, %rax; hlt")
TEST("priming that ends in anything but a touch takes no snapshot, and the plain base stands") {
  SyncClient client;
  for (const auto& code : {out_first(), log_first(), abort_first(), halt_first(), fault_first(), spin_first(), in_first()}) {
    auto vm = make_vm(client, code);
    client.snapshot(*vm);
    CHECK(prime(client, *vm, 20'000) == nullptr);
    CHECK_EQ(read_u64(*vm, kData), 0u);
    RequestBuilder request;
    request.restore();
    CHECK(code_of([&] { client.run(*vm, request); }) == ErrorCode::Request);
    if (code.data() == spin_first().data()) continue;
    const Answer& answer = enter(client, *vm, entry_with(9), true);
    CHECK(answer.exit != ExitKind::Unknown && answer.exit != ExitKind::Cancelled);
    CHECK_EQ(answer.outbox_dropped, 0u);
  }
}

GUEST(touch_and_spin, "mov 0x203000, %rax; test %rax, %rax; jnz .; hlt")
TEST("a warm call has its deadline and can be killed, and the next one is right") {
  SyncClient client;
  auto vm = make_vm(client, touch_and_spin());
  client.snapshot(*vm);
  CHECK(prime(client, *vm) != nullptr);
  for (int i = 0; i < 20; i++) {
    CHECK(warm_call(client, *vm, 1, 2000).exit == ExitKind::Cancelled);
    CHECK_EQ(vm->answer().flags, answer_flags::kByDeadline);
    CHECK(warm_call(client, *vm, 0).exit == ExitKind::Halt);
    RequestBuilder request;
    const uint64_t input = 1;
    // SAFETY: the bytes of a local of 8 bytes.
    request.restore().starts_call().write(kInput, {reinterpret_cast<const uint8_t*>(&input), 8});
    vm->post_run(request.bytes());
    CHECK(vm->interrupt()->kill());
    client.next();
    vm->end_call();
    CHECK(vm->answer().exit == ExitKind::Cancelled);
    CHECK(warm_call(client, *vm, 0).exit == ExitKind::Halt);
  }
}

GUEST(touch_by_write, "movq $7, 0x203000; mov 0x203000, %rbx; hlt")
GUEST(touch_by_string, "mov $0x202000, %esi; mov $0x202800, %edi; mov $0x1000, %ecx; rep movsb; hlt")
TEST("a store and a string instruction in its middle are touches, too, and are executed again as a whole") {
  SyncClient client;
  for (const auto& code : {touch_by_write(), touch_by_string()}) {
    auto vm = make_vm(client, code);
    client.snapshot(*vm);
    CHECK(prime(client, *vm) != nullptr);
    CHECK(warm_call(client, *vm, 1).exit == ExitKind::Halt);
    CHECK_EQ(vm->answer().registers.rcx, 0u);
  }
}

TEST("a warm snapshot and a plain one can be restored in turn, and each serves its entry") {
  SyncClient client;
  auto vm = make_vm(client, touch_and_spin());
  const auto plain = client.snapshot(*vm);
  const auto warm = prime(client, *vm);
  for (int i = 0; i < 5; i++) {
    client.restore(*vm, plain);
    CHECK(enter(client, *vm).exit == ExitKind::Halt);
    client.restore(*vm, warm);
    CHECK(warm_call(client, *vm, 0).exit == ExitKind::Halt);
  }
}

TEST("priming refuses ranges outside memory, none, too many, and a VM without a base") {
  SyncClient client;
  auto vm = make_vm(client, touch_and_spin());
  RequestBuilder request = entry_request();
  const auto refused = [&](Untouched untouched) {
    return code_of([&] { client.prime(*vm, request, std::move(untouched)); });
  };
  CHECK(refused({{kInput, 8}}) == ErrorCode::Request);
  client.snapshot(*vm);
  CHECK(refused({}) == ErrorCode::Request);
  CHECK(refused(Untouched(17, {kInput, 8})) == ErrorCode::Request);
  CHECK(refused({{kMemoryBytes - 4, 8}}) == ErrorCode::Range);
  CHECK(refused({{~uint64_t{0}, 2}}) == ErrorCode::Range);
  CHECK(refused({{kInput, 0}}) == ErrorCode::Range);
  RequestBuilder restoring = entry_request();
  restoring.restore();
  CHECK(code_of([&] { client.prime(*vm, restoring, {{kInput, 8}}); }) == ErrorCode::Request);
}

TEST("the comparison with the base finds a page that no dirty bit tells of") {
  const auto backend = open_test_backend();
  const auto plan = test_plan();
  GuestMemory memory(plan);
  Shell shell(*backend);
  shell.bind(*plan, memory.data());
  memory.attach(shell.monitor());
  const uint8_t byte = 1;
  memory.write(kData, {&byte, 1});
  memory.set_base(Snapshot::take(plan, memory.data(), memory.nonzero_candidates(), {}));
  CHECK_EQ(memory.count_differences(), 0u);
  memory.data()[kData + 5] = 1;                   // a page of the snapshot
  memory.data()[kData + 200 * kPageBytes] = 1;    // a page that it does not hold
  memory.restore();
  CHECK_EQ(memory.count_differences(), 2u);
}
