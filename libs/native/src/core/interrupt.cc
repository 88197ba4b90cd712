#include "interrupt.hpp"

namespace mayfly {

bool Interrupt::kill() noexcept {
  const uint64_t call = call_.load(std::memory_order_seq_cst);
  if ((call & 1) == 0) return false;
  stop(call >> 1);
  return true;
}

bool Interrupt::kill(uint64_t generation) noexcept {
  if (call_.load(std::memory_order_seq_cst) != (generation << 1 | 1)) return false;
  stop(generation);
  return true;
}

void Interrupt::stop(uint64_t generation) noexcept {
  // Upwards only: a slow killer of an older call must not erase the stamp of a newer one.
  uint64_t stamped = cancel_.load(std::memory_order_seq_cst);
  while (stamped < generation &&
         !cancel_.compare_exchange_weak(stamped, generation, std::memory_order_seq_cst)) {
  }
  if (running_.load(std::memory_order_seq_cst))
    target_->kick();
  else if (queue_ != nullptr)
    queue_->cancel_waiting(*this, generation);
}

void Interrupt::abandon() noexcept {
  abandoned_.store(true, std::memory_order_seq_cst);
  if (running_.load(std::memory_order_seq_cst)) target_->kick();
}

void Interrupt::begin_call() noexcept {
  const uint64_t generation = (call_.load(std::memory_order_relaxed) >> 1) + 1;
  call_.store(generation << 1 | 1, std::memory_order_seq_cst);
}

void Interrupt::end_call() noexcept { call_.fetch_and(~uint64_t{1}, std::memory_order_seq_cst); }

bool Interrupt::must_stop(uint64_t generation) const noexcept {
  if (abandoned_.load(std::memory_order_seq_cst)) return true;
  return generation != 0 && cancel_.load(std::memory_order_seq_cst) == generation;
}

}  // namespace mayfly
