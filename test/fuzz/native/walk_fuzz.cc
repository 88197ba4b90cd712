// Random page tables and addresses against the walk through a guest's own tables, under ASan and UBSan.
//   walk-fuzz SECONDS SEED

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "guest_view.hpp"
#include "random.hpp"

namespace {

using namespace mayfly;

constexpr uint64_t kPages = 24;
constexpr uint64_t kMemoryBytes = kPages * kPageBytes;
constexpr uint64_t kTableBytes = 2 * kPageBytes;

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

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  fuzz::Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  const auto plan = Plan::create(kMemoryBytes,
                                 {{kTableBytes, 8 * kPageBytes, rights::kRead | rights::kWrite | rights::kExecute},
                                  {10 * kPageBytes, kPageBytes, rights::kRead},
                                  {11 * kPageBytes, 13 * kPageBytes, rights::kRead | rights::kWrite}},
                                 {}, kTableBytes);
  uint64_t inputs = 0;
  uint64_t allowed = 0;
  while (inputs == 0 || std::chrono::steady_clock::now() < end) {
    // Memory of its own each round, so that a store past its end meets a page that is not there.
    GuestMemory memory(plan);
    VirtualCpu cpu;
    cpu.sees_tables = random.below(2) == 0;
    cpu.cr3 = random.below(16) == 0 ? random.wide() : random.below(kPages) * kPageBytes;
    for (uint64_t page = 0; page < kPages; page++)
      for (const uint64_t index : {0u, 1u, 508u, 509u, 510u, 511u}) {
        const uint64_t value = entry(random);
        std::memcpy(memory.data() + page * kPageBytes + index * 8, &value, sizeof value);
      }
    GuestView view(memory, cpu);
    for (int access = 0; access < 64; access++) {
      inputs++;
      const uint64_t at = address(random);
      uint64_t fault = 0;
      std::vector<uint8_t> bytes(1 + random.below(48));
      for (std::size_t i = 0; i < bytes.size(); i += 8) {
        const uint64_t value = entry(random);
        std::memcpy(bytes.data() + i, &value, std::min<std::size_t>(8, bytes.size() - i));
      }
      const auto found = view.translate(at, AccessKind::Write);
      if (found.result == Translation::Result::Allowed && found.physical >= kMemoryBytes) {
        std::printf("FINDING 0x%llx leads out of memory\n", static_cast<unsigned long long>(at));
        return 1;
      }
      view.is_present(at);
      const auto result = random.below(2) == 0 ? view.write(at, bytes, &fault) : view.read(at, bytes, &fault);
      if (result == Translation::Result::Allowed) allowed++;
    }
  }
  std::printf("page-walk    %llu inputs, %llu of them allowed\n", static_cast<unsigned long long>(inputs),
              static_cast<unsigned long long>(allowed));
  return allowed == 0 ? 1 : 0;
}
