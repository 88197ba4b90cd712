// What a row is made of: samples of ours and of its floor, taken in turns.
#pragma once

#include <functional>
#include <vector>

#include "blocks.hpp"
#include "floor.hpp"

namespace bench {

struct Samples {
    std::vector<double> ours;
    std::vector<double> floor;
};

/// Rounds of ours between rounds of the floor, after both are warm.
Samples interleave(const std::function<double()>& ours, const std::function<double()>& floor, int rounds, int calls,
                   int warm);

/// On the slot's thread, from request taken to answer posted.
inline double thread_us(const mayfly::Answer& answer) { return (answer.answered_ns - answer.taken_ns) / 1000; }

void sleep_us(long us);

inline constexpr std::size_t kFloorMemoryBytes = 4u << 20;

/// One bare exit in microseconds.
class ExitFloor {
public:
    double operator()();

private:
    floors::BareVm vm_{kFloorMemoryBytes};
};

}  // namespace bench
