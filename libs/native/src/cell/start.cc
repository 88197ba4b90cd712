#include "start.hpp"

namespace mayfly::cell {
namespace {

void say(ControlSocket& control, ErrorCode status, int error_number, std::span<const uint8_t> body) {
  MessageHeader head{};
  head.kind = static_cast<uint32_t>(Message::Hello);
  head.status = static_cast<uint32_t>(status);
  head.a = static_cast<uint64_t>(static_cast<uint32_t>(error_number));
  control.send(head, body);
}

}  // namespace

jail::JailReport enter_jail(const Arguments& arguments) {
  using jail::FdKind;
  static constexpr FdKind kKinds[kDescriptors] = {FdKind::ControlSocket, FdKind::EventFd,      FdKind::LogPipe,
                                                  FdKind::Kvm,           FdKind::SealedMemory, FdKind::SealedMemory};
  static_assert(kControlFd == 0 && kEventFd == 1 && kLogFd == 2 && kKvmFd == 3 && kInboxFd == 4 && kOutboxFd == 5);
  return jail::enter_jail({.descriptors = kKinds,
                           .uid_base = arguments.uid_base,
                           .max_tasks = arguments.max_tasks,
                           .max_files = arguments.max_files,
                           .max_file_bytes = arguments.max_file_bytes});
}

SharedMemory map_memory(const Arguments& arguments) {
  const Layout layout{arguments.slots, arguments.seats};
  SharedMemory memory(layout, Mapping::readonly_of(kInboxFd, layout.inbox_bytes()),
                      Mapping::shared_of(kOutboxFd, layout.outbox_bytes()));
  const InboxHeader& head = memory.inbox();
  if (head.magic != kMagic || head.version != kVersion || head.slots != layout.slots || head.seats != layout.seats)
    throw KvmError(ErrorCode::Option, "worker and cell are of different builds");
  return memory;
}

void hello(ControlSocket& control, const jail::JailReport& report) {
  // SAFETY: the bytes of a plain block.
  say(control, ErrorCode::None, 0, {reinterpret_cast<const uint8_t*>(&report), sizeof report});
}

void farewell(ControlSocket& control, ErrorCode status, int error_number, const std::string& text) {
  // SAFETY: the bytes of a string.
  say(control, status, error_number, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace mayfly::cell
