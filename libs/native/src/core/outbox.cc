#include "outbox.hpp"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace mayfly {
namespace {

constexpr const char* kTooMuch = "the guest sent more log records than its call may";

}  // namespace

void Outbox::begin(uint8_t* area, Start start) noexcept {
  area_ = area;
  used_bytes_ = 0;
  entries_ = 0;
  dropped_ = 0;
  fault_ = "";
  traces_ = start.traces;
  traces_dropped_ = 0;
  last_trace_bytes_ = 0;
  heap_events_ = 0;
  if (start.fresh) forget_abort();
}

Outbox::Served Outbox::serve(uint16_t port, uint32_t value, GuestMemory& memory) {
  if (memory.plan().output_buffer().length_bytes == 0) return Served::NotMine;
  switch (port) {
    case ports::kLog:
      return pop_log(memory);
    case ports::kAbort:
      return take_abort(value);
    case ports::kDebugPrint: {
      uint8_t bytes[sizeof value];
      std::memcpy(bytes, &value, sizeof value);
      if (push(port, bytes)) return Served::GoOn;
      fault_ = kTooMuch;
      return Served::BadGuest;
    }
    case ports::kTraceBatch:
      // The registers said it all; a guest that traces unasked goes on, too.
      return Served::GoOn;
    case ports::kHeapAllocated:
    case ports::kHeapFreed:
      heap_events_ += heap_events_ < UINT32_MAX;
      return Served::GoOn;
    default:
      return Served::NotMine;
  }
}

void Outbox::take_trace(const GeneralRegisters& registers, const GuestMemory& memory) noexcept {
  if (!traces_ || registers.r8 != ports::kTraceBatch) return;
  const uint64_t length = registers.r10;
  if (length == 0 || length > kTraceBatchBytes || !memory.plan().contains(registers.r9, length)) {
    traces_dropped_ += traces_dropped_ < kMaxDropped;
    return;
  }
  // SAFETY: `contains` bounds address and length by guest memory.
  const std::span<const uint8_t> batch(memory.data() + registers.r9, length);
  // The guest leaves the three registers as they are: the next OUT often names the same batch.
  if (is_last_trace(batch)) return;
  const uint64_t needed = sizeof(OutboxHeader) + pad8(length);
  if (entries_ == kOutboxEntries || needed > kOutboxBytes - used_bytes_) {
    traces_dropped_ += traces_dropped_ < kMaxDropped;
    return;
  }
  last_trace_at_ = used_bytes_ + static_cast<uint32_t>(sizeof(OutboxHeader));
  last_trace_bytes_ = static_cast<uint32_t>(length);
  push(ports::kTraceBatch, batch);
}

bool Outbox::is_last_trace(std::span<const uint8_t> bytes) const noexcept {
  // SAFETY: the latest batch lies in the area, and is as long as these bytes.
  return bytes.size() == last_trace_bytes_ && std::memcmp(area_ + last_trace_at_, bytes.data(), bytes.size()) == 0;
}

Outbox::Served Outbox::pop_log(GuestMemory& memory) {
  // guest-abi 6: [u64 sp][elements], an element is its bytes followed by the u64 offset where they start. All of
  // it is the guest's word; each number is checked before it is used.
  const auto [base, size] = memory.plan().output_buffer();
  const auto bad = [this](const char* text) {
    fault_ = text;
    return Served::BadGuest;
  };
  const uint64_t stack_pointer = memory.load<uint64_t>(base);
  if (stack_pointer < 16 || stack_pointer > size) return bad("log: the output buffer's stack pointer is out of bounds");
  const uint64_t end = stack_pointer - 8;
  const uint64_t back = memory.load<uint64_t>(base + end);
  if (back < 8 || back > end || end - back < 4) return bad("log: the output buffer's back pointer is out of bounds");
  const uint64_t length = uint64_t{memory.load<uint32_t>(base + back)} + 4;
  if (length > end - back) return bad("log: the record is longer than its element");
  // SAFETY: back + length <= end <= size, and the plan's output buffer lies in guest memory.
  const bool fits = push(ports::kLog, {memory.data() + base + back, length});
  memory.zero(base + back, stack_pointer - back);
  uint8_t header[sizeof back];
  std::memcpy(header, &back, sizeof back);
  memory.write(base, header);
  return fits ? Served::GoOn : bad(kTooMuch);
}

Outbox::Served Outbox::take_abort(uint32_t value) {
  // guest-abi 5.2: byte 0 counts the payload bytes that follow it, at most 3.
  const uint32_t count = std::min<uint32_t>(value & 0xff, 3);
  for (uint32_t i = 1; i <= count; i++) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    if (byte == kAbortEnd) return finish_abort({abort_.data(), abort_bytes_});
    if (abort_bytes_ == kAbortBytes) {
      // The ABI answers an overflow as an abort with code 0 and this text.
      constexpr std::string_view kOverflow("\0Guest abort buffer overflowed", 30);
      std::memcpy(abort_.data(), kOverflow.data(), kOverflow.size());
      return finish_abort({abort_.data(), kOverflow.size()});
    }
    abort_[abort_bytes_++] = byte;
  }
  return Served::GoOn;
}

Outbox::Served Outbox::finish_abort(std::span<const uint8_t> bytes) {
  // The abort is the outcome: room for it is made at the cost of what the guest logged before.
  if (used_bytes_ + sizeof(OutboxHeader) + pad8(bytes.size()) > kOutboxBytes || entries_ == kOutboxEntries) {
    dropped_ += entries_;
    used_bytes_ = 0;
    entries_ = 0;
    last_trace_bytes_ = 0;
  }
  push(ports::kAbort, bytes);
  abort_bytes_ = 0;
  return Served::Aborted;
}

bool Outbox::push(uint16_t port, std::span<const uint8_t> bytes) noexcept {
  const uint64_t needed = sizeof(OutboxHeader) + pad8(bytes.size());
  if (entries_ == kOutboxEntries || needed > kOutboxBytes - used_bytes_) {
    dropped_++;
    return dropped_ <= kMaxDropped;
  }
  const OutboxHeader header{port, static_cast<uint32_t>(bytes.size())};
  // SAFETY: used_bytes_ + needed <= kOutboxBytes, the size of the area.
  std::memcpy(area_ + used_bytes_, &header, sizeof header);
  std::memcpy(area_ + used_bytes_ + sizeof header, bytes.data(), bytes.size());
  used_bytes_ += static_cast<uint32_t>(needed);
  entries_++;
  return true;
}

void Outbox::report(Answer& answer) const noexcept {
  answer.outbox_entries = entries_;
  answer.outbox_bytes = used_bytes_;
  answer.outbox_dropped = dropped_;
  answer.traces_dropped = traces_dropped_;
  answer.heap_events = heap_events_;
}

}  // namespace mayfly
