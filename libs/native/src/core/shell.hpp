#pragma once

#include <memory>

#include "backend.hpp"
#include "monitor.hpp"

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
  void bind(const Plan& plan, uint8_t* memory) {
    monitor_.map_guest(plan);
    vm_->map(kGuestSlot, 0, memory, plan.memory_bytes());
  }

  Monitor& monitor() noexcept { return monitor_; }
  BackendVm& vm() noexcept { return *vm_; }

 private:
  static constexpr uint32_t kGuestSlot = 0;
  static constexpr uint32_t kMonitorSlot = 1;

  // Destruction order: the VM goes before the memory that it maps.
  Monitor monitor_;
  std::unique_ptr<BackendVm> vm_;
};

}  // namespace mayfly
