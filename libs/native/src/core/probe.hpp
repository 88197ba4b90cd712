#pragma once

#include "backend.hpp"
#include "guest_run.hpp"

namespace mayfly {

/**
 * Runs a guest of two instructions: shows that unprivileged guests, their OUT and their exceptions arrive as the
 * core needs them, and which RIP an OUT exit has here.
 * @throws KvmError (NoHypervisor) that says what did not work.
 */
OutRip probe_backend(Backend& backend);

}  // namespace mayfly
