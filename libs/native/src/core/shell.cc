#include "shell.hpp"

#include <algorithm>

namespace mayfly {

void Shell::bind(const Plan& plan, uint8_t* memory) {
  if (plan.supervisor()) {
    bind_supervisor(plan, memory);
    return;
  }
  monitor_.map_guest(plan);
  vm_->map(kGuestSlot, 0, memory, plan.memory_bytes());
}

void Shell::bind_supervisor(const Plan& plan, uint8_t* memory) {
  // The guest owns its page tables, so rights are the slots' (guest-abi 1.4); the monitor stays outside, with no page
  // mapped and nothing to note.
  vm_->unmap(kMonitorSlot);
  vm_->become_supervisor();
  uint32_t slot = kFirstPlanSlot;
  for (const PlannedRegion& region : plan.regions()) {
    if (region.rights == 0 || (region.rights & rights::kStackGuard) != 0) continue;
    // SAFETY: a plan's regions lie in guest memory, which `memory` spans.
    vm_->map(slot++, region.address, memory + region.address, region.length_bytes, (region.rights & rights::kWrite) != 0);
  }
}

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
