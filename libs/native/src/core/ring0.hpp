#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "guest_view.hpp"
#include "instruction.hpp"
#include "shell.hpp"
#include "virtual_cpu.hpp"

namespace mayfly {

/** How an exception of a guest built for ring 0 ended. */
struct Ring0Outcome {
  enum class Kind : uint8_t {
    GoOn,          // done or reflected: the registers say where the guest goes on
    Halt,          // a hlt with prefixes
    Exception,     // nothing in the guest takes it: vector, error code and fault address below
    TripleFault,   // the guest's IDT or stack cannot take it
    Refused,       // `name` and `bytes` say what is not done for the guest
    BadAccess,     // its page tables lead to physical `address`, where there is nothing or no such right
  };
  Kind kind;
  uint32_t vector = 0;
  uint64_t error_code = 0;
  uint64_t address = 0;
  bool write = false;
  const char* name = "";
  std::array<uint8_t, kMaxInstructionBytes> bytes = {};
  uint8_t length = 0;
};

/**
 * Does for a guest at CPL 3 what ring 0 would have done (ring0-guests 1, 2, 4, 6): privileged instructions over a
 * virtual CPU state, exceptions through the guest's own IDT, page faults from its own tables. It touches the run page
 * and guest bytes only; all that it reads there is the guest's word. Slot thread only, between two entries.
 */
class Ring0 {
 public:
  Ring0(VirtualCpu& cpu, GuestMemory& memory, Shell& shell) noexcept
      : cpu_(cpu), memory_(memory), shell_(shell), view_(memory, cpu) {}

  /** `registers`: of the guest at the exception; changed when it goes on. */
  Ring0Outcome handle(const ExceptionFrame& frame, uint64_t fault_address, GeneralRegisters& registers);

 private:
  // An emulation ends by nothing more to do, or by an exception of its own, or by refusing.
  struct Fault {
    uint32_t vector;
    uint64_t error_code = 0;
    uint64_t address = 0;
  };

  struct FarPointer {
    uint64_t offset;
    uint16_t selector;
    uint64_t offset_bytes;
  };

  std::span<const uint8_t> fetch(uint64_t rip);
  Ring0Outcome general_protection(uint64_t error_code, GeneralRegisters& registers);
  Ring0Outcome page_fault(const Fault& fault, GeneralRegisters& registers);
  Ring0Outcome execute(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome reflect(const Fault& fault, GeneralRegisters& registers, bool with_error_code);
  Ring0Outcome raise(const Fault& fault, GeneralRegisters& registers);
  Ring0Outcome refuse(const char* name) const;
  Ring0Outcome load_table(const Instruction& instruction, GeneralRegisters& registers, TableRegister& table);
  Ring0Outcome store(const Instruction& instruction, GeneralRegisters& registers, uint64_t value);
  Ring0Outcome store_table(const Instruction& instruction, GeneralRegisters& registers, const TableRegister& table);
  Ring0Outcome read_control(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome write_control(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome load_segment(const Instruction& instruction, GeneralRegisters& registers);
  /** Puts a selector into a data segment register, as every way of loading one does. @returns false with `fault` set. */
  bool load_selector(uint8_t number, uint16_t selector, Fault& fault);
  Ring0Outcome pop_segment(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome load_pointer(const Instruction& instruction, GeneralRegisters& registers);
  /** The operand of a far jump or of a load of one; 16, 32 or, with REX.W, 64 bits of offset (Intel's reading). */
  bool read_pointer(const Instruction& instruction, const GeneralRegisters& registers, FarPointer& pointer,
                    Fault& fault) const;
  Ring0Outcome far_transfer(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome far_return(const Instruction& instruction, GeneralRegisters& registers);
  Ring0Outcome interrupt_return(const Instruction& instruction, GeneralRegisters& registers);
  /** @returns false with `fault` set. */
  bool read(uint64_t address, std::span<uint8_t> bytes, Fault& fault) const;
  bool write(uint64_t address, std::span<const uint8_t> bytes, Fault& fault);
  Fault access_fault(Translation::Result result, uint64_t address, bool writes, bool fetches) const;
  /** A descriptor of the guest's GDT. @returns false when the selector leads out of it, or `fault` is set. */
  bool read_descriptor(uint16_t selector, uint64_t& descriptor, Fault& fault) const;
  void mark_accessed(uint16_t selector, uint64_t descriptor);
  bool is_ring0_code(uint16_t selector, uint64_t& descriptor) const;
  uint64_t effective_address(const Instruction& instruction, const GeneralRegisters& registers) const;
  void flush();

  VirtualCpu& cpu_;
  GuestMemory& memory_;
  Shell& shell_;
  GuestView view_;
  std::array<uint8_t, kMaxInstructionBytes> bytes_{};
  uint8_t fetched_ = 0;  // how many of bytes_ are code at RIP
};

}  // namespace mayfly
