#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "../core/unique_fd.hpp"

namespace mayfly::jail {

/** More than any cell needs. */
inline constexpr std::size_t kMaxDescriptors = 16;

struct SpawnPlan {
  /** Absolute path of the executable. */
  const char* executable;
  /** Arguments, the last one null; the environment is empty. */
  const char* const* arguments;
  /** fds[i] becomes descriptor i of the child; it has nothing else. */
  std::span<const int> fds;
};

struct Spawned {
  pid_t pid;
  UniqueFd pidfd;
};

/**
 * Starts a process that is pid 1 of a pid namespace of its own where the host allows it, in a session of its own,
 * with default signal dispositions, no environment, and SIGKILL as soon as the calling thread's process is gone.
 * Without CAP_SYS_ADMIN it gets a user namespace as well, in which it is root: only so may it make the others.
 * Nothing is copied of the caller's memory, however large that is. Any thread; blocks until the child runs.
 * The child is the caller's: wait for it by pidfd (P_PIDFD).
 * @throws std::system_error when it cannot be started at all
 */
Spawned spawn_jailed(const SpawnPlan& plan);

}  // namespace mayfly::jail
