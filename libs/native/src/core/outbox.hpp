#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "blocks.hpp"
#include "guest_memory.hpp"
#include "registers.hpp"

namespace mayfly {

/** Ports of the guest ABI that need nobody outside (guest-abi 5.1). */
namespace ports {
inline constexpr uint16_t kLog = 99;
inline constexpr uint16_t kAbort = 102;
inline constexpr uint16_t kDebugPrint = 103;
inline constexpr uint16_t kTraceBatch = 104;
inline constexpr uint16_t kHeapAllocated = 105;
inline constexpr uint16_t kHeapFreed = 106;
}  // namespace ports

/**
 * What the guest sends while nobody outside is needed, kept in order and capped in the VM's block, undecoded:
 * log records popped from its output buffer, debug characters, abort bytes up to their terminator, and trace
 * batches. What a guest built with mem_profile tells of its heap, many times a call, is counted only.
 * Slot thread only.
 */
class Outbox {
 public:
  enum class Served : uint8_t {
    NotMine,   // an OUT for somebody outside
    GoOn,      // taken: enter the guest again
    Aborted,   // the abort has ended: settle
    BadGuest,  // settle as a protocol fault, with `fault`
  };

  struct Start {
    bool fresh;   // from an entry: an abort begun before it is forgotten
    bool traces;  // trace batches are kept
  };
  /** Begins a run. */
  void begin(uint8_t* area, Start start) noexcept;
  /** Keeps the trace batch that the registers of an OUT or a halt name, if they do (guest-abi 11.1). */
  void take_trace(const GeneralRegisters& registers, const GuestMemory& memory) noexcept;
  void forget_abort() noexcept { abort_bytes_ = 0; }
  /** Serves an OUT of the guest. */
  Served serve(uint16_t port, uint32_t value, GuestMemory& memory);
  void report(Answer& answer) const noexcept;
  /** Nothing has been sent since `begin`. */
  bool silent() const noexcept { return entries_ == 0 && dropped_ == 0 && abort_bytes_ == 0; }
  const char* fault() const noexcept { return fault_; }

 private:
  static constexpr std::size_t kAbortBytes = 1024;
  static constexpr uint8_t kAbortEnd = 0xff;
  static constexpr uint32_t kMaxDropped = 65536;

  bool is_last_trace(std::span<const uint8_t> bytes) const noexcept;
  Served pop_log(GuestMemory& memory);
  Served take_abort(uint32_t value);
  Served finish_abort(std::span<const uint8_t> bytes);
  /** @returns false when so much was dropped that the guest has to stop. */
  bool push(uint16_t port, std::span<const uint8_t> bytes) noexcept;

  uint8_t* area_ = nullptr;
  uint32_t used_bytes_ = 0;
  uint32_t entries_ = 0;
  uint32_t dropped_ = 0;
  bool traces_ = false;
  uint32_t traces_dropped_ = 0;
  uint32_t heap_events_ = 0;
  // Where the bytes of the latest trace batch lie in the area.
  uint32_t last_trace_at_ = 0;
  uint32_t last_trace_bytes_ = 0;
  const char* fault_ = "";
  std::array<uint8_t, kAbortBytes> abort_{};
  std::size_t abort_bytes_ = 0;
};

}  // namespace mayfly
