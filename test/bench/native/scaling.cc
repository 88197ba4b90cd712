#include "scaling.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>

#include "code_guest.hpp"

namespace bench {
namespace {

using floors::now;

constexpr floors::Nanoseconds kWindow = 20'000'000;
// Windows are short and in turns, so that what else runs on the machine meets all four alike.
constexpr int kRounds = 40;

double per_second(std::uint64_t count, floors::Nanoseconds elapsed) {
    return static_cast<double>(count) * 1e9 / static_cast<double>(elapsed);
}

/// Two slots whose queues do not run dry: a VM's next call is posted long before its turn comes.
class CoreLoad {
public:
    CoreLoad() {
        for (std::uint32_t i = 0; i < kSlots * kVmsPerSlot; ++i) vms_.push_back(code_vm(client_, kWritePages, 256));
    }
    ~CoreLoad() {
        for (auto& vm : vms_) client_.close(*vm);
    }

    double calls_per_second(std::uint32_t slots) {
        int under_way = 0;
        for (auto& vm : vms_)
            if (vm->slot_index() < slots) post(*vm), ++under_way;
        take(kVmsPerSlot);  // both threads are at work by now
        const floors::Nanoseconds start = now();
        std::uint64_t count = 0;
        while (now() - start < kWindow) count += take(UINT64_MAX);
        const double rate = per_second(count, now() - start);
        while (under_way > 0) finish(client_.next()), --under_way;
        return rate;
    }

private:
    static constexpr std::uint32_t kSlots = 2, kVmsPerSlot = 16;
    // A third of what a queue holds: few wake-ups of the poster, and none of the slots' threads.
    static constexpr long kPauseUs = 150;

    void post(mayfly::Vm& vm) { vm.post_run(request_.bytes()); }

    static mayfly::Vm& finish(mayfly::Completion completion) {
        mayfly::Vm& vm = *completion.vm;
        if (vm.answer().number != kDonePort) throw std::runtime_error("two-threads: no OUT");
        vm.end_call();
        return vm;
    }

    /// Answers that have come, posted anew, until there are none or `enough`.
    std::uint64_t take(std::uint64_t enough) {
        std::uint64_t count = 0;
        do {
            sleep_us(kPauseUs);
            mayfly::Completion completion;
            while (client_.engine().completions().take(completion)) {
                completion.vm->settle(completion.op);
                post(finish(std::move(completion)));
                ++count;
            }
        } while (enough != UINT64_MAX && count < enough);
        return count;
    }

    mayfly::SyncClient client_{{.slots = kSlots}};
    std::vector<std::shared_ptr<mayfly::Vm>> vms_;
    mayfly::RequestBuilder request_ = write_pages(16, 256);
};

class BareLoad {
public:
    double exits_per_second(std::size_t threads) {
        std::atomic<int> at_work{0};
        std::atomic<bool> counting{false}, ended{false};
        std::vector<std::uint64_t> counts(threads * kApart, 0);
        std::vector<std::thread> runners;
        for (std::size_t i = 0; i < threads; ++i)
            runners.emplace_back([&, i] {
                vms_[i].exit_once();
                ++at_work;
                while (!ended) {
                    vms_[i].exit_once();
                    if (counting) ++counts[i * kApart];
                }
            });
        while (at_work < static_cast<int>(threads)) sleep_us(50);
        counting = true;
        const floors::Nanoseconds start = now();
        sleep_us(kWindow / 1000);
        ended = true;
        const floors::Nanoseconds elapsed = now() - start;
        for (std::thread& runner : runners) runner.join();
        std::uint64_t count = 0;
        for (const std::uint64_t each : counts) count += each;
        return per_second(count, elapsed);
    }

private:
    static constexpr std::size_t kApart = 16;  // counters lie in cache lines of their own

    floors::BareVm vms_[2]{floors::BareVm(kFloorMemoryBytes), floors::BareVm(kFloorMemoryBytes)};
};

Scaling measure() {
    CoreLoad core;
    BareLoad bare;
    Scaling result;
    core.calls_per_second(2), bare.exits_per_second(2);
    for (int round = 0; round < kRounds; ++round) {
        result.bare.floor.push_back(bare.exits_per_second(1));
        result.core.floor.push_back(core.calls_per_second(1));
        result.bare.ours.push_back(bare.exits_per_second(2));
        result.core.ours.push_back(core.calls_per_second(2));
    }
    return result;
}

}  // namespace

const Scaling& scaling() {
    static const Scaling result = measure();
    return result;
}

}  // namespace bench
