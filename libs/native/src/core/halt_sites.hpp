#pragma once

#include <array>
#include <cstdint>

namespace mayfly {

inline constexpr uint8_t kHaltByte = 0xf4;     // hlt
inline constexpr uint8_t kPatchedByte = 0xee;  // out %al, (%dx)

/**
 * Addresses where the guest executed `hlt` and the host wrote `out %al, (%dx)` over it: one byte for one byte,
 * no register or flag changes, and the next halt there costs a plain exit instead of an exception
 * (ring0-guests 3 has the six rules). Few and fixed: a guest with more sites just traps at the others.
 */
class HaltSites {
 public:
  static constexpr std::size_t kMax = 4;

  bool contains(uint64_t address) const noexcept {
    for (std::size_t i = 0; i < count_; i++)
      if (sites_[i] == address) return true;
    return false;
  }
  /** @returns whether there was room. */
  bool add(uint64_t address) noexcept {
    if (contains(address)) return true;
    if (count_ == kMax) return false;
    sites_[count_++] = address;
    return true;
  }
  std::size_t size() const noexcept { return count_; }

 private:
  std::array<uint64_t, kMax> sites_{};
  std::size_t count_ = 0;
};

}  // namespace mayfly
