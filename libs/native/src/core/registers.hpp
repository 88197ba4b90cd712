#pragma once

#include <cstddef>
#include <cstdint>

namespace mayfly {

/** x86-64 general registers, in the order in which requests, answers and the kernel lay them out. */
struct GeneralRegisters {
  uint64_t rax, rbx, rcx, rdx;
  uint64_t rsi, rdi, rsp, rbp;
  uint64_t r8, r9, r10, r11;
  uint64_t r12, r13, r14, r15;
  uint64_t rip, rflags;
};
static_assert(sizeof(GeneralRegisters) == 18 * 8);

/** A segment register with its hidden part. `limit` in bytes; `type`: Intel SDM vol. 3, 3.4.5.1 and 3.5. */
struct SegmentRegister {
  uint64_t base;
  uint32_t limit;
  uint16_t selector;
  uint8_t type;
  uint8_t present;
  uint8_t privilege_level;
  uint8_t default_big;
  uint8_t code_or_data;
  uint8_t long_mode;
  uint8_t granularity;
  uint8_t available;
  uint8_t reserved[2];
  bool operator==(const SegmentRegister&) const = default;
};
static_assert(sizeof(SegmentRegister) == 24);

struct TableRegister {
  uint64_t base = 0;
  uint16_t limit = 0;
  uint16_t reserved[3] = {};
  bool operator==(const TableRegister&) const = default;
};
static_assert(sizeof(TableRegister) == 16);

/** Registers besides the general ones, as they cross to JavaScript (`src/special-registers.ts`). */
struct SpecialRegisters {
  SegmentRegister cs, ds, es, fs, gs, ss, tr, ldt;
  TableRegister gdt, idt;
  uint64_t cr0, cr2, cr3, cr4, cr8, efer;
};
static_assert(sizeof(SpecialRegisters) == 272);

/** x87 and SSE state as FXSAVE64 stores it (Intel SDM vol. 1, 10.5.1). */
inline constexpr std::size_t kFxsaveBytes = 512;
inline constexpr std::size_t kMxcsrOffset = 24;
/** Bits of MXCSR that a CPU with SSE2 has. */
inline constexpr uint32_t kMxcsrMask = 0xffff;

constexpr bool is_canonical(uint64_t address) noexcept {
  return static_cast<uint64_t>(static_cast<int64_t>(address << 16) >> 16) == address;
}

namespace rflags {
inline constexpr uint64_t kFixed = 0x2;
inline constexpr uint64_t kTrap = 0x100;
inline constexpr uint64_t kInterrupt = 0x200;
inline constexpr uint64_t kResume = 0x10000;
inline constexpr uint64_t kAlignmentCheck = 0x40000;
/** What an unprivileged guest may hold: status flags, TF, DF, AC, ID. IOPL, NT and VM stay 0. */
inline constexpr uint64_t kUser = 0x240dd5;
}  // namespace rflags

/** All 0 but the flag that is fixed. */
inline constexpr GeneralRegisters kInitialRegisters = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, rflags::kFixed};

/** The flags that really run for `wanted`: IF is on, as on any kernel's user mode (no interrupt ever comes). */
constexpr uint64_t user_rflags(uint64_t wanted) noexcept {
  return (wanted & rflags::kUser) | rflags::kFixed | rflags::kInterrupt;
}

}  // namespace mayfly
