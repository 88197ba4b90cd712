// Rows that are timed on the slot's thread, from request taken to answer posted, over the same core that the addon
// links. Usage: `bench-native RECORDING SPIN-FREE-ROW…`; prints one line a row: name, samples of ours, `|`, floor.
#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "code_guest.hpp"
#include "floor.hpp"
#include "memory.hpp"
#include "recorded_call.hpp"
#include "ring0_guest.hpp"
#include "samples.hpp"
#include "scaling.hpp"

namespace {

using bench::ExitFloor;
using bench::interleave;
using bench::Samples;
using bench::thread_us;
using floors::now;
using mayfly::Answer;
using mayfly::ExitKind;
using mayfly::SyncClient;

constexpr int kRounds = 20;
constexpr int kCallsPerRound = 150;
constexpr int kWarmCalls = 1500;
// Time for the shell maker to make another one off the path, as it has between cold calls of a host.
constexpr long kColdPauseUs = 5000;

/// Writes `dirty` of so many pages, complete restore included, against a bare exit.
Samples write_and_restore(SyncClient& client, std::uint64_t pages, std::uint32_t dirty) {
    auto vm = bench::code_vm(client, bench::kWritePages, pages);
    mayfly::RequestBuilder request = bench::write_pages(dirty, pages);
    ExitFloor floor;
    auto samples = interleave(
        [&] {
            const Answer& answer = client.run(*vm, request);
            vm->end_call();
            if (answer.exit != ExitKind::IoOut || answer.number != bench::kDonePort)
                throw std::runtime_error("a call that writes pages: no OUT");
            return thread_us(answer);
        },
        std::ref(floor), kRounds, kCallsPerRound, kWarmCalls);
    if (client.run(*vm, request).dirty_pages != dirty) throw std::runtime_error("the restore is not complete");
    client.close(*vm);
    return samples;
}

/// The privileged instructions of guest-abi 9.2, from a warm snapshot behind the CR4 toggle of each call.
Samples ring0_guest_call(SyncClient& client, const bench::RecordedCall&) {
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

Samples guest_call(SyncClient& client, const bench::RecordedCall& recorded) {
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

/// Snapshot at hand: until the first result of a new sandbox, in a spare shell or a VM that was closed before.
Samples cold_call_of(SyncClient& client, const bench::RecordedCall& recorded) {
    auto first = recorded.initialise(client);
    const auto snapshot = client.snapshot(*first);  // where it stands: at the warm snapshot or at its halt
    mayfly::RequestBuilder request = recorded.call_builder(false);
    auto samples = interleave(
        [&] {
            bench::sleep_us(kColdPauseUs);
            const floors::Nanoseconds start = now();
            auto vm = client.create_vm(snapshot);
            client.run(*vm, request);
            const double elapsed_us = (vm->answer().answered_ns - static_cast<double>(start)) / 1000;
            vm->end_call();
            recorded.check(*vm);
            client.close(*vm);
            return elapsed_us;
        },
        [] { return static_cast<double>(floors::create_run_destroy(bench::kFloorMemoryBytes)) / 1000; },
        10, 20, 10);
    client.close(*first);
    return samples;
}

Samples cold_call(SyncClient& client, const bench::RecordedCall& recorded) { return cold_call_of(client, recorded); }

Samples cold_call_recycled(SyncClient&, const bench::RecordedCall& recorded) {
    SyncClient client({.recycled_vms = 2});
    Samples samples = cold_call_of(client, recorded);
    if (client.engine().recycled().reused < samples.ours.size()) throw std::runtime_error("a VM was not recycled");
    return samples;
}

/// The plan of an image at hand, no snapshot: creation, initialisation, snapshot, first result.
Samples first_call(SyncClient& client, const bench::RecordedCall& recorded) {
    mayfly::RequestBuilder request = recorded.call_builder(true);
    return interleave(
        [&] {
            bench::sleep_us(kColdPauseUs);
            const floors::Nanoseconds start = now();
            auto vm = recorded.initialise(client);
            client.run(*vm, request);
            const double elapsed_us = (vm->answer().answered_ns - static_cast<double>(start)) / 1000;
            vm->end_call();
            recorded.check(*vm);
            client.close(*vm);
            return elapsed_us;
        },
        [] { return static_cast<double>(floors::create_run_destroy(bench::kFloorMemoryBytes)) / 1000; },
        5, 20, 5);
}

/// Deadline passed → outcome posted, against a bare signal → KVM_RUN returned.
Samples kill(SyncClient& client, const bench::RecordedCall&) {
    auto vm = bench::code_vm(client, {0xeb, 0xfe}, 1);  // jmp .
    constexpr std::uint64_t kDeadlineUs = 1500;
    mayfly::RequestBuilder request;
    request.restore().entry(bench::at_code()).starts_call().deadline_us(kDeadlineUs);
    floors::BareVm bare(bench::kFloorMemoryBytes);
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

/// One round trip of a guest to a host function in C++: OUT, completion, the caller's thread, its answer, entry.
Samples host_call_native(SyncClient& client, const bench::RecordedCall&) {
    constexpr int kHostCalls = 100;
    // 1: out %al,$0x65; dec %rdi; jnz 1b; out %al,$0x10
    auto vm = bench::code_vm(client, {0xe6, 0x65, 0x48, 0xff, 0xcf, 0x75, 0xf9, 0xe6, bench::kDonePort}, 1);
    mayfly::GeneralRegisters entry = bench::at_code();
    entry.rdi = kHostCalls;
    mayfly::RequestBuilder request;
    request.restore().entry(entry).starts_call().deadline_us(1'000'000);
    constexpr std::uint64_t kAnswerAt = 0x200000;
    const std::vector<std::uint8_t> bytes(16);
    mayfly::RequestBuilder reply;
    reply.write(kAnswerAt, bytes);
    ExitFloor floor;
    auto samples = interleave(
        [&] {
            client.run(*vm, request);
            const floors::Nanoseconds start = now();
            for (int i = 0; i < kHostCalls; ++i) client.run(*vm, reply);
            const double elapsed_us = static_cast<double>(now() - start) / 1000;
            vm->end_call();
            if (vm->answer().number != bench::kDonePort) throw std::runtime_error("host-call-native: no end");
            return elapsed_us / kHostCalls;
        },
        [&] {
            double sum = 0;
            for (int i = 0; i < kHostCalls; ++i) sum += floor();
            return sum / kHostCalls;
        },
        kRounds, 5, 20);
    client.close(*vm);
    return samples;
}

/// What one more sandbox takes that has answered a call and waits for the next (memory.hpp), against a bare VM.
Samples parked_sandbox(SyncClient& client, const bench::RecordedCall& recorded) {
    constexpr int kSandboxes = 1000, kRepeats = 5;
    bench::raise_descriptor_limit();
    auto first = recorded.initialise(client);
    const auto snapshot = client.snapshot(*first);  // where it stands: at the warm snapshot or at its halt
    mayfly::RequestBuilder request = recorded.call_builder(true);
    const auto kib_each = [](std::int64_t before) {
        return static_cast<double>(bench::settled_used_bytes() - before) / kSandboxes / 1024;
    };
    Samples samples;
    for (int repeat = 0; repeat < kRepeats; ++repeat) {
        {
            std::vector<std::shared_ptr<mayfly::Vm>> vms;
            const std::int64_t before = bench::settled_used_bytes();
            for (int i = 0; i < kSandboxes; ++i) {
                vms.push_back(client.create_vm(snapshot));
                client.run(*vms.back(), request);
                vms.back()->end_call();
            }
            samples.ours.push_back(kib_each(before));
            for (auto& vm : vms) client.close(*vm);
        }
        std::vector<std::unique_ptr<floors::BareVm>> vms;
        const std::int64_t before = bench::settled_used_bytes();
        for (int i = 0; i < kSandboxes; ++i) {
            vms.push_back(std::make_unique<floors::BareVm>(recorded.plan->memory_bytes()));
            vms.back()->exit_once();
        }
        samples.floor.push_back(kib_each(before));
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

using RowFunction = std::function<Samples(SyncClient&, const bench::RecordedCall&)>;

RowFunction restore_row(std::uint64_t pages, std::uint32_t dirty) {
    return [=](SyncClient& client, const bench::RecordedCall&) { return write_and_restore(client, pages, dirty); };
}

/// `restore-<writable>-<dirty>`: the table of kvm-facts D, and the largest guest.
std::map<std::string, RowFunction> restore_rows() {
    std::map<std::string, RowFunction> rows{{"restore-1g-16", restore_row(((1u << 30) - 0x200000) / 4096, 16)}};
    for (const std::uint32_t dirty : {4, 16, 64, 256}) {
        const std::string suffix = "-" + std::to_string(dirty);
        if (dirty <= 16) rows["restore-64k" + suffix] = restore_row(16, dirty);
        rows["restore-1m" + suffix] = restore_row(256, dirty);
        rows["restore-16m" + suffix] = restore_row(4096, dirty);
    }
    return rows;
}

}  // namespace

int main(int count, char** arguments) {
    std::map<std::string, RowFunction> rows{
        {"warm-call", restore_row(256, 16)}, {"guest-call", guest_call}, {"ring0-guest-call", ring0_guest_call},
        {"host-call-native", host_call_native}, {"cold-call", cold_call},
        {"cold-call-recycled", cold_call_recycled}, {"first-call", first_call}, {"kill", kill},
        {"parked-sandbox", parked_sandbox},
        {"two-threads", [](auto&, auto&) { return bench::scaling().core; }},
        {"two-threads-bare", [](auto&, auto&) { return bench::scaling().bare; }}};
    rows.merge(restore_rows());
    try {
        if (count < 3) throw std::runtime_error("usage: bench-native RECORDING ROW...");
        const auto recorded = bench::RecordedCall::read(arguments[1]);
        SyncClient client;
        for (int i = 2; i < count; ++i) print(arguments[i], rows.at(arguments[i])(client, recorded));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench-native: %s\n", error.what());
        return 1;
    }
}
