#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace mayfly {

inline constexpr uint64_t kPageBytes = 4096;

/** Whole pages that hold `bytes`. */
constexpr uint64_t round_up_to_page(uint64_t bytes) noexcept {
  return (bytes + kPageBytes - 1) & ~(kPageBytes - 1);
}

/** Owns one mmap. Children of a fork do not inherit it, and core dumps leave it out. */
class Mapping {
 public:
  Mapping() noexcept = default;
  /** Zeroed private memory that costs what is touched. @throws KvmError */
  static Mapping anonymous(uint64_t bytes);
  /** Private copy-on-write view of a file. @throws KvmError */
  static Mapping private_of(int fd, uint64_t bytes);
  /** Private read-only view of a file, from a page on. @throws KvmError */
  static Mapping private_view_of(int fd, uint64_t bytes, uint64_t offset);
  /** Shared read-only view of a file. @throws KvmError */
  static Mapping readonly_of(int fd, uint64_t bytes);
  /** Shared writable view, as a vCPU's run page needs it. @throws KvmError */
  static Mapping shared_of(int fd, uint64_t bytes);

  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      reset();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  uint8_t* data() const noexcept { return data_; }
  uint64_t bytes() const noexcept { return bytes_; }
  explicit operator bool() const noexcept { return data_ != nullptr; }
  void reset() noexcept;

 private:
  Mapping(uint8_t* data, uint64_t bytes) noexcept : data_(data), bytes_(bytes) {}
  static Mapping map(uint64_t bytes, int protection, int flags, int fd, uint64_t offset = 0);

  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace mayfly
