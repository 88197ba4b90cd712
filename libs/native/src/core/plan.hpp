#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace mayfly {

/** Rights of a region as guest-abi 1.1 numbers them. */
namespace rights {
inline constexpr uint32_t kRead = 1;
inline constexpr uint32_t kWrite = 2;
inline constexpr uint32_t kExecute = 4;
inline constexpr uint32_t kStackGuard = 8;
inline constexpr uint32_t kAll = 15;
}  // namespace rights

inline constexpr uint64_t kMaxGuestBytes = 1ull << 30;
inline constexpr uint64_t kMaxRegions = 1024;

struct PlannedRegion {
  uint64_t address;
  uint64_t length_bytes;
  uint32_t rights;
  bool operator==(const PlannedRegion&) const = default;
};

struct OutputBufferPlace {
  uint64_t address = 0;
  uint64_t length_bytes = 0;  // 0: no port is served on the thread
  bool operator==(const OutputBufferPlace&) const = default;
};

/**
 * Sizes and rights of a guest. Immutable once made: VMs and snapshots of one version share it.
 */
class Plan {
 public:
  /** @throws KvmError (Plan) that names what is wrong: alignment, order, overlap, bounds, unknown rights. */
  static std::shared_ptr<const Plan> create(uint64_t memory_bytes, std::vector<PlannedRegion> regions,
                                            OutputBufferPlace output_buffer,
                                            std::optional<uint64_t> ring0_table_bytes = std::nullopt,
                                            bool supervisor = false);

  uint64_t memory_bytes() const noexcept { return memory_bytes_; }
  uint64_t pages() const noexcept { return memory_bytes_ >> 12; }
  const std::vector<PlannedRegion>& regions() const noexcept { return regions_; }
  const OutputBufferPlace& output_buffer() const noexcept { return output_buffer_; }
  /** The guest was built for ring 0. */
  bool ring0() const noexcept { return ring0_table_bytes_.has_value(); }
  /** How much of memory, from address 0, holds the page tables that a ring-0 guest believes in. */
  uint64_t ring0_table_bytes() const noexcept { return ring0_table_bytes_.value_or(0); }
  /** The guest runs in ring 0 of its VM and owns its page tables; there is no monitor. */
  bool supervisor() const noexcept { return supervisor_; }
  /** Rights of the region that holds an address; 0 outside all. */
  uint32_t rights_at(uint64_t address) const noexcept;
  bool operator==(const Plan&) const = default;

  /** Whether [address, address + length) lies in guest memory, without wrapping. */
  bool contains(uint64_t address, uint64_t length_bytes) const noexcept {
    return address <= memory_bytes_ && length_bytes <= memory_bytes_ - address;
  }

 private:
  Plan(uint64_t memory_bytes, std::vector<PlannedRegion> regions, OutputBufferPlace output_buffer,
       std::optional<uint64_t> ring0_table_bytes, bool supervisor)
      : memory_bytes_(memory_bytes),
        regions_(std::move(regions)),
        output_buffer_(output_buffer),
        ring0_table_bytes_(ring0_table_bytes),
        supervisor_(supervisor) {}

  uint64_t memory_bytes_;
  std::vector<PlannedRegion> regions_;
  OutputBufferPlace output_buffer_;
  std::optional<uint64_t> ring0_table_bytes_;
  bool supervisor_;
};

}  // namespace mayfly
