#pragma once

#include <cstring>
#include <vector>

#include "harness.hpp"
#include "vm.hpp"

namespace mayfly::test {

struct Entry {
  uint32_t port;
  std::vector<uint8_t> bytes;
};

/** What the last run of a VM left in the outbox. */
inline std::vector<Entry> entries_of(const Vm& vm) {
  std::vector<Entry> entries;
  const auto area = vm.outbox();
  std::size_t offset = 0;
  for (uint32_t i = 0; i < vm.answer().outbox_entries; i++) {
    OutboxHeader header;
    CHECK(offset + sizeof header <= area.size());
    std::memcpy(&header, area.data() + offset, sizeof header);
    offset += sizeof header;
    CHECK(offset + header.length_bytes <= area.size());
    entries.push_back({header.port, {area.begin() + offset, area.begin() + offset + header.length_bytes}});
    offset += pad8(header.length_bytes);
  }
  return entries;
}

}  // namespace mayfly::test
