#pragma once

#include <span>

#include "jail.hpp"

namespace mayfly::jail {

/** Closes every descriptor beyond the listed ones and checks the kind of each of these. @throws JailError */
void keep_descriptors(std::span<const FdKind> kinds);

}  // namespace mayfly::jail
