#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>

namespace mayfly {

/**
 * One kernel timer per slot, whose signal goes to the slot's thread. It is armed lazily: only when no earlier
 * expiry is pending. Calls in a row then cost no system call; the timer fires now and then for a call that is
 * long over, and the run that it interrupts arms it again for its own deadline.
 * Slot thread only.
 */
class DeadlineTimer {
 public:
  /** @throws KvmError */
  DeadlineTimer(pid_t thread_id, int signal_number);
  ~DeadlineTimer();
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  /**
   * Makes sure that a signal comes at `deadline_ns` or before it, but after now. Called after `immediate_exit` was
   * cleared and before the entry: an expiry in between then ends that entry.
   */
  void ensure(uint64_t deadline_ns, uint64_t now_ns);

 private:
  timer_t timer_{};
  uint64_t armed_until_ns_ = 0;
};

}  // namespace mayfly
