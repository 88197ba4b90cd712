#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "completion.hpp"
#include "recycled_vms.hpp"
#include "thread_role.hpp"
#include "vm.hpp"

namespace mayfly {

/**
 * Cleans or frees VMs on a thread of its own: destroying one costs the kernel half a millisecond and more, which no
 * call should wait for.
 */
class Reaper {
 public:
  /** VMs go to `recycled` first, and are freed when it does not keep them. */
  Reaper(CompletionList& completions, RecycledVms& recycled, ThreadHook hook = {});
  ~Reaper() { stop(); }
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  /** Any thread. `completion` is pushed when the body is freed; one without a VM is not. */
  void free(VmBody body, Completion completion);
  /** Frees what is queued, then ends the thread. Idempotent; one caller at a time. */
  void stop();

 private:
  struct Item {
    VmBody body;
    Completion completion;
  };
  void main();

  CompletionList& completions_;
  RecycledVms& recycled_;
  const ThreadHook thread_ready_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;  // under mutex_
  bool stopping_ = false;   // under mutex_
  std::thread thread_;      // last: its thread uses all of the above
};

}  // namespace mayfly
