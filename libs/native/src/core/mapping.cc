#include "mapping.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "error.hpp"

namespace mayfly {

Mapping Mapping::map(uint64_t bytes, int protection, int flags, int fd, uint64_t offset) {
  void* address = ::mmap(nullptr, bytes, protection, flags, fd, static_cast<off_t>(offset));
  if (address == MAP_FAILED) throw KvmError::from_errno("mmap", errno);
  // SAFETY: the kernel returned a fresh range of exactly `bytes`, which this object alone unmaps.
  Mapping mapping(static_cast<uint8_t*>(address), bytes);
  ::madvise(address, bytes, MADV_DONTFORK);
  ::madvise(address, bytes, MADV_DONTDUMP);
  return mapping;
}

Mapping Mapping::anonymous(uint64_t bytes) {
  Mapping mapping = map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  // A huge page would be zeroed whole for the few pages that a call touches.
  ::madvise(mapping.data_, bytes, MADV_NOHUGEPAGE);
  return mapping;
}

Mapping Mapping::private_of(int fd, uint64_t bytes) {
  return map(bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd);
}

Mapping Mapping::private_view_of(int fd, uint64_t bytes, uint64_t offset) {
  return map(bytes, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, offset);
}

Mapping Mapping::readonly_of(int fd, uint64_t bytes) { return map(bytes, PROT_READ, MAP_SHARED, fd); }

Mapping Mapping::shared_of(int fd, uint64_t bytes) {
  return map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
}

void Mapping::reset() noexcept {
  if (data_ != nullptr) ::munmap(data_, bytes_);
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace mayfly
