#include <algorithm>
#include <random>

#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

// Writes RSI to the first and last word of each page of a zero-terminated list at RDI.
GUEST(write_list,
      "1: mov (%rdi), %rax; test %rax, %rax; jz 2f; mov %rsi, (%rax); mov %rsi, 4088(%rax); add $8, %rdi; jmp 1b; "
      "2: push %rsi; hlt")

namespace {

constexpr uint64_t kList = kOutput;  // any page that the guest can read
constexpr uint64_t kUsedPages = kDataPages - 16;  // so few that no dirty bit is ever cleared for their number

std::vector<uint64_t> random_pages(std::mt19937& random, std::size_t most) {
  std::vector<uint64_t> pages(1 + random() % most);
  for (uint64_t& page : pages) page = kData + (random() % kUsedPages) * kPageBytes;
  return pages;
}

void put_list(Vm& vm, const std::vector<uint64_t>& pages) {
  uint64_t address = kList;
  for (const uint64_t page : pages) write_u64(vm, std::exchange(address, address + 8), page);
  write_u64(vm, address, 0);
}

}  // namespace

TEST("a restore brings back every page of random dirty sets, written by guest and host, and no more") {
  SyncClient client;
  std::mt19937 random(1);
  auto vm = make_vm(client, write_list());
  for (uint64_t page = 0; page < kDataPages; page += 3) write_u64(*vm, kData + page * kPageBytes, page + 1);
  put_list(*vm, {kData});
  enter(client, *vm, entry_with(kList, 7));
  const auto snapshot = client.snapshot(*vm);
  const auto expected = read_bytes(*vm, 0, kMemoryBytes);
  std::vector<bool> touched(kMemoryBytes / kPageBytes);
  for (int round = 0; round < 300; round++) {
    const auto pages = random_pages(random, 40);
    put_list(*vm, pages);
    touched[kList / kPageBytes] = true;
    touched[(kStackTop - 16) / kPageBytes] = true;
    for (const uint64_t page : pages) touched[page / kPageBytes] = true;
    CHECK(enter(client, *vm, entry_with(kList, round)).exit == ExitKind::Halt);
    for (const uint64_t page : pages) CHECK_EQ(read_u64(*vm, page + 4088), static_cast<uint64_t>(round));
    const uint64_t host_page = kData + (random() % kUsedPages) * kPageBytes;
    write_u64(*vm, host_page + 256, round);
    touched[host_page / kPageBytes] = true;
    RequestBuilder request;
    write_u64(*vm, kList, 0);
    request.restore().entry(entry_at(kCode)).starts_call();
    // The list is empty after the restore: this call writes the stack and nothing else.
    request.write(kList, std::vector<uint8_t>(8));
    const Answer& answer = client.run(*vm, request);
    vm->end_call();
    CHECK_EQ(answer.dirty_pages, static_cast<uint32_t>(std::count(touched.begin(), touched.end(), true)));
    client.restore(*vm, snapshot);
    CHECK(read_bytes(*vm, 0, kMemoryBytes) == expected);
  }
}

TEST("VMs of one snapshot do not see each other's writes, and each restores to it") {
  SyncClient client;
  std::mt19937 random(2);
  auto first = make_vm(client, write_list());
  put_list(*first, {kData + kPageBytes});
  enter(client, *first, entry_with(kList, 11));
  const auto snapshot = client.snapshot(*first);
  const auto expected = read_bytes(*first, 0, kMemoryBytes);
  std::vector<std::shared_ptr<Vm>> vms = {first};
  for (int i = 0; i < 4; i++) vms.push_back(client.create_vm(snapshot));
  for (int round = 0; round < 40; round++) {
    for (std::size_t i = 0; i < vms.size(); i++) {
      put_list(*vms[i], random_pages(random, 20));
      CHECK(enter(client, *vms[i], entry_with(kList, 1000 + i)).exit == ExitKind::Halt);
    }
    for (const auto& vm : vms) {
      client.restore(*vm, snapshot);
      CHECK(read_bytes(*vm, 0, kMemoryBytes) == expected);
    }
  }
}

TEST("a second snapshot becomes the base, and a restore to the first one copies everything back") {
  SyncClient client;
  std::mt19937 random(3);
  auto vm = make_vm(client, write_list());
  const auto empty = client.snapshot(*vm);
  const auto empty_bytes = read_bytes(*vm, 0, kMemoryBytes);
  put_list(*vm, random_pages(random, 60));
  enter(client, *vm, entry_with(kList, 5));
  const auto full = client.snapshot(*vm);
  const auto full_bytes = read_bytes(*vm, 0, kMemoryBytes);
  CHECK(empty_bytes != full_bytes);
  for (int round = 0; round < 20; round++) {
    put_list(*vm, random_pages(random, 30));
    enter(client, *vm, entry_with(kList, 900 + round));
    client.restore(*vm, round % 2 == 0 ? empty : full);
    CHECK(read_bytes(*vm, 0, kMemoryBytes) == (round % 2 == 0 ? empty_bytes : full_bytes));
    put_list(*vm, random_pages(random, 30));
    enter(client, *vm, entry_with(kList, 950 + round));
    client.restore(*vm, round % 2 == 0 ? empty : full);
    CHECK(read_bytes(*vm, 0, kMemoryBytes) == (round % 2 == 0 ? empty_bytes : full_bytes));
  }
}

