#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace mayfly::jail {

/**
 * What stands between a cell and the host, in the order in which it is put up. The values are an interface: a report
 * crosses to the worker as an array indexed by them.
 */
enum class Layer : uint32_t {
  PidNamespace = 0,    // by `spawn_jailed`; all others by `enter_jail` and `install_thread_filter`
  Descriptors = 1,     // nothing open but what the plan lists, each of its kind
  MountNamespace = 2,  // root is an empty, read-only tmpfs
  NetNamespace = 3,
  IpcNamespace = 4,
  UtsNamespace = 5,
  Limits = 6,          // rlimits
  OwnUser = 7,         // a uid of the cell's own, not its spawner's
  UserNamespace = 8,
  Capabilities = 9,    // none, and none to be had
  NoNewPrivileges = 10,
  NotDumpable = 11,
  Seccomp = 12,
};
inline constexpr std::size_t kLayers = 13;

/** Name of a layer in reports and logs: `pid-namespace`. */
const char* layer_name(Layer layer) noexcept;

/** How a jail turned out. A plain block: it crosses the control socket as it is, before the cell is bound. */
struct JailReport {
  static constexpr int32_t kInPlace = 0;
  /** The plan did not ask for it, or it has not been tried yet. */
  static constexpr int32_t kNotAsked = -1;

  /** By layer: kInPlace, kNotAsked, or the errno with which this host refused it. */
  std::array<int32_t, kLayers> layers;

  JailReport() noexcept { layers.fill(kNotAsked); }
  int32_t& operator[](Layer layer) noexcept { return layers[static_cast<std::size_t>(layer)]; }
  int32_t operator[](Layer layer) const noexcept { return layers[static_cast<std::size_t>(layer)]; }
  bool in_place(Layer layer) const noexcept { return (*this)[layer] == kInPlace; }
};
static_assert(sizeof(JailReport) == 4 * kLayers);

/** `net-namespace: not allowed by this host (Operation not permitted)`, or `net-namespace: in place`. */
std::string describe_layer(const JailReport& report, Layer layer);

}  // namespace mayfly::jail
