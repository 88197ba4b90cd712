#pragma once

#include <cstdint>

namespace mayfly {

/**
 * How operations reach a slot's thread from outside its process: the thread itself takes them from shared memory, so
 * that a call crosses one thread, not two. A slot without one is fed by `post` alone.
 *
 * The slot calls `seen`, then looks for work in both places, then `wait(seen)`: work that comes in between changes what
 * `seen` counts, and the wait returns at once.
 */
class Inlet {
 public:
  virtual ~Inlet() = default;
  /** Slot thread: the count of wake-ups so far. */
  virtual uint32_t seen(uint32_t slot) noexcept = 0;
  /** Slot thread, without its lock: posts to the slot what came from outside. */
  virtual void take(uint32_t slot) noexcept = 0;
  /** Slot thread, without its lock: sleeps unless the count has moved on from `seen`. May return early. */
  virtual void wait(uint32_t slot, uint32_t seen) noexcept = 0;
  /** Any thread. */
  virtual void wake(uint32_t slot) noexcept = 0;
};

}  // namespace mayfly
