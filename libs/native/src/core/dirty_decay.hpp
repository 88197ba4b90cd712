#pragma once

#include <algorithm>
#include <cstdint>

namespace mayfly {

/**
 * Decides when a VM's dirty bits are worth clearing. They only ever grow, and each restore copies all their pages;
 * clearing costs a flush of the VM's translations and a fault for each page that is touched afterwards. So it is
 * due when restores have copied far more than that, and less often for a guest whose calls really write as much.
 */
class DirtyDecay {
 public:
  /** Called after each restore. @returns whether the bits should be cleared with it. */
  bool due(uint32_t restored_pages) noexcept {
    if (just_cleared_) {
      just_cleared_ = false;
      // What the first call after a clearing wrote shows whether it helped.
      patience_ = restored_pages > cleared_pages_ / 2 ? std::min(patience_ * 2, kMaxPatience) : kMinPatience;
    }
    if (restored_pages <= kSmallSet) return false;
    copied_ += restored_pages;
    if (copied_ < patience_) return false;
    copied_ = 0;
    cleared_pages_ = restored_pages;
    just_cleared_ = true;
    return true;
  }

 private:
  static constexpr uint32_t kSmallSet = 256;
  // In pages copied: about 2 ms, ten times what a clearing costs.
  static constexpr uint64_t kMinPatience = 16 * 1024;
  static constexpr uint64_t kMaxPatience = 256 * kMinPatience;

  uint64_t patience_ = kMinPatience;
  uint64_t copied_ = 0;
  uint32_t cleared_pages_ = 0;
  bool just_cleared_ = false;
};

}  // namespace mayfly
