#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wire.hpp"

namespace mayfly::cell {

// Across processes, so none of these is private. The kernel looks at the word's file, not at its address.

/** Sleeps while the word is `expected`. May return early. */
inline void futex_wait(const Word& word, uint32_t expected) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, nullptr, nullptr, 0);
}

inline void futex_wake_one(const Word& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

/** For both sides: counts up, then wakes the thread that sleeps on it. */
inline void ring(Bell& bell) noexcept {
  bell.rings.fetch_add(1, std::memory_order_seq_cst);
  if (bell.sleeping.load(std::memory_order_seq_cst) != 0) futex_wake_one(bell.rings);
}

}  // namespace mayfly::cell
