#pragma once

#include <cstring>
#include <span>
#include <vector>

#include "blocks.hpp"

namespace mayfly {

/** Puts a request block together, as the JavaScript side does. */
class RequestBuilder {
 public:
  RequestBuilder() : bytes_(sizeof(Request)) {}

  RequestBuilder& restore() { return flag(request_flags::kRestore); }
  RequestBuilder& starts_call() { return flag(request_flags::kStartsCall); }
  RequestBuilder& traces() { return flag(request_flags::kTrace); }
  RequestBuilder& entry(const GeneralRegisters& registers) {
    request_.entry = registers;
    return flag(request_flags::kEntry);
  }
  RequestBuilder& deadline_us(uint64_t deadline_us) {
    request_.deadline_us = deadline_us;
    return *this;
  }
  RequestBuilder& write(uint64_t address, std::span<const uint8_t> bytes);
  /** The block, valid until the builder changes. */
  std::span<const uint8_t> bytes() {
    request_.payload_bytes = bytes_.size() - sizeof(Request);
    std::memcpy(bytes_.data(), &request_, sizeof request_);
    return bytes_;
  }

 private:
  RequestBuilder& flag(uint32_t bit) {
    request_.flags |= bit;
    return *this;
  }

  Request request_{};
  std::vector<uint8_t> bytes_;
};

}  // namespace mayfly
