#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../core/blocks.hpp"
#include "../core/mapping.hpp"

// What crosses between a worker and a cell. Little-endian, no pointers. Two memfds, both sealed against resizing:
//   inbox   written by the worker. The cell cannot map it writable (F_SEAL_FUTURE_WRITE).
//   outbox  written by the cell. The worker copies each part out of it once and checks the copy.
// A seat is the place of one VM in both. Small runs go through a slot's ring in the inbox; all else is a message on
// the control socket, with a sealed memfd where it is large. Everything that a cell ends is one entry of its ring of
// completions, and an eventfd wakes the worker. `libs/hypervisor/src/drivers/process` packs and reads the same layout.
namespace mayfly::cell {

inline constexpr uint32_t kMagic = 0x6c65636d;  // "mcel"
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kMaxSlots = 256;
inline constexpr uint32_t kMaxSeats = 4096;

/** Descriptors of a cell, in order. */
enum Descriptor : int { kControlFd = 0, kEventFd = 1, kLogFd = 2, kKvmFd = 3, kInboxFd = 4, kOutboxFd = 5 };
inline constexpr int kDescriptors = 6;

/** Largest request that goes through a seat; a larger one comes as a file. */
inline constexpr uint64_t kSeatRequestBytes = 64 * 1024 - 64;
/** What an answer brings of guest memory: the watched ranges, then the used part of the output buffer. */
inline constexpr uint64_t kTailBytes = 1024 * 1024;
inline constexpr uint32_t kMaxWatched = 8;
inline constexpr uint64_t kMaxWatchedBytes = 4096;
/** A longer control message is refused by both sides. */
inline constexpr uint64_t kMessageBytes = 64 * 1024;
/** Guest memory that one read or write message carries. */
inline constexpr uint64_t kMessageDataBytes = 48 * 1024;

using Word = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 4);

struct InboxHeader {
  uint32_t magic;
  uint32_t version;
  uint32_t slots;
  uint32_t seats;
  alignas(64) Word consumed;  // completions that the worker has taken
};

/** One slot's ring of seats with a run to do; `posted` counts up. Never full: a seat is in it once. */
struct RingHeader {
  alignas(64) Word posted;
};

/** Before the request block of a seat. */
struct SeatRequest {
  uint32_t generation;
  uint32_t length_bytes;
  uint64_t call;  // the worker's count of calls of this VM that the run belongs to; 0: of none
  uint64_t killed;  // 1: that call was killed already, and its message may come later than this run
  uint64_t reserved[5];
};
static_assert(sizeof(SeatRequest) == 64);

struct OutboxHeader {
  alignas(64) Word produced;  // completions that the cell has written
};

/** What a slot's thread sleeps on. Both sides count `rings` up; `sleeping` saves the system call. */
struct Bell {
  alignas(64) Word rings;
  Word sleeping;
};

/** Who has a run that waits in a ring. The cell takes it when it begins, the worker takes it back before. */
enum class Claim : uint32_t { Waiting = 1, Begun = 2, Revoked = 3 };

enum class Op : uint32_t {
  Create = 0,
  Run = 1,
  Snapshot = 2,
  Restore = 3,
  Close = 4,
  Prime = 6,
  Compare = 7,
  GetState = 8,
  SetState = 9,
};

/** How an operation ended. A run's answer and the text of a failure (`reason`) lie in the seat. */
struct CompletionEntry {
  uint32_t seat;
  uint32_t generation;
  uint32_t op;
  uint32_t status;  // ErrorCode
  int32_t error_number;
  uint32_t tail_bytes;  // of what lies in the seat's tail: memory for a run, registers for GetState
  uint64_t value;  // Create: slot. Compare, Close: pages that differ. Prime, Snapshot: 1 when one was taken.
};
static_assert(sizeof(CompletionEntry) == 32);

