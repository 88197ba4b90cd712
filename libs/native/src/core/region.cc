#include "region.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <string>

#include "error.hpp"

namespace mayfly {
namespace {

// Below the monitor and on every x86-64's physical addresses.
constexpr uint64_t kMaxRegionEnd = 60ull << 30;
// Pages that KVM keeps for itself on Intel hosts without unrestricted guest: identity map and TSS.
constexpr uint64_t kKvmPages = 0xfffbc000;
constexpr uint64_t kKvmPagesEnd = 0xfffc0000;

[[noreturn]] void refuse(const std::string& text) { throw KvmError(ErrorCode::Region, text); }

bool page_aligned(uint64_t value) { return (value & (kPageBytes - 1)) == 0; }

bool overlap(const PlannedRegion& place, uint64_t start, uint64_t end) {
  return place.address < end && start < place.address + place.length_bytes;
}

/** What can be said of a place without its VM. */
void check_place(const PlannedRegion& place) {
  if (!page_aligned(place.address) || !page_aligned(place.length_bytes)) refuse("the region is not page-aligned");
  if (place.length_bytes == 0) refuse("the region is empty");
  if (place.length_bytes > kMaxGuestBytes) refuse("the region is above 1 GiB");
  if ((place.rights & rights::kStackGuard) != 0) refuse("host memory cannot be mapped as a stack guard page");
  if ((place.rights & rights::kWrite) != 0) refuse("writable mappings are not supported");
  if ((place.rights & rights::kRead) == 0 || (place.rights & ~rights::kAll) != 0)
    refuse("a region's rights are READ, or READ and EXECUTE");
  if (place.address > kMaxRegionEnd || place.length_bytes > kMaxRegionEnd - place.address)
    refuse("the region ends above 60 GiB");
  if (overlap(place, kKvmPages, kKvmPagesEnd)) refuse("0xfffbc000 to 0xfffc0000 belong to the hypervisor");
}

void write_fully(int fd, std::span<const uint8_t> bytes) {
  uint64_t offset = 0;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw KvmError::from_errno("pwrite", written < 0 ? errno : EIO);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

}  // namespace

Region::Region(PlannedRegion place, UniqueFd file, uint64_t offset)
    : place_(place),
      file_(std::move(file)),
      offset_(offset),
      view_(Mapping::private_view_of(file_.get(), place.length_bytes, offset)) {}

std::shared_ptr<const Region> Region::of_bytes(PlannedRegion place, std::span<const uint8_t> bytes) {
  if (bytes.empty()) refuse("the source is empty");
  const uint64_t available = round_up_to_page(bytes.size());
  if (place.length_bytes == 0) place.length_bytes = available;
  check_place(place);
  if (place.length_bytes > available) refuse("the source is shorter than the region");
  UniqueFd file(::memfd_create("mayfly-region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) throw KvmError::from_errno("memfd_create", errno);
  if (::ftruncate(file.get(), static_cast<off_t>(place.length_bytes)) < 0) throw KvmError::from_errno("ftruncate", errno);
  write_fully(file.get(), bytes.first(std::min<uint64_t>(bytes.size(), place.length_bytes)));
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    throw KvmError::from_errno("fcntl F_ADD_SEALS", errno);
  return std::shared_ptr<const Region>(new Region(place, std::move(file), 0));
}

std::shared_ptr<const Region> Region::of_file(PlannedRegion place, int fd, uint64_t offset) {
  UniqueFd file(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!file) throw KvmError::from_errno("the file's descriptor", errno, ErrorCode::Region);
  struct stat status {};
  if (::fstat(file.get(), &status) < 0) throw KvmError::from_errno("fstat", errno, ErrorCode::Region);
  if (!S_ISREG(status.st_mode)) refuse("the source is not a regular file");
  if (!page_aligned(offset)) refuse("the offset in the file is not page-aligned");
  const auto size = static_cast<uint64_t>(status.st_size);
  if (offset >= size) refuse("the source is empty");
  const uint64_t available = round_up_to_page(size - offset);
  if (place.length_bytes == 0) place.length_bytes = available;
  check_place(place);
  if (place.length_bytes > available) refuse("the source is shorter than the region");
  try {
    return std::shared_ptr<const Region>(new Region(place, std::move(file), offset));
  } catch (const KvmError& error) {
    throw KvmError(ErrorCode::Region, error.what(), error.error_number(), error.operation());
  }
}

void Region::read(uint64_t address, std::span<uint8_t> bytes) const noexcept {
  // Not through the view: a file that was shortened meanwhile would end this process, not the guest.
  uint64_t at = offset_ + (address - place_.address);
  while (!bytes.empty()) {
    const ssize_t count = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    at += static_cast<uint64_t>(count);
  }
  if (!bytes.empty()) std::memset(bytes.data(), 0, bytes.size());
}

const Region* find_region(const Regions& regions, uint64_t address, uint64_t length_bytes) noexcept {
  for (const auto& region : regions)
    if (region->contains(address, length_bytes)) return region.get();
  return nullptr;
}

Regions with_region(const Regions& regions, const Plan& plan, std::shared_ptr<const Region> region) {
  const PlannedRegion& place = region->place();
  if (place.address < plan.memory_bytes()) refuse("the region overlaps guest memory");
  if (regions.size() >= kMaxMappedRegions) refuse("32 regions are mapped already");
  for (const auto& other : regions)
    if (overlap(place, other->place().address, other->place().address + other->place().length_bytes))
      refuse("the region overlaps one that is mapped already");
  Regions result = regions;
  const auto after = std::find_if(result.begin(), result.end(),
                                  [&](const auto& other) { return other->place().address > place.address; });
  result.insert(after, std::move(region));
  return result;
}

Regions without_region(const Regions& regions, uint64_t address) {
  Regions result = regions;
  if (std::erase_if(result, [&](const auto& region) { return region->place().address == address; }) == 0)
    refuse("no mapped region starts there");
  return result;
}

}  // namespace mayfly
