#pragma once

#include <cstdint>
#include <functional>

namespace mayfly {

/** Threads that an engine starts and keeps. */
enum class ThreadRole : uint8_t { Slot, ShellMaker, Reaper };

/**
 * Called on each such thread when it has set itself up (name, signals, timer), before its first work. A jailed
 * process installs its system-call filters here. Empty: nothing is called.
 */
using ThreadHook = std::function<void(ThreadRole)>;

inline void thread_ready(const ThreadHook& hook, ThreadRole role) {
  if (hook) hook(role);
}

}  // namespace mayfly
