#pragma once

namespace mayfly::jail {

/**
 * Own mount namespace whose root is an empty, read-only tmpfs without room for a byte; all else is detached.
 * @returns 0, or the errno with which the host refused the namespace; then nothing has changed.
 * @throws JailError when a later step fails
 */
int empty_root();

}  // namespace mayfly::jail
