#include "syscall_lists.hpp"

#include <linux/futex.h>
#include <linux/kvm.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <iterator>

#include "../core/kvm_abi.hpp"

namespace mayfly::jail {
namespace {

constexpr uint32_t kControl = kind_bit(ThreadKind::Control);
constexpr uint32_t kSlot = kind_bit(ThreadKind::Slot);
constexpr uint32_t kShells = kind_bit(ThreadKind::ShellMaker);
constexpr uint32_t kReaper = kind_bit(ThreadKind::Reaper);
constexpr uint32_t kAll = kControl | kSlot | kShells | kReaper;

#define CALL(name, check, kinds) {#name, SYS_##name, check, kinds}

// SPECIFICATION: at most 20, over all threads. What is not here was never needed, or is dangerous in the hands of
// whoever took over the thread: no file is opened, no socket made, nothing executed, no thread or process started,
// no signal sent out, no page made executable (mprotect is missing whole).
constexpr ListedCall kCalls[] = {
    CALL(futex, Check::Futex, kAll),
    CALL(ioctl, Check::Ioctl, kSlot | kShells),
    CALL(write, Check::None, kAll),  // completions (an eventfd) and log
    // Memory of guests and of the heap. The heap grows by brk; where that fails, by mmap.
    CALL(mmap, Check::Mmap, kAll),
    CALL(munmap, Check::None, kAll),
    CALL(madvise, Check::Madvise, kAll),
    CALL(brk, Check::None, kAll),
    CALL(close, Check::None, kAll),
    // Where the vDSO cannot read the clock, it asks the kernel.
    CALL(clock_gettime, Check::None, kAll),
    // Deadlines and kicks.
    CALL(timer_settime, Check::None, kSlot),
    CALL(rt_sigreturn, Check::None, kSlot),
    CALL(tgkill, Check::Tgkill, kControl),
    // A stop and continue from outside (a debugger) resumes a wait by it.
    CALL(restart_syscall, Check::None, kAll),
    // Snapshots: a sealed memfd of the cell's own.
    CALL(memfd_create, Check::MemfdCreate, kSlot),
    CALL(ftruncate, Check::None, kSlot),
    CALL(pwrite64, Check::None, kSlot),
    CALL(fcntl, Check::Fcntl, kSlot),
    CALL(mincore, Check::None, kSlot | kReaper),
    // The control socket: descriptors that the worker sends, and its end.
    CALL(recvmsg, Check::None, kControl),
    CALL(exit_group, Check::None, kAll),
};
static_assert(std::size(kCalls) <= 20);

#undef CALL

constexpr uint32_t kMake = kSlot | kShells;

// As kvm_backend.cc uses them. A slot makes a VM itself when no spare is left.
constexpr ListedIoctl kIoctls[] = {
    {"KVM_RUN", KVM_RUN, kSlot},
    {"KVM_SET_USER_MEMORY_REGION", KVM_SET_USER_MEMORY_REGION, kMake},
    {"KVM_CREATE_VM", KVM_CREATE_VM, kMake},
    {"KVM_SET_TSS_ADDR", KVM_SET_TSS_ADDR, kMake},
    {"KVM_CREATE_VCPU", KVM_CREATE_VCPU, kMake},
    {"KVM_SET_CPUID2", kvm_abi::kSetCpuid2, kMake},
    {"KVM_GET_SREGS", KVM_GET_SREGS, kMake},
    {"KVM_SET_SREGS", KVM_SET_SREGS, kMake},
    {"KVM_SET_XCRS", KVM_SET_XCRS, kMake},
    {"KVM_SET_MSRS", kvm_abi::kSetMsrs, kMake},
    {"KVM_GET_VCPU_EVENTS", KVM_GET_VCPU_EVENTS, kMake},
    {"KVM_GET_DEVICE_ATTR", KVM_GET_DEVICE_ATTR, kMake},  // the offset of the time stamp counter
    {"KVM_GET_REGS", KVM_GET_REGS, kSlot},
    {"KVM_GET_XSAVE", kvm_abi::kGetXsave, kSlot},
    {"KVM_SET_XSAVE", kvm_abi::kSetXsave, kSlot},
};

constexpr uint32_t kFutexOperations[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET};
constexpr uint32_t kAdvice[] = {MADV_DONTNEED,  MADV_DONTFORK,   MADV_NOHUGEPAGE,
                                MADV_HUGEPAGE,  MADV_DONTDUMP,   MADV_POPULATE_READ,
                                MADV_POPULATE_WRITE};

}  // namespace

std::span<const ListedCall> listed_calls() noexcept { return kCalls; }
std::span<const ListedIoctl> listed_ioctls() noexcept { return kIoctls; }
std::span<const uint32_t> allowed_futex_operations() noexcept { return kFutexOperations; }
uint32_t futex_flags() noexcept { return FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME; }
std::span<const uint32_t> allowed_advice() noexcept { return kAdvice; }

}  // namespace mayfly::jail
