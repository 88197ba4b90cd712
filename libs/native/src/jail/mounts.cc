#include "mounts.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "jail.hpp"

namespace mayfly::jail {
namespace {

// A directory that every host has; the tmpfs covers it for a moment.
constexpr const char* kCovered = "/proc";
constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr const char* kNoRoom = "size=4k,nr_inodes=1,mode=0555";

void must(int result, const char* step) {
  if (result != 0) throw JailError(std::string(step) + ": " + std::generic_category().message(errno));
}

}  // namespace

int empty_root() {
  if (::unshare(CLONE_NEWNS) != 0) return errno;
  // Private first: nothing below may reach the namespace that this one was copied from.
  must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount --make-rprivate /");
  must(::mount("mayfly-cell", kCovered, "tmpfs", kFlags, kNoRoom), "mount tmpfs");
  must(::chdir(kCovered), "chdir to the new root");
  // Old root on top of the new one, then away with it: no directory for it is needed (pivot_root(2), NOTES).
  must(static_cast<int>(::syscall(SYS_pivot_root, ".", ".")), "pivot_root");
  must(::umount2(".", MNT_DETACH), "umount of the old root");
  must(::chdir("/"), "chdir /");
  must(::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_RDONLY | kFlags, nullptr), "mount -o remount,ro /");
  return 0;
}

}  // namespace mayfly::jail
