#pragma once

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

namespace rflags {
inline constexpr uint64_t kFixed = 0x2;
inline constexpr uint64_t kTrap = 0x100;
inline constexpr uint64_t kInterrupt = 0x200;
inline constexpr uint64_t kResume = 0x10000;
inline constexpr uint64_t kAlignmentCheck = 0x40000;
/** What an unprivileged guest may hold: status flags, TF, DF, AC, ID. IOPL, NT and VM stay 0. */
inline constexpr uint64_t kUser = 0x240dd5;
}  // namespace rflags

/** The flags that really run for `wanted`: IF is on, as on any kernel's user mode (no interrupt ever comes). */
constexpr uint64_t user_rflags(uint64_t wanted) noexcept {
  return (wanted & rflags::kUser) | rflags::kFixed | rflags::kInterrupt;
}

}  // namespace mayfly
