#include "plan_file.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "../core/error.hpp"

namespace mayfly::cell {
namespace {

/** Takes numbers off the front of a file. */
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> rest) : rest_(rest) {}

  template <typename T>
  T next() {
    T value;
    std::memcpy(&value, bytes(sizeof value).data(), sizeof value);
    return value;
  }

  std::span<const uint8_t> bytes(uint64_t count) {
    if (count > rest_.size()) throw KvmError(ErrorCode::Plan, "the plan file is truncated");
    const auto front = rest_.first(count);
    rest_ = rest_.subspan(count);
    return front;
  }

 private:
  std::span<const uint8_t> rest_;
};

std::shared_ptr<const Windows> windows_of(std::vector<PlanRange> watched, const Plan& plan) {
  uint64_t total = 0;
  for (const PlanRange& range : watched) {
    if (!plan.contains(range.address, range.length_bytes))
      throw KvmError(ErrorCode::Plan, "a watched range leaves guest memory");
    total += std::min(range.length_bytes, kMaxWatchedBytes + 1);
  }
  if (total > kMaxWatchedBytes) throw KvmError(ErrorCode::Plan, "the watched ranges are too long");
  return std::make_shared<const Windows>(Windows{std::move(watched), plan.output_buffer()});
}

}  // namespace

PlanFile PlanFile::open(int fd, uint64_t length_bytes) {
  PlanFile file;
  if (length_bytes < sizeof(PlanHeader)) throw KvmError(ErrorCode::Plan, "the plan file is truncated");
  file.bytes = Mapping::readonly_of(fd, length_bytes);
  // SAFETY: the mapping has length_bytes, which the worker sealed the file at.
  Reader reader({file.bytes.data(), length_bytes});
  const auto head = reader.next<PlanHeader>();
  if (head.regions > kMaxRegions || head.watched > kMaxWatched || head.loads > kMaxLoads)
    throw KvmError(ErrorCode::Plan, "the plan has more than 1024 regions, 8 watched ranges or 4096 loads");
  std::vector<PlannedRegion> regions;
  for (uint32_t i = 0; i < head.regions; i++) {
    const auto region = reader.next<PlanRegion>();
    if (region.rights > rights::kAll) throw KvmError(ErrorCode::Plan, "a region has unknown rights");
    regions.push_back({region.address, region.length_bytes, static_cast<uint32_t>(region.rights)});
  }
  std::optional<uint64_t> ring0_table_bytes;
  if (head.ring0_table_bytes != kNoRing0) ring0_table_bytes = head.ring0_table_bytes;
  file.plan = Plan::create(head.memory_bytes, std::move(regions), {head.output_address, head.output_bytes},
                           ring0_table_bytes);
  std::vector<PlanRange> watched;
  for (uint32_t i = 0; i < head.watched; i++) watched.push_back(reader.next<PlanRange>());
  file.windows = windows_of(std::move(watched), *file.plan);
  std::vector<PlanRange> loads;
  for (uint32_t i = 0; i < head.loads; i++) loads.push_back(reader.next<PlanRange>());
  for (const PlanRange& load : loads) file.loads.push_back({load.address, reader.bytes(load.length_bytes)});
  return file;
}

}  // namespace mayfly::cell
