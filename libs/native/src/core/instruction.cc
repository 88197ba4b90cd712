#include "instruction.hpp"

#include <cstring>
#include <utility>

#include "virtual_cpu.hpp"

namespace mayfly {
namespace {

enum class Form : uint8_t {
  Plain,      // opcode alone, `extension`: the segment register that it names, if any
  Byte,       // an immediate byte
  Word,       // an immediate word
  Any,        // ModRM, register or memory
  Memory,     // ModRM with a memory operand
  Pointer,    // ModRM with a memory operand, `extension`: the segment register that it loads
  Control,    // ModRM whose mod is ignored and taken as register: mov cr, mov dr
  WholeModrm  // ModRM is part of the opcode: `extension`
};

constexpr int kAnyExtension = -1;

struct Row {
  bool escaped;  // 0f
  uint8_t opcode;
  Form form;
  int extension;  // ModRM.reg, or all of ModRM; kAnyExtension
  Privileged kind;
  const char* name;
};

using enum Privileged;

constexpr Row kRows[] = {
    {false, 0xf4, Form::Plain, kAnyExtension, Halt, "hlt"},
    {false, 0xfa, Form::Plain, kAnyExtension, ClearInterrupts, "cli"},
    {false, 0xfb, Form::Plain, kAnyExtension, SetInterrupts, "sti"},
    {false, 0xcd, Form::Byte, kAnyExtension, SoftwareInterrupt, "int"},
    {false, 0xcb, Form::Plain, kAnyExtension, FarReturn, "retf"},
    {false, 0xca, Form::Word, kAnyExtension, Refused, "retf imm16"},
    {false, 0xcf, Form::Plain, kAnyExtension, InterruptReturn, "iret"},
    {false, 0x8e, Form::Any, kAnyExtension, LoadSegment, "mov sreg"},
    {false, 0xff, Form::Memory, 3, FarCall, "call far"},
    {false, 0xff, Form::Memory, 5, FarJump, "jmp far"},
    {true, 0xa1, Form::Plain, segment::kFs, PopSegment, "pop fs"},
    {true, 0xa9, Form::Plain, segment::kGs, PopSegment, "pop gs"},
    {true, 0xb2, Form::Pointer, segment::kSs, LoadPointer, "lss"},
    {true, 0xb4, Form::Pointer, segment::kFs, LoadPointer, "lfs"},
    {true, 0xb5, Form::Pointer, segment::kGs, LoadPointer, "lgs"},
    {true, 0x00, Form::Any, 0, StoreLdt, "sldt"},
    {true, 0x00, Form::Any, 1, StoreTask, "str"},
    {true, 0x00, Form::Any, 2, Refused, "lldt"},
    {true, 0x00, Form::Any, 3, LoadTask, "ltr"},
    {true, 0x01, Form::WholeModrm, 0xc8, Refused, "monitor"},
    {true, 0x01, Form::WholeModrm, 0xc9, Refused, "mwait"},
    {true, 0x01, Form::WholeModrm, 0xd1, Refused, "xsetbv"},
    {true, 0x01, Form::WholeModrm, 0xf8, Refused, "swapgs"},
    {true, 0x01, Form::Memory, 0, StoreGdt, "sgdt"},
    {true, 0x01, Form::Memory, 1, StoreIdt, "sidt"},
    {true, 0x01, Form::Memory, 2, LoadGdt, "lgdt"},
    {true, 0x01, Form::Memory, 3, LoadIdt, "lidt"},
    {true, 0x01, Form::Any, 4, StoreMachineStatus, "smsw"},
    {true, 0x01, Form::Any, 6, Refused, "lmsw"},
    {true, 0x01, Form::Memory, 7, FlushPage, "invlpg"},
    {true, 0x06, Form::Plain, kAnyExtension, Nothing, "clts"},
    {true, 0x07, Form::Plain, kAnyExtension, Refused, "sysret"},
    {true, 0x08, Form::Plain, kAnyExtension, Nothing, "invd"},
    {true, 0x09, Form::Plain, kAnyExtension, Nothing, "wbinvd"},
    {true, 0x20, Form::Control, kAnyExtension, ReadControl, "mov from cr"},
    {true, 0x21, Form::Control, kAnyExtension, Refused, "mov from dr"},
    {true, 0x22, Form::Control, kAnyExtension, WriteControl, "mov to cr"},
    {true, 0x23, Form::Control, kAnyExtension, Refused, "mov to dr"},
    {true, 0x30, Form::Plain, kAnyExtension, Refused, "wrmsr"},
    {true, 0x32, Form::Plain, kAnyExtension, Refused, "rdmsr"},
    {true, 0x33, Form::Plain, kAnyExtension, Refused, "rdpmc"},
    {true, 0x35, Form::Plain, kAnyExtension, Refused, "sysexit"},
};

/** Takes bytes from the front; once they run out, `failed`. */
class Cursor {
 public:
  explicit Cursor(std::span<const uint8_t> bytes) noexcept
      : bytes_(bytes.first(bytes.size() < kMaxInstructionBytes ? bytes.size() : kMaxInstructionBytes)) {}
  uint8_t peek() const noexcept { return offset_ < bytes_.size() ? bytes_[offset_] : uint8_t{0}; }
  uint8_t byte() noexcept {
    const uint8_t value = peek();
    skip(1);
    return value;
  }
  int32_t displacement(std::size_t size) noexcept {
    int32_t value = 0;
    if (offset_ + size > bytes_.size()) {
      failed_ = true;
    } else if (size == 1) {
      value = static_cast<int8_t>(bytes_[offset_]);
    } else {
      std::memcpy(&value, bytes_.data() + offset_, sizeof value);
    }
    skip(size);
    return value;
  }
  void skip(std::size_t count) noexcept {
    offset_ += count;
    if (offset_ > bytes_.size()) failed_ = true;
  }
  bool failed() const noexcept { return failed_; }
  uint8_t length() const noexcept { return static_cast<uint8_t>(offset_); }

