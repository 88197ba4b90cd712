#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "guest_memory.hpp"
#include "shell.hpp"

namespace mayfly {

/** What a VM owns of the host, freed together off the hot path. Destruction order: the shell goes first. */
struct VmBody {
  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<Shell> shell;
  /** The slot whose thread ran it, when a restore brings it back whole; absent: it can only be freed. */
  std::optional<uint32_t> recyclable_on;
};

}  // namespace mayfly
