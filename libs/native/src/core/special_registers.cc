#include "special_registers.hpp"

#include <string>

#include "error.hpp"

namespace mayfly {
namespace {

constexpr uint8_t kWritable = 1 << 1;  // of a data segment's type
constexpr uint8_t kCode = 1 << 3;
constexpr uint32_t kGranuleMask = 0xfff;
constexpr uint8_t kBusyTask = 11;

SegmentRegister segment_of(uint16_t selector, uint64_t descriptor) noexcept {
  SegmentRegister segment{};
  const auto bits = [descriptor](int at, uint64_t mask) { return (descriptor >> at) & mask; };
  segment.selector = selector;
  segment.base = bits(16, 0xffffff) | (bits(56, 0xff) << 24);
  segment.limit = static_cast<uint32_t>(bits(0, 0xffff) | (bits(48, 15) << 16));
  segment.type = static_cast<uint8_t>(bits(40, 15));
  segment.code_or_data = static_cast<uint8_t>(bits(44, 1));
  segment.privilege_level = static_cast<uint8_t>(bits(45, 3));
  segment.present = static_cast<uint8_t>(bits(47, 1));
  segment.available = static_cast<uint8_t>(bits(52, 1));
  segment.long_mode = static_cast<uint8_t>(bits(53, 1));
  segment.default_big = static_cast<uint8_t>(bits(54, 1));
  segment.granularity = static_cast<uint8_t>(bits(55, 1));
  if (segment.granularity != 0) segment.limit = (segment.limit << 12) | kGranuleMask;
  return segment;
}

uint64_t descriptor_of(const SegmentRegister& segment) noexcept {
  if (segment.present == 0) return 0;
  const uint64_t limit = segment.granularity != 0 ? segment.limit >> 12 : segment.limit;
  return (limit & 0xffff) | ((segment.base & 0xffffff) << 16) | (uint64_t{segment.type} << 40) |
         (uint64_t{segment.code_or_data} << 44) | (uint64_t{segment.privilege_level} << 45) |
         (uint64_t{segment.present} << 47) | (((limit >> 16) & 15) << 48) | (uint64_t{segment.available} << 52) |
         (uint64_t{segment.long_mode} << 53) | (uint64_t{segment.default_big} << 54) |
         (uint64_t{segment.granularity} << 55) | (((segment.base >> 24) & 0xff) << 56);
}

[[noreturn]] void refuse(const char* name) {
  throw KvmError(ErrorCode::Privilege, std::string("special register ") + name + " cannot be changed so");
}

/** Numbers that are single bits or small fields, as JavaScript wrote them. */
bool is_well_formed(const SegmentRegister& segment) {
  const bool bits = (segment.present | segment.default_big | segment.code_or_data | segment.long_mode |
                     segment.granularity | segment.available) <= 1;
  return bits && segment.type <= 15 && segment.privilege_level <= 3;
}

void require_code(const SegmentRegister& cs) {
  const bool good = is_well_formed(cs) && cs.present != 0 && cs.code_or_data != 0 && (cs.type & kCode) != 0 &&
                    cs.long_mode != 0 && cs.default_big == 0 && cs.privilege_level == 0;
  if (!good) refuse("cs");
}

void require_data(const SegmentRegister& segment, const char* name, bool stack) {
  if (!is_well_formed(segment)) refuse(name);
  const bool writable_data = (segment.type & kCode) == 0 && (segment.type & kWritable) != 0;
  const bool good = segment.present == 0 ||
                    (segment.code_or_data != 0 && segment.privilege_level == 0 && (!stack || writable_data));
  if (!good) refuse(name);
}

void require_canonical(const TableRegister& table, const char* name) {
  if (!is_canonical(table.base)) throw KvmError(ErrorCode::Request, std::string(name) + " has a base that is not canonical");
}

SegmentRegister task_of(const VirtualCpu& cpu) noexcept {
  SegmentRegister task{};
  task.selector = cpu.task;
  task.limit = 0xffff;
  task.type = kBusyTask;
  task.present = 1;
  return task;
}

}  // namespace

SpecialRegisters special_registers_of(const VirtualCpu& cpu, uint64_t fs_base, uint64_t gs_base) noexcept {
  SpecialRegisters registers{};
  const auto of = [&cpu](uint8_t number) { return segment_of(cpu.selectors[number], cpu.descriptors[number]); };
  registers.cs = of(segment::kCs);
  registers.ds = of(segment::kDs);
  registers.es = of(segment::kEs);
  registers.fs = of(segment::kFs);
  registers.gs = of(segment::kGs);
  registers.ss = of(segment::kSs);
  registers.fs.base = fs_base;
  registers.gs.base = gs_base;
  registers.tr = task_of(cpu);
  registers.ldt.selector = cpu.ldt;
  registers.gdt = cpu.gdt;
  registers.idt = cpu.idt;
  registers.cr0 = cpu.cr0;
  registers.cr2 = cpu.cr2;
  registers.cr3 = cpu.cr3;
  registers.cr4 = cpu.cr4;
  registers.efer = kVirtualEfer;
  return registers;
}

void set_special_registers(VirtualCpu& cpu, const SpecialRegisters& wanted) {
  require_code(wanted.cs);
  require_data(wanted.ss, "ss", true);
  require_data(wanted.ds, "ds", false);
  require_data(wanted.es, "es", false);
  require_data(wanted.fs, "fs", false);
  require_data(wanted.gs, "gs", false);
  SegmentRegister task = task_of(cpu);
  task.selector = wanted.tr.selector;
  if (!(wanted.tr == task)) refuse("tr");
  SegmentRegister ldt{};
  ldt.selector = cpu.ldt;
  if (!(wanted.ldt == ldt)) refuse("ldt");
  if (wanted.cr0 != cpu.cr0) refuse("cr0");
  if (wanted.cr3 != cpu.cr3) refuse("cr3");
  if (((wanted.cr4 ^ cpu.cr4) & ~kCr4GlobalPages) != 0) refuse("cr4");
  if (wanted.cr8 != 0) refuse("cr8");
  if (wanted.efer != kVirtualEfer) refuse("efer");
  require_canonical(wanted.gdt, "gdt");
  require_canonical(wanted.idt, "idt");

  const auto load = [&cpu](uint8_t number, const SegmentRegister& segment) {
    cpu.load(number, segment.selector, descriptor_of(segment));
  };
  load(segment::kCs, wanted.cs);
  load(segment::kDs, wanted.ds);
  load(segment::kEs, wanted.es);
  load(segment::kFs, wanted.fs);
  load(segment::kGs, wanted.gs);
  load(segment::kSs, wanted.ss);
  cpu.task = wanted.tr.selector;
  cpu.gdt = {wanted.gdt.base, wanted.gdt.limit, {}};
  cpu.idt = {wanted.idt.base, wanted.idt.limit, {}};
  cpu.cr2 = wanted.cr2;
  cpu.cr4 = wanted.cr4;
}

void require_same_but_bases(const SpecialRegisters& current, const SpecialRegisters& wanted) {
  static constexpr struct {
    const char* name;
    SegmentRegister SpecialRegisters::*segment;
  } kSegments[] = {{"cs", &SpecialRegisters::cs}, {"ds", &SpecialRegisters::ds}, {"es", &SpecialRegisters::es},
                   {"fs", &SpecialRegisters::fs}, {"gs", &SpecialRegisters::gs}, {"ss", &SpecialRegisters::ss},
                   {"tr", &SpecialRegisters::tr}, {"ldt", &SpecialRegisters::ldt}};
  static constexpr struct {
    const char* name;
    uint64_t SpecialRegisters::*value;
  } kControls[] = {{"cr0", &SpecialRegisters::cr0}, {"cr2", &SpecialRegisters::cr2}, {"cr3", &SpecialRegisters::cr3},
                   {"cr4", &SpecialRegisters::cr4}, {"cr8", &SpecialRegisters::cr8}, {"efer", &SpecialRegisters::efer}};
  SpecialRegisters allowed = wanted;
  allowed.fs.base = current.fs.base;
  allowed.gs.base = current.gs.base;
  for (const auto& each : kSegments)
    if (!(allowed.*each.segment == current.*each.segment)) refuse(each.name);
  if (!(allowed.gdt == current.gdt)) refuse("gdt");
  if (!(allowed.idt == current.idt)) refuse("idt");
  for (const auto& each : kControls)
    if (allowed.*each.value != current.*each.value) refuse(each.name);
}

}  // namespace mayfly
