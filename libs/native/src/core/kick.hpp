#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace mayfly {

/**
 * Installs the process-wide handler of the kick signal, once per signal number. It does one thing: sets
 * `immediate_exit` of the vCPU that its thread is running.
 * @throws KvmError (Option) when another part of the process handles that signal already, or it does not exist.
 * @param offset signal number minus SIGRTMIN
 */
int install_kick_signal(int offset);

/** Tells the handler which vCPU this thread runs; null: none. Slot threads only. */
void set_kick_flag(volatile uint8_t* flag) noexcept;

/** Blocks every signal on this thread, but for `open_signal` when that is not 0. */
void block_signals(int open_signal) noexcept;

/** How anybody reaches a slot's thread with the kick signal, also while that thread ends. */
class KickTarget {
 public:
  explicit KickTarget(int signal_number) noexcept;
  KickTarget(const KickTarget&) = delete;
  KickTarget& operator=(const KickTarget&) = delete;

  /** Slot thread: from here on it can be kicked. */
  void attach(pid_t thread_id) noexcept;
  /** Slot thread, before it ends: waits for kicks under way, so that no signal goes to a reused thread id. */
  void detach() noexcept;
  /** Any thread. Never blocks. */
  void kick() noexcept;

 private:
  const int signal_number_;
  const pid_t process_id_;
  // Kicking threads count themselves in `kickers_` before they read `thread_id_`; `detach` clears `thread_id_` and
  // then waits for the count. Both sequentially consistent: either the kicker sees 0 or `detach` sees the kicker.
  std::atomic<pid_t> thread_id_{0};
  std::atomic<int> kickers_{0};
};

}  // namespace mayfly
