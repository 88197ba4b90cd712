// Random OUTs of a guest, over an output buffer and registers that lie, against the outbox, under ASan and UBSan.
//   outbox-fuzz SECONDS SEED

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "outbox.hpp"
#include "random.hpp"

namespace {

using namespace mayfly;

constexpr uint64_t kMemoryBytes = 32 * kPageBytes;
constexpr OutputBufferPlace kOutput{8 * kPageBytes, 2 * kPageBytes};
constexpr uint32_t kMaxAbortBytes = 1024;

/** A number at the edges of what is compared, or any. */
uint64_t edge(fuzz::Random& random) {
  static constexpr uint64_t kEdges[] = {0, 1, 7, 8, 9, 12, 15, 16, 17, 24, 0xff, 0x100, kPageBytes, kOutput.length_bytes,
                                        kMemoryBytes, kTraceBatchBytes, 1ull << 31, 1ull << 32, 1ull << 63, ~0ull};
  switch (random.below(4)) {
    case 0:
      return random.wide();
    case 1:
      return random.below(kOutput.length_bytes + 64);
    default:
      return kEdges[random.below(std::size(kEdges))] + random.below(17) - 8;
  }
}

void store(GuestMemory& memory, uint64_t address, uint64_t value) {
  std::memcpy(memory.data() + address, &value, sizeof value);
}

/** Now and then a record that is what it says, so that some get through. */
void put_record(GuestMemory& memory, fuzz::Random& random) {
  const uint64_t start = 8 + random.below(64);
  const uint32_t length = random.below(4000);
  std::memcpy(memory.data() + kOutput.address + start, &length, sizeof length);
  const uint64_t end = start + 4 + length + random.below(8);
  store(memory, kOutput.address + end, random.below(4) == 0 ? edge(random) : start);
  store(memory, kOutput.address, random.below(4) == 0 ? edge(random) : end + 8);
}

/** What a reader of the area would find. */
const char* problem_of(const uint8_t* area, const Answer& answer) {
  if (answer.outbox_bytes > kOutboxBytes || answer.outbox_entries > kOutboxEntries) return "it is larger than it may be";
  uint64_t offset = 0;
  for (uint32_t i = 0; i < answer.outbox_entries; i++) {
    OutboxHeader header;
    if (answer.outbox_bytes - offset < sizeof header) return "an entry is cut";
    std::memcpy(&header, area + offset, sizeof header);
    offset += sizeof header;
    if (pad8(header.length_bytes) > answer.outbox_bytes - offset) return "the bytes of an entry are cut";
    const bool known = header.port == ports::kLog || header.port == ports::kAbort || header.port == ports::kDebugPrint ||
                       header.port == ports::kTraceBatch;
    if (!known) return "an entry is of no port";
    if (header.port == ports::kAbort && header.length_bytes > kMaxAbortBytes) return "an abort is too long";
    if (header.port == ports::kTraceBatch && header.length_bytes > kTraceBatchBytes) return "a batch is too long";
    offset += pad8(header.length_bytes);
  }
  return offset == answer.outbox_bytes ? nullptr : "there are bytes behind the last entry";
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  fuzz::Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const auto plan = Plan::create(kMemoryBytes, {{kOutput.address, kOutput.length_bytes, rights::kRead | rights::kWrite}},
                                 kOutput);
  // Of its own size, so that ASan sees a store past the end.
  const auto area = std::make_unique<uint8_t[]>(kOutboxBytes);
  uint64_t inputs = 0;
  uint64_t kept = 0;
  Outbox outbox;
  while (inputs == 0 || std::chrono::steady_clock::now() < end) {
    // Memory of its own each round, so that an access past its end meets a page that is not there.
    GuestMemory memory(plan);
    for (uint64_t i = 0; i < kMemoryBytes; i += 8)
      if (random.below(16) == 0) store(memory, i, random.wide());
    outbox.begin(area.get(), {.fresh = random.below(2) == 0, .traces = random.below(4) != 0});
    const uint32_t outs = 1 + random.below(random.below(8) == 0 ? 6000 : 200);
    for (uint32_t i = 0; i < outs; i++) {
      inputs++;
      GeneralRegisters registers{};
      registers.r8 = random.below(8) == 0 ? random.wide() : ports::kTraceBatch;
      registers.r9 = random.below(3) == 0 ? edge(random) : random.below(kMemoryBytes);
      registers.r10 = random.below(3) == 0 ? edge(random) : random.below(512);
      if (random.below(4) == 0) outbox.take_trace(registers, memory);
      if (random.below(2) == 0) put_record(memory, random);
      const auto served = outbox.serve(static_cast<uint16_t>(98 + random.below(8)), static_cast<uint32_t>(edge(random)), memory);
      if (served != Outbox::Served::GoOn && random.below(2) == 0) break;
    }
    Answer answer{};
    outbox.report(answer);
    kept += answer.outbox_entries;
    if (const char* problem = problem_of(area.get(), answer)) {
      std::printf("FINDING %s\n", problem);
      return 1;
    }
  }
  std::printf("outbox       %llu inputs, %llu of them kept\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(kept));
  return kept == 0 ? 1 : 0;
}
