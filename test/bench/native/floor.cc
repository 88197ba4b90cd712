#include "floor.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace floors {
namespace {

constexpr std::uint64_t kPage = 4096;
// Guest-physical places, all in the first megabyte.
constexpr std::uint64_t kGdt = 0x1000, kPml4 = 0x2000, kPdpt = 0x3000, kPd = 0x4000, kPt = 0x5000;
constexpr std::uint64_t kTss = 0x10000, kCode = 0x20000, kStackTop = 0x31000;
constexpr std::uint64_t kTssLimit = 0x68 + 8192;
constexpr std::uint64_t kPresent = 1, kWrite = 2, kUser = 4;

void check(bool ok, const char* what) {
    if (ok) return;
    std::perror(what);
    std::exit(1);
}

kvm_segment segment(std::uint16_t selector, std::uint8_t type, bool code) {
    kvm_segment s{};
    s.limit = 0xffffffff;
    s.selector = selector;
    s.type = type;
    s.present = s.s = s.g = 1;
    s.dpl = 3;
    s.l = code;
    s.db = !code;
    return s;
}

void pin(pthread_t thread, int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(thread, sizeof set, &set);
}

/// Where a thread may run, put back at the end of the scope.
class KeptAffinity {
public:
    KeptAffinity() { pthread_getaffinity_np(pthread_self(), sizeof set_, &set_); }
    ~KeptAffinity() { pthread_setaffinity_np(pthread_self(), sizeof set_, &set_); }
    int cpus() const { return CPU_COUNT(&set_); }

private:
    cpu_set_t set_{};
};

}  // namespace

Nanoseconds now() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

BareVm::BareVm(std::size_t memory_bytes) : memory_bytes_(memory_bytes) {
    kvm_ = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    check(kvm_ >= 0, "/dev/kvm");
    vm_ = ioctl(kvm_, KVM_CREATE_VM, 0);
    check(vm_ >= 0, "KVM_CREATE_VM");
    ioctl(vm_, KVM_SET_TSS_ADDR, 0xfffbd000);
    void* memory = mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED, "mmap");
    memory_ = static_cast<char*>(memory);
    kvm_userspace_memory_region region{0, 0, 0, memory_bytes, reinterpret_cast<std::uint64_t>(memory_)};
    check(ioctl(vm_, KVM_SET_USER_MEMORY_REGION, &region) == 0, "KVM_SET_USER_MEMORY_REGION");

    const auto word = [this](std::uint64_t address) { return reinterpret_cast<std::uint64_t*>(memory_ + address); };
    *word(kPml4) = kPdpt | kPresent | kWrite | kUser;
    *word(kPdpt) = kPd | kPresent | kWrite | kUser;
    *word(kPd) = kPt | kPresent | kWrite | kUser;
    for (std::uint64_t page = 1; page < 64; ++page) {
        *word(kPt + page * 8) = page * kPage | kPresent | kWrite | (page * kPage >= kCode ? kUser : 0);
    }
    std::uint64_t* gdt = word(kGdt);
    gdt[5] = 0x00cff3000000ffffULL;  // 0x28, user data
    gdt[6] = 0x00affb000000ffffULL;  // 0x30, user code
    // An all-zero I/O bitmap opens every port to CPL 3; its last byte must be ones.
    *reinterpret_cast<std::uint16_t*>(memory_ + kTss + 102) = 0x68;
    memory_[kTss + kTssLimit] = static_cast<char>(0xff);
    const unsigned char code[] = {0xe6, 0x10, 0xeb, 0xfe};  // out %al,$0x10; jmp .
    std::memcpy(memory_ + kCode, code, sizeof code);

    vcpu_ = ioctl(vm_, KVM_CREATE_VCPU, 0);
    check(vcpu_ >= 0, "KVM_CREATE_VCPU");
    run_bytes_ = static_cast<std::size_t>(ioctl(kvm_, KVM_GET_VCPU_MMAP_SIZE, 0));
    void* run = mmap(nullptr, run_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
    check(run != MAP_FAILED, "mmap kvm_run");
    run_ = static_cast<kvm_run*>(run);

    // g++ lays kvm_cpuid2 out wrongly (its entries are a flexible array), so the bytes are placed by hand.
    constexpr unsigned long kGetSupportedCpuid = 0xC008AE05, kSetCpuid2 = 0x4008AE90;
    std::vector<std::uint32_t> cpuid(2 + 256 * 10);
    cpuid[0] = 256;
    check(ioctl(kvm_, kGetSupportedCpuid, cpuid.data()) == 0, "KVM_GET_SUPPORTED_CPUID");
    check(ioctl(vcpu_, kSetCpuid2, cpuid.data()) == 0, "KVM_SET_CPUID2");

    check(ioctl(vcpu_, KVM_GET_SREGS, &special_) == 0, "KVM_GET_SREGS");
    special_.cr0 = 0x80050033;
    special_.cr3 = kPml4;
    special_.cr4 = 0x620;
    special_.efer = 0xd00;
    special_.cs = segment(0x33, 11, true);
    special_.ss = special_.ds = special_.es = special_.fs = special_.gs = segment(0x2b, 3, false);
    special_.gdt.base = kGdt;
    special_.gdt.limit = 79;
    special_.tr = kvm_segment{};
    special_.tr.base = kTss;
    special_.tr.limit = kTssLimit;
    special_.tr.selector = 0x40;
    special_.tr.type = 11;
    special_.tr.present = 1;
    check(ioctl(vcpu_, KVM_SET_SREGS, &special_) == 0, "KVM_SET_SREGS");
    check(ioctl(vcpu_, KVM_GET_SREGS, &special_) == 0, "KVM_GET_SREGS");
    check(ioctl(vcpu_, KVM_GET_VCPU_EVENTS, &events_) == 0, "KVM_GET_VCPU_EVENTS");
}

