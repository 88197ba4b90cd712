#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "mapping.hpp"
#include "plan.hpp"
#include "unique_fd.hpp"

namespace mayfly {

/**
 * Read-only memory beside a guest's own (guest-abi 1.4): bytes, or the pages of a file. Immutable and shared: VMs and
 * snapshots hold the same one, so its pages are in memory once.
 */
class Region {
 public:
  /** @throws KvmError (Region, Hypervisor) */
  static std::shared_ptr<const Region> of_bytes(PlannedRegion place, std::span<const uint8_t> bytes);
  /**
   * The file's pages from `offset` on, copy-on-write; the descriptor stays the caller's. A place without a length takes
   * what the file has. @throws KvmError (Region, Hypervisor)
   */
  static std::shared_ptr<const Region> of_file(PlannedRegion place, int fd, uint64_t offset);

  const PlannedRegion& place() const noexcept { return place_; }
  bool contains(uint64_t address, uint64_t length_bytes) const noexcept {
    return address >= place_.address && address - place_.address <= place_.length_bytes &&
           length_bytes <= place_.length_bytes - (address - place_.address);
  }
  uint8_t* data() const noexcept { return view_.data(); }
  /** Range checked by the caller with `contains`. What a file no longer has reads as zero. */
  void read(uint64_t address, std::span<uint8_t> bytes) const noexcept;

 private:
  Region(PlannedRegion place, UniqueFd file, uint64_t offset);

  PlannedRegion place_;
  UniqueFd file_;
  uint64_t offset_;
  Mapping view_;
};

/** Ascending by address, not overlapping. */
using Regions = std::vector<std::shared_ptr<const Region>>;

inline constexpr std::size_t kMaxMappedRegions = 32;

/** The region that holds all of a range; null when none does. */
const Region* find_region(const Regions& regions, uint64_t address, uint64_t length_bytes) noexcept;
/** `regions` with one more, in its place. @throws KvmError (Region) that says what is wrong with it. */
Regions with_region(const Regions& regions, const Plan& plan, std::shared_ptr<const Region> region);
/** `regions` without the one that starts there. @throws KvmError (Region) when none does. */
Regions without_region(const Regions& regions, uint64_t address);

}  // namespace mayfly
