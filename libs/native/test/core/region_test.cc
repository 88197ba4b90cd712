#include "region.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include "harness.hpp"
#include "ring0_guest.hpp"

using namespace mayfly;
using namespace mayfly::test;
namespace r0 = mayfly::test::ring0;

namespace {

constexpr uint32_t kReadable = rights::kRead;
constexpr uint32_t kCodeRights = rights::kRead | rights::kExecute;
constexpr uint64_t kLarge = 2 << 20;
constexpr uint64_t kGiB = 1 << 30;
constexpr uint64_t kBase = 0x100000000;  // 4 GiB, where the reference's own tests map

std::vector<uint8_t> pattern(uint64_t bytes) {
  std::vector<uint8_t> result(bytes);
  for (uint64_t i = 0; i < bytes; i += 8) {
    const uint64_t value = i * 0x9e3779b97f4a7c15 + 1;
    std::memcpy(&result[i], &value, sizeof value);
  }
  return result;
}

uint64_t pattern_at(uint64_t offset) { return offset * 0x9e3779b97f4a7c15 + 1; }

/** A file that is gone with its last descriptor. */
UniqueFd file_of(std::span<const uint8_t> bytes) {
  UniqueFd fd(::memfd_create("region-test", MFD_CLOEXEC));
  CHECK(fd && ::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return fd;
}

}  // namespace

GUEST(region_load, "mov (%rdi), %rax; hlt")
TEST("a guest reads a region at its address, over large pages, small ones and the boundary of a gigabyte") {
  SyncClient client;
  auto vm = make_vm(client, region_load());
  const auto bytes = pattern(5 * kLarge);
  for (const uint64_t base : {uint64_t{kMemoryBytes}, kMemoryBytes + 3 * kPageBytes, kGiB - kLarge - kPageBytes,
                              uint64_t{kBase}, 5 * kGiB - kLarge, 60 * kGiB - 5 * kLarge}) {
    client.map_region(*vm, Region::of_bytes({base, 0, kReadable}, bytes));
    for (uint64_t offset = 8; offset < bytes.size(); offset += kLarge / 2 + kPageBytes) {
      const Answer& answer = enter(client, *vm, entry_with(base + offset));
      CHECK(answer.exit == ExitKind::Halt);
      CHECK_EQ(answer.registers.rax, pattern_at(offset));
      CHECK_EQ(read_u64(*vm, base + offset), pattern_at(offset));
    }
    CHECK(enter(client, *vm, entry_with(base + bytes.size())).exit == ExitKind::Exception);
    client.unmap_region(*vm, base);
    const Answer& gone = enter(client, *vm, entry_with(base + 8));
    CHECK(gone.exit == ExitKind::Exception);
    CHECK_EQ(gone.number, 14u);
    CHECK_EQ(gone.address, base + 8);
    CHECK(code_of([&] { read_u64(*vm, base + 8); }) == ErrorCode::Range);
  }
}

GUEST(region_store, "mov %rsi, (%rdi); hlt")
TEST("a store to a region is a page fault, and the region stays as it is") {
  SyncClient client;
  auto vm = make_vm(client, region_store());
  const auto bytes = pattern(kPageBytes);
  client.map_region(*vm, Region::of_bytes({kBase, 0, kCodeRights}, bytes));
  const Answer& answer = enter(client, *vm, entry_with(kBase + 8, 5));
  CHECK(answer.exit == ExitKind::Exception);
  CHECK_EQ(answer.error_code & 3, 3u);
  CHECK_EQ(read_u64(*vm, kBase + 8), pattern_at(8));
  CHECK(code_of([&] { write_u64(*vm, kBase, 1); }) == ErrorCode::Range);
}

GUEST(region_jump, "jmp *%rdi")
TEST("code in a region runs where the region has EXECUTE, its hlt included") {
  SyncClient client;
  auto vm = make_vm(client, region_jump());
  const std::vector<uint8_t> code = {0xb8, 0x2a, 0, 0, 0, 0xf4};  // mov $42, %eax; hlt
  for (const uint32_t each : {kCodeRights, kReadable}) {
    client.map_region(*vm, Region::of_bytes({kBase, 0, each}, code));
    for (int round = 0; round < 2; round++) {
      const Answer& answer = enter(client, *vm, entry_with(kBase));
      CHECK(answer.exit == (each == kCodeRights ? ExitKind::Halt : ExitKind::Exception));
      if (each == kCodeRights) CHECK_EQ(answer.registers.rax, 42u);
    }
    CHECK(read_bytes(*vm, kBase, code.size()) == code);
    client.unmap_region(*vm, kBase);
  }
}

TEST("a file is mapped from an offset, rounded up with zeros, and its descriptor stays the caller's") {
  SyncClient client;
  auto vm = make_vm(client, region_load());
  const auto bytes = pattern(2 * kPageBytes + 16);
  {
    const UniqueFd file = file_of(bytes);
    const auto region = Region::of_file({kBase, 0, kReadable}, file.get(), kPageBytes);
    CHECK_EQ(region->place().length_bytes, 2 * kPageBytes);
    client.map_region(*vm, region);
  }
  CHECK_EQ(enter(client, *vm, entry_with(kBase + 8)).registers.rax, pattern_at(kPageBytes + 8));
  CHECK_EQ(enter(client, *vm, entry_with(kBase + kPageBytes + 8)).registers.rax, pattern_at(2 * kPageBytes + 8));
  CHECK_EQ(enter(client, *vm, entry_with(kBase + kPageBytes + 16)).registers.rax, 0u);
}

TEST("a file that was shortened ends the guest that touches what is gone, and nobody else") {
  SyncClient client;
  auto vm = make_vm(client, region_load());
  const UniqueFd file = file_of(pattern(2 * kPageBytes));
  client.map_region(*vm, Region::of_file({kBase, 0, kReadable}, file.get(), 0));
  CHECK(::ftruncate(file.get(), kPageBytes) == 0);
  CHECK_EQ(enter(client, *vm, entry_with(kBase + 8)).registers.rax, pattern_at(8));
  CHECK_EQ(read_u64(*vm, kBase + kPageBytes), 0u);
  CHECK(enter(client, *vm, entry_with(kBase + kPageBytes)).exit == ExitKind::Unknown);
  CHECK(enter(client, *vm, entry_with(kBase + 8)).exit == ExitKind::Halt);
}

TEST("what cannot be mapped is refused, and nothing changes") {
  SyncClient client;
  auto vm = make_vm(client, region_load());
  const auto bytes = pattern(2 * kPageBytes);
  const auto refused = [&](PlannedRegion place, std::span<const uint8_t> source) {
    CHECK(code_of([&] { client.map_region(*vm, Region::of_bytes(place, source)); }) == ErrorCode::Region);
  };
  refused({kBase + 1, 0, kReadable}, bytes);
  refused({kBase, kPageBytes + 1, kReadable}, bytes);
  refused({kBase, 3 * kPageBytes, kReadable}, bytes);
  refused({kBase, 0, kReadable}, {});
  refused({kBase, 0, rights::kRead | rights::kWrite}, bytes);
  refused({kBase, 0, rights::kRead | rights::kStackGuard}, bytes);
  refused({kBase, 0, rights::kExecute}, bytes);
  refused({kBase, 0, 0}, bytes);
  refused({kBase, 0, kReadable | 16}, bytes);
  refused({kMemoryBytes - kPageBytes, 0, kReadable}, bytes);
  refused({60 * kGiB, 0, kReadable}, bytes);
  refused({~uint64_t{4095}, 0, kReadable}, bytes);
  refused({0xfffbb000, 0, kReadable}, bytes);
  client.map_region(*vm, Region::of_bytes({kBase, 0, kReadable}, bytes));
  refused({kBase + kPageBytes, 0, kReadable}, bytes);
  refused({kBase - kPageBytes, 0, kReadable}, bytes);
  CHECK(code_of([&] { client.unmap_region(*vm, kBase + kPageBytes); }) == ErrorCode::Region);
  int pipes[2];
  CHECK(::pipe(pipes) == 0);
  const UniqueFd reading(pipes[0]);
  const UniqueFd writing(pipes[1]);
  CHECK(code_of([&] { Region::of_file({kBase, 0, kReadable}, reading.get(), 0); }) == ErrorCode::Region);
  CHECK(code_of([&] { Region::of_file({kBase, 0, kReadable}, -1, 0); }) == ErrorCode::Region);
  const UniqueFd file = file_of(bytes);
  for (const uint64_t offset : {uint64_t{1}, 2 * kPageBytes, ~uint64_t{4095}})
    CHECK(code_of([&] { Region::of_file({kBase, 0, kReadable}, file.get(), offset); }) == ErrorCode::Region);
  CHECK_EQ(enter(client, *vm, entry_with(kBase + 8)).registers.rax, pattern_at(8));
  for (uint64_t i = 1; i < kMaxMappedRegions; i++)
    client.map_region(*vm, Region::of_bytes({kBase + i * kGiB - kPageBytes, 0, kReadable}, bytes));
  refused({0x80000000, 0, kReadable}, bytes);
  CHECK_EQ(vm->regions().size(), kMaxMappedRegions);
  CHECK_EQ(enter(client, *vm, entry_with(kBase + 31 * kGiB)).registers.rax, pattern_at(kPageBytes));
}

TEST("a snapshot keeps the list of regions, a restore brings it back, and its VMs share them") {
  SyncClient client;
  auto vm = make_vm(client, region_load());
  const auto one = Region::of_bytes({kBase, 0, kReadable}, pattern(kPageBytes));
  const auto two = Region::of_bytes({kBase + kLarge, 0, kReadable}, pattern(kPageBytes));
  const auto empty = client.snapshot(*vm);
  client.map_region(*vm, one);
  const auto snapshot = client.snapshot(*vm);
  client.unmap_region(*vm, kBase);
  client.map_region(*vm, two);
  const auto finds = [&](Vm& each, uint64_t address, bool restore) {
    return enter(client, each, entry_with(address), restore).exit == ExitKind::Halt;
  };
  CHECK(!finds(*vm, kBase + 8, false));
  CHECK(finds(*vm, kBase + kLarge + 8, false));
  CHECK(finds(*vm, kBase + 8, true));
  CHECK(!finds(*vm, kBase + kLarge + 8, false));
  CHECK(vm->regions().size() == 1 && vm->regions()[0] == one);
  auto clone = client.create_vm(snapshot);
  CHECK(finds(*clone, kBase + 8, false));
  CHECK(clone->regions()[0] == one);
  client.restore(*clone, empty);
  CHECK(!finds(*clone, kBase + 8, false));
  CHECK_EQ(clone->regions().size(), 0u);
}

// Puts a 2 MiB page that leads to RSI (rights in RDX) over the second GiB, as guest-abi 9.6 does, and reads at RDI.
GUEST(ring0_region,
      RING0_TABLES "mov %cr3, %rax; or %rdx, %rsi; movq $0x201003, 0x1008(%rax); mov %rsi, 0x201000; "
                   "test %r8, %r8; jnz 1f; mov (%rdi), %rax; hlt; 1: jmp *%rdi")
TEST("a guest built for ring 0 finds a region through its own page tables, with the region's rights") {
  SyncClient client;
  auto vm = r0::make_vm(client, ring0_region());
  auto bytes = pattern(2 * kPageBytes);
  bytes[0x100] = 0xf4;
  client.snapshot(*vm);
  client.map_region(*vm, Region::of_bytes({kBase, 0, kCodeRights}, bytes));
  const auto run = [&](uint64_t address, uint64_t jumps) -> const Answer& {
    GeneralRegisters registers = entry_with(address, kBase);
    registers.rdx = 0x83;
    registers.r8 = jumps;
    return enter(client, *vm, registers);
  };
  const Answer& read = run(r0::kMapped + kPageBytes + 8, 0);
  CHECK(read.exit == ExitKind::Halt);
  CHECK_EQ(read.registers.rax, pattern_at(kPageBytes + 8));
  CHECK(run(r0::kMapped + 0x100, 1).exit == ExitKind::Halt);
  const Answer& beyond = run(r0::kMapped + 2 * kPageBytes, 0);
  CHECK(beyond.exit == ExitKind::Mmio);
  CHECK_EQ(beyond.address, kBase + 2 * kPageBytes);
  // Not at its physical address, where its tables have nothing.
  CHECK_EQ(run(kBase + 8, 0).registers.r15, 14u);
  client.unmap_region(*vm, kBase);
  CHECK(run(r0::kMapped + 8, 0).exit == ExitKind::Mmio);
}

GUEST(ring0_region_store,
      RING0_TABLES "mov %cr3, %rax; movq $0x201003, 0x1008(%rax); movq $0x83, 0x201000; btsq $32, 0x201000; mov %rdi, 0x40000010; hlt")
TEST("a store that the guest's tables allow and the region does not ends the guest at the physical address") {
  SyncClient client;
  auto vm = r0::make_vm(client, ring0_region_store());
  client.map_region(*vm, Region::of_bytes({kBase, 0, kReadable}, pattern(kPageBytes)));
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Mmio);
  CHECK_EQ(answer.address, kBase + 0x10);
  CHECK_EQ(answer.flags, answer_flags::kMmioWrite);
  CHECK_EQ(read_u64(*vm, kBase + 0x10), pattern_at(0x10));
}
