#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace mayfly {

/** What went wrong, for the side that has to act. The values cross to JavaScript as numbers. */
enum class ErrorCode : uint32_t {
  None = 0,
  Plan = 1,              // the plan contradicts itself
  Request = 2,           // a request that this VM cannot serve in its state
  Range = 3,             // outside guest memory
  Busy = 4,              // an operation of this VM is under way
  Closed = 5,            // the VM or the snapshot is closed
  SnapshotMismatch = 6,  // a snapshot of another plan
  NoHypervisor = 7,      // this host cannot run guests
  Hypervisor = 8,        // the hypervisor or the kernel refused something it should do
  DriverClosed = 9,      // the engine is stopping
  Option = 10,           // an option of the engine is out of its range
  Region = 11,           // a region that cannot be mapped, or is not mapped
  Privilege = 12,        // a register that is the monitor's
};

/** The only exception of the core. `operation` names the ioctl or system call where there is one. */
class KvmError : public std::runtime_error {
 public:
  KvmError(ErrorCode code, const std::string& text, int error_number = 0, const char* operation = "")
      : std::runtime_error(text), code_(code), error_number_(error_number), operation_(operation) {}

  /** A failed system call: the text names the call and the error. */
  static KvmError from_errno(const char* operation, int error_number,
                             ErrorCode code = ErrorCode::Hypervisor);

  ErrorCode code() const noexcept { return code_; }
  int error_number() const noexcept { return error_number_; }
  const char* operation() const noexcept { return operation_; }

 private:
  ErrorCode code_;
  int error_number_;
  const char* operation_;
};

}  // namespace mayfly
