// Kills against calls at random moments: `stress-kills [COUNT]`, 10^6 without one. Ends with 1 when one was lost, reached
// another call, or left an exception behind.
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "kill_race.hpp"

int main(int count, char** arguments) {
  constexpr uint64_t kMost = 100'000'000;
  const uint64_t kills = count > 1 ? std::strtoull(arguments[1], nullptr, 10) : 1'000'000;
  if (kills == 0 || kills > kMost) {
    std::fprintf(stderr, "usage: stress-kills [COUNT], 1 to %" PRIu64 "\n", kMost);
    return 2;
  }
  try {
    mayfly::SyncClient client;
    const auto race = mayfly::test::race_kills(client, kills);
    std::printf("kills %" PRIu64 ": cancelled %" PRIu64 ", lost %" PRIu64 ", foreign %" PRIu64 ", stray %" PRIu64 "\n",
                kills, race.cancelled, race.lost, race.foreign, race.stray);
    return race.lost == 0 && race.foreign == 0 && race.stray == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "stress-kills: %s\n", error.what());
    return 1;
  }
}
