#pragma once

#include <span>

#include "wire.hpp"

namespace mayfly::cell {

/** Typed places in the two memfds. Both sides have one; what a side may not write it does not. */
class SharedMemory {
 public:
  SharedMemory(Layout layout, Mapping inbox, Mapping outbox) noexcept
      : layout_(layout), inbox_(std::move(inbox)), outbox_(std::move(outbox)) {}

  const Layout& layout() const noexcept { return layout_; }

  // SAFETY (all): `Layout` places each of them inside a mapping of inbox_bytes or outbox_bytes; slots and seats are
  // checked by whoever got the number from outside.
  InboxHeader& inbox() const noexcept { return at<InboxHeader>(inbox_, 0); }
  RingHeader& ring(uint32_t slot) const noexcept { return at<RingHeader>(inbox_, layout_.ring(slot)); }
  /** Entry of a slot's ring, by its running number. */
  Word& ring_entry(uint32_t slot, uint32_t number) const noexcept {
    const uint64_t index = number & (layout_.ring_entries() - 1);
    return at<Word>(inbox_, layout_.ring(slot) + sizeof(RingHeader) + index * sizeof(Word));
  }
  SeatRequest& request(uint32_t seat) const noexcept { return at<SeatRequest>(inbox_, layout_.request(seat)); }
  std::span<uint8_t> request_bytes(uint32_t seat) const noexcept {
    return {inbox_.data() + layout_.request(seat) + sizeof(SeatRequest), kSeatRequestBytes};
  }

  OutboxHeader& outbox() const noexcept { return at<OutboxHeader>(outbox_, 0); }
  Bell& bell(uint32_t slot) const noexcept { return at<Bell>(outbox_, layout_.bell(slot)); }
  Word& claim(uint32_t seat) const noexcept { return at<Word>(outbox_, layout_.claim(seat)); }
  CompletionEntry& completion(uint32_t number) const noexcept {
    const uint64_t index = number & (layout_.completion_entries() - 1);
    return at<CompletionEntry>(outbox_, layout_.completions() + index * sizeof(CompletionEntry));
  }
  Answer& answer(uint32_t seat) const noexcept { return at<Answer>(outbox_, layout_.answer(seat)); }
  std::span<uint8_t> outbox_entries(uint32_t seat) const noexcept {
    return {outbox_.data() + layout_.outbox(seat), kOutboxBytes};
  }
  std::span<uint8_t> tail(uint32_t seat) const noexcept {
    return {outbox_.data() + layout_.tail(seat), kTailBytes};
  }

 private:
  template <typename T>
  static T& at(const Mapping& mapping, uint64_t offset) noexcept {
    return *reinterpret_cast<T*>(mapping.data() + offset);
  }

  Layout layout_;
  Mapping inbox_;
  Mapping outbox_;
};

}  // namespace mayfly::cell
