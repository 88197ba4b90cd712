#include "vm.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "clock.hpp"
#include "slot.hpp"

namespace mayfly {
namespace {

// A longer budget is the same as this one: a day.
constexpr uint64_t kMaxDeadlineUs = 86'400'000'000;

}  // namespace

Vm::Vm(uint32_t id, std::shared_ptr<Slot> slot, VmBody body)
    : id_(id),
      slot_(std::move(slot)),
      plan_(body.memory->shared_plan()),
      interrupt_(std::make_shared<Interrupt>(slot_->kick_target(), slot_)) {
  body_ = std::move(body);
  block_ = std::make_unique<VmBlock>(*plan_);
  slot_->adopt();
}

uint32_t Vm::slot_index() const noexcept { return slot_->index(); }

Vm::~Vm() { slot_->disown(); }

void Vm::require_idle() const {
  if (closed_) throw KvmError(ErrorCode::Closed, "the VM is closed");
  if (slot_->stopping()) throw KvmError(ErrorCode::DriverClosed, "the driver is closed");
  if (busy_) throw KvmError(ErrorCode::Busy, "an operation of this VM is under way");
}

void Vm::require_created() const {
  require_idle();
  if (!created_) throw KvmError(ErrorCode::Closed, "the VM was not created");
  if (failed_) throw KvmError(ErrorCode::Hypervisor, "the VM had a host fault before; it can only be closed");
}

void Vm::post_create(std::shared_ptr<const Snapshot> snapshot) {
  require_idle();
  slot_->post({shared_from_this(), OpKind::Create, std::move(snapshot)});
  busy_ = true;
}

void Vm::post_run(std::span<const uint8_t> request) {
  require_created();
  block_->put_request(request, *plan_);
  const uint32_t flags = block_->request().flags;
  const auto& base = body_.memory->base();
  if ((flags & request_flags::kRestore) != 0 && base == nullptr)
    throw KvmError(ErrorCode::Request, "a restore needs a snapshot, and this VM has none");
  if ((flags & request_flags::kEntry) == 0) {
    const bool can_go_on = (flags & request_flags::kRestore) != 0 ? base->vcpu().resumable : resumable_;
    if (!can_go_on)
      throw KvmError(ErrorCode::Request, "a run without an entry goes on after an OUT, where this guest does not stand");
  }
  posted_ns_ = monotonic_ns();
  if ((flags & request_flags::kStartsCall) != 0) interrupt_->begin_call();
  run_generation_ = interrupt_->call_active() ? interrupt_->generation() : 0;
  busy_ = true;
  try {
    slot_->post({shared_from_this(), OpKind::Run, nullptr});
  } catch (...) {
    busy_ = false;
    if ((flags & request_flags::kStartsCall) != 0) interrupt_->end_call();
    throw;
  }
}

void Vm::post_snapshot() {
  require_created();
  slot_->post({shared_from_this(), OpKind::Snapshot, nullptr});
  busy_ = true;
}

void Vm::post_prime(std::span<const uint8_t> request, Untouched untouched) {
  require_created();
  if (body_.memory->base() == nullptr) throw KvmError(ErrorCode::Request, "priming starts from a snapshot, and this VM has none");
  if (untouched.empty() || untouched.size() > kMaxUntouchedRanges)
    throw KvmError(ErrorCode::Request, "priming needs 1 to 16 untouched ranges");
  for (const AddressRange& range : untouched)
    if (range.length_bytes == 0 || !plan_->contains(range.address, range.length_bytes))
      throw KvmError(ErrorCode::Range, "an untouched range is empty or leaves guest memory");
  block_->put_request(request, *plan_);
  if (block_->request().flags != request_flags::kEntry || block_->request().writes != 0)
    throw KvmError(ErrorCode::Request, "priming takes an entry and nothing else");
  untouched_ = std::move(untouched);
  slot_->post({shared_from_this(), OpKind::Prime, nullptr});
  busy_ = true;
}

void Vm::post_compare() {
  require_created();
  if (body_.memory->base() == nullptr) throw KvmError(ErrorCode::Request, "there is no snapshot to compare with");
  slot_->post({shared_from_this(), OpKind::Compare, nullptr});
  busy_ = true;
}

void Vm::post_restore(std::shared_ptr<const Snapshot> snapshot) {
  require_created();
  if (snapshot->plan() != plan_ && !(*snapshot->plan() == *plan_))
    throw KvmError(ErrorCode::SnapshotMismatch, "the snapshot was taken of a VM of another plan");
  slot_->post({shared_from_this(), OpKind::Restore, std::move(snapshot)});
  busy_ = true;
}

void Vm::post_map_region(std::shared_ptr<const Region> region) {
  require_created();
  wanted_regions_ = with_region(body_.memory->regions(), *plan_, std::move(region));
  slot_->post({shared_from_this(), OpKind::SetRegions, nullptr});
  busy_ = true;
}

void Vm::post_unmap_region(uint64_t address) {
  require_created();
  wanted_regions_ = without_region(body_.memory->regions(), address);
  slot_->post({shared_from_this(), OpKind::SetRegions, nullptr});
  busy_ = true;
}

bool Vm::revoke() {
  // The block is this thread's until the run is taken, and only read by the slot's then.
  if (closed_ || !busy_ || (block_->request().flags & request_flags::kStartsCall) == 0) return false;
  return slot_->revoke(*this);
}

void Vm::post_get_state(StateKind kind) {
  require_created();
  state_kind_ = kind;
  slot_->post({shared_from_this(), OpKind::GetState, nullptr});
  busy_ = true;
}

void Vm::post_set_state(StateKind kind, std::span<const uint8_t> bytes) {
  require_created();
  if (bytes.size() != state_bytes(kind)) throw KvmError(ErrorCode::Request, "not a state of this kind");
  state_kind_ = kind;
  state_.assign(bytes.begin(), bytes.end());
  slot_->post({shared_from_this(), OpKind::SetState, nullptr});
  busy_ = true;
}

bool Vm::close(bool notify) {
  if (closed_) return false;
  closed_ = true;
  close_notice_ = notify;
  interrupt_->abandon();
  return slot_->close(shared_from_this()) && notify;
}

void Vm::abandon() noexcept {
  try {
    close(false);
  } catch (const std::exception&) {
    // No memory for the reaper's list: the VM goes with its last reference.
  }
}

void Vm::settle(OpKind op) noexcept {
  if (op == OpKind::Close) {
    block_.reset();
    return;
  }
  if (op == OpKind::Create) created_ = true;
  busy_ = false;
}

void Vm::read(uint64_t address, std::span<uint8_t> bytes) const {
  require_created();
  if (!body_.memory->is_backed(address, bytes.size()))
    throw KvmError(ErrorCode::Range, "the read leaves guest memory and mapped regions");
  body_.memory->read_physical(address, bytes);
}

void Vm::write(uint64_t address, std::span<const uint8_t> bytes) {
  require_created();
  if (!plan_->contains(address, bytes.size())) throw KvmError(ErrorCode::Range, "the write leaves guest memory");
  body_.memory->write(address, bytes);
}

const Regions& Vm::regions() const {
  require_created();
  return body_.memory->regions();
}

std::span<const uint8_t> Vm::outbox() const noexcept {
  if (busy_ || block_ == nullptr) return {};
  return {block_->outbox(), std::min<uint64_t>(answer().outbox_bytes, kOutboxBytes)};
}

template <typename Operation>
Completion Vm::guarded(OpKind op, Operation&& operation) {
  Completion completion{shared_from_this(), op, ErrorCode::None, 0, {}, nullptr, 0};
  try {
    operation(completion);
  } catch (const KvmError& error) {
    completion.status = error.code();
    completion.error_number = error.error_number();
    completion.text = error.what();
    // A refused state has changed nothing.
    failed_ = failed_ || op != OpKind::SetState || error.code() == ErrorCode::Hypervisor;
  } catch (const std::exception& error) {
    completion.status = ErrorCode::Hypervisor;
    completion.text = error.what();
    failed_ = true;
  }
  return completion;
}

Completion Vm::create(std::unique_ptr<Shell> shell) {
  return guarded(OpKind::Create, [&](Completion&) {
    body_.shell = std::move(shell);
    body_.shell->bind(*plan_, body_.memory->data());
    body_.memory->attach(body_.shell->monitor());
    if (const auto& base = body_.memory->base()) adopt_vcpu(base->vcpu());
  });
}

Completion Vm::create_recycled(std::shared_ptr<const Snapshot> snapshot) {
  return guarded(OpKind::Create, [&](Completion&) { start_as(std::move(snapshot)); });
}

Completion Vm::run(const SlotTools& tools) {
  return guarded(OpKind::Run, [&](Completion&) { run_request(tools); });
}

void Vm::run_request(const SlotTools& tools) {
  const uint64_t taken_ns = monotonic_ns();
  VmBlock& block = *block_;
  const Request request = block.request();  // a copy: the block is shared with the caller's side
  Answer& answer = block.answer();
  std::memset(&answer, 0, offsetof(Answer, registers));
  answer.reason[0] = '\0';
  answer.posted_ns = static_cast<double>(posted_ns_);
  answer.taken_ns = static_cast<double>(taken_ns);

  const bool restores = (request.flags & request_flags::kRestore) != 0;
  const bool fresh = restores || (request.flags & request_flags::kEntry) != 0;
  // First, since a string IN is completed by a store.
  if (fresh) complete_access();
  if (restores) {
    answer.dirty_pages = body_.memory->restore().pages;
    adopt_bookkeeping(body_.memory->base()->vcpu());
    if (dirty_decay_.due(answer.dirty_pages)) {
      body_.shell->monitor().clear_dirty();
      body_.shell->vm().forget_translations();
    }
    answer.restored_ns = static_cast<double>(monotonic_ns());
  } else {
    answer.restored_ns = answer.taken_ns;
  }
  block.for_each_write(*plan_, [this](uint64_t address, std::span<const uint8_t> bytes) {
    body_.memory->write(address, bytes);
  });
  block.trim();
  if (fresh) prepare(request);
  const bool traces = (request.flags & request_flags::kTrace) != 0;
  outbox_.begin(block.outbox(), {.fresh = fresh, .traces = traces});

  resumable_ = false;
  answer.registers = (request.flags & request_flags::kEntry) != 0 ? request.entry
                     : restores ? body_.memory->base()->vcpu().state.registers
                                : registers_;
  GuestRun run({*body_.shell, *body_.memory, outbox_, halt_sites_, virtual_cpu_, *interrupt_, tools.stopping,
                tools.timer, tools.out_rip},
               {run_generation_, deadline_for(request), traces}, answer);
  run.until_settled();
  resumable_ = at_out_ = run.resumable();
  access_pending_ = run.access_pending();
  loaded_ = false;
  registers_ = answer.registers;
  answer.answered_ns = static_cast<double>(monotonic_ns());
}

void Vm::complete_access() {
  if (access_pending_) body_.shell->vm().complete_pending();
  access_pending_ = false;
}

void Vm::settle_vcpu() {
  BackendVm& vm = body_.shell->vm();
  complete_access();
  if (loaded_) {
    const VcpuState& state = body_.memory->base()->vcpu().state;
    vm.load_extended(state);
    vm.load(state, state.registers);
  } else if (at_out_) {
    vm.complete_pending();
    registers_ = vm.registers();
  }
  loaded_ = at_out_ = false;
}

void Vm::load_vcpu(const VcpuState& state) {
  BackendVm& vm = body_.shell->vm();
  at_out_ = false;
  if (plan_->supervisor()) {
    vm.load_extended(state);
    vm.load(state, state.registers);
    // The restored page tables are others than those that are cached.
    vm.forget_translations();
    return;
  }
  loaded_ = true;
  if ((state.registers.rflags & rflags::kTrap) == 0) {
    vm.load(state, body_.shell->monitor().prepare_resume(state.registers));
  } else {
    // A single step would stop in the trampoline.
    vm.load_extended(state);
    vm.load(state, state.registers);
  }
}

void Vm::prepare(const Request& request) {
  if (plan_->supervisor()) {
    prepare_supervisor(request);
    return;
  }
  if ((request.flags & request_flags::kEntry) != 0)
    body_.shell->vm().set_entry(body_.shell->monitor().prepare_entry(request.entry));
  else
    load_vcpu(body_.memory->base()->vcpu().state);
}

void Vm::prepare_supervisor(const Request& request) {
  BackendVm& vm = body_.shell->vm();
  if ((request.flags & request_flags::kRestore) != 0) load_vcpu(body_.memory->base()->vcpu().state);
  if ((request.flags & request_flags::kEntry) == 0) return;
  vm.reset_extended();
  vm.set_entry(request.entry);
}

uint64_t Vm::deadline_for(const Request& request) {
  const bool same_call = run_generation_ != 0 && run_generation_ == deadline_generation_;
  if (!same_call) call_deadline_ns_ = 0;
  deadline_generation_ = run_generation_;
  if (request.deadline_us != 0 && call_deadline_ns_ == 0)
    call_deadline_ns_ = monotonic_ns() + std::min(request.deadline_us, kMaxDeadlineUs) * 1000;
  return call_deadline_ns_;
}

Completion Vm::cancel_queued(OpKind op, uint32_t flags) {
  Completion completion{shared_from_this(), op, ErrorCode::None, 0, {}, nullptr, 0};
  if (op == OpKind::Run) {
    // A guest whose call was killed does not go on from where it stands.
    if (flags != answer_flags::kByRevoke) resumable_ = false;
    Answer& answer = block_->answer();
    answer = Answer{};
    answer.exit = ExitKind::Cancelled;
    answer.flags = flags;
    answer.posted_ns = static_cast<double>(posted_ns_);
    answer.taken_ns = answer.restored_ns = answer.entered_ns = answer.left_ns = answer.answered_ns =
        static_cast<double>(monotonic_ns());
  } else {
    completion.status = ErrorCode::Closed;
    completion.text = "the VM was closed before the operation began";
  }
  return completion;
}

Completion Vm::take_snapshot() {
  return guarded(OpKind::Snapshot, [&](Completion& completion) { completion.snapshot = snapshot_here(resumable_); });
}

std::shared_ptr<const Snapshot> Vm::snapshot_here(bool resumable) {
  GuestMemory& memory = *body_.memory;
  BackendVm& vm = body_.shell->vm();
  Snapshot::Vcpu vcpu;
  vcpu.halt_sites = halt_sites_;
  vcpu.virtual_cpu = virtual_cpu_;
  vcpu.regions = memory.regions();
  vcpu.resumable = resumable;
  settle_vcpu();
  vcpu.state.registers = registers_;
  if (plan_->supervisor()) {
    vm.save(vcpu.state);
    vcpu.state.registers = registers_;
  } else if (resumable) {
    vm.save(vcpu.state);
    body_.shell->monitor().set_resume_image(vcpu.state.extended);
  }
  take_given_pages();
  auto snapshot = Snapshot::take(plan_, memory.data(), memory.nonzero_candidates(), std::move(vcpu));
  memory.set_base(snapshot);
  vm.forget_translations();
  return snapshot;
}

void Vm::take_given_pages() {
  if (body_.shell->monitor().take_pages_back(true)) body_.shell->vm().forget_translations();
}

void Vm::adopt_bookkeeping(const Snapshot::Vcpu& vcpu) {
  halt_sites_ = vcpu.halt_sites;
  virtual_cpu_ = vcpu.virtual_cpu;
  take_given_pages();
  if (vcpu.regions != body_.memory->regions()) apply_regions(vcpu.regions);
}

void Vm::apply_regions(const Regions& regions) {
  // Pages given by the guest's own tables may lead to a region that goes.
  take_given_pages();
  body_.shell->set_regions(regions, !plan_->ring0() && !plan_->supervisor());
  body_.memory->set_regions(regions);
}

void Vm::restore_base() {
  complete_access();
  body_.memory->restore();
  adopt_vcpu(body_.memory->base()->vcpu());
}

Completion Vm::prime(const SlotTools& tools) {
  return guarded(OpKind::Prime, [&](Completion& completion) {
    const Request request = block_->request();  // a copy: the block is shared with the caller's side
    // A guest that owns its page tables cannot be kept from its input.
    if (plan_->supervisor()) return;
    Monitor& monitor = body_.shell->monitor();
    BackendVm& vm = body_.shell->vm();
    restore_base();
    for (const AddressRange& range : untouched_) monitor.set_present(range.address, range.length_bytes, false);
    vm.forget_translations();
    vm.set_entry(monitor.prepare_entry(request.entry));
    outbox_.begin(block_->outbox(), {.fresh = true, .traces = false});
    Answer answer{};  // nobody's: priming has no outcome
    run_generation_ = 0;
    GuestRun run({*body_.shell, *body_.memory, outbox_, halt_sites_, virtual_cpu_, *interrupt_, tools.stopping,
                  tools.timer, tools.out_rip},
                 {0, deadline_for(request)}, answer, &untouched_);
    run.until_settled();
    access_pending_ = run.access_pending();
    for (const AddressRange& range : untouched_) monitor.set_present(range.address, range.length_bytes, true);
    // What the guest sent before the touch would be sent once, not with every call.
    if (run.touched() && outbox_.silent()) {
      vm.set_continue(answer.registers);
      registers_ = answer.registers;
      loaded_ = at_out_ = false;
      completion.snapshot = snapshot_here(true);
      resumable_ = true;
    } else {
      restore_base();
    }
    outbox_.begin(block_->outbox(), {.fresh = true, .traces = false});
  });
}

Completion Vm::compare() {
  return guarded(OpKind::Compare, [&](Completion& completion) {
    restore_base();
    completion.count = body_.memory->count_differences();
  });
}

Completion Vm::restore(std::shared_ptr<const Snapshot> snapshot) {
  return guarded(OpKind::Restore, [&](Completion&) { start_as(std::move(snapshot)); });
}

void Vm::start_as(std::shared_ptr<const Snapshot> snapshot) {
  complete_access();
  body_.memory->restore_to(snapshot);
  adopt_vcpu(snapshot->vcpu());
}

void Vm::adopt_vcpu(const Snapshot::Vcpu& vcpu) {
  adopt_bookkeeping(vcpu);
  resumable_ = vcpu.resumable;
  registers_ = vcpu.state.registers;
  at_out_ = loaded_ = false;
  outbox_.forget_abort();
  if (!vcpu.resumable && !plan_->supervisor()) return;
  complete_access();
  if (plan_->supervisor()) {
    load_vcpu(vcpu.state);
    return;
  }
  body_.shell->monitor().set_resume_image(vcpu.state.extended);
  load_vcpu(vcpu.state);
}

Completion Vm::get_state() {
  return guarded(OpKind::GetState, [&](Completion& completion) {
    settle_vcpu();
    completion.state = VcpuAccess(body_.shell->vm(), virtual_cpu_, *plan_).get(state_kind_, registers_);
  });
}

Completion Vm::set_state() {
  return guarded(OpKind::SetState, [&](Completion&) {
    state_set_ = true;
    settle_vcpu();
    VcpuAccess access(body_.shell->vm(), virtual_cpu_, *plan_);
    switch (state_kind_) {
      case StateKind::General:
        access.set_general(state_, registers_);
        resumable_ = true;
        return;
      case StateKind::Special:
        // What the guest's tables were given counts anew after its CR4 changed.
        take_given_pages();
        access.set_special(state_);
        return;
      case StateKind::Fpu:
        access.set_fpu(state_);
        return;
    }
  });
}

Completion Vm::set_regions() {
  return guarded(OpKind::SetRegions, [&](Completion&) {
    apply_regions(wanted_regions_);
    wanted_regions_.clear();
  });
}

VmBody Vm::release() noexcept {
  interrupt_->drop();
  const bool ready = body_.shell != nullptr && body_.memory->base() != nullptr;
  // In ring 0 a guest has more state than the check of a kept VM compares.
  const bool recyclable = ready && !failed_ && !access_pending_ && !state_set_ && !plan_->supervisor() &&
                          body_.memory->regions() == body_.memory->base()->vcpu().regions;
  // A body that was recycled before says that it is until here.
  if (recyclable)
    body_.recyclable_on = slot_->index();
  else
    body_.recyclable_on.reset();
  // Whole: a VM that is abandoned after its close has nothing to keep.
  return std::exchange(body_, {});
}

}  // namespace mayfly
