#include <random>

#include "guest.hpp"
#include "harness.hpp"
#include "outbox.hpp"
#include "outbox_entries.hpp"

using namespace mayfly;
using namespace mayfly::test;

namespace {

/** An output buffer with one element of these bytes. */
void put_element(Vm& vm, std::span<const uint8_t> bytes) {
  const uint64_t end = 8 + bytes.size();
  vm.write(kOutput + 8, bytes);
  write_u64(vm, kOutput + end, 8);
  write_u64(vm, kOutput, end + 8);
}

}  // namespace

GUEST(log_and_halt, "xor %eax, %eax; mov $99, %edx; out %eax, (%dx); hlt")
TEST("a log record is popped from the output buffer, and the guest goes on") {
  SyncClient client;
  auto vm = make_vm(client, log_and_halt());
  const uint8_t record[] = {4, 0, 0, 0, 'a', 'b', 'c', 'd'};
  put_element(*vm, record);
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.outbox_entries, 1u);
  const auto entries = entries_of(*vm);
  CHECK_EQ(entries[0].port, 99u);
  CHECK(entries[0].bytes == std::vector<uint8_t>(std::begin(record), std::end(record)));
  CHECK_EQ(read_u64(*vm, kOutput), 8u);
  CHECK_EQ(read_u64(*vm, kOutput + 8), 0u);
}

TEST("a log record whose numbers lie settles as a protocol fault, whatever they are") {
  SyncClient client;
  auto vm = make_vm(client, log_and_halt());
  const uint64_t lies[] = {0,          1,          7,          8,          15,         kPageBytes + 1,
                           kPageBytes * 2, 1ull << 31, 1ull << 32, 1ull << 63, ~0ull,  ~0ull - 7};
  for (const uint64_t lie : lies) {
    write_u64(*vm, kOutput, lie);
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Protocol);
    CHECK(std::string(answer.reason).find("stack pointer") != std::string::npos);
  }
  const uint8_t record[] = {4, 0, 0, 0, 'a', 'b', 'c', 'd'};
  for (const uint64_t lie : {0ull, 7ull, 13ull, 16ull, 17ull, 4096ull, 1ull << 63, ~0ull, ~0ull - 3}) {
    put_element(*vm, record);
    write_u64(*vm, kOutput + 16, lie);
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Protocol);
  }
  for (const uint32_t lie : {5u, 9u, 4096u, 0x7fffffffu, 0xffffffffu, 0xfffffffcu}) {
    put_element(*vm, record);
    vm->write(kOutput + 8, {reinterpret_cast<const uint8_t*>(&lie), sizeof lie});
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Protocol);
  }
  put_element(*vm, record);
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
}

TEST("random output buffers never do more than settle") {
  SyncClient client;
  std::mt19937_64 random(11);
  auto vm = make_vm(client, log_and_halt());
  for (int round = 0; round < 2000; round++) {
    write_u64(*vm, kOutput, random() % 64);
    for (uint64_t offset = 8; offset < 64; offset += 8) write_u64(*vm, kOutput + offset, random() % 80);
    const Answer& answer = enter(client, *vm);
    CHECK(answer.exit == ExitKind::Halt || answer.exit == ExitKind::Protocol);
    entries_of(*vm);
  }
}

GUEST(debug_print, "mov $0x41, %eax; mov $103, %edx; out %eax, (%dx); mov $0x1f600, %eax; out %eax, (%dx); hlt")
TEST("debug characters come in order as 32-bit scalars") {
  SyncClient client;
  auto vm = make_vm(client, debug_print());
  CHECK(enter(client, *vm).exit == ExitKind::Halt);
  const auto entries = entries_of(*vm);
  CHECK_EQ(entries.size(), std::size_t{2});
  CHECK(entries[0].bytes == (std::vector<uint8_t>{0x41, 0, 0, 0}));
  CHECK(entries[1].bytes == (std::vector<uint8_t>{0, 0xf6, 1, 0}));
}

GUEST(debug_flood, "mov $103, %edx; 1: out %eax, (%dx); dec %rdi; jnz 1b; hlt")
TEST("an outbox that is full drops and counts, and a guest that goes on and on is stopped") {
  SyncClient client;
  auto vm = make_vm(client, debug_flood());
  const Answer& dropped = enter(client, *vm, entry_with(kOutboxEntries + 100));
  CHECK(dropped.exit == ExitKind::Halt);
  CHECK_EQ(dropped.outbox_entries, kOutboxEntries);
  CHECK_EQ(dropped.outbox_dropped, 100u);
  const Answer& stopped = enter(client, *vm, entry_with(0));  // 2^64 times
  CHECK(stopped.exit == ExitKind::Protocol);
}

