#include "shell.hpp"

#include <algorithm>

namespace mayfly {

void Shell::set_regions(const Regions& wanted, bool identity) {
  const auto is_wanted = [&wanted](const Region* region) {
    return std::any_of(wanted.begin(), wanted.end(), [region](const auto& each) { return each.get() == region; });
  };
  // Page tables first: no entry may lead to a slot that is gone.
  if (identity) monitor_.map_regions(wanted);
  for (uint32_t i = 0; i < mapped_.size(); i++) {
    if (mapped_[i] == nullptr || is_wanted(mapped_[i])) continue;
    vm_->unmap(kFirstRegionSlot + i);
    mapped_[i] = nullptr;
  }
  for (const auto& region : wanted) {
    if (std::find(mapped_.begin(), mapped_.end(), region.get()) != mapped_.end()) continue;
    const auto free = std::find(mapped_.begin(), mapped_.end(), nullptr);
    const auto slot = kFirstRegionSlot + static_cast<uint32_t>(free - mapped_.begin());
    const PlannedRegion& place = region->place();
    vm_->map(slot, place.address, region->data(), place.length_bytes, false);
    *free = region.get();
  }
}

}  // namespace mayfly
