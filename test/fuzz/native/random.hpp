#pragma once

#include <cstdint>

namespace fuzz {

/** The same seed gives the same inputs. */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 | 1) {}
  uint64_t wide() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(wide() >> 20) % limit; }

 private:
  uint64_t state_;
};

}  // namespace fuzz
