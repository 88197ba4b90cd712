#pragma once

#include <sys/types.h>

#include "../core/unique_fd.hpp"

namespace mayfly::jail {

/**
 * Becomes the given user and group, without others, and keeps the capabilities for the steps that follow.
 * @returns 0, or the errno with which the host refused it; then nothing has changed.
 */
int become_user(uid_t uid);

/**
 * Own user namespace with one user in it, nobody, who is the present one outside. From here on this process has
 * no power over the namespaces that it was put into before.
 * @param process_directory /proc/self, opened before the root went
 * @returns 0, or the errno with which the host refused it; then nothing has changed.
 * @throws JailError when a later step fails
 */
int enter_user_namespace(const UniqueFd& process_directory);

/** No capability in any set, and none to be had again. @returns 0 or errno. */
int drop_capabilities() noexcept;

}  // namespace mayfly::jail
