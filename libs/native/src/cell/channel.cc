#include "channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "../core/error.hpp"
#include "../jail/spawn.hpp"
#include "futex.hpp"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace mayfly::cell {
namespace {

constexpr int kNoResize = F_SEAL_SHRINK | F_SEAL_GROW;

UniqueFd checked(int fd, const char* operation, ErrorCode code = ErrorCode::Hypervisor) {
  if (fd < 0) throw KvmError::from_errno(operation, errno, code);
  return UniqueFd(fd);
}

void seal(const UniqueFd& file, int seals) {
  if (::fcntl(file.get(), F_ADD_SEALS, seals | F_SEAL_SEAL) < 0) throw KvmError::from_errno("fcntl F_ADD_SEALS", errno);
}

UniqueFd memory_file(const char* name, uint64_t bytes) {
  UniqueFd file = checked(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(bytes)) < 0) throw KvmError::from_errno("ftruncate", errno);
  return file;
}

UniqueFd sealed_file(const std::vector<std::span<const uint8_t>>& parts) {
  UniqueFd file = checked(::memfd_create("mayfly-load", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create");
  for (std::span<const uint8_t> rest : parts) {
    while (!rest.empty()) {
      const ssize_t written = ::write(file.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) throw KvmError::from_errno("write", written < 0 ? errno : EIO);
      rest = rest.subspan(static_cast<std::size_t>(written));
    }
  }
  seal(file, kNoResize | F_SEAL_WRITE);
  return file;
}

}  // namespace

Channel::Channel(const std::string& executable, const Arguments& arguments)
    : inbox_file_(memory_file("mayfly-inbox", Layout{arguments.slots, arguments.seats}.inbox_bytes())),
      outbox_file_(memory_file("mayfly-outbox", Layout{arguments.slots, arguments.seats}.outbox_bytes())),
      memory_({arguments.slots, arguments.seats},
              Mapping::shared_of(inbox_file_.get(), Layout{arguments.slots, arguments.seats}.inbox_bytes()),
              Mapping::shared_of(outbox_file_.get(), Layout{arguments.slots, arguments.seats}.outbox_bytes())),
      event_(checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      posted_(arguments.slots, 0),
      incoming_(sizeof(MessageHeader) + kMessageBytes) {
  InboxHeader& head = memory_.inbox();
  head.magic = kMagic;
  head.version = kVersion;
  head.slots = arguments.slots;
  head.seats = arguments.seats;
  // From here on nobody else can map the inbox writable.
  seal(inbox_file_, kNoResize | F_SEAL_FUTURE_WRITE);
  seal(outbox_file_, kNoResize);

  int sockets[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) throw KvmError::from_errno("socketpair", errno);
  control_ = UniqueFd(sockets[0]);
  kill_line_ = std::make_shared<KillLine>(control_.get());
  const UniqueFd theirs(sockets[1]);
  ::fcntl(control_.get(), F_SETFL, O_NONBLOCK);
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) < 0) throw KvmError::from_errno("pipe2", errno);
  log_ = UniqueFd(pipe[0]);
  const UniqueFd log_end(pipe[1]);
  ::fcntl(log_.get(), F_SETFL, O_NONBLOCK);
  const UniqueFd kvm = checked(::open("/dev/kvm", O_RDWR | O_CLOEXEC), "open /dev/kvm", ErrorCode::NoHypervisor);

  std::array<int, kDescriptors> fds{};
  fds[kControlFd] = theirs.get();
  fds[kEventFd] = event_.get();
  fds[kLogFd] = log_end.get();
  fds[kKvmFd] = kvm.get();
  fds[kInboxFd] = inbox_file_.get();
  fds[kOutboxFd] = outbox_file_.get();
  const auto number = [](const char* name, uint64_t value) { return name + std::to_string(value); };
  const std::array<std::string, 7> words{
      number("--slots=", arguments.slots),
      number("--seats=", arguments.seats),
      number("--spare-shells=", arguments.spare_shells),
      number("--uid-base=", arguments.uid_base),
      number("--max-tasks=", arguments.max_tasks),
      number("--max-files=", arguments.max_files),
      number("--max-file-bytes=", arguments.max_file_bytes),
  };
  std::array<const char*, words.size() + 2> list{};
  list[0] = "mayfly-cell";
  for (std::size_t i = 0; i < words.size(); i++) list[i + 1] = words[i].c_str();
  try {
    jail::Spawned spawned = jail::spawn_jailed({executable.c_str(), list.data(), fds});
    pid_ = spawned.pid;
    process_ = std::move(spawned.pidfd);
  } catch (const std::system_error& error) {
    throw KvmError(ErrorCode::Hypervisor, "the cell does not start: " + std::string(error.what()), error.code().value());
  }
}

Channel::~Channel() {
  kill_line_->shut();
  kill();
}

void Channel::post_run(uint32_t slot, uint32_t seat, uint32_t generation, uint64_t call, bool killed, bool revocable,
                       std::span<const uint8_t> block) {
  memory_.request(seat) = SeatRequest{generation, static_cast<uint32_t>(block.size()), call, killed ? 1u : 0u, {}};
  std::memcpy(memory_.request_bytes(seat).data(), block.data(), block.size());
  memory_.claim(seat).store(static_cast<uint32_t>(revocable ? Claim::Waiting : Claim::Begun), std::memory_order_relaxed);
  memory_.ring_entry(slot, posted_[slot]++).store(seat, std::memory_order_relaxed);
  memory_.ring(slot).posted.store(posted_[slot], std::memory_order_release);
  ring(memory_.bell(slot));
}

