// Rows that are timed on the slot's thread, from request taken to answer posted, over the same core that the addon
// links. Usage: `bench-native RECORDING SPIN-FREE-ROW…`; prints one line a row: name, samples of ours, `|`, floor.
#include <time.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "floor.hpp"
#include "recorded_call.hpp"
#include "ring0_guest.hpp"

namespace {

using floors::now;
using mayfly::Answer;
using mayfly::ExitKind;

constexpr int kRounds = 20;
constexpr int kCallsPerRound = 150;
constexpr int kWarmCalls = 1500;
constexpr std::size_t kFloorMemoryBytes = 4u << 20;

struct Samples {
    std::vector<double> ours;
    std::vector<double> floor;
};

double thread_us(const Answer& answer) { return (answer.answered_ns - answer.taken_ns) / 1000; }

void sleep_ms(long ms) {
    const timespec pause{0, ms * 1'000'000};
    nanosleep(&pause, nullptr);
}

/// Rounds of ours between rounds of the floor, after both are warm.
Samples interleave(const std::function<double()>& ours, const std::function<double()>& floor, int rounds, int calls,
                   int warm) {
    Samples samples;
    for (int i = 0; i < warm; ++i) ours(), floor();
    for (int round = 0; round < rounds; ++round) {
        for (int i = 0; i < calls; ++i) samples.floor.push_back(floor());
        for (int i = 0; i < calls; ++i) samples.ours.push_back(ours());
    }
    return samples;
}

/// One bare exit in microseconds. On a slot's thread of its own kind, so that a wake-up precedes it as it does ours.
class ExitFloor {
public:
    double operator()() {
        const floors::Nanoseconds start = now();
        vm_.exit_once();
        return static_cast<double>(now() - start) / 1000;
    }

private:
    floors::BareVm vm_{kFloorMemoryBytes};
};

/// A guest in a page of code with `data_pages` writable pages behind it.
std::shared_ptr<mayfly::Vm> code_vm(mayfly::SyncClient& client, const std::vector<std::uint8_t>& code,
                                    std::uint64_t data_pages) {
    constexpr std::uint64_t kCode = 0x1000, kData = 0x200000;
    auto plan = mayfly::Plan::create(kData + data_pages * 4096,
                                     {{kCode, 0x1000, mayfly::rights::kRead | mayfly::rights::kExecute},
                                      {kData, data_pages * 4096, mayfly::rights::kRead | mayfly::rights::kWrite}},
                                     {});
    const mayfly::Engine::Load load[] = {{kCode, code}};
    auto vm = client.create_vm(std::move(plan), load);
    client.snapshot(*vm);
    return vm;
}

// 1: mov %rdi,(%rdi); add %rdx,%rdi; dec %rsi; jnz 1b; out %al,$0x10
const std::vector<std::uint8_t> kWritePages{0x48, 0x89, 0x3f, 0x48, 0x01, 0xd7, 0x48,
                                            0xff, 0xce, 0x75, 0xf5, 0xe6, 0x10};

/// One call of `kWritePages` that writes 16 pages, spread evenly over `pages`.
mayfly::RequestBuilder write_16_of(std::uint64_t pages) {
    mayfly::RequestBuilder request;
    mayfly::GeneralRegisters entry{};
    entry.rip = 0x1000;
    entry.rdi = 0x200000;
    entry.rsi = 16;
    entry.rdx = pages / 16 * 4096;
    request.restore().entry(entry).starts_call().deadline_us(1'000'000);
    return request;
}

/// Writes 16 of so many pages, complete restore included, against a bare exit.
Samples write_and_restore(mayfly::SyncClient& client, std::uint64_t pages) {
    auto vm = code_vm(client, kWritePages, pages);
    mayfly::RequestBuilder request = write_16_of(pages);
    ExitFloor floor;
    auto samples = interleave(
        [&] {
            const Answer& answer = client.run(*vm, request);
            vm->end_call();
            if (answer.exit != ExitKind::IoOut || answer.number != 0x10) throw std::runtime_error("warm call: no OUT");
            return thread_us(answer);
        },
        std::ref(floor), kRounds, kCallsPerRound, kWarmCalls);
    if (client.run(*vm, request).dirty_pages != 16) throw std::runtime_error("warm call: the restore is not complete");
    client.close(*vm);
    return samples;
}

Samples warm_call(mayfly::SyncClient& client, const bench::RecordedCall&) { return write_and_restore(client, 256); }

Samples restore_1g_16(mayfly::SyncClient& client, const bench::RecordedCall&) {
    return write_and_restore(client, ((1u << 30) - 0x200000) / 4096);
}

/// The privileged instructions of guest-abi 9.2, from a warm snapshot behind the CR4 toggle of each call.
Samples ring0_guest_call(mayfly::SyncClient& client, const bench::RecordedCall&) {
    bench::Ring0Guest guest(client);
    ExitFloor floor;
    auto samples = interleave(
        [&] {
            const Answer& answer = guest.call();
            if (answer.exit != ExitKind::Halt) throw std::runtime_error("ring0-guest-call: no halt");
            return thread_us(answer);
        },
        std::ref(floor), kRounds, kCallsPerRound, kWarmCalls);
    guest.check();
    return samples;
}

/// Calls in a second that `slots` threads answer, each with a queue that does not run dry.
double call_rate(std::uint32_t slots) {
    constexpr int kVmsPerSlot = 16, kBatches = 40, kWarmBatches = 10;
    mayfly::SyncClient client({.slots = slots});
    std::vector<std::shared_ptr<mayfly::Vm>> vms;
    for (std::uint32_t i = 0; i < slots * kVmsPerSlot; ++i) vms.push_back(code_vm(client, kWritePages, 256));
    mayfly::RequestBuilder request = write_16_of(256);
    floors::Nanoseconds start = 0;
    for (int batch = 0; batch < kWarmBatches + kBatches; ++batch) {
        if (batch == kWarmBatches) start = now();
        for (auto& vm : vms) vm->post_run(request.bytes());
        for (std::size_t i = 0; i < vms.size(); ++i) client.next().vm->end_call();
    }
    const double rate = static_cast<double>(vms.size()) * kBatches * 1e9 / static_cast<double>(now() - start);
    for (auto& vm : vms) client.close(*vm);
    return rate;
}

/// The rate of two threads against that of one.
Samples two_threads(mayfly::SyncClient&, const bench::RecordedCall&) {
    return interleave([] { return call_rate(2); }, [] { return call_rate(1); }, 5, 1, 1);
}

Samples guest_call(mayfly::SyncClient& client, const bench::RecordedCall& recorded) {
    auto vm = recorded.initialise(client);
    mayfly::RequestBuilder request = recorded.call_builder(true);
    ExitFloor floor;
    auto samples = interleave(
        [&] {
            const Answer& answer = client.run(*vm, request);
            vm->end_call();
            if (answer.exit != ExitKind::Halt) throw std::runtime_error("guest-call: no halt");
            recorded.check(*vm);
            return thread_us(answer);
        },
        std::ref(floor), kRounds, kCallsPerRound, kWarmCalls);
    client.close(*vm);
    return samples;
}

/// Snapshot at hand, a spare shell ready: until the first result of a new sandbox.
Samples cold_call(mayfly::SyncClient& client, const bench::RecordedCall& recorded) {
    auto first = recorded.initialise(client);
    const auto snapshot = client.snapshot(*first);  // where it stands: at the warm snapshot or at its halt
    mayfly::RequestBuilder request = recorded.call_builder(false);
    auto samples = interleave(
        [&] {
            sleep_ms(5);  // the shell maker refills off the path, as it does between cold calls of a host
            const floors::Nanoseconds start = now();
            auto vm = client.create_vm(snapshot);
            client.run(*vm, request);
            const double elapsed_us = (vm->answer().answered_ns - static_cast<double>(start)) / 1000;
            vm->end_call();
            recorded.check(*vm);
            client.close(*vm);
            return elapsed_us;
        },
        [] { return static_cast<double>(floors::create_run_destroy(kFloorMemoryBytes)) / 1000; },
        10, 20, 10);
    client.close(*first);
    return samples;
}

/// The plan of an image at hand, no snapshot: creation, initialisation, snapshot, first result.
Samples first_call(mayfly::SyncClient& client, const bench::RecordedCall& recorded) {
    mayfly::RequestBuilder request = recorded.call_builder(true);
    return interleave(
        [&] {
            sleep_ms(5);
            const floors::Nanoseconds start = now();
            auto vm = recorded.initialise(client);
            client.run(*vm, request);
            const double elapsed_us = (vm->answer().answered_ns - static_cast<double>(start)) / 1000;
            vm->end_call();
            recorded.check(*vm);
            client.close(*vm);
            return elapsed_us;
        },
        [] { return static_cast<double>(floors::create_run_destroy(kFloorMemoryBytes)) / 1000; },
        5, 20, 5);
}

/// Deadline passed → outcome posted, against a bare signal → KVM_RUN returned.
Samples kill(mayfly::SyncClient& client, const bench::RecordedCall&) {
    auto vm = code_vm(client, {0xeb, 0xfe}, 1);  // jmp .
    constexpr std::uint64_t kDeadlineUs = 1500;
    mayfly::GeneralRegisters entry{};
    entry.rip = 0x1000;
    mayfly::RequestBuilder request;
    request.restore().entry(entry).starts_call().deadline_us(kDeadlineUs);
    floors::BareVm bare(kFloorMemoryBytes);
    auto samples = interleave(
        [&] {
            const Answer& answer = client.run(*vm, request);
            vm->end_call();
            if (answer.exit != ExitKind::Cancelled) throw std::runtime_error("kill: not cancelled");
            return (answer.answered_ns - answer.entered_ns) / 1000 - static_cast<double>(kDeadlineUs);
        },
        [&] { return static_cast<double>(floors::signal_kick(bare, kDeadlineUs)) / 1000; }, 10, 40, 20);
    client.close(*vm);
    return samples;
}

/// Bytes of MemAvailable for one more sandbox that has answered a call and waits for the next.
Samples parked_sandbox(mayfly::SyncClient& client, const bench::RecordedCall& recorded) {
    constexpr int kSandboxes = 150, kRepeats = 3;
    auto first = recorded.initialise(client);
    const auto snapshot = client.snapshot(*first);  // where it stands: at the warm snapshot or at its halt
    mayfly::RequestBuilder request = recorded.call_builder(true);
    Samples samples;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
        std::vector<std::shared_ptr<mayfly::Vm>> vms;
        const std::int64_t before = floors::available_bytes();
        for (int i = 0; i < kSandboxes; ++i) {
            vms.push_back(client.create_vm(snapshot));
            client.run(*vms.back(), request);
            vms.back()->end_call();
        }
        samples.ours.push_back(static_cast<double>(before - floors::available_bytes()) / kSandboxes / 1024);
        for (auto& vm : vms) client.close(*vm);
        sleep_ms(500);
        samples.floor.push_back(static_cast<double>(floors::parked_bytes(recorded.plan->memory_bytes(), kSandboxes)) / 1024);
        sleep_ms(500);
    }
    client.close(*first);
    return samples;
}

void print(const std::string& name, const Samples& samples) {
    std::printf("%s", name.c_str());
    for (const double value : samples.ours) std::printf(" %.3f", value);
    std::printf(" |");
    for (const double value : samples.floor) std::printf(" %.3f", value);
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
    const std::map<std::string, std::function<Samples(mayfly::SyncClient&, const bench::RecordedCall&)>> rows{
        {"warm-call", warm_call}, {"guest-call", guest_call}, {"ring0-guest-call", ring0_guest_call},
        {"restore-1g-16", restore_1g_16}, {"two-threads", two_threads}, {"cold-call", cold_call},
        {"first-call", first_call}, {"kill", kill}, {"parked-sandbox", parked_sandbox}};
    try {
        if (count < 3) throw std::runtime_error("usage: bench-native RECORDING ROW...");
        const auto recorded = bench::RecordedCall::read(arguments[1]);
        mayfly::SyncClient client;
        for (int i = 2; i < count; ++i) print(arguments[i], rows.at(arguments[i])(client, recorded));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench-native: %s\n", error.what());
        return 1;
    }
}
