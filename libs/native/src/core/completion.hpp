#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "error.hpp"
#include "snapshot.hpp"

namespace mayfly {

class Vm;

enum class OpKind : uint32_t {
  Create = 0,
  Run = 1,
  Snapshot = 2,
  Restore = 3,
  Close = 4,
  EngineClosed = 5,
  Prime = 6,
  Compare = 7,
  GetState = 8,
  SetState = 9,
  SetRegions = 10,
};

/** An operation that has ended. A run's answer is in its VM's block. */
struct Completion {
  std::shared_ptr<Vm> vm;  // null for EngineClosed
  OpKind op;
  ErrorCode status = ErrorCode::None;
  int error_number = 0;
  std::string text;
  /** Of Snapshot; of Prime when it took one. */
  std::shared_ptr<const Snapshot> snapshot;
  /** Of Compare: pages that differ. Of Close: those that differed when the VM was cleaned for the next one. */
  uint64_t count = 0;
  /** Of GetState: the registers as `StateKind` lays them out. */
  std::vector<uint8_t> state = {};
};

/**
 * Ended operations, from the threads of the engine to the caller. `wake` is called when the list was empty, so
 * that a burst costs one wake-up: the caller takes until nothing is left.
 */
class CompletionList {
 public:
  /** `wake` runs on an engine thread, must not throw and not call back into the engine. */
  explicit CompletionList(std::function<void()> wake) : wake_(std::move(wake)) {}

  /** Engine threads. */
  void push(Completion completion) {
    bool was_empty;
    {
      const std::lock_guard lock(mutex_);
      was_empty = list_.empty();
      list_.push_back(std::move(completion));
    }
    if (was_empty) wake_();
  }

  /** Caller's thread: the oldest completion. @returns false when there is none. */
  bool take(Completion& completion) {
    const std::lock_guard lock(mutex_);
    if (list_.empty()) return false;
    completion = std::move(list_.front());
    list_.pop_front();
    return true;
  }

 private:
  std::mutex mutex_;
  std::deque<Completion> list_;
  const std::function<void()> wake_;
};

}  // namespace mayfly
