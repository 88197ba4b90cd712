#pragma once

#include <cstdint>

namespace mayfly::jail {

/** Kinds of threads of a serving cell, each with an allow-list of its own (`syscall_lists.cc`). */
enum class ThreadKind : uint8_t {
  Control,     // takes requests, posts them, writes completions and logs; kicks slots
  Slot,        // runs guests: KVM, restore, snapshots, the deadline timer
  ShellMaker,  // makes VMs ahead
  Reaper,      // frees VMs
};
inline constexpr ThreadKind kThreadKinds[] = {ThreadKind::Control, ThreadKind::Slot, ThreadKind::ShellMaker,
                                              ThreadKind::Reaper};

/**
 * Closes this thread's door for good: from here on a system call that is not on the list of its kind ends the whole
 * process with SIGSYS. The thread has its name, signal mask and timer by now; other threads are not touched.
 * Needs no_new_privs (`enter_jail` sets it).
 * @param kick_signal the one signal that the thread may send, to threads of this process only (Control)
 * @returns 0, or the errno with which the host refused it.
 */
int install_thread_filter(ThreadKind kind, int kick_signal) noexcept;

/** Once in a process, before its threads: malloc uses one heap and brk, so that no thread needs mprotect. */
void prepare_allocator() noexcept;

}  // namespace mayfly::jail
