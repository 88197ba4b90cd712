#include "memory.hpp"

#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "samples.hpp"

namespace bench {
namespace {

/// `Name: 123 kB` lines of a file in /proc, in bytes.
std::map<std::string, std::int64_t> fields(const char* file) {
    std::ifstream stream(file);
    std::map<std::string, std::int64_t> values;
    for (std::string line; std::getline(stream, line);) {
        std::istringstream words(line);
        std::string name;
        std::int64_t kib = 0;
        if (words >> name >> kib) values[name] = kib * 1024;
    }
    if (values.empty()) throw std::runtime_error(std::string("cannot read ") + file);
    return values;
}

}  // namespace

std::int64_t used_bytes() {
    const auto machine = fields("/proc/meminfo");
    const auto of = [&machine](const char* name) {
        const auto found = machine.find(name);
        return found == machine.end() ? 0 : found->second;
    };
    const std::int64_t kernel = of("MemTotal:") - of("MemFree:") - of("Buffers:") - of("Cached:") - of("SwapCached:") -
                                of("AnonPages:") - of("SReclaimable:");
    return kernel + fields("/proc/self/smaps_rollup").at("Pss:");
}

std::int64_t settled_used_bytes() {
    constexpr std::int64_t kStillBytes = 1 << 20;
    constexpr int kLooks = 30;
    std::int64_t last = used_bytes();
    for (int look = 0; look < kLooks; ++look) {
        sleep_us(100'000);
        const std::int64_t next = used_bytes();
        if (std::abs(next - last) < kStillBytes) return next;
        last = next;
    }
    return last;
}

void raise_descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace bench
