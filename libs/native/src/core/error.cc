#include "error.hpp"

#include <system_error>

namespace mayfly {

KvmError KvmError::from_errno(const char* operation, int error_number, ErrorCode code) {
  const std::string text = std::string(operation) + ": " + std::generic_category().message(error_number) +
                           " (errno " + std::to_string(error_number) + ")";
  return KvmError(code, text, error_number, operation);
}

}  // namespace mayfly
