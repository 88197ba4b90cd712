#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend.hpp"
#include "plan.hpp"
#include "registers.hpp"
#include "virtual_cpu.hpp"

namespace mayfly {

/** A set of registers that is read and set as one. The values cross to JavaScript as numbers. */
enum class StateKind : uint32_t {
  General = 0,  // get: GeneralRegisters; set: GeneralRegistersUpdate
  Special = 1,  // SpecialRegisters
  Fpu = 2,      // kFxsaveBytes
};

/** New values for the registers whose bit is set, in the order of the struct. */
struct GeneralRegistersUpdate {
  uint64_t mask;
  GeneralRegisters values;
};
static_assert(sizeof(GeneralRegistersUpdate) == 19 * 8);

/** Bytes that a set of this kind takes. */
std::size_t state_bytes(StateKind kind) noexcept;

/**
 * Registers of an idle guest, read and set by the host. Of one built for ring 0, special registers and IF are the virtual
 * CPU's; of one in ring 0 all are its own. Slot thread only; the vCPU holds the guest's state, with nothing half done.
 */
class VcpuAccess {
 public:
  VcpuAccess(BackendVm& vm, VirtualCpu& cpu, const Plan& plan) noexcept
      : vm_(vm), cpu_(cpu), ring0_(plan.ring0()), supervisor_(plan.supervisor()) {}

  /** `registers`: of the guest at its last exit. */
  std::vector<uint8_t> get(StateKind kind, GeneralRegisters registers) const;
  /** Changes `registers`, which the caller then goes on with. @throws KvmError (Request); nothing is changed then. */
  void set_general(std::span<const uint8_t> bytes, GeneralRegisters& registers);
  /** @throws KvmError (Request, Privilege); nothing is changed then. */
  void set_special(std::span<const uint8_t> bytes);
  /** @throws KvmError (Request); nothing is changed then. */
  void set_fpu(std::span<const uint8_t> bytes);

 private:
  SpecialRegisters special() const;

  BackendVm& vm_;
  VirtualCpu& cpu_;
  const bool ring0_;
  const bool supervisor_;
};

}  // namespace mayfly
