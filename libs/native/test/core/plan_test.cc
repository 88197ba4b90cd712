#include "guest.hpp"
#include "harness.hpp"

using namespace mayfly;
using namespace mayfly::test;

namespace {

ErrorCode plan_code(uint64_t memory_bytes, std::vector<PlannedRegion> regions, OutputBufferPlace output = {}) {
  return code_of([&] { Plan::create(memory_bytes, std::move(regions), output); });
}

}  // namespace

TEST("a plan that contradicts itself is refused") {
  using namespace rights;
  CHECK(plan_code(0, {}) == ErrorCode::Plan);
  CHECK(plan_code(4095, {}) == ErrorCode::Plan);
  CHECK(plan_code((1ull << 30) + 4096, {}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{1, 4096, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{0, 0, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{0, 100, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{4096, 8192, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{0, ~uint64_t{4095}, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{~uint64_t{4095}, 8192, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{0, 4096, 16}}) == ErrorCode::Plan);
  CHECK(plan_code(16384, {{0, 8192, kRead}, {4096, 4096, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(16384, {{8192, 4096, kRead}, {0, 4096, kRead}}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {}, {0, 8}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {}, {8000, 4096}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {}, {~0ull, 16}) == ErrorCode::Plan);
  CHECK(plan_code(8192, {{0, 4096, kRead}, {4096, 4096, kAll}}, {16, 4000}) == ErrorCode::None);
}

TEST("bytes to load outside guest memory are refused") {
  SyncClient client;
  const uint8_t bytes[16] = {};
  const Engine::Load load[] = {{kMemoryBytes - 8, bytes}};
  CHECK(code_of([&] { client.engine().create_vm(test_plan(), load); }) == ErrorCode::Plan);
}

GUEST(halt_only, "hlt")

TEST("a malformed request is refused and leaves the VM usable") {
  SyncClient client;
  auto vm = make_vm(client, halt_only());
  const auto post = [&](std::span<const uint8_t> bytes) { return code_of([&] { vm->post_run(bytes); }); };
  CHECK(post({}) == ErrorCode::Request);
  RequestBuilder good;
  good.entry(entry_at());
  const auto changed = [&](std::size_t offset, uint64_t value) {
    std::vector<uint8_t> bytes(good.bytes().begin(), good.bytes().end());
    std::memcpy(bytes.data() + offset, &value, sizeof value);
    return bytes;
  };
  CHECK(post(good.bytes().first(100)) == ErrorCode::Request);
  CHECK(post(changed(0, 0xff)) == ErrorCode::Request);
  CHECK(post(changed(8, 5)) == ErrorCode::Request);
  CHECK(post(changed(0, (1ull << 32) | 2)) == ErrorCode::Request);       // one write, no header
  CHECK(post(changed(0, (0xffffffffull << 32) | 2)) == ErrorCode::Request);
  const uint8_t byte[1] = {1};
  for (const uint64_t address : {kMemoryBytes, kMemoryBytes + 1, uint64_t{1} << 40, ~uint64_t{0}}) {
    RequestBuilder bad;
    bad.entry(entry_at()).write(address, byte);
    CHECK(post(bad.bytes()) == ErrorCode::Range);
  }
  RequestBuilder last;
  last.entry(entry_at()).write(kMemoryBytes - 1, byte);
  CHECK(client.run(*vm, last).exit == ExitKind::Halt);
  CHECK_EQ(read_bytes(*vm, kMemoryBytes - 1, 1)[0], uint8_t{1});
}

TEST("reads and writes outside guest memory are refused") {
  SyncClient client;
  auto vm = make_vm(client, halt_only());
  CHECK(code_of([&] { read_bytes(*vm, kMemoryBytes - 1, 2); }) == ErrorCode::Range);
  CHECK(code_of([&] { read_bytes(*vm, ~0ull, 1); }) == ErrorCode::Range);
  CHECK(code_of([&] { write_u64(*vm, kMemoryBytes - 7, 0); }) == ErrorCode::Range);
  CHECK(code_of([&] { write_u64(*vm, ~0ull - 3, 0); }) == ErrorCode::Range);
}

TEST("writes of a request are made after the restore and before the entry") {
  SyncClient client;
  auto vm = make_vm(client, halt_only());
  client.snapshot(*vm);
  const uint8_t first[] = {1, 2, 3};
  const uint8_t second[] = {9};
  RequestBuilder request;
  request.restore().entry(entry_at()).write(kData, first).write(kData + 1, second);
  CHECK(client.run(*vm, request).exit == ExitKind::Halt);
  CHECK(read_bytes(*vm, kData, 3) == (std::vector<uint8_t>{1, 9, 3}));
}
