#include "attacks.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <vector>

#include "../../src/core/clock.hpp"

namespace mayfly::cell {
namespace {

using Attack = void (*)(long number, FakeCell& cell, const RunAt& run);

/** Sleeps for good, as far as the worker can tell. */
[[noreturn]] void hang() {
  for (uint32_t word = 0;;) ::syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, nullptr);
}

void crash() noexcept {
  volatile uintptr_t nowhere = 8;
  *reinterpret_cast<volatile int*>(nowhere) = 1;
}

uint64_t random_word() noexcept {
  // xorshift64*, seeded anew in each process by its clock.
  static thread_local uint64_t state = monotonic_ns() | 1;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1dull;
}

void honest(FakeCell& cell, const RunAt& run) { cell.publish(FakeCell::completion(run), FakeCell::answer()); }

/** An answer with one lie in it. */
template <typename Change>
void lying_answer(FakeCell& cell, const RunAt& run, Change change) {
  Answer answer = FakeCell::answer();
  change(answer);
  cell.publish(FakeCell::completion(run), answer);
}

/** A completion with one lie in it. */
template <typename Change>
void lying_entry(FakeCell& cell, const RunAt& run, Change change) {
  CompletionEntry entry = FakeCell::completion(run);
  change(entry);
  if (entry.seat == run.seat) return cell.publish(entry, FakeCell::answer());
  cell.publish(entry);
}

/** Random words over all that the worker reads, without a pause. */
void scribble(FakeCell& cell) {
  const SharedMemory& memory = cell.memory();
  const Layout& layout = memory.layout();
  for (uint32_t seat = 0; seat < layout.seats; seat++) {
    auto* words = reinterpret_cast<volatile uint64_t*>(&memory.answer(seat));
    for (std::size_t i = 0; i < sizeof(Answer) / 8; i++) words[i] = random_word();
    auto* entries = reinterpret_cast<volatile uint64_t*>(memory.outbox_entries(seat).data());
    for (std::size_t i = 0; i < 64; i++) entries[i] = random_word();
  }
  for (uint32_t i = 0; i < layout.completion_entries(); i++) {
    auto* words = reinterpret_cast<volatile uint32_t*>(&memory.completion(i));
    // Small numbers too: those that pass the first check.
    for (std::size_t word = 0; word < sizeof(CompletionEntry) / 4; word++)
      words[word] = static_cast<uint32_t>(random_word()) % ((random_word() & 1) != 0 ? 4u : UINT32_MAX);
  }
  memory.bell(0).rings.store(static_cast<uint32_t>(random_word()));
  memory.outbox().produced.store(static_cast<uint32_t>(random_word()) % 8);
  cell.wake();
}

/** Turns a true answer of seat 0 into a lie and back, as fast as it can. */
void flip(FakeCell& cell) {
  auto* answer = reinterpret_cast<volatile Answer*>(&cell.memory().answer(0));
  answer->exit = static_cast<ExitKind>(77);
  answer->outbox_bytes = UINT32_MAX;
  answer->outbox_entries = UINT32_MAX;
  answer->exit = ExitKind::Halt;
  answer->outbox_entries = 0;
  answer->outbox_bytes = 0;
}

void fill_log(FakeCell&) {
  static constexpr char kText[] = "a cell that talks and talks and talks\n";
  static_cast<void>(!::write(kLogFd, kText, sizeof kText - 1));
}

void ring_for_nothing(FakeCell& cell) { cell.wake(); }
void ask_for_nothing(FakeCell& cell) { cell.say(Message::Reply, 64); }

// clang-format off
const std::map<std::string, Attack> kAttacks = {
    // The kernel. The arguments are small numbers: descriptors that it has, and pointers to nothing.
    {"system-call", [](long number, FakeCell& cell, const RunAt& run) {
      ::syscall(number, 0, 0, 0, 0, 0, 0);
      honest(cell, run);
    }},
    {"ioctl", [](long number, FakeCell& cell, const RunAt& run) {
      ::syscall(SYS_ioctl, kKvmFd, number, 0);
      honest(cell, run);
    }},
    {"executable-memory", [](long, FakeCell& cell, const RunAt& run) {
      ::syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      honest(cell, run);
    }},
    // The worker's memory of it: mapped readable, and sealed against being mapped writable.
    {"write-inbox", [](long, FakeCell& cell, const RunAt& run) {
      void* inbox = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kInboxFd, 0);
      // Refused: what was to be shown. Else the worker would lose count of what it has taken.
      if (inbox != MAP_FAILED) std::memset(inbox, 0xff, 4096);
      honest(cell, run);
    }},
    {"write-inbox-mapping", [](long, FakeCell& cell, const RunAt& run) {
      cell.memory().inbox().consumed.store(UINT32_MAX);
      honest(cell, run);
    }},
    {"shrink-memory", [](long, FakeCell& cell, const RunAt& run) {
      // On the list for snapshots of its own; the seals keep the worker's from it.
      if (::ftruncate(kOutboxFd, 0) == 0 || ::ftruncate(kInboxFd, 0) == 0) ::_exit(99);
      honest(cell, run);
    }},
    // Its own end.
    {"crash", [](long, FakeCell&, const RunAt&) { crash(); }},
    {"exit", [](long, FakeCell&, const RunAt&) { ::_exit(0); }},
    {"close-socket", [](long, FakeCell&, const RunAt&) { ::close(kControlFd); hang(); }},
    {"hang", [](long, FakeCell&, const RunAt&) { hang(); }},
    {"spin", [](long, FakeCell&, const RunAt&) { for (volatile int i = 0;;) i = i + 1; }},
    // Answers that come when they should not.
    {"answer-twice", [](long, FakeCell& cell, const RunAt& run) { honest(cell, run); honest(cell, run); }},
    {"answer-older-generation", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.generation--; }); }},
    {"answer-seat-that-is-idle", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.seat = e.seat == 0 ? 1 : 0; }); }},
    {"answer-seat-that-is-none", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [&](auto& e) { e.seat = cell.memory().layout().seats; }); }},
    {"answer-seat-far-away", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.seat = UINT32_MAX; }); }},
    {"answer-another-operation", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.op = static_cast<uint32_t>(Op::Snapshot); }); }},
    {"answer-no-operation", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.op = 99; }); }},
    {"answer-unknown-status", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.status = 4711; }); }},
    // Answers that cannot be.
    {"too-many-completions", [](long, FakeCell& cell, const RunAt&) {
      cell.memory().outbox().produced.store(UINT32_MAX / 2);
      cell.wake();
    }},
    {"more-memory-than-was-asked", [](long, FakeCell& cell, const RunAt& run) { lying_entry(cell, run, [](auto& e) { e.tail_bytes = UINT32_MAX; }); }},
    {"exit-that-is-none", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.exit = static_cast<ExitKind>(77); }); }},
    {"unknown-flags", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.flags = UINT32_MAX; }); }},
    {"port-that-is-none", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.exit = ExitKind::IoOut; a.number = 70000; a.size_bytes = 1; }); }},
    {"vector-that-is-none", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.exit = ExitKind::Exception; a.number = 255; }); }},
    {"more-pages-than-there-are", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.dirty_pages = UINT32_MAX; }); }},
    {"outbox-beyond-its-end", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.outbox_bytes = UINT32_MAX; a.outbox_entries = 1; }); }},
    {"outbox-of-too-many", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.outbox_bytes = 8; a.outbox_entries = UINT32_MAX; }); }},
    {"outbox-entry-too-long", [](long, FakeCell& cell, const RunAt& run) {
      const mayfly::OutboxHeader head{103, UINT32_MAX};
      std::memcpy(cell.memory().outbox_entries(run.seat).data(), &head, sizeof head);
      lying_answer(cell, run, [](auto& a) { a.outbox_bytes = 16; a.outbox_entries = 1; });
    }},
    {"time-that-is-no-number", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.taken_ns = std::numeric_limits<double>::quiet_NaN(); }); }},
    {"time-of-years", [](long, FakeCell& cell, const RunAt& run) { lying_answer(cell, run, [](auto& a) { a.left_ns = 1e300; }); }},
    {"text-without-end", [](long, FakeCell& cell, const RunAt& run) {
      lying_answer(cell, run, [](auto& a) { a.exit = ExitKind::Unknown; std::memset(a.reason, 'x', sizeof a.reason); });
    }},
    // Without rules.
    {"scribble", [](long, FakeCell& cell, const RunAt& run) { cell.call_accomplice(scribble); honest(cell, run); hang(); }},
    {"race-the-copy", [](long, FakeCell& cell, const RunAt& run) { cell.call_accomplice(flip); honest(cell, run); }},
    {"wild-bells", [](long, FakeCell& cell, const RunAt& run) {
      Bell& bell = cell.memory().bell(0);
      bell.sleeping.store(UINT32_MAX);
      bell.rings.store(static_cast<uint32_t>(random_word()));
      honest(cell, run);
    }},
    // Too much.
    {"log-without-end", [](long, FakeCell& cell, const RunAt& run) { cell.call_accomplice(fill_log); honest(cell, run); }},
    {"ring-without-end", [](long, FakeCell& cell, const RunAt&) { cell.call_accomplice(ring_for_nothing); hang(); }},
    {"messages-without-end", [](long, FakeCell& cell, const RunAt&) { cell.call_accomplice(ask_for_nothing); hang(); }},
    {"message-unasked", [](long, FakeCell& cell, const RunAt&) { cell.say(Message::Reply, 8); hang(); }},
    {"hello-again", [](long, FakeCell& cell, const RunAt&) { cell.say(Message::Hello, sizeof(jail::JailReport)); hang(); }},
    {"message-too-long", [](long, FakeCell& cell, const RunAt&) { cell.say(Message::Reply, 3 * kMessageBytes / 2); hang(); }},
    {"message-too-short", [](long, FakeCell&, const RunAt&) { static_cast<void>(!::write(kControlFd, "x", 1)); hang(); }},
    {"message-of-another-length", [](long, FakeCell&, const RunAt&) {
      MessageHeader head{};
      head.kind = static_cast<uint32_t>(Message::Reply);
      head.body_bytes = UINT32_MAX;
      static_cast<void>(!::write(kControlFd, &head, sizeof head));
      hang();
    }},
};
// clang-format on

}  // namespace