// Sends RDI words of the list at RSI to port 102, then halts.
GUEST(abort_list, "mov $102, %edx; 1: mov (%rsi), %eax; out %eax, (%dx); add $4, %rsi; dec %rdi; jnz 1b; hlt")

namespace {

const Answer& send_abort(SyncClient& client, Vm& vm, const std::vector<uint32_t>& words) {
  vm.write(kData, {reinterpret_cast<const uint8_t*>(words.data()), words.size() * 4});
  return enter(client, vm, entry_with(words.size(), kData));
}

}  // namespace

TEST("abort bytes are collected up to their terminator, which settles once") {
  SyncClient client;
  auto vm = make_vm(client, abort_list());
  // Count 1: code 8. Count 3: "abc". Count 2: "d", terminator; the byte behind it does not count.
  const Answer& answer = send_abort(client, *vm, {0x00000801, 0x63626103, 0xeeff6403, 0x00000001});
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.number, 102u);
  CHECK_EQ(answer.exits, 3u);
  const auto entries = entries_of(*vm);
  CHECK_EQ(entries.size(), std::size_t{1});
  CHECK(entries[0].bytes == (std::vector<uint8_t>{8, 'a', 'b', 'c', 'd'}));
  CHECK(code_of([&] { go_on(client, *vm); }) == ErrorCode::Request);
}

TEST("a count above 3 is taken as 3, and one of 0 as nothing") {
  SyncClient client;
  auto vm = make_vm(client, abort_list());
  send_abort(client, *vm, {0x030201fe, 0xffffff00, 0x0000ff01});
  CHECK(entries_of(*vm)[0].bytes == (std::vector<uint8_t>{1, 2, 3}));
}

TEST("an abort that never ends is cut at 1024 bytes, as the ABI words it") {
  SyncClient client;
  auto vm = make_vm(client, abort_list());
  const Answer& answer = send_abort(client, *vm, std::vector<uint32_t>(600, 0x41414103));
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.exits, 342u);
  const auto bytes = entries_of(*vm)[0].bytes;
  CHECK_EQ(bytes[0], uint8_t{0});
  CHECK(std::string(bytes.begin() + 1, bytes.end()) == "Guest abort buffer overflowed");
}

TEST("abort bytes that a call left behind do not reach the next one") {
  SyncClient client;
  auto vm = make_vm(client, abort_list());
  CHECK(send_abort(client, *vm, {0x63626103}).exit == ExitKind::Halt);
  send_abort(client, *vm, {0x00ff0702});
  CHECK(entries_of(*vm)[0].bytes == (std::vector<uint8_t>{7}));
}

GUEST(flood_then_abort,
      "mov $103, %edx; 1: out %eax, (%dx); dec %rdi; jnz 1b; mov $102, %edx; mov $0x00ff0502, %eax; out %eax, (%dx)")
TEST("an abort finds room in a full outbox") {
  SyncClient client;
  auto vm = make_vm(client, flood_then_abort());
  const Answer& answer = enter(client, *vm, entry_with(kOutboxEntries + 5));
  CHECK(answer.exit == ExitKind::IoOut);
  const auto entries = entries_of(*vm);
  CHECK_EQ(entries.size(), std::size_t{1});
  CHECK(entries[0].bytes == (std::vector<uint8_t>{5}));
  CHECK_EQ(answer.outbox_dropped, kOutboxEntries + 5);
}

TEST("without an output buffer in the plan every port settles") {
  SyncClient client;
  const auto plan = Plan::create(kMemoryBytes,
                                 {{kCode, kPageBytes, rights::kRead | rights::kExecute},
                                  {kStack, kPageBytes, rights::kRead | rights::kWrite}},
                                 {});
  const Engine::Load load[] = {{kCode, debug_print()}};
  auto vm = client.create_vm(plan, load);
  const Answer& answer = enter(client, *vm);
  CHECK(answer.exit == ExitKind::IoOut);
  CHECK_EQ(answer.number, 103u);
}
