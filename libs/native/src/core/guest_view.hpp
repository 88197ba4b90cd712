#pragma once

#include <cstdint>
#include <span>

#include "guest_memory.hpp"
#include "virtual_cpu.hpp"

namespace mayfly {

enum class AccessKind : uint8_t { Read, Write, Execute };

/** Where an address of a guest built for ring 0 leads. */
struct Translation {
  enum class Result : uint8_t {
    Allowed,
    NotCanonical,   // #GP
    NotPresent,     // #PF by the guest's tables or by what the host has mapped
    Denied,         // #PF: present, without the right
    Unbacked,       // the guest's tables lead out of its memory, or to a page that takes no such access
  };
  Result result;
  uint64_t physical = 0;
  /** For Allowed: rights that the guest's tables and its memory both give. */
  bool writable = false;
  bool executable = false;
};

/**
 * Memory as a guest built for ring 0 addresses it: guest memory is identity mapped with the plan's rights; above it,
 * and nowhere else, the guest's own page tables count (ring0-guests 4). Every number in them is the guest's word.
 */
class GuestView {
 public:
  GuestView(GuestMemory& memory, const VirtualCpu& cpu) noexcept : memory_(memory), cpu_(cpu) {}

  Translation translate(uint64_t address, AccessKind kind) const noexcept;
  /** Whether the guest's own tables have a present leaf for an address, in the identity map, too. */
  bool is_present(uint64_t address) const noexcept;

  /** Result of the first page that does not allow it; `fault_address` is then that page's first byte used. */
  Translation::Result read(uint64_t address, std::span<uint8_t> bytes, uint64_t* fault_address) const noexcept;
  /** As the CPU stores: two pages are checked before either is written, longer stores go two pages at a time. */
  Translation::Result write(uint64_t address, std::span<const uint8_t> bytes, uint64_t* fault_address);

 private:
  struct Leaf {
    bool present = false;
    uint64_t physical = 0;
    bool writable = true;
    bool executable = true;
  };
  Leaf walk(uint64_t address) const noexcept;
  uint32_t backing_rights(uint64_t physical) const noexcept;

  GuestMemory& memory_;
  const VirtualCpu& cpu_;
};

}  // namespace mayfly
