#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace mayfly {

inline constexpr std::size_t kMaxInstructionBytes = 15;

/** What a privileged instruction does. */
enum class Privileged : uint8_t {
  Halt,
  LoadGdt,
  LoadIdt,
  StoreGdt,
  StoreIdt,
  StoreMachineStatus,
  StoreTask,
  StoreLdt,
  FlushPage,
  ReadControl,
  WriteControl,
  LoadSegment,
  PopSegment,   // `reg`: fs or gs
  LoadPointer,  // `reg`: ss, fs or gs; the general register is `general`
  FarJump,
  FarCall,
  FarReturn,
  InterruptReturn,
  ClearInterrupts,
  SetInterrupts,
  SoftwareInterrupt,
  LoadTask,
  Nothing,  // no effect that a guest could see
  Refused,  // known, and not done for the guest
};

inline constexpr uint8_t kNoRegister = 0xff;

/** A memory operand: base + index * scale + displacement. */
struct MemoryOperand {
  uint8_t base = kNoRegister;
  uint8_t index = kNoRegister;
  uint8_t scale = 1;
  int32_t displacement = 0;
  bool rip_relative = false;
  bool address32 = false;
  /** segment::kFs or kGs, whose base is added; else kNoRegister. */
  uint8_t segment = kNoRegister;
};

/** A decoded instruction. Register numbers are the encoding's: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp … 15 r15. */
struct Instruction {
  Privileged kind;
  const char* name;
  uint8_t length;
  bool wide;         // REX.W
  bool operand16;    // 66
  uint8_t reg = 0;   // ModRM.reg with REX.R
  uint8_t rm = 0;    // ModRM.rm with REX.B, when it names a register
  bool has_memory = false;
  MemoryOperand memory = {};
  uint8_t immediate = 0;  // of `int`
  uint8_t general = 0;    // of a load of a far pointer
};

/**
 * Decodes one instruction out of at most 15 bytes, when it is one that CPL 3 may not execute and a guest built for
 * ring 0 could (ring0-guests 6.3, 6.4). @returns nothing for any other, or for one that the bytes cut off.
 */
std::optional<Instruction> decode_privileged(std::span<const uint8_t> bytes) noexcept;

}  // namespace mayfly
