#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "../core/vm.hpp"
#include "wire.hpp"

namespace mayfly::cell {

/** What an answer of a VM brings of its memory. VMs and snapshots of one plan share it. */
struct Windows {
  std::vector<PlanRange> watched;
  OutputBufferPlace output;
};

/** One VM of the cell and the operation under way. */
struct Seat {
  std::shared_ptr<Vm> vm;
  std::shared_ptr<const Windows> windows;
  uint32_t generation = 0;        // of the operation under way
  uint32_t close_generation = 0;
  uint32_t snapshot = 0;          // where the operation's snapshot goes
  uint64_t call = 0;              // the worker's count of the call that the latest run belongs to
};

struct KeptSnapshot {
  std::shared_ptr<const Snapshot> snapshot;
  std::shared_ptr<const Windows> windows;
};

}  // namespace mayfly::cell