TEST("a snapshot of a VM made from a snapshot holds both what it shared and what it wrote") {
  SyncClient client;
  auto vm = make_vm(client, write_list());
  put_list(*vm, {kData + 5 * kPageBytes});
  enter(client, *vm, entry_with(kList, 21));
  auto second = client.create_vm(client.snapshot(*vm));
  put_list(*second, {kData + 6 * kPageBytes});
  enter(client, *second, entry_with(kList, 22));
  auto third = client.create_vm(client.snapshot(*second));
  CHECK_EQ(read_u64(*third, kData + 5 * kPageBytes), 21u);
  CHECK_EQ(read_u64(*third, kData + 6 * kPageBytes), 22u);
  CHECK(read_bytes(*third, 0, kMemoryBytes) == read_bytes(*second, 0, kMemoryBytes));
}

TEST("dirty bits are exact again after a snapshot: reads mark nothing, writes mark their pages") {
  SyncClient client;
  auto vm = make_vm(client, write_list());
  std::vector<uint64_t> all;
  for (uint64_t page = 0; page < 64; page++) all.push_back(kData + page * kPageBytes);
  put_list(*vm, all);
  enter(client, *vm, entry_with(kList, 3));
  client.snapshot(*vm);
  // One data page, the stack page; the list lies in memory already.
  RequestBuilder probe;
  const uint64_t list[2] = {kData + 9 * kPageBytes, 0};
  // SAFETY: the bytes of a local array of 16 bytes.
  probe.entry(entry_with(kList, 4)).write(kList, {reinterpret_cast<const uint8_t*>(list), sizeof list});
  CHECK(client.run(*vm, probe).exit == ExitKind::Halt);
  CHECK_EQ(enter(client, *vm, entry_at(), true).dirty_pages, 3u);
}

TEST("one call that wrote much does not make all later restores dear, and they stay exact") {
  SyncClient client;
  auto vm = make_vm(client, write_list());
  put_list(*vm, {kData});
  enter(client, *vm, entry_with(kList, 1));
  const auto snapshot = client.snapshot(*vm);
  const auto expected = read_bytes(*vm, 0, kMemoryBytes);
  std::vector<uint64_t> all;
  for (uint64_t page = 0; page < kDataPages; page++) all.push_back(kData + page * kPageBytes);
  put_list(*vm, all);
  enter(client, *vm, entry_with(kList, 2));
  CHECK(enter(client, *vm, entry_with(kList, 3), true).dirty_pages > 256);
  uint32_t last = 0;
  for (uint64_t i = 0; i < 150; i++) {
    const Answer& answer = enter(client, *vm, entry_with(kList, i), true);
    CHECK(answer.exit == ExitKind::Halt);
    last = answer.dirty_pages;
    CHECK_EQ(read_u64(*vm, kData), i);
    CHECK_EQ(read_u64(*vm, kData + 200 * kPageBytes), 0u);
  }
  CHECK(last <= 3);
  client.restore(*vm, snapshot);
  CHECK(read_bytes(*vm, 0, kMemoryBytes) == expected);
}

TEST("a restore is refused without a snapshot, and with one of another plan") {
  SyncClient client;
  auto vm = make_vm(client, write_list());
  CHECK(code_of([&] { enter(client, *vm, entry_at(), true); }) == ErrorCode::Request);
  const auto other_plan = Plan::create(kMemoryBytes, {{kCode, kPageBytes, rights::kRead}}, {});
  auto other = client.create_vm(other_plan, {});
  const auto snapshot = client.snapshot(*other);
  CHECK(code_of([&] { client.restore(*vm, snapshot); }) == ErrorCode::SnapshotMismatch);
}

GUEST(stand_and_count, "mov $3, %ebx; out %al, $0x65; add $1, %rbx; mov %rbx, 0x200000; hlt")
TEST("a snapshot at an OUT goes on from there, again and again, in every VM") {
  SyncClient client;
  auto vm = make_vm(client, stand_and_count());
  CHECK(enter(client, *vm).exit == ExitKind::IoOut);
  const auto snapshot = client.snapshot(*vm);
  auto clone = client.create_vm(snapshot);
  for (const auto& each : {vm, clone})
    for (int i = 0; i < 3; i++) {
      RequestBuilder request;
      request.restore().starts_call();
      const Answer& answer = client.run(*each, request);
      each->end_call();
      CHECK(answer.exit == ExitKind::Halt);
      CHECK_EQ(answer.registers.rbx, 4u);
      CHECK_EQ(read_u64(*each, kData), 4u);
    }
}

GUEST(touch_far, "mov %rsi, (%rdi); hlt")
TEST("a guest of 1 GiB restores what it wrote at its far end") {
  SyncClient client;
  using namespace rights;
  const uint64_t gib = 1ull << 30;
  const auto plan = Plan::create(
      gib, {{kCode, kPageBytes, kRead | kExecute}, {1 << 21, gib - (1 << 21), kRead | kWrite}}, {});
  const Engine::Load load[] = {{kCode, touch_far()}};
  auto vm = client.create_vm(plan, load);
  GeneralRegisters registers = entry_with(gib - 8, 1);
  registers.rsp = gib - 4096;
  CHECK(enter(client, *vm, registers).exit == ExitKind::Halt);
  client.snapshot(*vm);
  for (uint64_t i = 2; i < 5; i++) {
    registers.rdi = gib - i * 0x200000;
    registers.rsi = i;
    CHECK(enter(client, *vm, registers, true).exit == ExitKind::Halt);
    CHECK_EQ(read_u64(*vm, registers.rdi), i);
    CHECK_EQ(read_u64(*vm, gib - 8), 1u);
    if (i > 2) CHECK_EQ(read_u64(*vm, gib - (i - 1) * 0x200000), 0u);
  }
}
