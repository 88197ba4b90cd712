#include "guest_view.hpp"

#include <algorithm>

namespace mayfly {
namespace {

constexpr uint64_t kPresent = 1 << 0;
constexpr uint64_t kWritable = 1 << 1;
constexpr uint64_t kLarge = 1 << 7;
constexpr uint64_t kNoExecute = 1ull << 63;
constexpr uint64_t kAddressMask = 0x000ffffffffff000;

uint32_t right_for(AccessKind kind) {
  switch (kind) {
    case AccessKind::Write:
      return rights::kWrite;
    case AccessKind::Execute:
      return rights::kExecute;
    default:
      return rights::kRead;
  }
}

}  // namespace

GuestView::Leaf GuestView::walk(uint64_t address) const noexcept {
  Leaf leaf;
  if (!is_canonical(address)) return leaf;
  uint64_t table = cpu_.cr3 & kAddressMask;
  for (int shift = 39; shift >= 12; shift -= 9) {
    const uint64_t at = table + ((address >> shift) & 511) * 8;
    if (!memory_.plan().contains(at, 8)) return {};
    const auto entry = memory_.load<uint64_t>(at);
    if ((entry & kPresent) == 0) return {};
    leaf.writable = leaf.writable && (entry & kWritable) != 0;
    leaf.executable = leaf.executable && (entry & kNoExecute) == 0;
    const bool large = (shift == 30 || shift == 21) && (entry & kLarge) != 0;
    if (shift == 12 || large) {
      const uint64_t offset_mask = (uint64_t{1} << shift) - 1;
      leaf.physical = ((entry & kAddressMask) & ~offset_mask) | (address & offset_mask);
      leaf.present = true;
      return leaf;
    }
    table = entry & kAddressMask;
  }
  return {};
}

uint32_t GuestView::backing_rights(uint64_t physical) const noexcept {
  const Plan& plan = memory_.plan();
  if (physical < plan.ring0_table_bytes()) return cpu_.sees_tables ? rights::kRead | rights::kWrite : 0;
  if (physical >= plan.memory_bytes()) {
    const Region* region = find_region(memory_.regions(), physical, 1);
    return region == nullptr ? 0 : region->place().rights;
  }
  const uint32_t found = plan.rights_at(physical);
  return (found & rights::kStackGuard) != 0 ? 0 : found;
}

bool GuestView::is_present(uint64_t address) const noexcept { return walk(address).present; }

Translation GuestView::translate(uint64_t address, AccessKind kind) const noexcept {
  using enum Translation::Result;
  if (!is_canonical(address)) return {NotCanonical};
  if (address < memory_.plan().memory_bytes()) {
    const uint32_t found = backing_rights(address);
    if (found == 0) return {NotPresent};
    if ((found & right_for(kind)) == 0) return {Denied};
    return {Allowed, address, (found & rights::kWrite) != 0, (found & rights::kExecute) != 0};
  }
  const Leaf leaf = walk(address);
  if (!leaf.present) return {NotPresent};
  if (kind == AccessKind::Write && !leaf.writable) return {Denied};
  if (kind == AccessKind::Execute && !leaf.executable) return {Denied};
  const uint32_t found = backing_rights(leaf.physical);
  if ((found & right_for(kind)) == 0) return {kind == AccessKind::Execute ? Denied : Unbacked, leaf.physical};
  return {Allowed, leaf.physical, leaf.writable && (found & rights::kWrite) != 0,
          leaf.executable && (found & rights::kExecute) != 0};
}

Translation::Result GuestView::read(uint64_t address, std::span<uint8_t> bytes,
                                    uint64_t* fault_address) const noexcept {
  while (!bytes.empty()) {
    const Translation page = translate(address, AccessKind::Read);
    *fault_address = address;
    if (page.result != Translation::Result::Allowed) return page.result;
    const uint64_t length = std::min<uint64_t>(bytes.size(), kPageBytes - (address & (kPageBytes - 1)));
    // Allowed: the physical page lies in guest memory or a region.
    memory_.read_physical(page.physical, bytes.first(length));
    bytes = bytes.subspan(length);
    address += length;
  }
  return Translation::Result::Allowed;
}

Translation::Result GuestView::write(uint64_t address, std::span<const uint8_t> bytes, uint64_t* fault_address) {
  while (!bytes.empty()) {
    const uint64_t length = std::min<uint64_t>(bytes.size(), kPageBytes - (address & (kPageBytes - 1)));
    const uint64_t rest = std::min<uint64_t>(bytes.size() - length, kPageBytes);
    // Both translations come before the store: it may change the tables that they went through.
    const Translation page = translate(address, AccessKind::Write);
    *fault_address = address;
    if (page.result != Translation::Result::Allowed) return page.result;
    const Translation next = rest > 0 ? translate(address + length, AccessKind::Write) : page;
    *fault_address = address + length;
    if (next.result != Translation::Result::Allowed) return next.result;
    memory_.write(page.physical, bytes.first(length));
    if (rest > 0) memory_.write(next.physical, bytes.subspan(length, rest));
    bytes = bytes.subspan(length + rest);
    address += length + rest;
  }
  return Translation::Result::Allowed;
}

}  // namespace mayfly
