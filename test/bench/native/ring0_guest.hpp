// A guest built for ring 0: the sequence of guest-abi 9.2 at its start, and the CR4 toggle in every call.
#pragma once

#include <memory>

#include "sync_client.hpp"

namespace bench {

/// One VM of the guest, at its warm snapshot. A call adds one to its input and writes the sum to four pages.
class Ring0Guest {
public:
    explicit Ring0Guest(mayfly::SyncClient& client);
    ~Ring0Guest();
    Ring0Guest(const Ring0Guest&) = delete;
    Ring0Guest& operator=(const Ring0Guest&) = delete;

    const mayfly::Answer& call();
    /// @throws when the last call's result is wrong, or the reset is not complete.
    void check();

private:
    mayfly::SyncClient& client_;
    std::shared_ptr<mayfly::Vm> vm_;
    mayfly::RequestBuilder request_;
};

}  // namespace bench
