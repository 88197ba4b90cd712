#include "vm_block.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "error.hpp"

namespace mayfly {
namespace {

uint64_t payload_capacity(const Plan& plan) {
  return std::min(plan.memory_bytes() + 64 * 1024, kMaxPayloadBytes);
}

}  // namespace

VmBlock::VmBlock(const Plan& plan) : memory_(Mapping::anonymous(kPayloadOffset + payload_capacity(plan))) {}

// SAFETY (both): fixed offsets inside the first page, which the mapping always has; sizes by static_assert.
Request& VmBlock::request() const noexcept { return *reinterpret_cast<Request*>(memory_.data() + kRequestOffset); }
Answer& VmBlock::answer() const noexcept { return *reinterpret_cast<Answer*>(memory_.data() + kAnswerOffset); }

std::span<const uint8_t> VmBlock::payload() const noexcept {
  const uint64_t capacity = memory_.bytes() - kPayloadOffset;
  return {memory_.data() + kPayloadOffset, std::min(request().payload_bytes, capacity)};
}

void VmBlock::put_request(std::span<const uint8_t> bytes, const Plan& plan) {
  Request request;
  if (bytes.size() < sizeof request) throw KvmError(ErrorCode::Request, "the request is truncated");
  std::memcpy(&request, bytes.data(), sizeof request);
  const std::span<const uint8_t> payload = bytes.subspan(sizeof request);
  if ((request.flags & ~request_flags::kAll) != 0) throw KvmError(ErrorCode::Request, "unknown request flags");
  if (request.payload_bytes != payload.size())
    throw KvmError(ErrorCode::Request, "the request's payload does not have the length that it names");
  if (payload.size() > memory_.bytes() - kPayloadOffset)
    throw KvmError(ErrorCode::Range, "the request's writes hold more bytes than guest memory");
  WriteCursor cursor(payload, request);
  while (cursor.next(plan)) {
  }
  std::memcpy(&this->request(), &request, sizeof request);
  // SAFETY: payload.size() fits behind kPayloadOffset, checked above.
  std::memcpy(memory_.data() + kPayloadOffset, payload.data(), payload.size());
}

void VmBlock::trim() noexcept {
  const uint64_t used = std::min(request().payload_bytes, memory_.bytes() - kPayloadOffset);
  if (used <= kKeptPayloadBytes) return;
  // SAFETY: both offsets are whole pages, and `used` ends inside the mapping.
  ::madvise(memory_.data() + kPayloadOffset + kKeptPayloadBytes, used - kKeptPayloadBytes, MADV_DONTNEED);
}

VmBlock::WriteCursor::WriteCursor(std::span<const uint8_t> payload, const Request& request) noexcept
    : rest_(payload), left_(request.writes) {}

bool VmBlock::WriteCursor::next(const Plan& plan) {
  if (left_ == 0) return false;
  left_--;
  WriteHeader header;
  if (rest_.size() < sizeof header) throw KvmError(ErrorCode::Request, "a write header is truncated");
  std::memcpy(&header, rest_.data(), sizeof header);
  rest_ = rest_.subspan(sizeof header);
  if (header.length_bytes > rest_.size()) throw KvmError(ErrorCode::Request, "the bytes of a write are truncated");
  if (!plan.contains(header.address, header.length_bytes))
    throw KvmError(ErrorCode::Range, "a write of " + std::to_string(header.length_bytes) + " bytes at " +
                                         std::to_string(header.address) + " leaves guest memory");
  address_ = header.address;
  bytes_ = rest_.first(header.length_bytes);
  rest_ = rest_.subspan(std::min<uint64_t>(pad8(header.length_bytes), rest_.size()));
  return true;
}

}  // namespace mayfly
