#pragma once

#include <array>
#include <memory>

#include "backend.hpp"
#include "monitor.hpp"
#include "region.hpp"

namespace mayfly {

/** A VM without a guest: hypervisor VM, vCPU and monitor. Made ahead, then bound to one guest for good. */
class Shell {
 public:
  /** @throws KvmError */
  explicit Shell(Backend& backend) : monitor_(backend.has_xsave()), vm_(backend.create_vm(Monitor::system_tables())) {
    vm_->map(kMonitorSlot, Monitor::guest_physical(), monitor_.data(), monitor_.bytes());
  }
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  /** Puts a guest's memory in place; it has to outlive this shell. @throws KvmError */
  void bind(const Plan& plan, uint8_t* memory);

  /**
   * Brings the mapped regions beside guest memory to this list. `identity`: the guest finds them at their address.
   * They have to outlive this shell, or the call that takes them away. @throws KvmError
   */
  void set_regions(const Regions& wanted, bool identity);

  Monitor& monitor() noexcept { return monitor_; }
  BackendVm& vm() noexcept { return *vm_; }

 private:
  static constexpr uint32_t kGuestSlot = 0;
  static constexpr uint32_t kMonitorSlot = 1;
  static constexpr uint32_t kFirstRegionSlot = 3;
  static constexpr uint32_t kFirstPlanSlot = kFirstRegionSlot + kMaxMappedRegions;

  void bind_supervisor(const Plan& plan, uint8_t* memory);

  // Destruction order: the VM goes before the memory that it maps.
  Monitor monitor_;
  std::unique_ptr<BackendVm> vm_;
  // By slot, from kFirstRegionSlot. Not owned: what is mapped, to be compared with what is wanted.
  std::array<const Region*, kMaxMappedRegions> mapped_{};
};

}  // namespace mayfly
