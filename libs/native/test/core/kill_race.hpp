#pragma once

#include <cstdint>

#include "sync_client.hpp"

namespace mayfly::test {

/** What a race of kills against calls did. */
struct KillRace {
  uint64_t cancelled = 0;
  /** Guests that only their deadline ended. */
  uint64_t lost = 0;
  /** Calls that ended in anything but a halt or a kill. */
  uint64_t stray = 0;
  /** Cancelled calls that no kill was meant for. */
  uint64_t foreign = 0;
};

/**
 * `kills` calls, each with a kill from another thread at a random moment: guests that spin, that fault without end, and
 * short ones, two in a row, so that kills fall into them, between them and late.
 */
KillRace race_kills(SyncClient& client, uint64_t kills);

}  // namespace mayfly::test
