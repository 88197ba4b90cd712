#pragma once

#include <condition_variable>
#include <mutex>

#include "thread_filter.hpp"

namespace mayfly::jail {

/** Where the threads of a cell install their filters, and its main thread waits until all have. */
class FilterGate {
 public:
  explicit FilterGate(int kick_signal) noexcept : kick_signal_(kick_signal) {}
  FilterGate(const FilterGate&) = delete;
  FilterGate& operator=(const FilterGate&) = delete;

  /** Each thread, once. */
  void pass(ThreadKind kind);
  /**
   * Waits for so many threads.
   * @returns 0 when each has its filter, else the first errno
   */
  int wait(unsigned threads);

 private:
  const int kick_signal_;
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned passed_ = 0;  // under mutex_
  int refused_ = 0;      // under mutex_
};

}  // namespace mayfly::jail
