#pragma once

#include <memory>

#include "kvm_backend.hpp"

namespace mayfly::test {

/** The backend that the conformance list is run over: another one is tried by opening it here. */
inline std::unique_ptr<Backend> open_test_backend() { return open_kvm_backend(); }

}  // namespace mayfly::test
