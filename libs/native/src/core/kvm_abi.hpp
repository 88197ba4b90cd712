#pragma once

// The parts of <linux/kvm.h> that g++ lays out wrongly: structs that end in a flexible array get another size
// or offset there, and with it another ioctl number (kvm-facts, last section).

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

namespace mayfly::kvm_abi {

inline constexpr unsigned long kGetSupportedCpuid = 0xC008AE05;
inline constexpr unsigned long kSetCpuid2 = 0x4008AE90;
inline constexpr unsigned long kSetMsrs = 0x4008AE89;
inline constexpr unsigned long kGetMsrs = 0xC008AE88;
inline constexpr unsigned long kGetXsave = 0x9000AEA4;
inline constexpr unsigned long kSetXsave = 0x5000AEA5;

inline constexpr uint32_t kMaxCpuidEntries = 256;

struct Cpuid2 {
  uint32_t count;
  uint32_t padding;
  kvm_cpuid_entry2 entries[kMaxCpuidEntries];
};
static_assert(offsetof(Cpuid2, entries) == 8);

struct OneMsr {
  uint32_t count;
  uint32_t padding;
  kvm_msr_entry entry;
};
static_assert(offsetof(OneMsr, entry) == 8);

struct Xsave {
  uint32_t region[1024];
};
static_assert(sizeof(Xsave) == 4096);

static_assert(sizeof(kvm_run) == 2352);
static_assert(offsetof(kvm_run, io) == 32);
static_assert(offsetof(kvm_run, kvm_valid_regs) == 288);
static_assert(offsetof(kvm_run, s) == 304);
static_assert(sizeof(kvm_regs) == 144);
static_assert(sizeof(kvm_sregs) == 312);
static_assert(sizeof(kvm_vcpu_events) == 64);

}  // namespace mayfly::kvm_abi