bool attack_hello(const std::string& name, FakeCell& cell, const jail::JailReport& report) {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(Message::Hello);
  if (name == "hello-without-report") {
    cell.control().send(head, {});
  } else if (name == "hello-of-wild-numbers") {
    cell.control().send(head, std::vector<uint8_t>(sizeof report, 0xee));
  } else if (name == "hello-of-another-kind") {
    cell.say(Message::Reply, 16);
  } else if (name == "hello-with-unknown-status") {
    head.status = 4711;
    cell.control().send(head, std::vector<uint8_t>(64, 0xff));
  } else if (name == "hello-then-gone") {
    ::_exit(3);
  } else {
    return false;
  }
  return true;
}

bool attack_read(const std::string& name, FakeCell& cell, MessageHeader reply) {
  if (name == "read-without-answer") return true;
  if (name == "read-of-another-length") {
    cell.control().send(reply, std::vector<uint8_t>(5));
  } else if (name == "read-of-another-seat") {
    reply.seat++;
    cell.control().send(reply, {});
  } else if (name == "read-older-generation") {
    reply.generation--;
    cell.control().send(reply, {});
  } else if (name == "read-unknown-status") {
    reply.status = 4711;
    cell.control().send(reply, {});
  } else {
    return false;
  }
  return true;
}

void attack_run(const std::string& name, long number, FakeCell& cell, const RunAt& run) {
  const auto found = kAttacks.find(name);
  if (found != kAttacks.end()) return found->second(number, cell, run);
  honest(cell, run);
}

}  // namespace mayfly::cell
