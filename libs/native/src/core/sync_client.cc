#include "sync_client.hpp"

namespace mayfly {

SyncClient::SyncClient(EngineOptions options)
    : engine_(std::make_unique<Engine>(options, [this] {
        {
          const std::lock_guard lock(mutex_);
          wake_ = true;
        }
        woken_.notify_one();
      })) {}

SyncClient::~SyncClient() {
  engine_->begin_stop();
  engine_->finish_stop();
}

Completion SyncClient::next() {
  Completion completion;
  while (!engine_->completions().take(completion)) {
    std::unique_lock lock(mutex_);
    woken_.wait(lock, [this] { return wake_; });
    wake_ = false;
  }
  if (completion.vm != nullptr) completion.vm->settle(completion.op);
  return completion;
}

Completion SyncClient::expect(OpKind op) {
  Completion completion = next();
  if (completion.op != op) throw KvmError(ErrorCode::Request, "another operation ended first");
  if (completion.status != ErrorCode::None)
    throw KvmError(completion.status, completion.text, completion.error_number);
  return completion;
}

std::shared_ptr<Vm> SyncClient::create_vm(std::shared_ptr<const Plan> plan, std::span<const Engine::Load> load) {
  auto vm = engine_->create_vm(std::move(plan), load);
  expect(OpKind::Create);
  return vm;
}

std::shared_ptr<Vm> SyncClient::create_vm(std::shared_ptr<const Snapshot> snapshot) {
  auto vm = engine_->create_vm(std::move(snapshot));
  expect(OpKind::Create);
  return vm;
}

const Answer& SyncClient::run(Vm& vm, RequestBuilder& request) {
  vm.post_run(request.bytes());
  expect(OpKind::Run);
  return vm.answer();
}

std::shared_ptr<const Snapshot> SyncClient::snapshot(Vm& vm) {
  vm.post_snapshot();
  return expect(OpKind::Snapshot).snapshot;
}

std::shared_ptr<const Snapshot> SyncClient::prime(Vm& vm, RequestBuilder& request, Untouched untouched) {
  vm.post_prime(request.bytes(), std::move(untouched));
  return expect(OpKind::Prime).snapshot;
}

uint64_t SyncClient::compare(Vm& vm) {
  vm.post_compare();
  return expect(OpKind::Compare).count;
}

void SyncClient::restore(Vm& vm, std::shared_ptr<const Snapshot> snapshot) {
  vm.post_restore(std::move(snapshot));
  expect(OpKind::Restore);
}

std::vector<uint8_t> SyncClient::get_state(Vm& vm, StateKind kind) {
  vm.post_get_state(kind);
  return expect(OpKind::GetState).state;
}

void SyncClient::set_state(Vm& vm, StateKind kind, std::span<const uint8_t> bytes) {
  vm.post_set_state(kind, bytes);
  expect(OpKind::SetState);
}

void SyncClient::map_region(Vm& vm, std::shared_ptr<const Region> region) {
  vm.post_map_region(std::move(region));
  expect(OpKind::SetRegions);
}

void SyncClient::unmap_region(Vm& vm, uint64_t address) {
  vm.post_unmap_region(address);
  expect(OpKind::SetRegions);
}

void SyncClient::close(Vm& vm) {
  if (vm.close(true)) expect(OpKind::Close);
}

}  // namespace mayfly
