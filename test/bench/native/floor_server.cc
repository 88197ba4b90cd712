// The floors as a process, for benchmarks that are timed in JavaScript: a line `exit N` on standard input is
// answered by a line of N durations in nanoseconds.
#include <cstdio>
#include <cstring>

#include "floor.hpp"

int main() {
    floors::BareVm vm(4 << 20);
    for (int i = 0; i < 200; ++i) vm.exit_once();
    char name[16];
    int count = 0;
    while (std::scanf("%15s %d", name, &count) == 2) {
        for (int i = 0; i < count; ++i) {
            const floors::Nanoseconds start = floors::now();
            vm.exit_once();
            std::printf("%s%lld", i == 0 ? "" : " ", static_cast<long long>(floors::now() - start));
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}
