// Random OUTs of a guest, over an output buffer and registers that lie, against the outbox, under ASan and UBSan.
//   outbox-fuzz SECONDS SEED [FILE]   FILE: kept inputs; taken first
//   store:ADDRESS:NUMBER   8 bytes of guest memory
//   begin:FRESH:TRACES     a run; one with both has begun when the input begins
//   trace:R9:R10:R8        the registers of an OUT; R8 is that of a trace batch when it is left out
//   out:PORT:VALUE:TIMES

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "outbox.hpp"
#include "random.hpp"
#include "scenario.hpp"

namespace {

using namespace mayfly;
using fuzz::note;
using fuzz::Played;
using fuzz::Scenario;
using fuzz::Step;

constexpr uint64_t kMemoryBytes = 32 * kPageBytes;
constexpr OutputBufferPlace kOutput{8 * kPageBytes, 2 * kPageBytes};
constexpr uint32_t kMaxAbortBytes = 1024;
/** Of one step: more than an outbox has entries and drops. */
constexpr uint64_t kMaxOuts = 80'000;

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

/** Now and then a record that is what it says, so that some get through. */
void draw_record(Scenario& scenario, fuzz::Random& random) {
  const uint64_t start = 8 + random.below(64);
  const uint32_t length = random.below(4000);
  scenario.push_back({"store", kOutput.address + start, length});
  const uint64_t end = start + 4 + length + random.below(8);
  scenario.push_back({"store", kOutput.address + end, random.below(4) == 0 ? edge(random) : start});
  scenario.push_back({"store", kOutput.address, random.below(4) == 0 ? edge(random) : end + 8});
}

Scenario draw(fuzz::Random& random) {
  Scenario scenario;
  for (uint64_t i = 0; i < kMemoryBytes; i += 8)
    if (random.below(16) == 0) scenario.push_back({"store", i, random.wide()});
  for (uint32_t runs = 1 + random.below(3); runs > 0; runs--) {
    scenario.push_back({"begin", random.below(2), random.below(4) == 0 ? 0u : 1u});
    const uint32_t outs = 1 + random.below(random.below(8) == 0 ? 6000 : 200);
    for (uint32_t i = 0; i < outs; i++) {
      if (random.below(4) == 0) {
        const uint64_t port = random.below(8) == 0 ? random.wide() : ports::kTraceBatch;
        const uint64_t address = random.below(3) == 0 ? edge(random) : random.below(kMemoryBytes);
        scenario.push_back({"trace", address, random.below(3) == 0 ? edge(random) : random.below(512), port});
      }
      if (random.below(2) == 0) draw_record(scenario, random);
      scenario.push_back({"out", 98 + random.below(8), edge(random)});
    }
  }
  return scenario;
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

void note_served(Played& played, Outbox::Served served, const Outbox& outbox) {
  switch (served) {
    case Outbox::Served::NotMine:
      return note(played.outcome, "not mine");
    case Outbox::Served::GoOn:
      return note(played.outcome, "go on");
    case Outbox::Served::Aborted:
      return note(played.outcome, "aborted");
    case Outbox::Served::BadGuest:
      return note(played.outcome, outbox.fault());
  }
}

void note_report(Played& played, const Answer& answer, const uint8_t* area) {
  note(played.outcome, "entries " + std::to_string(answer.outbox_entries));
  OutboxHeader first{};
  if (answer.outbox_entries > 0) std::memcpy(&first, area, sizeof first);
  if (first.port != 0)
    note(played.outcome, "port " + std::to_string(first.port) + " of " + std::to_string(first.length_bytes));
  if (answer.outbox_dropped > 0) note(played.outcome, "dropped");
  if (answer.traces_dropped > 0) note(played.outcome, "traces dropped");
  if (answer.heap_events > 0) note(played.outcome, "heap");
}

Played play(const Scenario& scenario) {
  static const auto plan = Plan::create(
      kMemoryBytes, {{kOutput.address, kOutput.length_bytes, rights::kRead | rights::kWrite}}, kOutput);
  // Both of their own size and for each input, so that ASan or a page that is not there sees what leaves them.
  const auto area = std::make_unique<uint8_t[]>(kOutboxBytes);
  GuestMemory memory(plan);
  Outbox outbox;
  Played played;
  outbox.begin(area.get(), {.fresh = true, .traces = true});
  const auto settle = [&] {
    Answer answer{};
    outbox.report(answer);
    if (played.problem == nullptr) played.problem = problem_of(area.get(), answer);
    played.taken += answer.outbox_entries;
    note_report(played, answer, area.get());
  };
  for (const Step& step : scenario) {
    if (step.name == "store") {
      if (plan->contains(step.a, sizeof step.b)) std::memcpy(memory.data() + step.a, &step.b, sizeof step.b);
    } else if (step.name == "begin") {
      settle();
      outbox.begin(area.get(), {.fresh = step.a != 0, .traces = step.b != 0});
    } else if (step.name == "trace") {
      GeneralRegisters registers{};
      registers.r8 = step.c == 0 ? ports::kTraceBatch : step.c;
      registers.r9 = step.a;
      registers.r10 = step.b;
      outbox.take_trace(registers, memory);
    } else {
      for (uint64_t i = 0; i < std::clamp<uint64_t>(step.c, 1, kMaxOuts); i++) {
        played.inputs++;
        note_served(played, outbox.serve(static_cast<uint16_t>(step.a), static_cast<uint32_t>(step.b), memory), outbox);
      }
    }
  }
  settle();
  return played;
}

}  // namespace

int main(int argc, char** argv) {
  return fuzz::run({.name = "outbox",
                    .taken = "kept by it",
                    .steps = {"store", "begin", "trace", "out"},
                    .draw = draw,
                    .play = play},
                   argc, argv);
}
