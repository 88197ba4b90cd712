#include <cstring>
#include <semaphore>

#include "guest.hpp"
#include "harness.hpp"
#include "kvm_backend.hpp"
#include "reaper.hpp"
#include "recycled_vms.hpp"

using namespace mayfly;
using namespace mayfly::test;

// Counts in memory, leaves a mark in every kind of register that it can, halts.
GUEST(count_and_mark,
      "mov $0x200000, %eax; incq (%rax); mov (%rax), %rbx; mov $0x5a5a5a5a, %ecx; movd %ecx, %xmm7; wrfsbase %rax; std; hlt")
// Reports what it finds in RBX, XMM7, FS base and flags, halts.
GUEST(report,
      "test %rdi, %rdi; jz 1f; mov $0x200000, %eax; mov %rbx, 8(%rax); movd %xmm7, 16(%rax); rdfsbase %rcx;"
      "mov %rcx, 24(%rax); pushfq; pop %rcx; mov %rcx, 32(%rax); hlt;"
      "1: mov $0x200000, %eax; incq (%rax); mov $0x5a, %ebx; movd %ebx, %xmm7; wrfsbase %rax; std; hlt")
GUEST(spin_here, "1: jmp 1b")
GUEST(read_port, "in $0x60, %al; hlt")

// RDI chooses what is left half done; 0: counts in memory, halts.
GUEST(half_done,
      "mov $0x200000, %ebx; mov %rbx, %rsi; mov $200, %edx; mov $4, %ecx;"
      "cmp $1, %edi; je 1f; cmp $2, %edi; je 2f; cmp $3, %edi; je 3f; cmp $4, %edi; je 4f; cmp $5, %edi; je 5f;"
      "cmp $6, %edi; je 6f; cmp $7, %edi; je 7f; cmp $8, %edi; je 8f; cmp $9, %edi; je 9f;"
      "incq (%rbx); xor %esi, %esi; mov $0x1234, %ecx; hlt;"
      "1: outsb; hlt; 2: rep outsb; hlt; 3: rep outsl; hlt;"
      "4: mov %rbx, %rdi; insb; hlt; 5: mov %rbx, %rdi; rep insb; hlt;"
      ".byte 0xee; 6: rep outsb; hlt; 7: outsb; out %al, %dx; hlt;"
      ".byte 0xe6; 8: mov $0x6e, %edx; jmp 1f; .byte 0xe6; 1: outsb; hlt;"
      "jmp 1f; .byte 0xef; 9: mov $200, %edx; jmp 1f; .byte 0xef; 1: .byte 0x2e, 0x3e, 0x66, 0x67, 0xf3, 0x4f, 0x6f; hlt")
// RDI 0: halts; else: leaves a string OUT half done whose RIP is that of a patched hlt.
GUEST(behind_halt,
      "mov $0x200000, %esi; mov $200, %edx; mov $4, %ecx; test %edi, %edi; jnz 1f; hlt; 1: rep outsb; hlt")

namespace {

const EngineOptions kKeepTwo{.recycled_vms = 2};

struct Image {
  std::shared_ptr<Vm> vm;
  std::shared_ptr<const Snapshot> snapshot;
};

Image image_of(SyncClient& client, std::span<const uint8_t> code) {
  auto vm = make_vm(client, code);
  auto snapshot = client.snapshot(*vm);
  return {std::move(vm), std::move(snapshot)};
}

/** A guest's memory and shell that never ran, at their snapshot. */
VmBody body_of(Backend& backend, uint64_t data_pages = 1) {
  auto plan = Plan::create(kData + data_pages * kPageBytes,
                           {{kData, data_pages * kPageBytes, rights::kRead | rights::kWrite}}, {});
  VmBody body{std::make_unique<GuestMemory>(plan), std::make_unique<Shell>(backend), 0};
  body.shell->bind(*plan, body.memory->data());
  body.memory->attach(body.shell->monitor());
  body.memory->set_base(Snapshot::take(plan, body.memory->data(), body.memory->nonzero_candidates(), {}));
  return body;
}

}  // namespace

