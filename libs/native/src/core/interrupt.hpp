#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "kick.hpp"

namespace mayfly {

// DESIGN
// Timing of a call, and where a kill can fall:
//   1 begin_call (caller)  2 enter_run (slot thread)  3 must_stop, then the guest  4 leave_run  5 end_call (caller)
// kill() stamps the generation that it saw active into `cancel_`, then signals if a run is on. The slot thread
// publishes `running_`, then reads `cancel_` before each entry. Both orders are sequentially consistent, so either
// the slot thread sees the stamp or kill() sees the run and its signal ends it (kick.cc). A stamp of a finished
// generation equals no later one: a kill never reaches a later call.
// A run that has not come to 2 may wait behind other guests of its slot: kill() takes it off the queue, under the
// queue's lock, and it settles there and then. One that the slot's thread has just taken is found at 3.

class Interrupt;

/** Where runs wait for their thread: what kill() needs of a slot. */
class RunQueue {
 public:
  virtual ~RunQueue() = default;
  /**
   * Takes a killed call's run off the queue, where it waits behind other guests: it settles as cancelled. Any thread.
   * No-op when it is not there: it runs, has ended, or is another call's.
   */
  virtual void cancel_waiting(const Interrupt& interrupt, uint64_t generation) = 0;
};

/**
 * The part of a VM that may be used at any time from any thread. The one lock that it takes is that of the slot's
 * queue, which nobody holds for longer than it takes to look through it.
 */
class Interrupt {
 public:
  /** `queue`: none where runs are not queued. */
  explicit Interrupt(std::shared_ptr<KickTarget> target, std::shared_ptr<RunQueue> queue = nullptr) noexcept
      : target_(std::move(target)), queue_(std::move(queue)) {}
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  /** Ends the active call. @returns whether one was active. Any thread. */
  bool kill() noexcept;
  /** Ends the call of this generation. @returns whether it was active. Any thread. */
  bool kill(uint64_t generation) noexcept;
  /** Ends whatever runs, call or not, for good: the VM is closing. Any thread. */
  void abandon() noexcept;
  /** The VM is gone. */
  void drop() noexcept { dropped_.store(true, std::memory_order_release); }

  bool dropped() const noexcept { return dropped_.load(std::memory_order_acquire); }
  bool call_active() const noexcept { return (call_.load(std::memory_order_acquire) & 1) != 0; }
  uint64_t generation() const noexcept { return call_.load(std::memory_order_acquire) >> 1; }

  /** Caller's thread: the next generation, active. Ends one that is still active. */
  void begin_call() noexcept;
  /** Caller's thread. */
  void end_call() noexcept;

  /** Slot thread. */
  void enter_run() noexcept { running_.store(true, std::memory_order_seq_cst); }
  void leave_run() noexcept { running_.store(false, std::memory_order_seq_cst); }
  /** Slot thread, before each entry. `generation`: of the run's call, 0 outside a call. */
  bool must_stop(uint64_t generation) const noexcept;

 private:
  void stop(uint64_t generation) noexcept;

  // Written by the caller's thread; read by killers. Generation << 1 | active.
  std::atomic<uint64_t> call_{0};
  // Written by killers, only upwards; read by the slot thread. Generation of the latest kill.
  std::atomic<uint64_t> cancel_{0};
  // Written by the slot thread; read by killers.
  std::atomic<bool> running_{false};
  std::atomic<bool> abandoned_{false};
  std::atomic<bool> dropped_{false};
  const std::shared_ptr<KickTarget> target_;
  const std::shared_ptr<RunQueue> queue_;
};

}  // namespace mayfly
