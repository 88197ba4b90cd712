#include "user.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "jail.hpp"

namespace mayfly::jail {
namespace {

/** `nobody` inside of the namespace; never root, also there. */
constexpr uid_t kInsideId = 65534;

__user_cap_header_struct header() noexcept { return {_LINUX_CAPABILITY_VERSION_3, 0}; }

int set_capabilities(const __user_cap_data_struct (&sets)[2]) noexcept {
  __user_cap_header_struct head = header();
  return ::syscall(SYS_capset, &head, sets) == 0 ? 0 : errno;
}

/** What is permitted becomes effective, which a change of user takes away. */
int raise_permitted() noexcept {
  __user_cap_header_struct head = header();
  __user_cap_data_struct sets[2] = {};
  if (::syscall(SYS_capget, &head, sets) != 0) return errno;
  for (__user_cap_data_struct& set : sets) set.effective = set.permitted;
  return set_capabilities(sets);
}

void write_map(const UniqueFd& directory, const char* name, const std::string& text) {
  const UniqueFd file(::openat(directory.get(), name, O_WRONLY | O_CLOEXEC));
  if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw JailError(std::string("writing ") + name + ": " + std::generic_category().message(errno));
}

}  // namespace

int become_user(uid_t uid) {
  const auto gid = static_cast<gid_t>(uid);
  // First what is refused without a trace where there is no right to it.
  if (::setgroups(0, nullptr) != 0) return errno;
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return errno;
  if (::setresgid(gid, gid, gid) != 0 || ::setresuid(uid, uid, uid) != 0) {
    const int refused = errno;
    // Half a change of user is none.
    if (::getegid() == gid) throw JailError("the group was changed but not the user");
    return refused;
  }
  return raise_permitted();
}

int enter_user_namespace(const UniqueFd& process_directory) {
  const uid_t uid = ::geteuid();
  const gid_t gid = ::getegid();
  // The files below belong to root while the process is not dumpable, as after a change of user.
  ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (::unshare(CLONE_NEWUSER) != 0) return errno;
  const std::string inside = std::to_string(kInsideId) + " ";
  write_map(process_directory, "setgroups", "deny");
  write_map(process_directory, "gid_map", inside + std::to_string(gid) + " 1");
  write_map(process_directory, "uid_map", inside + std::to_string(uid) + " 1");
  return 0;
}

int drop_capabilities() noexcept {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // Being root, or becoming it, gives none either.
  ::prctl(PR_SET_SECUREBITS,
          SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED |
              SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
          0, 0, 0);
  const __user_cap_data_struct none[2] = {};
  return set_capabilities(none);
}

}  // namespace mayfly::jail
