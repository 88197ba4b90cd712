#include "plan.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "error.hpp"
#include "mapping.hpp"

namespace mayfly {
namespace {

bool page_aligned(uint64_t value) { return (value & (kPageBytes - 1)) == 0; }

[[noreturn]] void refuse(const std::string& text) { throw KvmError(ErrorCode::Plan, text); }

std::string name_of(std::size_t index) { return "region " + std::to_string(index); }

}  // namespace

std::shared_ptr<const Plan> Plan::create(uint64_t memory_bytes, std::vector<PlannedRegion> regions,
                                         OutputBufferPlace output_buffer,
                                         std::optional<uint64_t> ring0_table_bytes, bool supervisor) {
  if (memory_bytes == 0 || !page_aligned(memory_bytes)) refuse("memoryBytes is not a positive number of pages");
  if (memory_bytes > kMaxGuestBytes) refuse("memoryBytes is above 1 GiB");
  if (regions.size() > kMaxRegions) refuse("more than 1024 regions");
  if (supervisor && ring0_table_bytes) refuse("a guest in ring 0 has no virtual ring 0");
  uint64_t end = 0;
  if (ring0_table_bytes) {
    end = *ring0_table_bytes;
    if (end == 0 || !page_aligned(end) || end > memory_bytes)
      refuse("the page tables of a ring-0 guest are not a positive number of pages of guest memory");
  }
  for (std::size_t i = 0; i < regions.size(); i++) {
    const PlannedRegion& region = regions[i];
    if (!page_aligned(region.address)) refuse(name_of(i) + " does not start on a page");
    if (region.length_bytes == 0 || !page_aligned(region.length_bytes))
      refuse(name_of(i) + " is not a positive number of pages long");
    if ((region.rights & ~rights::kAll) != 0) refuse(name_of(i) + " has unknown rights");
    if (region.address < end)
      refuse(name_of(i) + " overlaps the one before it (or the page tables) or is out of order");
    if (region.address > memory_bytes || region.length_bytes > memory_bytes - region.address)
      refuse(name_of(i) + " ends outside guest memory");
    end = region.address + region.length_bytes;
  }
  if (output_buffer.length_bytes != 0) {
    if (output_buffer.length_bytes < 16) refuse("the output buffer is below 16 bytes");
    if (output_buffer.address > memory_bytes || output_buffer.length_bytes > memory_bytes - output_buffer.address)
      refuse("the output buffer ends outside guest memory");
  }
  return std::shared_ptr<const Plan>(
      new Plan(memory_bytes, std::move(regions), output_buffer, ring0_table_bytes, supervisor));
}

uint32_t Plan::rights_at(uint64_t address) const noexcept {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](uint64_t value, const PlannedRegion& region) { return value < region.address; });
  if (after == regions_.begin()) return 0;
  const PlannedRegion& region = *std::prev(after);
  return address - region.address < region.length_bytes ? region.rights : 0;
}

}  // namespace mayfly
