#pragma once

#include <cstdint>
#include <vector>

namespace mayfly {

inline constexpr std::size_t kMaxUntouchedRanges = 16;

struct AddressRange {
  uint64_t address;
  uint64_t length_bytes;
};

/** Ranges that a primed guest must not have touched. They lie in guest memory. */
using Untouched = std::vector<AddressRange>;

/** Whether `address` lies on a page of one of the ranges. */
inline bool on_page_of(const Untouched& ranges, uint64_t address) noexcept {
  constexpr uint64_t kPageMask = ~uint64_t{4095};
  for (const AddressRange& range : ranges)
    if (address >= (range.address & kPageMask) &&
        address <= ((range.address + range.length_bytes - 1) | ~kPageMask))
      return true;
  return false;
}

}  // namespace mayfly
