#include "layers.hpp"

#include <system_error>

namespace mayfly::jail {

const char* layer_name(Layer layer) noexcept {
  switch (layer) {
    case Layer::PidNamespace:
      return "pid-namespace";
    case Layer::Descriptors:
      return "descriptors";
    case Layer::MountNamespace:
      return "mount-namespace";
    case Layer::NetNamespace:
      return "net-namespace";
    case Layer::IpcNamespace:
      return "ipc-namespace";
    case Layer::UtsNamespace:
      return "uts-namespace";
    case Layer::Limits:
      return "limits";
    case Layer::OwnUser:
      return "own-user";
    case Layer::UserNamespace:
      return "user-namespace";
    case Layer::Capabilities:
      return "no-capabilities";
    case Layer::NoNewPrivileges:
      return "no-new-privileges";
    case Layer::NotDumpable:
      return "not-dumpable";
    case Layer::Seccomp:
      return "seccomp";
  }
  return "unknown";
}

std::string describe_layer(const JailReport& report, Layer layer) {
  const int32_t state = report[layer];
  std::string text = std::string(layer_name(layer)) + ": ";
  if (state == JailReport::kInPlace) return text + "in place";
  if (state == JailReport::kNotAsked) return text + "not asked for";
  return text + "not allowed by this host (" + std::generic_category().message(state) + ")";
}

}  // namespace mayfly::jail
