#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <stdexcept>

#include "layers.hpp"
#include "thread_filter.hpp"

namespace mayfly::jail {

/** What an inherited file descriptor has to be. */
enum class FdKind : uint8_t {
  Kvm,            // the character device /dev/kvm
  ControlSocket,  // a Unix socket of type SOCK_SEQPACKET
  EventFd,
  SealedMemory,   // a memfd that can no longer be resized (F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL)
  LogPipe,        // the writing end of a pipe
};

/** From here on neither users, containers nor systemd's dynamic users have theirs (systemd.io/UIDS-GIDS). */
inline constexpr uid_t kDefaultUidBase = 0x70000000;
/** Process ids are below it on every 64-bit Linux. */
inline constexpr uid_t kUids = 1u << 22;

struct JailPlan {
  /** Kinds of the descriptors 0, 1, 2, …; every higher number is closed. */
  std::span<const FdKind> descriptors;
  /**
   * First of the users and groups that cells become: a cell takes this plus its process id, as the host counts it, so
   * that no two that live have the same. 0: it keeps its spawner's, which a cell of root never should.
   */
  uid_t uid_base = kDefaultUidBase;
  /** RLIMIT_NPROC: threads of the cell and one kernel task a VM (kvm-facts). */
  uint64_t max_tasks = 64;
  /** RLIMIT_NOFILE: two a VM, one a snapshot, and the inherited. */
  uint64_t max_files = 1024;
  /** RLIMIT_FSIZE: the largest snapshot, which lives in a memfd of the cell's own. */
  uint64_t max_file_bytes = 0;
};

/** The jail contradicts its plan: the cell must not go on. Never thrown for what a host does not allow. */
struct JailError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/**
 * Puts this process into its jail: everything but the system-call filters. Called first of all in `main`, with one
 * thread, after `spawn_jailed`. What the host refuses is left out and stands in the report; what would leave the
 * process in a state between two layers ends in JailError.
 * The pid namespace is looked at, not made: `spawn_jailed` makes it.
 * @throws JailError
 */
JailReport enter_jail(const JailPlan& plan);

}  // namespace mayfly::jail
