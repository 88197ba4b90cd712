#include "ring0.hpp"

#include <algorithm>
#include <cstring>

namespace mayfly {
namespace {

using Kind = Ring0Outcome::Kind;

constexpr uint32_t kUndefined = 6;
constexpr uint32_t kNotPresentSegment = 11;
constexpr uint32_t kStackSegment = 12;
constexpr uint32_t kProtection = 13;
constexpr uint32_t kPageFault = 14;

// Error code of a page fault.
constexpr uint64_t kFaultPresent = 1 << 0;
constexpr uint64_t kFaultWrite = 1 << 1;
constexpr uint64_t kFaultFetch = 1 << 4;

// Bits of a segment descriptor.
constexpr uint64_t kWritableData = 1ull << 41;
constexpr uint64_t kReadableCode = 1ull << 41;
constexpr uint64_t kCode = 1ull << 43;
constexpr uint64_t kCodeOrData = 1ull << 44;
constexpr uint64_t kPresent = 1ull << 47;
constexpr uint64_t kLong = 1ull << 53;
constexpr uint64_t kBig = 1ull << 54;

constexpr uint64_t kNestedTask = 1 << 14;
constexpr uint64_t kMonitorEntry = 511;

constexpr Ring0Outcome kGoOn{Kind::GoOn};

uint32_t privilege_of(uint64_t descriptor) { return (descriptor >> 45) & 3; }
uint64_t base_of(uint64_t descriptor) {
  return ((descriptor >> 16) & 0xffffff) | (((descriptor >> 56) & 0xff) << 24);
}
bool is_null(uint16_t selector) { return (selector & ~3) == 0; }
uint64_t error_code_of(uint16_t selector) { return selector & 0xfffc; }

uint64_t& general(GeneralRegisters& registers, uint8_t number) {
  static constexpr uint64_t GeneralRegisters::*kByNumber[16] = {
      &GeneralRegisters::rax, &GeneralRegisters::rcx, &GeneralRegisters::rdx, &GeneralRegisters::rbx,
      &GeneralRegisters::rsp, &GeneralRegisters::rbp, &GeneralRegisters::rsi, &GeneralRegisters::rdi,
      &GeneralRegisters::r8,  &GeneralRegisters::r9,  &GeneralRegisters::r10, &GeneralRegisters::r11,
      &GeneralRegisters::r12, &GeneralRegisters::r13, &GeneralRegisters::r14, &GeneralRegisters::r15};
  return registers.*kByNumber[number & 15];
}
uint64_t general(const GeneralRegisters& registers, uint8_t number) {
  GeneralRegisters copy = registers;
  return general(copy, number);
}

template <typename T>
std::span<uint8_t> bytes_of(T& value) {
  // SAFETY: the bytes of a trivially copyable object of this size.
  return {reinterpret_cast<uint8_t*>(&value), sizeof value};
}

}  // namespace

Ring0Outcome Ring0::handle(const ExceptionFrame& frame, uint64_t fault_address, GeneralRegisters& registers) {
  if (frame.vector == kPageFault) return page_fault({kPageFault, frame.error_code, fault_address}, registers);
  if (frame.vector == kProtection) return general_protection(frame.error_code, registers);
  if (frame.vector == kUndefined) {
    // `int n` and far transfers to ring 0 are #UD on a paravirtual KVM; nothing else that is #UD is done for the guest.
    const auto instruction = decode_privileged(fetch(registers.rip));
    if (instruction && (instruction->kind == Privileged::SoftwareInterrupt || instruction->kind == Privileged::FarJump ||
                        instruction->kind == Privileged::FarCall))
      return execute(*instruction, registers);
  }
  return raise({frame.vector, frame.error_code}, registers);
}

std::span<const uint8_t> Ring0::fetch(uint64_t rip) {
  fetched_ = 0;
  for (uint8_t i = 0; i < kMaxInstructionBytes; i++) {
    const Translation at = view_.translate(rip + i, AccessKind::Execute);
    if (at.result != Translation::Result::Allowed) break;
    memory_.read_physical(at.physical, {&bytes_[i], 1});
    fetched_++;
  }
  return {bytes_.data(), fetched_};
}

Ring0Outcome Ring0::general_protection(uint64_t error_code, GeneralRegisters& registers) {
  const auto instruction = decode_privileged(fetch(registers.rip));
  return instruction ? execute(*instruction, registers) : raise({kProtection, error_code}, registers);
}

Ring0Outcome Ring0::page_fault(const Fault& fault, GeneralRegisters& registers) {
  const bool writes = (fault.error_code & kFaultWrite) != 0;
  const AccessKind kind = (fault.error_code & kFaultFetch) != 0 ? AccessKind::Execute
                          : writes                              ? AccessKind::Write
                                                                : AccessKind::Read;
  const Plan& plan = memory_.plan();
  const bool in_memory = fault.address < plan.memory_bytes();
  if (in_memory && (plan.rights_at(fault.address) & rights::kStackGuard) != 0)
    return {Kind::Exception, kPageFault, fault.error_code, fault.address};
  const Translation at = view_.translate(fault.address, kind);
  const uint64_t page = fault.address & ~(kPageBytes - 1);
  if (at.result == Translation::Result::Allowed) {
    if (in_memory && fault.address < plan.ring0_table_bytes() && (fault.error_code & kFaultPresent) == 0) {
      shell_.monitor().open_table_page(page);
      return kGoOn;
    }
    if (!in_memory && ((fault.address >> 39) & 511) != kMonitorEntry) {
      if (shell_.monitor().give_page(page, at.physical & ~(kPageBytes - 1), at.writable, at.executable))
        shell_.vm().forget_translations();
      return kGoOn;
    }
  }
  if (kind == AccessKind::Read) {
    // A far return that changes the privilege level reads further up the stack than one in ring 0.
    const auto instruction = decode_privileged(fetch(registers.rip));
    if (instruction && (instruction->kind == Privileged::FarReturn || instruction->kind == Privileged::InterruptReturn))
      return execute(*instruction, registers);
  }
  if (at.result == Translation::Result::Unbacked) return {Kind::BadAccess, 0, 0, at.physical, writes};
  return raise(access_fault(at.result == Translation::Result::Allowed ? Translation::Result::Denied : at.result,
                            fault.address, writes, kind == AccessKind::Execute),
               registers);
}

Ring0::Fault Ring0::access_fault(Translation::Result result, uint64_t address, bool writes, bool fetches) const {
  if (result == Translation::Result::NotCanonical) return {kProtection};
  return {kPageFault,
          (view_.is_present(address) ? kFaultPresent : 0) | (writes ? kFaultWrite : 0) | (fetches ? kFaultFetch : 0),
          address};
}

bool Ring0::read(uint64_t address, std::span<uint8_t> bytes, Fault& fault) const {
  uint64_t at = 0;
  const auto result = view_.read(address, bytes, &at);
  if (result != Translation::Result::Allowed) fault = access_fault(result, at, false, false);
  return result == Translation::Result::Allowed;
}

bool Ring0::write(uint64_t address, std::span<const uint8_t> bytes, Fault& fault) {
  uint64_t at = 0;
  const auto result = view_.write(address, bytes, &at);
  if (result != Translation::Result::Allowed) fault = access_fault(result, at, true, false);
  return result == Translation::Result::Allowed;
}

Ring0Outcome Ring0::raise(const Fault& fault, GeneralRegisters& registers) {
  return reflect(fault, registers, has_error_code(fault.vector));
}

Ring0Outcome Ring0::refuse(const char* name) const {
  Ring0Outcome outcome{Kind::Refused};
  outcome.name = name;
  outcome.bytes = bytes_;
  outcome.length = fetched_;
  return outcome;
}

Ring0Outcome Ring0::reflect(const Fault& fault, GeneralRegisters& registers, bool with_error_code) {
  // A guest that has no IDT yet could only shut down: the exception itself says more.
  if (cpu_.idt.limit == 0) return {Kind::Exception, fault.vector, fault.error_code, fault.address};
  constexpr Ring0Outcome kTripleFault{Kind::TripleFault};
  uint64_t gate[2];
  Fault nested{};
  if (uint64_t{fault.vector} * sizeof gate + sizeof gate - 1 > cpu_.idt.limit) return kTripleFault;
  if (!read(cpu_.idt.base + fault.vector * sizeof gate, bytes_of(gate), nested)) return kTripleFault;
  const uint32_t type = (gate[0] >> 40) & 0x1f;
  if ((gate[0] & kPresent) == 0 || (type != 0x0e && type != 0x0f)) return kTripleFault;
  if (((gate[0] >> 32) & 7) != 0) return refuse("interrupt gate with IST");
  const auto selector = static_cast<uint16_t>(gate[0] >> 16);
  uint64_t descriptor = 0;
  if (!is_ring0_code(selector, descriptor)) return kTripleFault;
  const uint64_t target = (gate[0] & 0xffff) | ((gate[0] >> 32) & 0xffff0000) | (gate[1] << 32);
  if (!is_canonical(target)) return kTripleFault;

  const uint64_t flags = (registers.rflags & ~(rflags::kResume | rflags::kInterrupt)) |
                         (cpu_.interrupts ? rflags::kInterrupt : 0);
  // Lowest first, as the CPU leaves them: error code, rip, cs, rflags, rsp, ss.
  uint64_t frame[6] = {fault.error_code, registers.rip, cpu_.selectors[segment::kCs],
                       flags,            registers.rsp, cpu_.selectors[segment::kSs]};
  const std::span<uint8_t> pushed = bytes_of(frame).subspan(with_error_code ? 0 : 8);
  const uint64_t stack = (registers.rsp & ~uint64_t{15}) - pushed.size();
  if (!write(stack, pushed, nested)) {
    const bool in_guard = nested.vector == kPageFault && nested.address < memory_.plan().memory_bytes() &&
                          (memory_.plan().rights_at(nested.address) & rights::kStackGuard) != 0;
    if (in_guard) return {Kind::Exception, kPageFault, kFaultWrite, nested.address};
    return kTripleFault;
  }
  mark_accessed(selector, descriptor);
  if (fault.vector == kPageFault) cpu_.cr2 = fault.address;
  cpu_.load(segment::kCs, static_cast<uint16_t>(selector & ~3), descriptor);
  if (type == 0x0e) cpu_.interrupts = false;
  registers.rip = target;
  registers.rsp = stack;
  registers.rflags &= ~(rflags::kTrap | kNestedTask | rflags::kResume);
  return kGoOn;
}

bool Ring0::read_descriptor(uint16_t selector, uint64_t& descriptor, Fault& fault) const {
  const uint64_t offset = selector & ~7u;
  fault = {kProtection, error_code_of(selector)};
  if ((selector & 4) != 0 || offset + 7 > cpu_.gdt.limit) return false;
  return read(cpu_.gdt.base + offset, bytes_of(descriptor), fault);
}

void Ring0::mark_accessed(uint16_t selector, uint64_t descriptor) {
  if ((descriptor & kAccessedSegment) != 0) return;
  const auto access = static_cast<uint8_t>((descriptor | kAccessedSegment) >> 40);
  Fault ignored{};
  // A GDT that cannot be written keeps its bit clear: nothing that a guest can tell depends on it.
  write(cpu_.gdt.base + (selector & ~7u) + 5, {&access, 1}, ignored);
}

bool Ring0::is_ring0_code(uint16_t selector, uint64_t& descriptor) const {
  Fault ignored{};
  constexpr uint64_t kMust = kPresent | kCodeOrData | kCode | kLong;
  return !is_null(selector) && read_descriptor(selector, descriptor, ignored) && (descriptor & kMust) == kMust &&
         (descriptor & kBig) == 0 && privilege_of(descriptor) == 0;
}

uint64_t Ring0::effective_address(const Instruction& instruction, const GeneralRegisters& registers) const {
  const MemoryOperand& operand = instruction.memory;
  uint64_t address = static_cast<uint64_t>(int64_t{operand.displacement});
  if (operand.rip_relative) address += registers.rip + instruction.length;
  if (operand.base != kNoRegister) address += general(registers, operand.base);
  if (operand.index != kNoRegister) address += general(registers, operand.index) * operand.scale;
  if (operand.address32) address &= 0xffffffff;
  if (operand.segment != kNoRegister) address += shell_.vm().segment_base(operand.segment == segment::kGs);
  return address;
}

void Ring0::flush() {
  // Given pages come back at their next touch, as the tables then are. The identity map is the host's and stays.
  if (shell_.monitor().take_pages_back(false)) shell_.vm().forget_translations();
}

Ring0Outcome Ring0::execute(const Instruction& instruction, GeneralRegisters& registers) {
  const uint64_t next = registers.rip + instruction.length;
  switch (instruction.kind) {
    case Privileged::Halt:
      return {Kind::Halt};
    case Privileged::LoadGdt:
      return load_table(instruction, registers, cpu_.gdt);
    case Privileged::LoadIdt:
      return load_table(instruction, registers, cpu_.idt);
    case Privileged::StoreGdt:
      return store_table(instruction, registers, cpu_.gdt);
    case Privileged::StoreIdt:
      return store_table(instruction, registers, cpu_.idt);
    case Privileged::StoreMachineStatus:
      return store(instruction, registers, cpu_.cr0);
    case Privileged::StoreTask:
      return store(instruction, registers, cpu_.task);
    case Privileged::StoreLdt:
      return store(instruction, registers, cpu_.ldt);
    case Privileged::FlushPage:
      flush();
      break;
    case Privileged::ReadControl:
      return read_control(instruction, registers);
    case Privileged::WriteControl:
      return write_control(instruction, registers);
    case Privileged::LoadSegment:
      return load_segment(instruction, registers);
    case Privileged::PopSegment:
      return pop_segment(instruction, registers);
    case Privileged::LoadPointer:
      return load_pointer(instruction, registers);
    case Privileged::FarJump:
    case Privileged::FarCall:
      return far_transfer(instruction, registers);
    case Privileged::FarReturn:
      return far_return(instruction, registers);
    case Privileged::InterruptReturn:
      return interrupt_return(instruction, registers);
    case Privileged::ClearInterrupts:
      cpu_.interrupts = false;
      break;
    case Privileged::SetInterrupts:
      cpu_.interrupts = true;
      break;
    case Privileged::SoftwareInterrupt: {
      const uint32_t vector = instruction.immediate;
      uint64_t gate = 0;
      Fault fault{};
      const bool has_gate = vector * 16 + 15 <= cpu_.idt.limit &&
                            read(cpu_.idt.base + vector * 16, bytes_of(gate), fault) && (gate & kPresent) != 0;
      if (!has_gate) return raise({kProtection, uint64_t{vector} * 8 + 2}, registers);
      registers.rip = next;
      return reflect({vector}, registers, false);
    }
    case Privileged::LoadTask: {
      uint16_t selector = 0;
      Fault fault{};
      if (!instruction.has_memory)
        selector = static_cast<uint16_t>(general(registers, instruction.rm));
      else if (!read(effective_address(instruction, registers), bytes_of(selector), fault))
        return raise(fault, registers);
      cpu_.task = selector;
      break;
    }
    case Privileged::Nothing:
      break;
    case Privileged::Refused:
      return refuse(instruction.name);
  }
  registers.rip = next;
  return kGoOn;
}

Ring0Outcome Ring0::load_table(const Instruction& instruction, GeneralRegisters& registers, TableRegister& table) {
  uint8_t operand[10];
  Fault fault{};
  if (!read(effective_address(instruction, registers), operand, fault)) return raise(fault, registers);
  TableRegister loaded;
  std::memcpy(&loaded.limit, operand, sizeof loaded.limit);
  std::memcpy(&loaded.base, operand + sizeof loaded.limit, sizeof loaded.base);
  if (!is_canonical(loaded.base)) return raise({kProtection}, registers);
  table = loaded;
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::store_table(const Instruction& instruction, GeneralRegisters& registers,
                                const TableRegister& table) {
  uint8_t operand[10];
  std::memcpy(operand, &table.limit, sizeof table.limit);
  std::memcpy(operand + sizeof table.limit, &table.base, sizeof table.base);
  Fault fault{};
  if (!write(effective_address(instruction, registers), operand, fault)) return raise(fault, registers);
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::store(const Instruction& instruction, GeneralRegisters& registers, uint64_t value) {
  if (instruction.has_memory) {
    auto word = static_cast<uint16_t>(value);
    Fault fault{};
    if (!write(effective_address(instruction, registers), bytes_of(word), fault)) return raise(fault, registers);
  } else {
    uint64_t& target = general(registers, instruction.rm);
    if (instruction.operand16 && !instruction.wide)
      target = (target & ~uint64_t{0xffff}) | (value & 0xffff);
    else
      target = instruction.wide ? value : value & 0xffffffff;
  }
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::read_control(const Instruction& instruction, GeneralRegisters& registers) {
  uint64_t& target = general(registers, instruction.rm);
  switch (instruction.reg) {
    case 0:
      target = cpu_.cr0;
      break;
    case 2:
      target = cpu_.cr2;
      break;
    case 3:
      target = cpu_.cr3;
      cpu_.sees_tables = true;
      break;
    case 4:
      target = cpu_.cr4;
      break;
    case 8:
      target = 0;
      break;
    default:
      return raise({kUndefined}, registers);
  }
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::write_control(const Instruction& instruction, GeneralRegisters& registers) {
  const uint64_t value = general(registers, instruction.rm);
  switch (instruction.reg) {
    case 0:
      if (value != cpu_.cr0) return refuse("mov to cr0");
      break;
    case 2:
      cpu_.cr2 = value;
      break;
    case 3:
      if (value != cpu_.cr3) return refuse("mov to cr3");
      flush();
      break;
    case 4:
      if (((value ^ cpu_.cr4) & ~kCr4GlobalPages) != 0) return refuse("mov to cr4");
      cpu_.cr4 = value;
      flush();
      break;
    case 8:
      if (value != 0) return refuse("mov to cr8");
      break;
    default:
      return raise({kUndefined}, registers);
  }
  registers.rip += instruction.length;
  return kGoOn;
}

bool Ring0::load_selector(uint8_t number, uint16_t selector, Fault& fault) {
  uint64_t descriptor = 0;
  if (!is_null(selector)) {
    if (!read_descriptor(selector, descriptor, fault)) return false;
    const bool is_stack = number == segment::kSs;
    const bool data = (descriptor & kCode) == 0;
    const bool usable = (descriptor & kCodeOrData) != 0 && (is_stack ? data && (descriptor & kWritableData) != 0
                                                                     : data || (descriptor & kReadableCode) != 0);
    const uint32_t requested = selector & 3;
    const bool allowed = is_stack ? requested == 0 && privilege_of(descriptor) == 0 : privilege_of(descriptor) >= requested;
    if (!usable || !allowed) {
      fault = {kProtection, error_code_of(selector)};
      return false;
    }
    if ((descriptor & kPresent) == 0) {
      fault = {is_stack ? kStackSegment : kNotPresentSegment, error_code_of(selector)};
      return false;
    }
    mark_accessed(selector, descriptor);
  }
  cpu_.load(number, selector, descriptor);
  if (number == segment::kFs || number == segment::kGs)
    shell_.vm().set_segment_base(number == segment::kGs, is_null(selector) ? 0 : base_of(descriptor));
  return true;
}

Ring0Outcome Ring0::load_segment(const Instruction& instruction, GeneralRegisters& registers) {
  const uint8_t number = instruction.reg & 7;
  if (number > segment::kGs || number == segment::kCs) return raise({kUndefined}, registers);
  uint16_t selector = 0;
  Fault fault{};
  if (!instruction.has_memory)
    selector = static_cast<uint16_t>(general(registers, instruction.rm));
  else if (!read(effective_address(instruction, registers), bytes_of(selector), fault))
    return raise(fault, registers);
  if (!load_selector(number, selector, fault)) return raise(fault, registers);
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::pop_segment(const Instruction& instruction, GeneralRegisters& registers) {
  uint64_t popped = 0;
  const std::size_t size = instruction.operand16 && !instruction.wide ? 2 : sizeof popped;
  Fault fault{};
  if (!read(registers.rsp, bytes_of(popped).first(size), fault)) return raise(fault, registers);
  if (!load_selector(instruction.reg, static_cast<uint16_t>(popped), fault)) return raise(fault, registers);
  registers.rsp += size;
  registers.rip += instruction.length;
  return kGoOn;
}

bool Ring0::read_pointer(const Instruction& instruction, const GeneralRegisters& registers, FarPointer& pointer,
                         Fault& fault) const {
  uint8_t operand[sizeof(uint64_t) + sizeof(uint16_t)];
  pointer.offset_bytes = instruction.wide ? 8 : instruction.operand16 ? 2 : 4;
  const auto bytes = std::span(operand).first(pointer.offset_bytes + sizeof pointer.selector);
  if (!read(effective_address(instruction, registers), bytes, fault)) return false;
  pointer.offset = 0;
  std::memcpy(&pointer.offset, operand, pointer.offset_bytes);
  std::memcpy(&pointer.selector, operand + pointer.offset_bytes, sizeof pointer.selector);
  return true;
}

Ring0Outcome Ring0::load_pointer(const Instruction& instruction, GeneralRegisters& registers) {
  FarPointer pointer;
  Fault fault{};
  if (!read_pointer(instruction, registers, pointer, fault)) return raise(fault, registers);
  if (!load_selector(instruction.reg, pointer.selector, fault)) return raise(fault, registers);
  uint64_t& target = general(registers, instruction.general);
  target = pointer.offset_bytes == 2 ? (target & ~uint64_t{0xffff}) | pointer.offset : pointer.offset;
  registers.rip += instruction.length;
  return kGoOn;
}

Ring0Outcome Ring0::far_transfer(const Instruction& instruction, GeneralRegisters& registers) {
  FarPointer pointer;
  Fault fault{};
  uint64_t descriptor = 0;
  if (!read_pointer(instruction, registers, pointer, fault)) return raise(fault, registers);
  if ((pointer.selector & 3) != 0 || !is_ring0_code(pointer.selector, descriptor))
    return refuse(instruction.kind == Privileged::FarCall ? "call far to no 64-bit ring-0 code"
                                                          : "jmp far to no 64-bit ring-0 code");
  if (!is_canonical(pointer.offset)) return raise({kProtection}, registers);
  if (instruction.kind == Privileged::FarCall) {
    const uint64_t size = pointer.offset_bytes;
    const uint64_t return_to = registers.rip + instruction.length;
    const uint64_t code = cpu_.selectors[segment::kCs];
    uint8_t pushed[2 * sizeof(uint64_t)];
    std::memcpy(pushed, &return_to, size);
    std::memcpy(pushed + size, &code, size);
    if (!write(registers.rsp - 2 * size, {pushed, 2 * size}, fault)) return raise(fault, registers);
    registers.rsp -= 2 * size;
  }
  mark_accessed(pointer.selector, descriptor);
  cpu_.load(segment::kCs, pointer.selector, descriptor);
  registers.rip = pointer.offset;
  return kGoOn;
}

Ring0Outcome Ring0::far_return(const Instruction& instruction, GeneralRegisters& registers) {
  if (!instruction.wide) return refuse("32-bit retf");
  uint64_t popped[2];  // rip, cs
  Fault fault{};
  if (!read(registers.rsp, bytes_of(popped), fault)) return raise(fault, registers);
  uint64_t descriptor = 0;
  const auto selector = static_cast<uint16_t>(popped[1]);
  if ((selector & 3) != 0 || !is_ring0_code(selector, descriptor)) return refuse("retf to no 64-bit ring-0 code");
  if (!is_canonical(popped[0])) return raise({kProtection}, registers);
  mark_accessed(selector, descriptor);
  cpu_.load(segment::kCs, selector, descriptor);
  registers.rip = popped[0];
  registers.rsp += sizeof popped;
  return kGoOn;
}

Ring0Outcome Ring0::interrupt_return(const Instruction& instruction, GeneralRegisters& registers) {
  if (!instruction.wide) return refuse("32-bit iret");
  if ((registers.rflags & kNestedTask) != 0) return raise({kProtection}, registers);
  uint64_t popped[5];  // rip, cs, rflags, rsp, ss
  Fault fault{};
  if (!read(registers.rsp, bytes_of(popped), fault)) return raise(fault, registers);
  uint64_t descriptor = 0;
  const auto selector = static_cast<uint16_t>(popped[1]);
  const auto stack_selector = static_cast<uint16_t>(popped[4]);
  if ((selector & 3) != 0 || !is_ring0_code(selector, descriptor)) return refuse("iretq to no 64-bit ring-0 code");
  if (!is_canonical(popped[0])) return raise({kProtection}, registers);
  uint64_t stack_descriptor = 0;
  if (!is_null(stack_selector)) {
    if (!read_descriptor(stack_selector, stack_descriptor, fault)) return raise(fault, registers);
    constexpr uint64_t kKind = kCodeOrData | kCode | kWritableData;
    if ((stack_selector & 3) != 0 || privilege_of(stack_descriptor) != 0 ||
        (stack_descriptor & kKind) != (kCodeOrData | kWritableData))
      return raise({kProtection, error_code_of(stack_selector)}, registers);
    if ((stack_descriptor & kPresent) == 0) return raise({kStackSegment, error_code_of(stack_selector)}, registers);
    mark_accessed(stack_selector, stack_descriptor);
  }
  mark_accessed(selector, descriptor);
  cpu_.load(segment::kCs, selector, descriptor);
  cpu_.load(segment::kSs, stack_selector, stack_descriptor);
  cpu_.interrupts = (popped[2] & rflags::kInterrupt) != 0;
  registers.rip = popped[0];
  registers.rflags = popped[2];
  registers.rsp = popped[3];
  return kGoOn;
}

}  // namespace mayfly
