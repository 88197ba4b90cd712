#include "vcpu_access.hpp"

#include <cstring>

#include "error.hpp"
#include "special_registers.hpp"

namespace mayfly {
namespace {

template <typename T>
std::vector<uint8_t> copy_of(const T& value) {
  std::vector<uint8_t> bytes(sizeof value);
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/** The caller has checked the length (`state_bytes`). */
template <typename T>
T value_of(std::span<const uint8_t> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

void require_canonical(uint64_t address, const char* name) {
  if (!is_canonical(address)) throw KvmError(ErrorCode::Request, std::string(name) + " is not a canonical address");
}

}  // namespace

std::size_t state_bytes(StateKind kind) noexcept {
  switch (kind) {
    case StateKind::General:
      return sizeof(GeneralRegistersUpdate);
    case StateKind::Special:
      return sizeof(SpecialRegisters);
    case StateKind::Fpu:
      return kFxsaveBytes;
  }
  return 0;
}

std::vector<uint8_t> VcpuAccess::get(StateKind kind, GeneralRegisters registers) const {
  switch (kind) {
    case StateKind::General:
      if (ring0_)
        registers.rflags = (registers.rflags & ~rflags::kInterrupt) | (cpu_.interrupts ? rflags::kInterrupt : 0);
      return copy_of(registers);
    case StateKind::Special:
      return copy_of(special());
    case StateKind::Fpu: {
      std::vector<uint8_t> image(kFxsaveBytes);
      vm_.fpu(image);
      return image;
    }
  }
  return {};
}

SpecialRegisters VcpuAccess::special() const {
  return ring0_ ? special_registers_of(cpu_, vm_.segment_base(false), vm_.segment_base(true)) : vm_.special_registers();
}

void VcpuAccess::set_general(std::span<const uint8_t> bytes, GeneralRegisters& registers) {
  const auto update = value_of<GeneralRegistersUpdate>(bytes);
  GeneralRegisters wanted = registers;
  constexpr std::size_t kCount = sizeof(GeneralRegisters) / sizeof(uint64_t);
  for (std::size_t i = 0; i < kCount; i++) {
    if (((update.mask >> i) & 1) == 0) continue;
    // SAFETY: i < 18, and both structs are 18 words.
    std::memcpy(reinterpret_cast<uint8_t*>(&wanted) + i * sizeof(uint64_t),
                reinterpret_cast<const uint8_t*>(&update.values) + i * sizeof(uint64_t), sizeof(uint64_t));
  }
  require_canonical(wanted.rip, "rip");
  constexpr uint64_t kFlagsBit = 1ull << (kCount - 1);
  if (ring0_ && (update.mask & kFlagsBit) != 0) cpu_.interrupts = (wanted.rflags & rflags::kInterrupt) != 0;
  registers = wanted;
  registers.rflags = supervisor_ ? wanted.rflags | rflags::kFixed : user_rflags(wanted.rflags);
  vm_.set_continue(registers);
  vm_.drop_events();
}

void VcpuAccess::set_special(std::span<const uint8_t> bytes) {
  const auto wanted = value_of<SpecialRegisters>(bytes);
  require_canonical(wanted.fs.base, "the base of fs");
  require_canonical(wanted.gs.base, "the base of gs");
  if (supervisor_) {
    vm_.set_special_registers(wanted);
    return;
  }
  if (ring0_)
    set_special_registers(cpu_, wanted);
  else
    require_same_but_bases(vm_.special_registers(), wanted);
  vm_.set_segment_base(false, wanted.fs.base);
  vm_.set_segment_base(true, wanted.gs.base);
}

void VcpuAccess::set_fpu(std::span<const uint8_t> bytes) {
  if ((value_of<uint32_t>(bytes.subspan(kMxcsrOffset)) & ~kMxcsrMask) != 0)
    throw KvmError(ErrorCode::Request, "reserved bits of MXCSR");
  vm_.set_fpu(bytes);
}

}  // namespace mayfly
