#include "recorded_call.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <stdexcept>

namespace bench {
namespace {

/// Little-endian u64 words and length-prefixed bytes, in order.
class Reader {
public:
    explicit Reader(const std::string& file) {
        std::ifstream stream(file, std::ios::binary);
        if (!stream) throw std::runtime_error("cannot read " + file);
        bytes_.assign(std::istreambuf_iterator<char>(stream), {});
    }
    std::uint64_t word() {
        std::uint64_t value = 0;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    std::vector<std::uint8_t> block() {
        const auto taken = take(word());
        return {taken.begin(), taken.end()};
    }
    Store store() {
        const std::uint64_t address = word();
        return {address, block()};
    }
    std::vector<Store> stores() {
        std::vector<Store> all(word());
        for (Store& one : all) one = store();
        return all;
    }

private:
    std::span<const std::uint8_t> take(std::uint64_t count) {
        if (count > bytes_.size() - offset_) throw std::runtime_error("the recording is cut short");
        const std::span<const std::uint8_t> taken(reinterpret_cast<const std::uint8_t*>(bytes_.data()) + offset_, count);
        offset_ += count;
        return taken;
    }

    std::vector<char> bytes_;
    std::size_t offset_ = 0;
};

RecordedRequest read_request(Reader& reader) {
    RecordedRequest request{};
    auto* words = reinterpret_cast<std::uint64_t*>(&request.entry);
    for (std::size_t i = 0; i < sizeof request.entry / sizeof *words; ++i) words[i] = reader.word();
    request.writes = reader.stores();
    return request;
}

}  // namespace

mayfly::RequestBuilder RecordedRequest::builder(bool restore, bool from_entry) const {
    mayfly::RequestBuilder builder;
    builder.starts_call().deadline_us(5'000'000);
    if (from_entry) builder.entry(entry);
    if (restore) builder.restore();
    for (const Store& write : writes) builder.write(write.address, write.bytes);
    return builder;
}

RecordedCall RecordedCall::read(const std::string& file) {
    Reader reader(file);
    RecordedCall call;
    const std::uint64_t memory_bytes = reader.word();
    std::vector<mayfly::PlannedRegion> regions(reader.word());
    for (mayfly::PlannedRegion& region : regions) {
        region.address = reader.word();
        region.length_bytes = reader.word();
        region.rights = static_cast<std::uint32_t>(reader.word());
    }
    const std::uint64_t output_address = reader.word();
    const std::uint64_t output_bytes = reader.word();
    const std::uint64_t table_bytes = reader.word();
    call.plan = mayfly::Plan::create(memory_bytes, std::move(regions), {output_address, output_bytes},
                                     table_bytes == 0 ? std::nullopt : std::optional(table_bytes));
    call.load = reader.stores();
    call.initialisation = read_request(reader);
    call.call = read_request(reader);
    call.warm_entry = read_request(reader).entry;
    call.untouched.resize(reader.word());
    for (mayfly::AddressRange& range : call.untouched) {
        range.address = reader.word();
        range.length_bytes = reader.word();
    }
    call.expected_output = reader.store();
    return call;
}

std::shared_ptr<mayfly::Vm> RecordedCall::initialise(mayfly::SyncClient& client) const {
    std::vector<mayfly::Engine::Load> places;
    for (const Store& one : load) places.push_back({one.address, one.bytes});
    auto vm = client.create_vm(plan, places);
    mayfly::RequestBuilder request = initialisation.builder(false);
    if (client.run(*vm, request).exit != mayfly::ExitKind::Halt) throw std::runtime_error("initialisation did not halt");
    vm->end_call();
    client.snapshot(*vm);
    if (untouched.empty()) return vm;
    mayfly::RequestBuilder prime;
    prime.entry(warm_entry);
    if (client.prime(*vm, prime, untouched) == nullptr) throw std::runtime_error("the guest was not primed");
    return vm;
}

void RecordedCall::check(const mayfly::Vm& vm) const {
    std::vector<std::uint8_t> bytes(expected_output.bytes.size());
    vm.read(expected_output.address, bytes);
    if (bytes != expected_output.bytes) throw std::runtime_error("the call's output is not what the library saw");
}

}  // namespace bench
