#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "thread_filter.hpp"

namespace mayfly::jail {

/** How the arguments of a listed system call are checked. */
enum class Check : uint8_t {
  None,
  Ioctl,        // the KVM numbers of the thread's kind
  Futex,        // wait and wake, with or without a bit set; nothing with priorities or queues
  Mmap,         // readable and writable at most
  Madvise,      // the advice that core and allocator give
  Tgkill,       // the kick signal, to this process
  Fcntl,        // F_ADD_SEALS
  MemfdCreate,  // closed on exec, sealable; no huge pages, no execution
};

struct ListedCall {
  const char* name;
  uint32_t number;
  Check check;
  /** Bit of each ThreadKind that has it. */
  uint32_t kinds;
};

struct ListedIoctl {
  const char* name;
  uint32_t number;
  uint32_t kinds;
};

constexpr uint32_t kind_bit(ThreadKind kind) noexcept { return 1u << static_cast<uint32_t>(kind); }

/** All that a serving cell may ask of the kernel, over all of its threads. */
std::span<const ListedCall> listed_calls() noexcept;
/** All that it may ask of KVM. */
std::span<const ListedIoctl> listed_ioctls() noexcept;

std::span<const uint32_t> allowed_futex_operations() noexcept;
/** Flags beside the operation that do not change what it does. */
uint32_t futex_flags() noexcept;
std::span<const uint32_t> allowed_advice() noexcept;

}  // namespace mayfly::jail
