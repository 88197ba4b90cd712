// What many parked VMs cost this process and the kernel.
#pragma once

#include <cstdint>

namespace bench {

/**
 * Bytes in use on behalf of this process: its own pages (Pss, shared ones in proportion), and all of the kernel's that
 * are no page cache, no anonymous memory and not reclaimable. The second part is the whole machine's, so others' work
 * is in it: take differences over many VMs.
 */
std::int64_t used_bytes();

/// The same, once what was freed before has really been freed: the kernel frees VMs some time after their end.
std::int64_t settled_used_bytes();

/// Lets this process have as many descriptors as it may: a VM has two.
void raise_descriptor_limit();

}  // namespace bench
