#include "guest_memory.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "error.hpp"

namespace mayfly {

GuestMemory::GuestMemory(std::shared_ptr<const Plan> plan)
    : plan_(std::move(plan)), memory_(Mapping::anonymous(plan_->memory_bytes())) {}

GuestMemory::GuestMemory(std::shared_ptr<const Snapshot> base)
    : plan_(base->plan()),
      base_(std::move(base)),
      memory_(Mapping::private_of(base_->fd(), plan_->memory_bytes())) {}

void GuestMemory::attach(Monitor& monitor) noexcept {
  monitor_ = &monitor;
  for (const auto& [address, length_bytes] : early_writes_) monitor.mark_dirty(address, length_bytes);
  early_writes_ = {};
}

// SAFETY (write, zero, read): the callers' ranges lie in [0, memory_bytes), which the mapping spans.
void GuestMemory::write(uint64_t address, std::span<const uint8_t> bytes) {
  if (bytes.empty()) return;
  std::memcpy(memory_.data() + address, bytes.data(), bytes.size());
  if (monitor_ != nullptr)
    monitor_->mark_dirty(address, bytes.size());
  else
    early_writes_.emplace_back(address, bytes.size());
}

void GuestMemory::zero(uint64_t address, uint64_t length_bytes) noexcept {
  std::memset(memory_.data() + address, 0, length_bytes);
  if (monitor_ != nullptr) monitor_->mark_dirty(address, length_bytes);
}

void GuestMemory::read(uint64_t address, std::span<uint8_t> bytes) const noexcept {
  std::memcpy(bytes.data(), memory_.data() + address, bytes.size());
}

void GuestMemory::read_physical(uint64_t address, std::span<uint8_t> bytes) const noexcept {
  if (plan_->contains(address, bytes.size()))
    read(address, bytes);
  else if (const Region* region = find_region(regions_, address, bytes.size()))
    region->read(address, bytes);
}

RestoreResult GuestMemory::restore() noexcept {
  if (plan_->supervisor()) return copy_all(*base_);
  RestoreResult result;
  monitor_->collect_dirty();
  monitor_->for_each_dirty([&](uint64_t page) {
    base_->copy_page(page, memory_.data() + page * kPageBytes);
    result.pages++;
  });
  return result;
}

RestoreResult GuestMemory::restore_to(std::shared_ptr<const Snapshot> snapshot) noexcept {
  if (snapshot == base_) return restore();
  // Dirty bits stay as they are: a superset of what will differ from the new base, which is all they promise.
  const RestoreResult result = copy_all(*snapshot);
  base_ = std::move(snapshot);
  return result;
}

RestoreResult GuestMemory::copy_all(const Snapshot& snapshot) noexcept {
  RestoreResult result;
  const std::vector<uint64_t> candidates = nonzero_candidates();
  for (uint64_t page = 0; page < plan_->pages(); page++) {
    const bool may_hold_data = ((candidates[page / 64] >> (page % 64)) & 1) != 0;
    if (!may_hold_data && !snapshot.has_page(page)) continue;
    snapshot.copy_page(page, memory_.data() + page * kPageBytes);
    result.pages++;
  }
  return result;
}

uint64_t GuestMemory::count_differences() const {
  // Reading a page that was never touched would make the kernel allocate it; such a page is zero.
  std::vector<unsigned char> resident(plan_->pages());
  if (::mincore(memory_.data(), plan_->memory_bytes(), resident.data()) < 0) throw KvmError::from_errno("mincore", errno);
  uint64_t differences = 0;
  for (uint64_t page = 0; page < plan_->pages(); page++) {
    if ((resident[page] & 1) == 0 && !base_->has_page(page)) continue;
    if (!base_->page_equals(page, memory_.data() + page * kPageBytes)) differences++;
  }
  return differences;
}

std::vector<uint64_t> GuestMemory::nonzero_candidates() const {
  std::vector<uint64_t> bits =
      base_ != nullptr ? base_->page_bits() : std::vector<uint64_t>((plan_->pages() + 63) / 64, 0);
  if (plan_->supervisor()) {
    // The guest's own page tables tell nothing: whatever is in memory may have been written.
    std::vector<unsigned char> resident(plan_->pages());
    const bool known = ::mincore(memory_.data(), plan_->memory_bytes(), resident.data()) == 0;
    for (uint64_t page = 0; page < plan_->pages(); page++)
      if (!known || (resident[page] & 1) != 0) bits[page / 64] |= uint64_t{1} << (page % 64);
    return bits;
  }
  monitor_->collect_dirty();
  monitor_->for_each_dirty([&](uint64_t page) { bits[page / 64] |= uint64_t{1} << (page % 64); });
  return bits;
}

void GuestMemory::set_base(std::shared_ptr<const Snapshot> snapshot) noexcept {
  base_ = std::move(snapshot);
  monitor_->clear_dirty();
}

}  // namespace mayfly
