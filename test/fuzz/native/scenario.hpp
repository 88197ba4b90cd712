#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "random.hpp"

namespace fuzz {

/** What is done to the code under test, by name, with up to three numbers; those that are left out are 0. */
struct Step {
  std::string_view name;
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
};

/** One input: on a line, steps as `name:a:b:c`, numbers in hex. */
using Scenario = std::vector<Step>;

struct Played {
  /** A promise that was broken, or null. */
  const char* problem = nullptr;
  /** What the code under test answered, in words. */
  std::string outcome;
  uint64_t inputs = 0;
  uint64_t taken = 0;
};

/** Adds to an outcome what is not its end already. */
void note(std::string& outcome, std::string_view text);

struct Target {
  const char* name;
  /** What `Played::taken` counts. */
  const char* taken;
  /** Names of steps; others are no input. */
  std::vector<std::string_view> steps;
  std::function<Scenario(Random&)> draw;
  /** Plays any scenario of these steps, whatever its numbers are. */
  std::function<Played(const Scenario&)> play;
};

/**
 * `PROGRAM SECONDS SEED [FILE]`: kept inputs of FILE first, then drawn ones. A line of FILE is `steps -> outcome`, and
 * `#` begins a comment; another outcome than that fails, and so does one that an earlier line has: it is one too many.
 * A finding is printed as steps for the file: what a promise broke for with as few as break it, what a sanitizer reports
 * as it is.
 * @returns the exit code
 */
int run(const Target& target, int argc, char** argv);

}  // namespace fuzz
