#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>

#include "vm_body.hpp"

namespace mayfly {

/**
 * VMs that were closed and are clean again, kept for the next sandbox of the same image on the same slot.
 *
 * Only of the same image, which is one tenant's: KVM flushes the CPU's branch predictors between guests when it changes
 * from one vCPU to another, and a vCPU that changed tenants would go unnoticed (docs/decisions/0005-recycled-vms.md).
 * Only on the same slot, since older kernels take milliseconds to run a vCPU on another thread. Clean: restored as before
 * a call, then all of memory compared with the snapshot, as the live check does; the vCPU is set whole by the next entry.
 * Thread-safe.
 */
class RecycledVms {
 public:
  static constexpr uint64_t kMaxBytes = 256ull << 20;

  struct Counts {
    uint64_t kept = 0;
    uint64_t reused = 0;
    /** Restores that left a difference: VMs that were not kept for it. */
    uint64_t unclean = 0;
  };

  /** `limit`: VMs kept at most, beside at most `kMaxBytes` of guest memory; 0: none. */
  explicit RecycledVms(uint32_t limit) : limit_(limit) {}

  struct Put {
    /** What has to be freed: the VM itself if it cannot be kept, the one that was kept longest if it made room. */
    VmBody freed = {};
    /** Pages that its restore left different: a bug of the host, as when a live check fails. */
    uint64_t differing_pages = 0;
  };
  /** Cleans a VM that nobody uses any more and keeps it. Takes as long as a comparison of its memory. */
  Put put(VmBody body);
  /** A VM of exactly this plan on this slot, at whatever snapshot; an empty body when there is none. */
  VmBody take(const Plan& plan, uint32_t slot);
  /** Frees all. */
  void clear();
  Counts counts() const;

 private:
  /** @returns pages that differ after a restore; absent when it could not be compared */
  static std::optional<uint64_t> differences_of(const VmBody& body);

  const uint32_t limit_;
  mutable std::mutex mutex_;
  std::deque<VmBody> kept_;  // under mutex_, oldest first
  Counts counts_;            // under mutex_
};

}  // namespace mayfly
