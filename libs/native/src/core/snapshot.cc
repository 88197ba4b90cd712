#include "snapshot.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "error.hpp"

namespace mayfly {
namespace {

bool is_zero_page(const uint8_t* page) noexcept {
  return page[0] == 0 && std::memcmp(page, page + 1, kPageBytes - 1) == 0;
}

void write_fully(int fd, const uint8_t* bytes, uint64_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t written = ::pwrite(fd, bytes, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw KvmError::from_errno("pwrite", written < 0 ? errno : EIO);
    bytes += written;
    offset += static_cast<uint64_t>(written);
    length -= static_cast<uint64_t>(written);
  }
}

}  // namespace

std::shared_ptr<const Snapshot> Snapshot::take(std::shared_ptr<const Plan> plan, const uint8_t* memory,
                                               const std::vector<uint64_t>& candidates, Vcpu vcpu) {
  std::shared_ptr<Snapshot> snapshot(new Snapshot());
  const uint64_t pages = plan->pages();
  snapshot->pages_.assign((pages + 63) / 64, 0);
  snapshot->file_ = UniqueFd(::memfd_create("mayfly-snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!snapshot->file_) throw KvmError::from_errno("memfd_create", errno);
  const int fd = snapshot->file_.get();
  if (::ftruncate(fd, static_cast<off_t>(plan->memory_bytes())) < 0) throw KvmError::from_errno("ftruncate", errno);

  uint64_t run_start = 0;
  uint64_t run_pages = 0;
  const auto flush = [&] {
    if (run_pages > 0)
      write_fully(fd, memory + run_start * kPageBytes, run_pages * kPageBytes, run_start * kPageBytes);
    run_pages = 0;
  };
  for (uint64_t page = 0; page < pages; page++) {
    const bool candidate = ((candidates[page / 64] >> (page % 64)) & 1) != 0;
    // SAFETY: page < pages, and `memory` spans the plan's memoryBytes.
    if (!candidate || is_zero_page(memory + page * kPageBytes)) {
      flush();
      continue;
    }
    if (run_pages == 0) run_start = page;
    run_pages++;
    snapshot->pages_[page / 64] |= uint64_t{1} << (page % 64);
  }
  flush();

  if (::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    throw KvmError::from_errno("fcntl F_ADD_SEALS", errno);
  snapshot->view_ = Mapping::readonly_of(fd, plan->memory_bytes());
  snapshot->plan_ = std::move(plan);
  snapshot->vcpu_ = std::move(vcpu);
  return snapshot;
}

void Snapshot::copy_page(uint64_t page, uint8_t* destination) const noexcept {
  if (has_page(page)) {
    // SAFETY: a page bit is only set below plan pages, which is what the view spans.
    std::memcpy(destination, view_.data() + page * kPageBytes, kPageBytes);
  } else {
    // Reading a hole through the view would fill it: the kernel allocates file pages on a read.
    std::memset(destination, 0, kPageBytes);
  }
}

bool Snapshot::page_equals(uint64_t page, const uint8_t* bytes) const noexcept {
  // SAFETY: as in copy_page; `bytes` is a whole page.
  if (!has_page(page)) return is_zero_page(bytes);
  return std::memcmp(view_.data() + page * kPageBytes, bytes, kPageBytes) == 0;
}

}  // namespace mayfly
