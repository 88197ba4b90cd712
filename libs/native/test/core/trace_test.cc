#include <cstring>
#include <string>

#include "guest.hpp"
#include "harness.hpp"
#include "outbox_entries.hpp"

using namespace mayfly;
using namespace mayfly::test;

namespace {

/** Runs the guest with a batch of `length` bytes said to be at `address`. */
const Answer& traced(SyncClient& client, Vm& vm, uint64_t address, uint64_t length, bool traces = true) {
  GeneralRegisters registers = entry_at();
  registers.r9 = address;
  registers.r10 = length;
  RequestBuilder request;
  request.entry(registers).starts_call();
  if (traces) request.traces();
  const Answer& answer = client.run(vm, request);
  vm.end_call();
  return answer;
}

const std::vector<uint8_t> kBatch = {'b', 'a', 't', 'c', 'h'};

}  // namespace

GUEST(trace_and_halt, "mov $104, %r8d; mov $104, %edx; out %al, (%dx); xor %r8d, %r8d; hlt")
GUEST(halt_with_trace, "mov $104, %r8d; hlt")
GUEST(call_with_trace, "mov $104, %r8d; mov $101, %edx; xor %eax, %eax; out %eax, (%dx); xor %r8d, %r8d; hlt")
GUEST(abort_with_trace,
      "mov $104, %r8d; mov $102, %edx; mov $0x0801, %eax; out %eax, (%dx); mov $0x4101, %eax; out %eax, (%dx);"
      "mov $0xff01, %eax; out %eax, (%dx); hlt")
GUEST(trace_for_ever, "mov $104, %r8d; 1: incb (%r9); mov $104, %edx; out %al, (%dx); dec %edi; jnz 1b; hlt")
GUEST(stamp_and_halt, "rdtsc; shl $32, %rdx; or %rdx, %rax; mov %rax, 0x200000; hlt")

TEST("a trace batch goes into the outbox from each kind of exit that carries one") {
  SyncClient client;
  for (const auto code : {trace_and_halt(), halt_with_trace(), call_with_trace()}) {
    auto vm = make_vm(client, code);
    vm->write(kData, kBatch);
    const Answer& answer = traced(client, *vm, kData, kBatch.size());
    CHECK(answer.exit == ExitKind::Halt || answer.number == 101);
    const auto entries = entries_of(*vm);
    CHECK_EQ(entries.size(), 1u);
    CHECK_EQ(entries[0].port, 104u);
    CHECK(entries[0].bytes == kBatch);
    CHECK_EQ(answer.traces_dropped, 0u);
  }
}

TEST("a batch comes once, though all OUTs of an abort name it, and before the abort") {
  SyncClient client;
  auto vm = make_vm(client, abort_with_trace());
  vm->write(kData, kBatch);
  const Answer& answer = traced(client, *vm, kData, kBatch.size());
  CHECK_EQ(answer.number, 102u);
  const auto entries = entries_of(*vm);
  CHECK_EQ(entries.size(), 2u);
  CHECK_EQ(entries[0].port, 104u);
  CHECK_EQ(entries[1].port, 102u);
  CHECK(entries[1].bytes == (std::vector<uint8_t>{8, 'A'}));
}

TEST("a batch that nobody asked for is not copied, and its guest goes on") {
  SyncClient client;
  auto vm = make_vm(client, trace_and_halt());
  const Answer& answer = traced(client, *vm, kData, kBatch.size(), false);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.outbox_entries, 0u);
  CHECK_EQ(answer.traces_dropped, 0u);
  CHECK_EQ(answer.entered_tsc, 0u);
}

TEST("a batch outside of guest memory, empty or too large is dropped and counted") {
  SyncClient client;
  auto vm = make_vm(client, halt_with_trace());
  const struct {
    uint64_t address;
    uint64_t length;
  } lies[] = {{kData, 0},
              {kData, kTraceBatchBytes + 1},
              {kMemoryBytes, 1},
              {kMemoryBytes - 4, 5},
              {~0ull, 1},
              {~0ull - 3, 8},
              {kData, ~0ull},
              {1ull << 63, 16}};
  for (const auto& lie : lies) {
    const Answer& answer = traced(client, *vm, lie.address, lie.length);
    CHECK(answer.exit == ExitKind::Halt);
    CHECK_EQ(answer.outbox_entries, 0u);
    CHECK_EQ(answer.traces_dropped, 1u);
  }
  const Answer& answer = traced(client, *vm, kMemoryBytes - 4, 4);
  CHECK_EQ(answer.outbox_entries, 1u);
}

TEST("batches beyond the outbox are dropped and counted; the guest goes on") {
  SyncClient client;
  auto vm = make_vm(client, trace_for_ever());
  GeneralRegisters registers = entry_with(8);
  registers.r9 = kData;
  registers.r10 = kTraceBatchBytes;
  RequestBuilder request;
  request.entry(registers).traces();
  const Answer& answer = client.run(*vm, request);
  CHECK(answer.exit == ExitKind::Halt);
  CHECK_EQ(answer.outbox_entries, 3u);
  // Eight by the OUTs, one by the halt, which repeats the last.
  CHECK_EQ(answer.traces_dropped, 6u);
}

TEST("what the guest reads as its time lies between entry and exit") {
  SyncClient client;
  auto vm = make_vm(client, stamp_and_halt());
  for (int i = 0; i < 10; i++) {
    const Answer& answer = traced(client, *vm, 0, 0);
    const uint64_t stamp = read_u64(*vm, kData);
    CHECK(answer.entered_tsc < stamp);
    CHECK(stamp < answer.left_tsc);
  }
}
