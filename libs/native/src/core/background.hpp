#pragma once

#include <pthread.h>
#include <sched.h>

#include "kick.hpp"

namespace mayfly {

/**
 * First line of a thread whose work no call should wait for: names it, blocks its signals, and makes it a batch thread,
 * so that its waking up does not push a slot's thread off the processor it shares with it.
 * @param name at most 15 characters
 */
inline void begin_background_thread(const char* name) noexcept {
  ::pthread_setname_np(::pthread_self(), name);
  block_signals(0);
  const sched_param priority{};
  // Refused by no kernel that has the policy; where it is, the thread is just like any other.
  ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &priority);
}

}  // namespace mayfly
