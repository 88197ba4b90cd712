#pragma once

#include <cstdint>

#include "registers.hpp"

namespace mayfly {

/** CR4 bit that guests built for ring 0 toggle to flush their TLB. */
inline constexpr uint64_t kCr4GlobalPages = 1 << 7;

/** Of a segment descriptor. */
inline constexpr uint64_t kAccessedSegment = 1ull << 40;

/**
 * What a guest built for ring 0 believes its control state to be, while the real one is the monitor's. Plain data:
 * a snapshot copies it, a restore copies it back. Initial values: guest-abi 4.1.
 */
struct VirtualCpu {
  uint64_t cr0 = 0x80050033;
  uint64_t cr2 = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0x620;
  /** Selectors: es, cs, ss, ds, fs, gs, as instructions number them. */
  uint16_t selectors[6] = {};
  /** What each was loaded with; 0 for null. At first a 64-bit code segment of limit 0 and nothing else. */
  uint64_t descriptors[6] = {0, 0x00209b0000000000, 0, 0, 0, 0};
  uint16_t ldt = 0;
  uint16_t task = 0;
  TableRegister gdt;
  TableRegister idt;
  bool interrupts = false;
  /** The guest has read CR3: from now on it may see its page tables. */
  bool sees_tables = false;
  bool operator==(const VirtualCpu&) const = default;

  /** `number` as below; the accessed bit counts as set, which a load does. */
  void load(uint8_t number, uint16_t selector, uint64_t descriptor) noexcept {
    selectors[number] = selector;
    descriptors[number] = descriptor == 0 ? 0 : descriptor | kAccessedSegment;
  }
};

namespace segment {
inline constexpr uint8_t kEs = 0;
inline constexpr uint8_t kCs = 1;
inline constexpr uint8_t kSs = 2;
inline constexpr uint8_t kDs = 3;
inline constexpr uint8_t kFs = 4;
inline constexpr uint8_t kGs = 5;
}  // namespace segment

}  // namespace mayfly
