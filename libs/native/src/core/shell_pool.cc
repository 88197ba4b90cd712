#include "shell_pool.hpp"

#include <utility>

#include "background.hpp"

namespace mayfly {

ShellPool::ShellPool(Backend& backend, uint32_t spare_shells, ThreadHook hook)
    : backend_(backend), spare_shells_(spare_shells), thread_ready_(std::move(hook)), thread_([this] { main(); }) {}

std::unique_ptr<Shell> ShellPool::take() {
  std::unique_ptr<Shell> shell;
  {
    const std::lock_guard lock(mutex_);
    failed_ = false;
    if (!shells_.empty()) {
      shell = std::move(shells_.front());
      shells_.pop_front();
    }
    refill_at_ = shells_.empty() ? Clock::time_point{} : Clock::now() + kRefillDelay;
  }
  changed_.notify_one();
  return shell != nullptr ? std::move(shell) : std::make_unique<Shell>(backend_);
}

void ShellPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  shells_.clear();
}

void ShellPool::main() {
  begin_background_thread("mf-shells");
  thread_ready(thread_ready_, ThreadRole::ShellMaker);
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || (!failed_ && shells_.size() < spare_shells_); });
    while (!stopping_ && Clock::now() < refill_at_) changed_.wait_until(lock, refill_at_);
    if (stopping_) return;
    lock.unlock();
    std::unique_ptr<Shell> shell;
    try {
      shell = std::make_unique<Shell>(backend_);
    } catch (const std::exception&) {
      // Whoever needs a shell makes one itself and then gets the error; here there is nobody to tell.
    }
    lock.lock();
    if (shell == nullptr)
      failed_ = true;
    else
      shells_.push_back(std::move(shell));
  }
}

}  // namespace mayfly
