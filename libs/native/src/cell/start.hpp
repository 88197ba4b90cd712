#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "../core/error.hpp"
#include "../jail/jail.hpp"
#include "arguments.hpp"
#include "control_socket.hpp"
#include "shared_memory.hpp"

// The first steps of a cell, in this order: jail, memory, hello.
namespace mayfly::cell {

/** With the descriptors of wire.hpp and nothing else. @throws jail::JailError */
jail::JailReport enter_jail(const Arguments& arguments);

/** @throws KvmError (Option) when the worker is of another build */
SharedMemory map_memory(const Arguments& arguments);

/** Tells the worker that the cell serves, and how its jail turned out. @throws KvmError when the worker is gone */
void hello(ControlSocket& control, const jail::JailReport& report);

/** Tells it instead that it does not. @throws KvmError when the worker is gone */
void farewell(ControlSocket& control, ErrorCode status, int error_number, const std::string& text);

}  // namespace mayfly::cell
