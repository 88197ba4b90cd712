#include "reaper.hpp"

#include <utility>

#include "background.hpp"

namespace mayfly {

Reaper::Reaper(CompletionList& completions, RecycledVms& recycled, ThreadHook hook)
    : completions_(completions), recycled_(recycled), thread_ready_(std::move(hook)), thread_([this] { main(); }) {}

void Reaper::free(VmBody body, Completion completion) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(body), std::move(completion)});
  }
  changed_.notify_one();
}

void Reaper::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Reaper::main() {
  begin_background_thread("mf-reaper");
  thread_ready(thread_ready_, ThreadRole::Reaper);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Item item = std::move(queue_.front());
    queue_.pop_front();
    const bool keep = !stopping_;
    lock.unlock();
    if (keep) {
      RecycledVms::Put put = recycled_.put(std::move(item.body));
      item.body = std::move(put.freed);
      item.completion.count = put.differing_pages;
    }
    item.body = VmBody{};
    if (item.completion.vm != nullptr) completions_.push(std::move(item.completion));
    item.completion = Completion{};
    lock.lock();
  }
}

}  // namespace mayfly