enum class Message : uint32_t {
  // To the cell.
  Bind = 1,
  Create = 2,              // with a plan file
  CreateFromSnapshot = 3,
  Run = 4,                 // with a file: SeatRequest, request block
  Snapshot = 5,            // kept under `snapshot`
  Restore = 6,
  Prime = 7,               // body: request block, then ranges; kept under `snapshot`
  Compare = 8,
  Close = 9,
  Kill = 10,               // call `a`
  Read = 11,               // `b` bytes at `a`; answered with the bytes
  Write = 12,              // body at `a`; answered
  DropSnapshot = 13,
  Revoke = 14,             // the claim says so already; the run settles now, not when its slot comes to it
  GetState = 15,           // StateKind `a`
  SetState = 16,           // StateKind `a`; body
  // To the worker.
  Hello = 100,             // body: the jail's report, or with a status the text of what failed
  Reply = 101,             // of Read and Write; body
};

struct MessageHeader {
  uint32_t kind;
  uint32_t seat;
  uint32_t generation;
  uint32_t snapshot;
  uint32_t status;      // of Hello and Reply: ErrorCode
  uint32_t body_bytes;
  uint64_t a;
  uint64_t b;           // Prime: bytes of the request block
};
static_assert(sizeof(MessageHeader) == 40);

/** A plan file: this, regions, watched ranges, loads, then the bytes of the loads one after the other. */
struct PlanHeader {
  uint64_t memory_bytes;
  uint64_t output_address;
  uint64_t output_bytes;
  uint64_t ring0_table_bytes;  // all ones: not a guest of ring 0
  uint32_t regions;
  uint32_t watched;
  uint32_t loads;
  uint32_t reserved;
};
static_assert(sizeof(PlanHeader) == 48);

struct PlanRegion {
  uint64_t address;
  uint64_t length_bytes;
  uint64_t rights;
};

struct PlanRange {
  uint64_t address;
  uint64_t length_bytes;
};

inline constexpr uint64_t kNoRing0 = ~uint64_t{0};
inline constexpr uint32_t kMaxLoads = 4096;

/** Where everything lies, from the two numbers that decide it. */
struct Layout {
  uint32_t slots;
  uint32_t seats;

  static constexpr uint64_t power_of_two(uint64_t least) noexcept {
    uint64_t value = 1;
    while (value < least) value <<= 1;
    return value;
  }
  constexpr uint32_t ring_entries() const noexcept { return static_cast<uint32_t>(power_of_two(seats)); }
  /** An operation and a close of every seat. */
  constexpr uint32_t completion_entries() const noexcept { return static_cast<uint32_t>(power_of_two(2 * seats)); }

  constexpr uint64_t ring_bytes() const noexcept {
    return round_up_to_page(sizeof(RingHeader) + ring_entries() * sizeof(Word));
  }
  constexpr uint64_t ring(uint32_t slot) const noexcept { return kPageBytes + slot * ring_bytes(); }
  constexpr uint64_t request(uint32_t seat) const noexcept {
    return ring(slots) + seat * (sizeof(SeatRequest) + kSeatRequestBytes);
  }
  constexpr uint64_t inbox_bytes() const noexcept { return round_up_to_page(request(seats)); }

  static constexpr uint64_t kAnswerBytes = kPageBytes;
  constexpr uint64_t bell(uint32_t slot) const noexcept { return kPageBytes + slot * sizeof(Bell); }
  constexpr uint64_t claim(uint32_t seat) const noexcept { return bell(slots) + seat * sizeof(Word); }
  constexpr uint64_t completions() const noexcept { return round_up_to_page(claim(seats)); }
  constexpr uint64_t answer(uint32_t seat) const noexcept {
    return round_up_to_page(completions() + completion_entries() * sizeof(CompletionEntry)) +
           seat * (kAnswerBytes + kOutboxBytes + kTailBytes);
  }
  constexpr uint64_t outbox(uint32_t seat) const noexcept { return answer(seat) + kAnswerBytes; }
  constexpr uint64_t tail(uint32_t seat) const noexcept { return outbox(seat) + kOutboxBytes; }
  constexpr uint64_t outbox_bytes() const noexcept { return answer(seats); }
};

}  // namespace mayfly::cell
