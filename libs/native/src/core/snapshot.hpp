#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend.hpp"
#include "halt_sites.hpp"
#include "mapping.hpp"
#include "plan.hpp"
#include "region.hpp"
#include "unique_fd.hpp"
#include "virtual_cpu.hpp"

namespace mayfly {

/**
 * Memory and vCPU state of a VM at one moment. Immutable and shared: VMs made from it map its file
 * copy-on-write, and every restore copies from its read-only view. Pages that were all zero are holes.
 */
class Snapshot {
 public:
  struct Vcpu {
    VcpuState state;
    HaltSites halt_sites;
    VirtualCpu virtual_cpu;
    Regions regions;
    /** The vCPU stood at an OUT, from which a run without an entry goes on. */
    bool resumable = false;
  };

  /**
   * Copies the non-zero pages among `candidates` (a bit per page) out of `memory`; all others must be zero.
   * @throws KvmError
   */
  static std::shared_ptr<const Snapshot> take(std::shared_ptr<const Plan> plan, const uint8_t* memory,
                                              const std::vector<uint64_t>& candidates, Vcpu vcpu);

  const std::shared_ptr<const Plan>& plan() const noexcept { return plan_; }
  const Vcpu& vcpu() const noexcept { return vcpu_; }
  int fd() const noexcept { return file_.get(); }
  bool has_page(uint64_t page) const noexcept { return ((pages_[page / 64] >> (page % 64)) & 1) != 0; }
  const std::vector<uint64_t>& page_bits() const noexcept { return pages_; }
  /** The bytes of one page: a view of the file, or of a page of zeros. */
  void copy_page(uint64_t page, uint8_t* destination) const noexcept;
  bool page_equals(uint64_t page, const uint8_t* bytes) const noexcept;

 private:
  Snapshot() = default;

  std::shared_ptr<const Plan> plan_;
  Vcpu vcpu_;
  std::vector<uint64_t> pages_;
  UniqueFd file_;
  Mapping view_;
};

}  // namespace mayfly
