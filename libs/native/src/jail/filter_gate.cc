#include "filter_gate.hpp"

namespace mayfly::jail {

void FilterGate::pass(ThreadKind kind) {
  const int refused = install_thread_filter(kind, kick_signal_);
  {
    const std::lock_guard lock(mutex_);
    passed_++;
    if (refused_ == 0) refused_ = refused;
  }
  changed_.notify_all();
}

int FilterGate::wait(unsigned threads) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return passed_ >= threads; });
  return refused_;
}

}  // namespace mayfly::jail
