#include "slot.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>

namespace mayfly {

Slot::Slot(uint32_t index, SlotServices services)
    : index_(index),
      services_(services),
      kick_target_(std::make_shared<KickTarget>(services.kick_signal)),
      thread_([this] { main(); }) {}

void Slot::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.load(std::memory_order_relaxed)) throw KvmError(ErrorCode::DriverClosed, "the driver is closed");
    queue_.push_back(std::move(job));
  }
  notify();
}

template <typename Matches>
std::optional<Slot::Job> Slot::take_off(Matches&& matches) {
  const auto found = std::find_if(queue_.begin(), queue_.end(), matches);
  if (found == queue_.end()) return std::nullopt;
  Job job = std::move(*found);
  queue_.erase(found);
  return job;
}

void Slot::cancel_waiting(const Interrupt& interrupt, uint64_t generation) {
  std::optional<Job> job;  // outlives the lock: it may hold the last reference to its VM
  const std::lock_guard lock(mutex_);
  if (stopping_.load(std::memory_order_relaxed)) return;
  job = take_off([&](const Job& each) {
    return each.op == OpKind::Run && each.vm->interrupt().get() == &interrupt && each.vm->is_run_of(generation);
  });
  if (job) services_.completions.push(job->vm->cancel_queued(OpKind::Run, 0));
}

bool Slot::revoke(const Vm& vm) {
  const std::lock_guard lock(mutex_);
  if (stopping_.load(std::memory_order_relaxed)) return false;
  const auto job = take_off([&](const Job& each) { return each.op == OpKind::Run && each.vm.get() == &vm; });
  if (!job) return false;
  services_.completions.push(job->vm->cancel_queued(OpKind::Run, answer_flags::kByRevoke));
  return true;
}

bool Slot::close(const std::shared_ptr<Vm>& vm) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_.load(std::memory_order_relaxed)) return false;
    // A VM can be both, queued and current: its last job has completed but not yet left the thread.
    const auto job = take_off([&](const Job& each) { return each.vm == vm; });
    // Before the close can complete: completions of a VM come in the order of its operations.
    if (job) services_.completions.push(vm->cancel_queued(job->op, 0));
    if (current_ == vm.get()) {
      queue_.push_front({vm, OpKind::Close, nullptr});
      return true;
    }
  }
  free(vm);
  return true;
}

void Slot::free(const std::shared_ptr<Vm>& vm) {
  Completion completion{nullptr, OpKind::Close, ErrorCode::None, 0, {}, nullptr, 0};
  if (vm->wants_close_notice()) completion.vm = vm;
  services_.reaper.free(vm->release(), std::move(completion));
}

std::size_t Slot::backlog() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() + (current_ != nullptr ? 1 : 0);
}

void Slot::request_stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_.store(true, std::memory_order_seq_cst);
  }
  notify();
  // The run loop looks at `stopping_` before each entry; the signal ends an entry that began before.
  kick_target_->kick();
}

void Slot::stop() {
  request_stop();
  if (thread_.joinable()) thread_.join();
}

void Slot::main() {
  ::pthread_setname_np(::pthread_self(), ("mf-slot-" + std::to_string(index_)).c_str());
  block_signals(services_.kick_signal);
  const auto thread_id = static_cast<pid_t>(::syscall(SYS_gettid));
  std::optional<DeadlineTimer> timer;
  std::string failure;
  try {
    timer.emplace(thread_id, services_.kick_signal);
  } catch (const std::exception& error) {
    failure = error.what();
  }
  kick_target_->attach(thread_id);
  thread_ready(services_.thread_ready, ThreadRole::Slot);
  std::unique_lock lock(mutex_);
  for (;;) {
    wait_for_work(lock);
    if (queue_.empty()) break;
    Job job = std::move(queue_.front());
    queue_.pop_front();
    current_ = job.vm.get();
    lock.unlock();
    if (timer) {
      execute(std::move(job), {*timer, stopping_, services_.out_rip});
    } else {
      services_.completions.push({job.vm, job.op, ErrorCode::Hypervisor, 0, failure, nullptr, 0});
    }
    lock.lock();
    current_ = nullptr;
  }
  lock.unlock();
  kick_target_->detach();
}

void Slot::wait_for_work(std::unique_lock<std::mutex>& lock) {
  const auto ready = [this] { return stopping_.load(std::memory_order_relaxed) || !queue_.empty(); };
  if (services_.inlet == nullptr) {
    changed_.wait(lock, ready);
    return;
  }
  while (!ready()) {
    lock.unlock();
    const uint32_t seen = services_.inlet->seen(index_);
    services_.inlet->take(index_);
    lock.lock();
    if (ready()) return;
    lock.unlock();
    services_.inlet->wait(index_, seen);
    lock.lock();
  }
}

void Slot::notify() noexcept {
  if (services_.inlet == nullptr)
    changed_.notify_one();
  else
    services_.inlet->wake(index_);
}

void Slot::execute(Job job, const SlotTools& tools) {
  switch (job.op) {
    case OpKind::Create:
      services_.completions.push(create(job));
      return;
    case OpKind::Run:
      services_.completions.push(job.vm->run(tools));
      return;
    case OpKind::Snapshot:
      services_.completions.push(job.vm->take_snapshot());
      return;
    case OpKind::Prime:
      services_.completions.push(job.vm->prime(tools));
      return;
    case OpKind::Compare:
      services_.completions.push(job.vm->compare());
      return;
    case OpKind::GetState:
      services_.completions.push(job.vm->get_state());
      return;
    case OpKind::SetRegions:
      services_.completions.push(job.vm->set_regions());
      return;
    case OpKind::SetState:
      services_.completions.push(job.vm->set_state());
      return;
    case OpKind::Restore:
      services_.completions.push(job.vm->restore(std::move(job.snapshot)));
      return;
    case OpKind::Close:
      free(job.vm);
      return;
    case OpKind::EngineClosed:
      return;
  }
}

Completion Slot::create(const Job& job) {
  if (job.vm->has_shell()) return job.vm->create_recycled(job.snapshot);
  std::unique_ptr<Shell> shell;
  try {
    shell = services_.shells.take();
  } catch (const KvmError& error) {
    return {job.vm, OpKind::Create, error.code(), error.error_number(), error.what(), nullptr, 0};
  } catch (const std::exception& error) {
    return {job.vm, OpKind::Create, ErrorCode::Hypervisor, 0, error.what(), nullptr, 0};
  }
  return job.vm->create(std::move(shell));
}

}  // namespace mayfly
