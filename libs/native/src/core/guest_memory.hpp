#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "mapping.hpp"
#include "monitor.hpp"
#include "plan.hpp"
#include "region.hpp"
#include "snapshot.hpp"

namespace mayfly {

/** What a restore did. */
struct RestoreResult {
  uint32_t pages = 0;
};

/**
 * Memory of one guest, and the way back to a snapshot. Every store of the host goes through `write`, which marks
 * the page dirty as the CPU would: restore has one mechanism. One thread at a time, never while the guest runs.
 */
class GuestMemory {
 public:
  /** Zeroed memory. @throws KvmError */
  explicit GuestMemory(std::shared_ptr<const Plan> plan);
  /** Memory that starts as the snapshot, sharing its pages until they are written. @throws KvmError */
  explicit GuestMemory(std::shared_ptr<const Snapshot> base);

  const Plan& plan() const noexcept { return *plan_; }
  const std::shared_ptr<const Plan>& shared_plan() const noexcept { return plan_; }
  uint8_t* data() const noexcept { return memory_.data(); }
  const std::shared_ptr<const Snapshot>& base() const noexcept { return base_; }

  /** From here on, stores and restores use these page tables. */
  void attach(Monitor& monitor) noexcept;

  /** Range checked by the caller with `Plan::contains`. */
  void write(uint64_t address, std::span<const uint8_t> bytes);
  void zero(uint64_t address, uint64_t length_bytes) noexcept;
  void read(uint64_t address, std::span<uint8_t> bytes) const noexcept;

  /** Memory beside the plan's, read-only. */
  const Regions& regions() const noexcept { return regions_; }
  void set_regions(Regions regions) noexcept { regions_ = std::move(regions); }
  /** Whether a range lies in guest memory or in one region. */
  bool is_backed(uint64_t address, uint64_t length_bytes) const noexcept {
    return plan_->contains(address, length_bytes) || find_region(regions_, address, length_bytes) != nullptr;
  }
  /** As `read`, of a range that is backed. */
  void read_physical(uint64_t address, std::span<uint8_t> bytes) const noexcept;
  /** A little-endian number; the caller has checked the range. */
  template <typename T>
  T load(uint64_t address) const noexcept {
    T value;
    std::memcpy(&value, memory_.data() + address, sizeof value);
    return value;
  }

  /** Copies back what was written since the base was taken. Needs a base. */
  RestoreResult restore() noexcept;
  /** Makes memory equal to another snapshot of the same plan, which becomes the base. */
  RestoreResult restore_to(std::shared_ptr<const Snapshot> snapshot) noexcept;
  /** Pages that differ from the base, all of memory compared. Needs a base. @throws KvmError */
  uint64_t count_differences() const;
  /** A bit for every page that may differ from zero. */
  std::vector<uint64_t> nonzero_candidates() const;
  /** The snapshot was just taken of this memory. The caller makes the backend forget its translations. */
  void set_base(std::shared_ptr<const Snapshot> snapshot) noexcept;

 private:
  RestoreResult copy_all(const Snapshot& snapshot) noexcept;

  std::shared_ptr<const Plan> plan_;
  std::shared_ptr<const Snapshot> base_;
  Mapping memory_;
  Regions regions_;
  Monitor* monitor_ = nullptr;
  // Ranges written before the page tables existed: `attach` marks them.
  std::vector<std::pair<uint64_t, uint64_t>> early_writes_;
};

}  // namespace mayfly
