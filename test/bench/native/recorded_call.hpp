// One guest call as `src/record-call.ts` writes it to a file: the plan, the requests of initialisation and call, and
// the bytes that the output buffer must begin with afterwards. So the C++ benches run what the library runs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "plan.hpp"
#include "registers.hpp"
#include "request_builder.hpp"
#include "sync_client.hpp"

namespace bench {

struct Store {
    std::uint64_t address;
    std::vector<std::uint8_t> bytes;
};

struct RecordedRequest {
    mayfly::GeneralRegisters entry;
    std::vector<Store> writes;

    mayfly::RequestBuilder builder(bool restore) const;
};

struct RecordedCall {
    std::shared_ptr<const mayfly::Plan> plan;
    std::vector<Store> load;
    RecordedRequest initialisation;
    RecordedRequest call;
    Store expected_output;

    static RecordedCall read(const std::string& file);

    /// A VM initialised to its first halt, with its base snapshot taken.
    std::shared_ptr<mayfly::Vm> initialise(mayfly::SyncClient& client) const;
    /// Throws unless the VM's output is what the library saw.
    void check(const mayfly::Vm& vm) const;
};

}  // namespace bench
