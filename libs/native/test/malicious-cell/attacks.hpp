#pragma once

#include <string>

#include "../../src/jail/layers.hpp"
#include "fake_cell.hpp"

namespace mayfly::cell {

/** In the place of hello. @returns false: the name is no attack. */
bool attack_hello(const std::string& name, FakeCell& cell, const jail::JailReport& report);

/** In the place of the reply to a read or write of guest memory. @returns false: answer honestly. */
bool attack_read(const std::string& name, FakeCell& cell, MessageHeader reply);

/** In the place of a run. An unknown name runs honestly. */
void attack_run(const std::string& name, long number, FakeCell& cell, const RunAt& run);

}  // namespace mayfly::cell