BareVm::~BareVm() {
    munmap(run_, run_bytes_);
    close(vcpu_);
    close(vm_);
    close(kvm_);
    munmap(memory_, memory_bytes_);
}

void BareVm::enter(std::uint64_t rip) {
    run_->s.regs.regs = kvm_regs{};
    run_->s.regs.regs.rip = rip;
    run_->s.regs.regs.rsp = kStackTop;
    run_->s.regs.regs.rflags = 2;
    run_->s.regs.sregs = special_;
    run_->s.regs.events = events_;
    run_->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    run_->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;
}

void BareVm::exit_once() {
    enter(kCode);
    check(ioctl(vcpu_, KVM_RUN, 0) == 0 && run_->exit_reason == KVM_EXIT_IO && run_->io.port == 0x10, "KVM_RUN to OUT");
}

void BareVm::spin_until_signal() {
    enter(kCode + 2);
    check(ioctl(vcpu_, KVM_RUN, 0) < 0 && errno == EINTR, "KVM_RUN to EINTR");
}

Nanoseconds create_run_destroy(std::size_t memory_bytes) {
    const Nanoseconds start = now();
    { BareVm(memory_bytes).exit_once(); }
    return now() - start;
}

Nanoseconds signal_kick(BareVm& vm, std::int64_t spin_us) {
    // The handler exists only so that the signal interrupts KVM_RUN.
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR2, &action, nullptr);
    // On one CPU the sender's own wake-up would already have taken the guest out: the kick is then free.
    const KeptAffinity affinity;
    const bool apart = affinity.cpus() > 1;
    if (apart) pin(pthread_self(), 1);
    std::atomic<bool> entering{false};
    std::atomic<Nanoseconds> returned{0};
    std::thread runner([&] {
        if (apart) pin(pthread_self(), 0);
        entering = true;
        vm.spin_until_signal();
        returned = now();
    });
    while (!entering) std::this_thread::yield();
    timespec pause{0, spin_us * 1000};
    nanosleep(&pause, nullptr);
    const Nanoseconds kicked = now();
    pthread_kill(runner.native_handle(), SIGUSR2);
    runner.join();
    return returned - kicked;
}

}  // namespace floors
