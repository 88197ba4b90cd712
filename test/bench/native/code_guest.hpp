// Guests of a few instructions: a page of code at 4 KiB, writable pages from 2 MiB.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sync_client.hpp"

namespace bench {

/// A VM of the code, with so many writable pages, at its snapshot.
std::shared_ptr<mayfly::Vm> code_vm(mayfly::SyncClient& client, const std::vector<std::uint8_t>& code,
                                    std::uint64_t data_pages);

/// Registers at the guest's first instruction.
mayfly::GeneralRegisters at_code();

/// Writes RSI pages, RDX bytes apart, from RDI on; then OUT to `kDonePort`.
extern const std::vector<std::uint8_t> kWritePages;
inline constexpr std::uint32_t kDonePort = 0x10;

/// One call of `kWritePages` that writes `dirty` pages, spread evenly over `pages`, after a complete restore.
mayfly::RequestBuilder write_pages(std::uint64_t dirty, std::uint64_t pages);

}  // namespace bench
