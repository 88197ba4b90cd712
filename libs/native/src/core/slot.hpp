#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "completion.hpp"
#include "inlet.hpp"
#include "kick.hpp"
#include "reaper.hpp"
#include "shell_pool.hpp"
#include "thread_role.hpp"
#include "vm.hpp"

namespace mayfly {

/** What a slot is given by its engine, which outlives the slot's thread. */
struct SlotServices {
  CompletionList& completions;
  ShellPool& shells;
  Reaper& reaper;
  OutRip out_rip;
  int kick_signal;
  /** Null: `post` alone feeds the slot. */
  Inlet* inlet = nullptr;
  ThreadHook thread_ready = {};
};

/**
 * A thread on which VMs run, `mf-slot-N`, with a short queue: when a run settles, the next one starts without a
 * return to the caller. A VM stays with its slot for life. As many calls run at once as there are slots.
 */
class Slot final : public RunQueue {
 public:
  struct Job {
    std::shared_ptr<Vm> vm;
    OpKind op;
    std::shared_ptr<const Snapshot> snapshot;
  };

  Slot(uint32_t index, SlotServices services);
  ~Slot() override { stop(); }
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  /** Any thread. @throws KvmError (DriverClosed) once the slot is stopping. */
  void post(Job job);
  /**
   * Ends a VM of this slot, from its caller's thread: what is queued for it settles as cancelled, and if it is not
   * running it is freed without a turn in the queue, which other guests may hold up.
   * @returns whether the slot does it: not once it is stopping, since the engine then frees all VMs.
   */
  bool close(const std::shared_ptr<Vm>& vm);
  void cancel_waiting(const Interrupt& interrupt, uint64_t generation) override;
  /**
   * Takes a run that begins a call off the queue, for its caller, who makes the call elsewhere. Caller's thread.
   * @returns false when it is not there: it has begun, and stays.
   */
  bool revoke(const Vm& vm);
  const std::shared_ptr<KickTarget>& kick_target() const noexcept { return kick_target_; }

  bool stopping() const noexcept { return stopping_.load(std::memory_order_seq_cst); }

  uint32_t index() const noexcept { return index_; }
  /** How many VMs live here, for placement. */
  uint32_t load() const noexcept { return load_.load(std::memory_order_relaxed); }
  /** Operations under way or waiting, for placement: a VM that is made behind a long run waits for it. */
  std::size_t backlog() const;
  void adopt() noexcept { load_.fetch_add(1, std::memory_order_relaxed); }
  void disown() noexcept { load_.fetch_sub(1, std::memory_order_relaxed); }

  /** Cancels the run under way and every queued one. Does not wait. */
  void request_stop() noexcept;
  /** request_stop, then waits for the thread. Idempotent; one caller at a time. */
  void stop();

 private:
  void main();
  /** Returns with a job queued, or when the slot stops. */
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  void notify() noexcept;
  void execute(Job job, const SlotTools& tools);
  void free(const std::shared_ptr<Vm>& vm);
  /** Takes the first queued job that `matches` out of the queue. mutex_ is held. */
  template <typename Matches>
  std::optional<Job> take_off(Matches&& matches);
  Completion create(const Job& job);

  const uint32_t index_;
  SlotServices services_;
  const std::shared_ptr<KickTarget> kick_target_;
  std::atomic<uint32_t> load_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> queue_;             // under mutex_
  const Vm* current_ = nullptr;       // under mutex_: whose job the thread executes
  std::atomic<bool> stopping_{false};  // written under mutex_; the run loop reads it without
  std::thread thread_;                // last: its thread uses all of the above
};

}  // namespace mayfly
