#include "request_builder.hpp"

namespace mayfly {

RequestBuilder& RequestBuilder::write(uint64_t address, std::span<const uint8_t> bytes) {
  const WriteHeader header{address, bytes.size()};
  // SAFETY: the bytes of a local of this size.
  const auto* head = reinterpret_cast<const uint8_t*>(&header);
  bytes_.insert(bytes_.end(), head, head + sizeof header);
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  bytes_.insert(bytes_.end(), pad8(bytes.size()) - bytes.size(), uint8_t{0});
  request_.writes++;
  return *this;
}

}  // namespace mayfly
