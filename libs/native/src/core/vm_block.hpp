#pragma once

#include <cstdint>
#include <span>

#include "blocks.hpp"
#include "mapping.hpp"
#include "plan.hpp"

namespace mayfly {

/**
 * The memory through which one VM's requests and answers pass: answer, request, outbox, and the stores that go
 * with the request. The caller's side fills it while the VM is idle, the slot thread while it runs; nothing in it
 * is a pointer.
 */
class VmBlock {
 public:
  /** @throws KvmError */
  explicit VmBlock(const Plan& plan);

  /**
   * Copies a request and its writes into the block. @throws KvmError (Request, Range) when it is malformed, too
   * large, or a write leaves guest memory.
   */
  void put_request(std::span<const uint8_t> bytes, const Plan& plan);

  Request& request() const noexcept;
  Answer& answer() const noexcept;
  uint8_t* outbox() const noexcept { return memory_.data() + kOutboxOffset; }

  /**
   * Calls `store(address, bytes)` for every write of the request, with every number checked again.
   * @throws KvmError (Request, Range)
   */
  template <typename Store>
  void for_each_write(const Plan& plan, Store&& store) const {
    WriteCursor cursor(payload(), request());
    while (cursor.next(plan)) store(cursor.address(), cursor.bytes());
  }

  /** Gives the pages of a large payload back to the kernel. */
  void trim() noexcept;

 private:
  static constexpr uint64_t kAnswerOffset = 0;
  static constexpr uint64_t kRequestOffset = 512;
  static constexpr uint64_t kOutboxOffset = kPageBytes;
  static constexpr uint64_t kPayloadOffset = kOutboxOffset + kOutboxBytes;
  static constexpr uint64_t kKeptPayloadBytes = 64 * 1024;

  class WriteCursor {
   public:
    WriteCursor(std::span<const uint8_t> payload, const Request& request) noexcept;
    bool next(const Plan& plan);
    uint64_t address() const noexcept { return address_; }
    std::span<const uint8_t> bytes() const noexcept { return bytes_; }

   private:
    std::span<const uint8_t> rest_;
    uint32_t left_;
    uint64_t address_ = 0;
    std::span<const uint8_t> bytes_;
  };

  std::span<const uint8_t> payload() const noexcept;

  Mapping memory_;
};

}  // namespace mayfly
