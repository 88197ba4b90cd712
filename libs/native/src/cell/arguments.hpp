#pragma once

#include <cstdint>
#include <span>

#include "../jail/jail.hpp"

namespace mayfly::cell {

/** What a cell is told on its command line, all of it as `--name=number`. */
struct Arguments {
  uint32_t slots = 1;
  uint32_t seats = 64;
  uint32_t spare_shells = 0;
  /** First of the users that cells become (jail.hpp); 0: it keeps its spawner's. */
  uint32_t uid_base = jail::kDefaultUidBase;
  /** Threads, and one kernel task a VM. */
  uint64_t max_tasks = 256;
  uint64_t max_files = 1024;
  /** The largest snapshot. */
  uint64_t max_file_bytes = uint64_t{1} << 30;

  /** @throws KvmError (Option) that names an argument which is unknown, no number, or out of range. */
  static Arguments parse(std::span<const char* const> words);
};

}  // namespace mayfly::cell
