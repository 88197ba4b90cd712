#include "descriptors.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>
#include <string>
#include <string_view>

namespace mayfly::jail {
namespace {

constexpr unsigned kMiscMajor = 10;
constexpr unsigned kKvmMinor = 232;

bool is_kvm(int fd, const struct stat& status) {
  static_cast<void>(fd);
  return S_ISCHR(status.st_mode) && ::major(status.st_rdev) == kMiscMajor && ::minor(status.st_rdev) == kKvmMinor;
}

int socket_option(int fd, int option) {
  int value = -1;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? value : -1;
}

bool is_control_socket(int fd, const struct stat& status) {
  return S_ISSOCK(status.st_mode) && socket_option(fd, SO_DOMAIN) == AF_UNIX &&
         socket_option(fd, SO_TYPE) == SOCK_SEQPACKET;
}

std::string link_target(int fd) {
  char target[128];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = ::readlink(link.c_str(), target, sizeof target);
  return length < 0 ? std::string() : std::string(target, static_cast<std::size_t>(length));
}

bool is_sealed_memory(int fd, const struct stat& status) {
  constexpr int kWanted = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  return S_ISREG(status.st_mode) && seals >= 0 && (seals & kWanted) == kWanted;
}

bool is_log_pipe(int fd, const struct stat& status) {
  return S_ISFIFO(status.st_mode) && (::fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
}

bool has_kind(int fd, FdKind kind) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  switch (kind) {
    case FdKind::Kvm:
      return is_kvm(fd, status);
    case FdKind::ControlSocket:
      return is_control_socket(fd, status);
    case FdKind::EventFd:
      return link_target(fd) == "anon_inode:[eventfd]";
    case FdKind::SealedMemory:
      return is_sealed_memory(fd, status);
    case FdKind::LogPipe:
      return is_log_pipe(fd, status);
  }
  return false;
}

const char* kind_name(FdKind kind) {
  switch (kind) {
    case FdKind::Kvm:
      return "/dev/kvm";
    case FdKind::ControlSocket:
      return "a control socket";
    case FdKind::EventFd:
      return "an eventfd";
    case FdKind::SealedMemory:
      return "memory that is sealed against a change of size";
    case FdKind::LogPipe:
      return "the writing end of a pipe";
  }
  return "known";
}

}  // namespace

void keep_descriptors(std::span<const FdKind> kinds) {
  // The number, not the wrapper: glibc before 2.34 has none.
  if (::syscall(SYS_close_range, static_cast<unsigned>(kinds.size()), UINT_MAX, 0) != 0)
    throw JailError("close_range is not there: Linux 5.9 or later is needed");
  for (std::size_t fd = 0; fd < kinds.size(); fd++)
    if (!has_kind(static_cast<int>(fd), kinds[fd]))
      throw JailError("descriptor " + std::to_string(fd) + " is not " + kind_name(kinds[fd]));
}

}  // namespace mayfly::jail