bool Channel::revoke(uint32_t seat) noexcept {
  auto waiting = static_cast<uint32_t>(Claim::Waiting);
  return seat < layout().seats && memory_.claim(seat).compare_exchange_strong(
                                      waiting, static_cast<uint32_t>(Claim::Revoked), std::memory_order_seq_cst);
}

void Channel::send(MessageHeader head, std::span<const uint8_t> body,
                   const std::vector<std::span<const uint8_t>>& file) {
  Pending message;
  if (!file.empty()) {
    message.file = sealed_file(file);
    head.a = 0;
    for (const auto& part : file) head.a += part.size();
  }
  head.body_bytes = static_cast<uint32_t>(body.size());
  message.bytes.resize(sizeof head + body.size());
  std::memcpy(message.bytes.data(), &head, sizeof head);
  if (!body.empty()) std::memcpy(message.bytes.data() + sizeof head, body.data(), body.size());
  if (!backlog_.empty() || !try_send(message)) backlog_.push_back(std::move(message));
}

void Channel::flush() {
  while (!backlog_.empty() && try_send(backlog_.front())) backlog_.pop_front();
}

bool Channel::try_send(const Pending& pending) noexcept {
  iovec part{const_cast<uint8_t*>(pending.bytes.data()), pending.bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int))]{};
  if (pending.file) {
    message.msg_control = ancillary;
    message.msg_controllen = sizeof ancillary;
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = pending.file.get();
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  ssize_t sent;
  do sent = ::sendmsg(control_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  // A cell that is gone shows in `receive`.
  return sent >= 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ETOOMANYREFS);
}

Channel::Receive Channel::receive(MessageHeader& head, std::span<const uint8_t>& body) {
  ssize_t length;
  do length = ::recv(control_.get(), incoming_.data(), incoming_.size(), MSG_DONTWAIT | MSG_TRUNC);
  while (length < 0 && errno == EINTR);
  if (length < 0 && errno == EAGAIN) return Receive::Nothing;
  if (length <= 0) return Receive::Gone;
  const auto bytes = static_cast<std::size_t>(length);
  if (bytes < sizeof head || bytes > incoming_.size())
    throw KvmError(ErrorCode::Request, "the cell sent a message of an impossible length");
  std::memcpy(&head, incoming_.data(), sizeof head);
  if (head.body_bytes != bytes - sizeof head)
    throw KvmError(ErrorCode::Request, "the cell sent a message that does not have the length that it names");
  body = {incoming_.data() + sizeof head, head.body_bytes};
  return Receive::Message;
}

bool Channel::wait_message(int timeout_ms) const noexcept {
  pollfd waiting{control_.get(), POLLIN, 0};
  return ::poll(&waiting, 1, timeout_ms) > 0;
}

void Channel::clear_event() const noexcept {
  uint64_t count;
  static_cast<void>(!::read(event_.get(), &count, sizeof count));
}

std::optional<TakenCompletion> Channel::take() {
  uint32_t produced = memory_.outbox().produced.load(std::memory_order_seq_cst);
  if (produced == consumed_) return std::nullopt;
  if (produced - consumed_ > layout().completion_entries())
    throw KvmError(ErrorCode::Request, "the cell claims more completions than there can be");
  TakenCompletion taken;
  // The cell may write on meanwhile: what counts is this copy.
  std::memcpy(&taken.entry, &memory_.completion(consumed_), sizeof taken.entry);
  if (taken.entry.seat >= layout().seats)
    throw KvmError(ErrorCode::Request, "the cell completed an operation of a seat that does not exist");
  std::memcpy(&taken.answer, &memory_.answer(taken.entry.seat), sizeof taken.answer);
  consumed_++;
  memory_.inbox().consumed.store(consumed_, std::memory_order_seq_cst);
  return taken;
}

void Channel::copy_outbox(uint32_t seat, std::span<uint8_t> target) const {
  if (seat >= layout().seats || target.size() > kOutboxBytes)
    throw KvmError(ErrorCode::Range, "the copy leaves the outbox");
  if (!target.empty()) std::memcpy(target.data(), memory_.outbox_entries(seat).data(), target.size());
}

void Channel::copy_tail(uint32_t seat, std::span<uint8_t> target) const {
  if (seat >= layout().seats || target.size() > kTailBytes) throw KvmError(ErrorCode::Range, "the copy leaves the tail");
  if (!target.empty()) std::memcpy(target.data(), memory_.tail(seat).data(), target.size());
}

void Channel::forget(uint32_t seat) noexcept {
  if (seat >= layout().seats) return;
  ::fallocate(outbox_file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(layout().answer(seat)),
              static_cast<off_t>(Layout::kAnswerBytes + kOutboxBytes + kTailBytes));
}

void Channel::kill() noexcept {
  if (process_ && !reaped_) ::syscall(SYS_pidfd_send_signal, process_.get(), SIGKILL, nullptr, 0);
}

bool Channel::reap(int& code, int& status) noexcept {
  if (reaped_) return false;
  siginfo_t info{};
  // P_PIDFD, which old headers lack.
  if (::waitid(static_cast<idtype_t>(3), static_cast<id_t>(process_.get()), &info, WEXITED | WNOHANG) < 0 ||
      info.si_pid == 0)
    return false;
  reaped_ = true;
  code = info.si_code;
  status = info.si_status;
  return true;
}

}  // namespace mayfly::cell