 private:
  std::span<const uint8_t> bytes_;
  std::size_t offset_ = 0;
  bool failed_ = false;
};

struct Prefixes {
  bool operand16 = false;
  bool address32 = false;
  uint8_t segment = kNoRegister;
  uint8_t rex = 0;
};

/** @returns false for `lock`, which none of our instructions takes. */
bool read_prefixes(Cursor& cursor, Prefixes& prefixes) noexcept {
  for (; !cursor.failed(); cursor.skip(1)) {
    const uint8_t byte = cursor.peek();
    if ((byte & 0xf0) == 0x40) {
      prefixes.rex = byte;
      continue;
    }
    switch (byte) {
      case 0x66:
        prefixes.operand16 = true;
        break;
      case 0x67:
        prefixes.address32 = true;
        break;
      case 0x64:
        prefixes.segment = segment::kFs;
        break;
      case 0x65:
        prefixes.segment = segment::kGs;
        break;
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0xf2:
      case 0xf3:
        break;
      case 0xf0:
        return false;
      default:
        return true;
    }
    // A REX prefix counts only right before the opcode.
    prefixes.rex = 0;
  }
  return false;
}

bool matches(const Row& row, bool escaped, uint8_t opcode, uint8_t modrm) noexcept {
  if (row.escaped != escaped || row.opcode != opcode) return false;
  switch (row.form) {
    case Form::WholeModrm:
      return modrm == row.extension;
    case Form::Memory:
      return modrm < 0xc0 && ((modrm >> 3) & 7) == row.extension;
    case Form::Pointer:
      return modrm < 0xc0;
    case Form::Any:
      return row.extension == kAnyExtension || ((modrm >> 3) & 7) == row.extension;
    default:
      return true;
  }
}

void read_memory(Cursor& cursor, const Prefixes& prefixes, uint8_t modrm, MemoryOperand& memory) noexcept {
  const uint8_t mod = modrm >> 6;
  const uint8_t rm = modrm & 7;
  const auto extended = [&prefixes](uint8_t number, uint8_t bit) {
    return static_cast<uint8_t>(number | ((prefixes.rex & bit) != 0 ? 8 : 0));
  };
  memory.address32 = prefixes.address32;
  memory.segment = prefixes.segment;
  std::size_t displacement_bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
  if (rm == 4) {
    const uint8_t sib = cursor.byte();
    const uint8_t index = extended((sib >> 3) & 7, 2);
    if (index != 4) {
      memory.index = index;
      memory.scale = static_cast<uint8_t>(1 << (sib >> 6));
    }
    if ((sib & 7) == 5 && mod == 0)
      displacement_bytes = 4;
    else
      memory.base = extended(sib & 7, 1);
  } else if (rm == 5 && mod == 0) {
    memory.rip_relative = true;
    displacement_bytes = 4;
  } else {
    memory.base = extended(rm, 1);
  }
  if (displacement_bytes != 0) memory.displacement = cursor.displacement(displacement_bytes);
}

}  // namespace

std::optional<Instruction> decode_privileged(std::span<const uint8_t> bytes) noexcept {
  Cursor cursor(bytes);
  Prefixes prefixes;
  if (!read_prefixes(cursor, prefixes)) return std::nullopt;
  uint8_t opcode = cursor.byte();
  const bool escaped = opcode == 0x0f;
  if (escaped) opcode = cursor.byte();
  const uint8_t modrm = cursor.peek();
  for (const Row& row : kRows) {
    if (!matches(row, escaped, opcode, modrm)) continue;
    Instruction instruction{row.kind, row.name, 0, (prefixes.rex & 8) != 0, prefixes.operand16};
    switch (row.form) {
      case Form::Plain:
        if (row.extension != kAnyExtension) instruction.reg = static_cast<uint8_t>(row.extension);
        break;
      case Form::Byte:
        instruction.immediate = cursor.byte();
        break;
      case Form::Word:
        cursor.skip(2);
        break;
      default: {
        cursor.skip(1);
        instruction.reg = static_cast<uint8_t>(((modrm >> 3) & 7) | ((prefixes.rex & 4) != 0 ? 8 : 0));
        instruction.rm = static_cast<uint8_t>((modrm & 7) | ((prefixes.rex & 1) != 0 ? 8 : 0));
        instruction.has_memory = modrm < 0xc0 && row.form != Form::Control && row.form != Form::WholeModrm;
        if (instruction.has_memory) read_memory(cursor, prefixes, modrm, instruction.memory);
        if (row.form == Form::Pointer)
          instruction.general = std::exchange(instruction.reg, static_cast<uint8_t>(row.extension));
      }
    }
    if (cursor.failed()) return std::nullopt;
    instruction.length = cursor.length();
    return instruction;
  }
  return std::nullopt;
}

}  // namespace mayfly
