#include "samples.hpp"

#include <time.h>

namespace bench {

Samples interleave(const std::function<double()>& ours, const std::function<double()>& floor, int rounds, int calls,
                   int warm) {
    Samples samples;
    for (int i = 0; i < warm; ++i) ours(), floor();
    for (int round = 0; round < rounds; ++round) {
        for (int i = 0; i < calls; ++i) samples.floor.push_back(floor());
        for (int i = 0; i < calls; ++i) samples.ours.push_back(ours());
    }
    return samples;
}

void sleep_us(long us) {
    const timespec pause{us / 1'000'000, us % 1'000'000 * 1000};
    nanosleep(&pause, nullptr);
}

double ExitFloor::operator()() {
    const floors::Nanoseconds start = floors::now();
    vm_.exit_once();
    return static_cast<double>(floors::now() - start) / 1000;
}

}  // namespace bench
