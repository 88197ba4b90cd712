#pragma once

#include <time.h>
#include <x86intrin.h>

#include <cstdint>

namespace mayfly {

inline constexpr uint64_t kNsPerSecond = 1'000'000'000;

/** CLOCK_MONOTONIC in nanoseconds: the clock of deadlines and phases. */
inline uint64_t monotonic_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

/** The host's time stamp counter. */
inline uint64_t host_tsc() noexcept { return __rdtsc(); }

}  // namespace mayfly
