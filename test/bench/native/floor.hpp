// Floors: what bare KVM costs on this machine in this run, by a program that does nothing else. No code of
// Mayfly stands here, so that a ratio against it means something.
#pragma once

#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>

namespace floors {

using Nanoseconds = std::int64_t;

Nanoseconds now();

/// One VM with a CPL 3 guest of one instruction, `out %al,$0x10`, and one that spins.
class BareVm {
public:
    explicit BareVm(std::size_t memory_bytes);
    ~BareVm();
    BareVm(const BareVm&) = delete;
    BareVm& operator=(const BareVm&) = delete;

    /// Writes general, special and event registers through the run page, enters, leaves by OUT.
    void exit_once();
    /// Enters the spinning guest; returns when KVM_RUN is interrupted by a signal.
    void spin_until_signal();

private:
    void enter(std::uint64_t rip);

    int kvm_ = -1;
    int vm_ = -1;
    int vcpu_ = -1;
    std::size_t memory_bytes_;
    std::size_t run_bytes_ = 0;
    char* memory_ = nullptr;
    kvm_run* run_ = nullptr;
    kvm_sregs special_{};
    kvm_vcpu_events events_{};
};

/// A bare VM from nothing to its first OUT and to its end.
Nanoseconds create_run_destroy(std::size_t memory_bytes);

/// A signal sent to a thread in KVM_RUN, until KVM_RUN has returned there.
Nanoseconds signal_kick(BareVm& vm, std::int64_t spin_us);

}  // namespace floors
