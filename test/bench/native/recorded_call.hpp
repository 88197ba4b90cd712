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

    /// Absent `from_entry`: goes on from where the VM's snapshot stands.
    mayfly::RequestBuilder builder(bool restore, bool from_entry = true) const;
};

struct RecordedCall {
    std::shared_ptr<const mayfly::Plan> plan;
    std::vector<Store> load;
    RecordedRequest initialisation;
    RecordedRequest call;
    /// Where the library's call goes on from a warm snapshot: its entry, and what that must not depend on.
    mayfly::GeneralRegisters warm_entry;
    mayfly::Untouched untouched;  // empty: the call has an entry
    Store expected_output;

    static RecordedCall read(const std::string& file);

    mayfly::RequestBuilder call_builder(bool restore) const { return call.builder(restore, untouched.empty()); }

    /// A VM initialised to its first halt, with its base snapshot taken, a warm one where the library takes one.
    std::shared_ptr<mayfly::Vm> initialise(mayfly::SyncClient& client) const;
    /// Throws unless the VM's output is what the library saw.
    void check(const mayfly::Vm& vm) const;
};

}  // namespace bench
