#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "shell.hpp"
#include "thread_role.hpp"

namespace mayfly {

/**
 * Keeps a few shells made ahead on a thread of its own.
 *
 * A shell that was taken is replaced a moment later, and at once only when it was the last: making a VM holds locks of
 * the kernel that the taker's own memory slot would wait for, which made a cold call twice as long.
 */
class ShellPool {
 public:
  ShellPool(Backend& backend, uint32_t spare_shells, ThreadHook hook = {});
  ~ShellPool() { stop(); }
  ShellPool(const ShellPool&) = delete;
  ShellPool& operator=(const ShellPool&) = delete;

  /** A spare shell, or a new one made here when none is left. Any thread. @throws KvmError */
  std::unique_ptr<Shell> take();
  /** Ends the thread and frees the spare shells. Idempotent; one caller at a time. */
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kRefillDelay{2};

  void main();

  Backend& backend_;
  const uint32_t spare_shells_;
  const ThreadHook thread_ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Shell>> shells_;  // under mutex_
  Clock::time_point refill_at_{};              // under mutex_: not before this
  bool stopping_ = false;                      // under mutex_
  bool failed_ = false;                        // under mutex_: making one failed; try again after the next take
  std::thread thread_;                         // last: its thread uses all of the above
};

}  // namespace mayfly
