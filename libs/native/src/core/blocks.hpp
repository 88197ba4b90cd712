#pragma once

#include <cstddef>
#include <cstdint>

#include "registers.hpp"

namespace mayfly {

// The plain blocks that cross between caller and vCPU thread. Little-endian, fixed offsets, no pointers: the two
// sides may map them at different addresses. `src/blocks.ts` reads and writes the same layout.

namespace request_flags {
inline constexpr uint32_t kRestore = 1;
inline constexpr uint32_t kEntry = 2;
inline constexpr uint32_t kStartsCall = 4;
inline constexpr uint32_t kTrace = 8;  // trace batches of the guest are kept in the outbox
inline constexpr uint32_t kAll = 15;
}  // namespace request_flags

struct Request {
  uint32_t flags;
  uint32_t writes;          // how many write headers follow this struct
  uint64_t payload_bytes;   // of all writes together, headers and padding included
  uint64_t deadline_us;     // guest time from the entry; 0: none, or what the call already has
  GeneralRegisters entry;   // with kEntry
};
static_assert(sizeof(Request) == 168);

/** One store before entry: header, `length_bytes` bytes, padding to 8. */
struct WriteHeader {
  uint64_t address;
  uint64_t length_bytes;
};

enum class ExitKind : uint32_t {
  Halt = 0,
  IoOut = 1,
  IoIn = 2,
  Exception = 3,
  Mmio = 4,
  Cancelled = 5,
  Shutdown = 6,
  Unknown = 7,
  Protocol = 8,
  UnsupportedInstruction = 9,  // name in `reason`, `size_bytes` code bytes in `error_code` and `address`
};

namespace answer_flags {
inline constexpr uint32_t kByDeadline = 1;  // Cancelled: by the deadline, else by a kill
inline constexpr uint32_t kMmioWrite = 2;
inline constexpr uint32_t kByRevoke = 4;    // Cancelled: taken back by its caller before it began
}  // namespace answer_flags

inline constexpr std::size_t kReasonBytes = 216;

struct Answer {
  ExitKind exit;
  uint32_t flags;
  uint32_t number;          // port, or vector
  uint32_t size_bytes;      // of an OUT, an IN or an MMIO access
  uint32_t value;           // of an OUT
  uint32_t exits;           // VM exits of this run
  uint32_t dirty_pages;     // pages that the restore copied back
  uint32_t outbox_entries;
  uint32_t outbox_bytes;    // headers and padding included
  uint32_t outbox_dropped;
  uint64_t error_code;      // of an exception
  uint64_t rip;             // of an exception or an unsupported instruction
  uint64_t address;         // CR2 of a page fault, or of an MMIO access
  // Times as doubles of nanoseconds: exact below 2^53, and cheap to read in JavaScript.
  double posted_ns;         // CLOCK_MONOTONIC: request posted
  double taken_ns;          // request taken by the thread
  double restored_ns;       // restore finished
  double entered_ns;        // first entry
  double left_ns;           // last exit
  double answered_ns;       // answer complete
  GeneralRegisters registers;
  // The guest's time stamp counter at `entered_ns` and `left_ns`; 0 without kTrace.
  uint64_t entered_tsc;
  uint64_t left_tsc;
  uint32_t traces_dropped;  // batches that lie outside of guest memory, are too large, or did not fit the outbox
  uint32_t heap_events;     // allocations and frees that a guest built with mem_profile told of (guest-abi 11.3)
  char reason[kReasonBytes];  // NUL-terminated text, for Unknown and Protocol
};
static_assert(offsetof(Answer, error_code) == 40);
static_assert(offsetof(Answer, posted_ns) == 64);
static_assert(offsetof(Answer, registers) == 112);
static_assert(offsetof(Answer, entered_tsc) == 256);
static_assert(offsetof(Answer, reason) == 280);
static_assert(sizeof(Answer) == 496);

struct OutboxHeader {
  uint32_t port;
  uint32_t length_bytes;
};

inline constexpr uint64_t kOutboxBytes = 256 * 1024;
inline constexpr uint32_t kOutboxEntries = 4096;
/** Largest trace batch: the reference sends up to 30 events in one. */
inline constexpr uint64_t kTraceBatchBytes = 64 * 1024;
inline constexpr uint64_t kMaxPayloadBytes = 64ull << 20;

constexpr uint64_t pad8(uint64_t bytes) noexcept { return (bytes + 7) & ~uint64_t{7}; }

}  // namespace mayfly
