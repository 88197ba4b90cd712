#pragma once

#include <cstdint>

#include "registers.hpp"
#include "virtual_cpu.hpp"

namespace mayfly {

/** CR0 to EFER of a guest built for ring 0, which never changes it (guest-abi 4.1). */
inline constexpr uint64_t kVirtualEfer = 0xd01;

/** What a guest built for ring 0 believes; the bases of FS and GS are the real ones, which it may set natively. */
SpecialRegisters special_registers_of(const VirtualCpu& cpu, uint64_t fs_base, uint64_t gs_base) noexcept;

/**
 * Takes over what such a guest could have brought about itself; bases of FS and GS are the caller's to set.
 * @throws KvmError (Privilege) that names the register which it could not, (Request) for a table whose base is not
 * canonical; `cpu` is unchanged then.
 */
void set_special_registers(VirtualCpu& cpu, const SpecialRegisters& wanted);

/**
 * For a guest at CPL 3 that was not built for ring 0: it may have other bases of FS and GS, and nothing else.
 * @throws KvmError (Privilege) that names the register.
 */
void require_same_but_bases(const SpecialRegisters& current, const SpecialRegisters& wanted);

}  // namespace mayfly
