// Random page tables and addresses against the walk through a guest's own tables, under ASan and UBSan.
//   walk-fuzz SECONDS SEED [FILE]   FILE: kept inputs; taken first
//   store:ADDRESS:NUMBER     8 bytes of guest memory
//   cr3:NUMBER  sees:BOOLEAN   the guest has read CR3, and so sees its tables
//   read:ADDRESS:LENGTH
//   write:ADDRESS:LENGTH:ENTRY   ENTRY, the one of the page after it, and so on

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "guest_view.hpp"
#include "random.hpp"
#include "scenario.hpp"

namespace {

using namespace mayfly;
using fuzz::note;
using fuzz::Played;
using fuzz::Scenario;
using fuzz::Step;

constexpr uint64_t kPages = 24;
constexpr uint64_t kMemoryBytes = kPages * kPageBytes;
constexpr uint64_t kTableBytes = 2 * kPageBytes;
/** Over three pages, and so over both halves of a long store. */
constexpr uint64_t kMaxAccessBytes = 3 * kPageBytes;

/** An entry that leads into memory mostly, and sometimes anywhere. */
uint64_t entry(fuzz::Random& random) {
  const uint64_t target = random.below(8) == 0 ? random.wide() & 0x000ffffffffff000 : random.below(kPages) * kPageBytes;
  uint64_t flags = random.below(8) == 0 ? random.wide() & 0xfff : 0x3;
  if (random.below(16) == 0) flags |= 0x80;
  if (random.below(8) == 0) flags |= 1ull << 63;
  return target | flags;
}

/** Often at the end of a page, so that an access goes over it; entries of such indices are filled. */
uint64_t address(fuzz::Random& random) {
  const uint64_t index = 508 + random.below(4);
  const uint64_t page = random.below(4) == 0 ? random.wide() & 0xffffffff : (index << 30 | index << 21 | index << 12);
  const uint64_t top = random.below(2) == 0 ? 0 : random.below(512);
  const uint64_t all = (top << 39) | page | (kPageBytes - random.below(32) - 1);
  return random.below(32) == 0 ? random.wide() : static_cast<uint64_t>(static_cast<int64_t>(all << 16) >> 16);
}

Scenario draw(fuzz::Random& random) {
  Scenario scenario;
  scenario.push_back({"sees", random.below(2)});
  scenario.push_back({"cr3", random.below(16) == 0 ? random.wide() : random.below(kPages) * kPageBytes});
  for (uint64_t page = 0; page < kPages; page++)
    for (const uint64_t index : {0u, 1u, 508u, 509u, 510u, 511u})
      scenario.push_back({"store", page * kPageBytes + index * 8, entry(random)});
  for (int access = 0; access < 64; access++)
    scenario.push_back({random.below(2) == 0 ? "write" : "read", address(random), 1 + random.below(48), entry(random)});
  return scenario;
}

const char* name_of(Translation::Result result) {
  switch (result) {
    case Translation::Result::Allowed:
      return "allowed";
    case Translation::Result::NotCanonical:
      return "not canonical";
    case Translation::Result::NotPresent:
      return "not present";
    case Translation::Result::Denied:
      return "denied";
    case Translation::Result::Unbacked:
      return "unbacked";
  }
  return "?";
}

/** Bytes whose every word is an entry, that of another page each: a store over the tables leads elsewhere. */
std::vector<uint8_t> entries_from(uint64_t first, uint64_t length_bytes) {
  std::vector<uint8_t> bytes(length_bytes);
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t value = first + i / 8 * kPageBytes;
    std::memcpy(bytes.data() + i, &value, std::min<std::size_t>(8, bytes.size() - i));
  }
  return bytes;
}

Played play(const Scenario& scenario) {
  static const auto plan = Plan::create(kMemoryBytes,
                                        {{kTableBytes, 8 * kPageBytes, rights::kRead | rights::kWrite | rights::kExecute},
                                         {10 * kPageBytes, kPageBytes, rights::kRead},
                                         {11 * kPageBytes, 13 * kPageBytes, rights::kRead | rights::kWrite}},
                                        {}, kTableBytes);
  // Memory of its own for each input, so that a store past its end meets a page that is not there.
  GuestMemory memory(plan);
  VirtualCpu cpu;
  GuestView view(memory, cpu);
  Played played;
  const auto look = [&](uint64_t at, AccessKind kind) {
    const auto found = view.translate(at, kind);
    if (found.result == Translation::Result::Allowed && found.physical >= kMemoryBytes)
      played.problem = "an address leads out of memory";
    return found.result;
  };
  for (const Step& step : scenario) {
    if (step.name == "store") {
      if (plan->contains(step.a, sizeof step.b)) std::memcpy(memory.data() + step.a, &step.b, sizeof step.b);
    } else if (step.name == "sees") {
      cpu.sees_tables = step.a != 0;
    } else if (step.name == "cr3") {
      cpu.cr3 = step.a;
    } else {
      played.inputs++;
      std::string access;
      for (const auto kind : {AccessKind::Read, AccessKind::Write, AccessKind::Execute})
        access.append(access.empty() ? "" : "/").append(name_of(look(step.a, kind)));
      if (const auto found = view.translate(step.a, AccessKind::Read); found.result == Translation::Result::Allowed)
        access.append(" in page ").append(std::to_string(found.physical / kPageBytes));
      if (view.is_present(step.a)) access.append(" by a leaf");
      auto bytes = entries_from(step.c, std::min(step.b, kMaxAccessBytes));
      const bool is_write = step.name == "write";
      // Of a store that faults on its first two pages, the first has nothing.
      const auto first_page = view.translate(step.a, AccessKind::Write);
      const uint64_t first_bytes = std::min<uint64_t>(bytes.size(), kPageBytes - (step.a & (kPageBytes - 1)));
      std::vector<uint8_t> before(first_page.result == Translation::Result::Allowed && is_write ? first_bytes : 0);
      if (!before.empty()) memory.read(first_page.physical, before);
      uint64_t fault = 0;
      const auto result = is_write ? view.write(step.a, bytes, &fault) : view.read(step.a, bytes, &fault);
      access.append(": ").append(step.name).append(" ").append(std::to_string(bytes.size()));
      access.append(" ").append(name_of(result));
      if (result == Translation::Result::Allowed) {
        played.taken++;
      } else {
        if (fault - step.a >= bytes.size()) played.problem = "the address that faults is not one of the access";
        if (!before.empty() && fault - step.a <= first_bytes) {
          std::vector<uint8_t> after(before.size());
          memory.read(first_page.physical, after);
          if (after != before) played.problem = "a store that faulted has begun";
        }
        access.append(" at +").append(std::to_string(fault - step.a));
      }
      note(played.outcome, access);
    }
  }
  return played;
}

}  // namespace

int main(int argc, char** argv) {
  return fuzz::run({.name = "page-walk",
                    .taken = "allowed",
                    .steps = {"store", "sees", "cr3", "read", "write"},
                    .draw = draw,
                    .play = play},
                   argc, argv);
}
