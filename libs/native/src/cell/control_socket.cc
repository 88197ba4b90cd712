#include "control_socket.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "../core/error.hpp"

namespace mayfly::cell {

std::optional<ControlMessage> ControlSocket::receive() {
  iovec part{buffer_.data(), buffer_.size()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = ancillary;
  message.msg_controllen = sizeof ancillary;
  ssize_t length;
  do length = ::recvmsg(fd_, &message, MSG_CMSG_CLOEXEC);
  while (length < 0 && errno == EINTR);
  if (length <= 0) return std::nullopt;

  ControlMessage result{};
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
    int fd;
    std::memcpy(&fd, CMSG_DATA(each), sizeof fd);
    result.file = UniqueFd(fd);
  }
  const auto bytes = static_cast<std::size_t>(length);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || bytes < sizeof result.head)
    throw KvmError(ErrorCode::Request, "a control message is truncated");
  std::memcpy(&result.head, buffer_.data(), sizeof result.head);
  if (result.head.body_bytes != bytes - sizeof result.head)
    throw KvmError(ErrorCode::Request, "a control message does not have the length that it names");
  result.body = {buffer_.data() + sizeof result.head, result.head.body_bytes};
  return result;
}

void ControlSocket::send(MessageHeader head, std::span<const uint8_t> body) {
  head.body_bytes = static_cast<uint32_t>(body.size());
  outgoing_.resize(sizeof head + body.size());
  std::memcpy(outgoing_.data(), &head, sizeof head);
  if (!body.empty()) std::memcpy(outgoing_.data() + sizeof head, body.data(), body.size());
  // write, not sendmsg: one system call less on the list of a jailed cell.
  ssize_t written;
  do written = ::write(fd_, outgoing_.data(), outgoing_.size());
  while (written < 0 && errno == EINTR);
  if (written < 0) throw KvmError(ErrorCode::DriverClosed, "the worker is gone", errno);
}

}  // namespace mayfly::cell
