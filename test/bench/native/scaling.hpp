// What a second vCPU thread brings, to the core and to bare KVM, in the same moments.
#pragma once

#include "samples.hpp"

namespace bench {

/// Operations a second: `ours` by two threads, `floor` by one.
struct Scaling {
    /// Calls with 16 written pages and a complete restore.
    Samples core;
    /// Bare exits: what this machine gives at best.
    Samples bare;
};

/// Measured once in a process, however often it is asked for.
const Scaling& scaling();

}  // namespace bench
