// DESIGN
// Order: what needs the file system (descriptors, /proc) comes first, then what needs rights (namespaces, user),
// then the rights themselves, and last what forbids (no_new_privs; each thread's filter follows when it exists).
// A layer that the host refuses leaves no trace and stands in the report. A step that fails half way through a
// layer ends the cell.

#include "jail.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "descriptors.hpp"
#include "mounts.hpp"
#include "user.hpp"

namespace mayfly::jail {
namespace {

/** When memory runs out, the kernel takes a cell before the worker. */
constexpr char kOomScore[] = "800";

int separate(int kind) noexcept { return ::unshare(kind) == 0 ? 0 : errno; }

int limit(__rlimit_resource resource, uint64_t value) noexcept {
  rlimit present{};
  if (::getrlimit(resource, &present) != 0) return errno;
  // Never above what the host gave the worker.
  const rlimit wanted{std::min<rlim_t>(value, present.rlim_max), std::min<rlim_t>(value, present.rlim_max)};
  return ::setrlimit(resource, &wanted) == 0 ? 0 : errno;
}

int set_limits(const JailPlan& plan) noexcept {
  int refused = 0;
  const auto set = [&](__rlimit_resource resource, uint64_t value) {
    const int result = limit(resource, value);
    if (refused == 0) refused = result;
  };
  set(RLIMIT_CORE, 0);
  set(RLIMIT_MEMLOCK, 0);
  set(RLIMIT_MSGQUEUE, 0);
  set(RLIMIT_FSIZE, plan.max_file_bytes);
  set(RLIMIT_NOFILE, plan.max_files);
  return refused;
}

/** This process as the host counts it: /proc is still the host's, and tells its own number of "self". */
uid_t process_id_of_host() {
  char target[32] = {};
  const ssize_t length = ::readlink("/proc/self", target, sizeof target - 1);
  uid_t id = 0;
  const auto [end, error] = std::from_chars(target, target + std::max<ssize_t>(length, 0), id);
  if (error != std::errc() || id == 0) throw JailError("/proc/self is not a process");
  return id;
}

void raise_oom_score(const UniqueFd& process_directory) noexcept {
  const UniqueFd file(::openat(process_directory.get(), "oom_score_adj", O_WRONLY | O_CLOEXEC));
  // Without it the kernel may choose the worker: worse, but no hole.
  if (file) static_cast<void>(!::write(file.get(), kOomScore, sizeof kOomScore - 1));
}

}  // namespace

JailReport enter_jail(const JailPlan& plan) {
  JailReport report;
  ::clearenv();
  ::umask(077);
  keep_descriptors(plan.descriptors);
  report[Layer::Descriptors] = 0;
  report[Layer::PidNamespace] = ::getpid() == 1 ? 0 : EPERM;

  UniqueFd process_directory(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!process_directory) throw JailError("/proc is not mounted");
  const uid_t process_id = process_id_of_host();
  raise_oom_score(process_directory);

  report[Layer::MountNamespace] = empty_root();
  report[Layer::NetNamespace] = separate(CLONE_NEWNET);
  report[Layer::IpcNamespace] = separate(CLONE_NEWIPC);
  report[Layer::UtsNamespace] = separate(CLONE_NEWUTS);
  report[Layer::Limits] = set_limits(plan);
  if (plan.uid_base != 0) report[Layer::OwnUser] = become_user(plan.uid_base + process_id % kUids);
  report[Layer::UserNamespace] = enter_user_namespace(process_directory);
  process_directory.reset();
  // Counted for a user of a namespace; without either it would count the worker's own tasks.
  if (report.in_place(Layer::UserNamespace) || report.in_place(Layer::OwnUser)) {
    const int refused = limit(RLIMIT_NPROC, plan.max_tasks);
    if (refused != 0) report[Layer::Limits] = refused;
  }
  report[Layer::Capabilities] = drop_capabilities();
  report[Layer::NoNewPrivileges] = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
  report[Layer::NotDumpable] = ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : errno;
  // A change of user forgets it.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  return report;
}

}  // namespace mayfly::jail
