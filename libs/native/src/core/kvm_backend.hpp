#pragma once

#include <memory>

#include "backend.hpp"

namespace mayfly {

/**
 * KVM of this host. Needs synced registers and `immediate_exit`.
 * @param fd of /dev/kvm, which the backend closes; -1: it opens the device.
 * @throws KvmError (NoHypervisor) with the reason: no device, no permission, an old API, a missing capability.
 */
std::unique_ptr<Backend> open_kvm_backend(int fd = -1);

}  // namespace mayfly