TEST("a VM that was closed serves the next sandbox of its image, which finds nothing of the last call") {
  SyncClient client(kKeepTwo);
  auto [first, snapshot] = image_of(client, report());
  for (int round = 0; round < 3; round++) {
    auto vm = client.create_vm(snapshot);
    CHECK(enter(client, *vm, entry_with(0)).exit == ExitKind::Halt);
    CHECK_EQ(read_u64(*vm, kData), 1u);
    client.close(*vm);
    auto next = client.create_vm(snapshot);
    CHECK_EQ(read_u64(*next, kData), 0u);
    CHECK(enter(client, *next, entry_with(1)).exit == ExitKind::Halt);
    for (uint64_t at = 8; at < 32; at += 8) CHECK_EQ(read_u64(*next, kData + at), 0u);
    CHECK_EQ(read_u64(*next, kData + 32) & 0x400, 0u);
    client.close(*next);
  }
  CHECK_EQ(client.engine().recycled().reused, 5u);
  CHECK_EQ(client.engine().recycled().unclean, 0u);
}

TEST("a recycled VM starts as the snapshot that was asked for, not as the one that it had") {
  SyncClient client(kKeepTwo);
  auto [vm, before] = image_of(client, count_and_mark());
  enter(client, *vm);
  const auto after = client.snapshot(*vm);
  client.close(*vm);
  for (const auto& [snapshot, count] : {std::pair(before, 0), std::pair(after, 1), std::pair(before, 0)}) {
    auto next = client.create_vm(snapshot);
    CHECK_EQ(read_u64(*next, kData), static_cast<uint64_t>(count));
    enter(client, *next);
    CHECK_EQ(read_u64(*next, kData), static_cast<uint64_t>(count) + 1);
    CHECK_EQ(client.compare(*next), 0u);
    client.close(*next);
  }
  CHECK_EQ(client.engine().recycled().reused, 3u);
}

TEST("a guest that was killed is recycled, with nothing of it pending") {
  SyncClient client(kKeepTwo);
  auto [vm, snapshot] = image_of(client, spin_here());
  RequestBuilder request;
  request.entry(entry_at()).starts_call();
  for (int round = 0; round < 20; round++) {
    vm->post_run(request.bytes());
    vm->interrupt()->kill();
    CHECK(client.next().vm->answer().exit == ExitKind::Cancelled);
    client.close(*vm);
    vm = client.create_vm(snapshot);
  }
  CHECK_EQ(client.engine().recycled().reused, 20u);
}

TEST("a guest that was closed in the middle of a string OUT or IN leaves its VM clean, or leaves none") {
  SyncClient client(kKeepTwo);
  auto [first, snapshot] = image_of(client, half_done());
  client.close(*first);
  for (const uint64_t way : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
    auto vm = client.create_vm(snapshot);
    const auto reused = client.engine().recycled().reused;
    const bool reads = way == 4 || way == 5;
    CHECK(enter(client, *vm, entry_with(way)).exit == (reads ? ExitKind::IoIn : ExitKind::IoOut));
    client.close(*vm);
    auto next = client.create_vm(snapshot);
    CHECK_EQ(client.engine().recycled().reused, reused);
    CHECK(enter(client, *next, entry_with(0)).exit == ExitKind::Halt);
    CHECK_EQ(next->answer().registers.rcx, 0x1234u);
    CHECK_EQ(next->answer().registers.rsi, 0u);
    CHECK_EQ(next->answer().registers.rdi, 0u);
    CHECK_EQ(read_u64(*next, kData), 1u);
    client.close(*next);
  }
  CHECK_EQ(client.engine().recycled().unclean, 0u);
}

TEST("a string OUT behind the patched site of a hlt is no halt that leaves something half done") {
  SyncClient client(kKeepTwo);
  auto vm = make_vm(client, behind_halt());
  CHECK(enter(client, *vm, entry_with(0)).exit == ExitKind::Halt);
  const auto snapshot = client.snapshot(*vm);
  for (int round = 0; round < 3; round++) {
    enter(client, *vm, entry_with(1), true);
    const Answer& answer = enter(client, *vm, entry_with(0), true);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.registers.rcx, 4u);
    CHECK_EQ(answer.registers.rsi, kData);
    CHECK_EQ(client.compare(*vm), 0u);
  }
}

