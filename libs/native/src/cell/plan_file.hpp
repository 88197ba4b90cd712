#pragma once

#include <memory>
#include <vector>

#include "../core/engine.hpp"
#include "seat.hpp"

namespace mayfly::cell {

/** A load plan out of a sealed memfd: sizes, rights and copy ranges. The loads point into the file's mapping. */
struct PlanFile {
  Mapping bytes;
  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const Windows> windows;
  std::vector<Engine::Load> loads;

  /** @throws KvmError (Plan) with what is wrong, (Hypervisor) when the file does not map. */
  static PlanFile open(int fd, uint64_t length_bytes);
};

}  // namespace mayfly::cell
