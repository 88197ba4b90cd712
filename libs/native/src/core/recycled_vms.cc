#include "recycled_vms.hpp"

#include <algorithm>
#include <utility>

namespace mayfly {

RecycledVms::Put RecycledVms::put(VmBody body) {
  if (limit_ == 0 || !body.recyclable_on) return {std::move(body)};
  const uint64_t bytes = body.memory->plan().memory_bytes();
  if (bytes > kMaxBytes) return {std::move(body)};
  const std::optional<uint64_t> differences = differences_of(body);
  // One that could not be compared is freed, as if this did not exist.
  if (!differences) return {std::move(body)};
  const std::lock_guard lock(mutex_);
  if (*differences != 0) {
    counts_.unclean++;
    return {std::move(body), *differences};
  }
  uint64_t kept_bytes = bytes;
  for (const VmBody& each : kept_) kept_bytes += each.memory->plan().memory_bytes();
  // One goes at most, so that whoever calls frees one at a time; a large one that needs more room waits for the next.
  VmBody oldest;
  if (!kept_.empty() && (kept_.size() >= limit_ || kept_bytes > kMaxBytes)) {
    kept_bytes -= kept_.front().memory->plan().memory_bytes();
    oldest = std::move(kept_.front());
    kept_.pop_front();
  }
  if (kept_bytes > kMaxBytes) {
    kept_.push_front(std::move(oldest));
    return {std::move(body)};
  }
  kept_.push_back(std::move(body));
  counts_.kept++;
  return {std::move(oldest)};
}

VmBody RecycledVms::take(const Plan& plan, uint32_t slot) {
  const std::lock_guard lock(mutex_);
  // The plan's own object, not one that is equal: every image has its own.
  const auto fits = [&](const VmBody& body) { return &body.memory->plan() == &plan && body.recyclable_on == slot; };
  const auto found = std::find_if(kept_.rbegin(), kept_.rend(), fits);
  if (found == kept_.rend()) return {};
  VmBody body = std::move(*found);
  kept_.erase(std::next(found).base());
  counts_.reused++;
  return body;
}

void RecycledVms::clear() {
  std::deque<VmBody> all;
  const std::lock_guard lock(mutex_);
  all.swap(kept_);
}

RecycledVms::Counts RecycledVms::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

std::optional<uint64_t> RecycledVms::differences_of(const VmBody& body) {
  try {
    body.memory->restore();
    return body.memory->count_differences();
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace mayfly