TEST("a VM that was closed and is still held has nothing to keep when its engine ends") {
  SyncClient client(kKeepTwo);
  auto [vm, snapshot] = image_of(client, count_and_mark());
  client.close(*vm);
  CHECK(!vm->release().recyclable_on.has_value());
}

TEST("an image of the same bytes and plan never gets the VM of another") {
  SyncClient client(kKeepTwo);
  auto one = image_of(client, count_and_mark());
  auto other = image_of(client, count_and_mark());
  client.close(*one.vm);
  client.close(*client.create_vm(other.snapshot));
  CHECK_EQ(client.engine().recycled().reused, 0u);
  client.close(*client.create_vm(one.snapshot));
  CHECK_EQ(client.engine().recycled().reused, 1u);
}

TEST("a VM without a snapshot, in the middle of an access, or whose registers were set is not kept") {
  SyncClient client(kKeepTwo);
  client.close(*make_vm(client, count_and_mark()));
  auto reading = image_of(client, read_port());
  CHECK(enter(client, *reading.vm).exit == ExitKind::IoIn);
  client.close(*reading.vm);
  auto set = image_of(client, count_and_mark());
  set.vm->post_get_state(StateKind::Special);
  const std::vector<uint8_t> state = client.next().state;
  set.vm->post_set_state(StateKind::Special, state);
  CHECK(client.next().status == ErrorCode::None);
  client.close(*set.vm);
  CHECK_EQ(client.engine().recycled().kept, 0u);
}

TEST("a VM whose memory differs after its restore is not kept") {
  const auto backend = open_kvm_backend();
  RecycledVms recycled(2);
  VmBody body = body_of(*backend);
  body.memory->data()[kData + 17] = 1;  // a store that no dirty bit tells of
  const Plan& plan = body.memory->plan();
  const RecycledVms::Put put = recycled.put(std::move(body));
  CHECK(put.freed.shell != nullptr);
  CHECK_EQ(put.differing_pages, 1u);
  CHECK(recycled.take(plan, 0).shell == nullptr);
  CHECK_EQ(recycled.counts().unclean, 1u);
}

TEST("a close tells how many pages its VM's restore left different") {
  SyncClient client;
  const auto vm = make_vm(client, count_and_mark());
  const auto backend = open_kvm_backend();
  RecycledVms recycled(2);
  std::binary_semaphore ended(0);
  CompletionList completions([&ended] { ended.release(); });
  Reaper reaper(completions, recycled);
  for (const uint64_t pages : {0, 2}) {
    VmBody body = body_of(*backend, 3);
    // Stores that no dirty bit tells of.
    for (uint64_t page = 0; page < pages; page++) body.memory->data()[kData + page * kPageBytes] = 1;
    reaper.free(std::move(body), {vm, OpKind::Close, ErrorCode::None, 0, {}, nullptr, 0});
    ended.acquire();
    Completion completion;
    CHECK(completions.take(completion));
    CHECK_EQ(completion.count, pages);
  }
}

TEST("a VM stays with its slot") {
  const auto backend = open_kvm_backend();
  RecycledVms recycled(2);
  VmBody body = body_of(*backend);
  const auto plan = body.memory->shared_plan();
  CHECK(recycled.put(std::move(body)).freed.shell == nullptr);
  CHECK(recycled.take(*plan, 1).shell == nullptr);
  CHECK(recycled.take(*plan, 0).shell != nullptr);
  CHECK(recycled.take(*plan, 0).shell == nullptr);
}

TEST("VMs are kept within a count and a size; the one kept longest makes room") {
  const auto backend = open_kvm_backend();
  RecycledVms recycled(2);
  std::vector<std::shared_ptr<const Plan>> plans;
  for (int i = 0; i < 3; i++) {
    VmBody body = body_of(*backend);
    plans.push_back(body.memory->shared_plan());
    const VmBody freed = recycled.put(std::move(body)).freed;
    CHECK((freed.shell != nullptr) == (i == 2));
    if (i == 2) CHECK(&freed.memory->plan() == plans[0].get());
  }
  VmBody large = body_of(*backend, RecycledVms::kMaxBytes / kPageBytes);
  CHECK(recycled.put(std::move(large)).freed.shell != nullptr);
  CHECK(recycled.take(*plans[1], 0).shell != nullptr);
  CHECK(recycled.take(*plans[2], 0).shell != nullptr);
}
