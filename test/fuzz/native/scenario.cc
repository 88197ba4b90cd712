#include "scenario.hpp"

#include <sanitizer/common_interface_defs.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace fuzz {
namespace {

/** What is played now: the input of a sanitizer's report. */
const Scenario* playing = nullptr;

void print(const Scenario& scenario) {
  for (const Step& step : scenario) {
    std::printf(" %.*s", static_cast<int>(step.name.size()), step.name.data());
    const uint64_t numbers[] = {step.a, step.b, step.c};
    int count = 3;
    while (count > 0 && numbers[count - 1] == 0) count--;
    for (int i = 0; i < count; i++) std::printf(":%llx", static_cast<unsigned long long>(numbers[i]));
  }
  std::printf("\n");
}

void print_playing() {
  if (playing == nullptr) return;
  std::printf("FINDING of a sanitizer:");
  print(*playing);
  std::fflush(stdout);
}

Played play(const Target& target, const Scenario& scenario) {
  playing = &scenario;
  Played played = target.play(scenario);
  playing = nullptr;
  return played;
}

std::optional<Step> parse_step(const Target& target, std::string_view word) {
  Step step;
  uint64_t* const numbers[] = {&step.a, &step.b, &step.c};
  std::size_t end = std::min(word.find(':'), word.size());
  const auto name = std::find(target.steps.begin(), target.steps.end(), word.substr(0, end));
  if (name == target.steps.end()) return std::nullopt;
  step.name = *name;
  for (std::size_t i = 0; end < word.size(); i++) {
    if (i == std::size(numbers)) return std::nullopt;
    word.remove_prefix(end + 1);
    end = std::min(word.find(':'), word.size());
    const auto [rest, error] = std::from_chars(word.data(), word.data() + end, *numbers[i], 16);
    if (error != std::errc() || rest != word.data() + end) return std::nullopt;
  }
  return step;
}

std::optional<Scenario> parse(const Target& target, const std::string& line) {
  Scenario scenario;
  std::istringstream words(line);
  for (std::string word; words >> word;) {
    const auto step = parse_step(target, word);
    if (!step) return std::nullopt;
    scenario.push_back(*step);
  }
  return scenario;
}

/** Leaves out what the problem does not need, in ever smaller pieces. */
Scenario smallest(const Target& target, Scenario scenario) {
  for (std::size_t piece = std::max<std::size_t>(scenario.size() / 2, 1);; piece /= 2) {
    for (std::size_t at = 0; at < scenario.size();) {
      Scenario fewer = scenario;
      const auto from = fewer.begin() + static_cast<std::ptrdiff_t>(at);
      fewer.erase(from, from + static_cast<std::ptrdiff_t>(std::min(piece, fewer.size() - at)));
      if (play(target, fewer).problem != nullptr) {
        scenario = std::move(fewer);
      } else {
        at += piece;
      }
    }
    if (piece <= 1) return scenario;
  }
}

bool is_sound(const Target& target, const Scenario& scenario, const Played& played) {
  if (played.problem == nullptr) return true;
  std::printf("FINDING %s:", played.problem);
  print(smallest(target, scenario));
  return false;
}

struct KeptLine {
  std::string steps;
  std::string outcome;
};

/** Of `steps -> outcome  # comment`. */
KeptLine split(std::string line) {
  constexpr std::string_view kArrow = "->";
  const auto trimmed = [](const std::string& text) {
    const auto from = text.find_first_not_of(' ');
    return from == std::string::npos ? std::string() : text.substr(from, text.find_last_not_of(' ') - from + 1);
  };
  line.resize(std::min(line.find('#'), line.size()));
  const auto arrow = line.find(kArrow);
  if (arrow == std::string::npos) return {trimmed(line), ""};
  return {trimmed(line.substr(0, arrow)), trimmed(line.substr(arrow + kArrow.size()))};
}

/** @returns how many inputs were kept; none: a finding, or a file that is not as it should be. */
std::optional<std::size_t> replay(const Target& target, const char* path) {
  std::ifstream file(path);
  std::map<std::string, int> outcomes;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    number++;
    const KeptLine kept = split(line);
    if (kept.steps.empty()) continue;
    const auto scenario = parse(target, kept.steps);
    if (!scenario) {
      std::printf("FINDING kept line %d is no input\n", number);
      return std::nullopt;
    }
    const Played played = play(target, *scenario);
    if (!is_sound(target, *scenario, played)) return std::nullopt;
    if (played.outcome != kept.outcome) {
      std::printf("FINDING kept line %d shows: %s\n", number, played.outcome.c_str());
      return std::nullopt;
    }
    const auto [other, is_new] = outcomes.emplace(played.outcome, number);
    if (!is_new) {
      std::printf("FINDING kept line %d shows what line %d does\n", number, other->second);
      return std::nullopt;
    }
  }
  if (outcomes.empty()) std::printf("FINDING no kept inputs in %s\n", path);
  return outcomes.empty() ? std::nullopt : std::optional(outcomes.size());
}

}  // namespace
}  // namespace fuzz

// An assertion of the standard library is a finding as any other.
extern "C" const char* __asan_default_options() { return "handle_abort=1"; }

namespace fuzz {

void note(std::string& outcome, std::string_view text) {
  if (outcome.ends_with(text)) return;
  if (!outcome.empty()) outcome.append(", ");
  outcome.append(text);
}

int run(const Target& target, int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  __sanitizer_set_death_callback(print_playing);
  const auto kept = argc > 3 ? replay(target, argv[3]) : std::size_t{0};
  if (!kept) return 1;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  uint64_t inputs = 0;
  uint64_t taken = 0;
  while (inputs == 0 || std::chrono::steady_clock::now() < end) {
    const Scenario scenario = target.draw(random);
    const Played played = play(target, scenario);
    if (!is_sound(target, scenario, played)) return 1;
    inputs += played.inputs;
    taken += played.taken;
  }
  std::printf("%-12s %zu kept, %llu inputs, %llu of them %s\n", target.name, *kept,
              static_cast<unsigned long long>(inputs), static_cast<unsigned long long>(taken), target.taken);
  return taken == 0 ? 1 : 0;
}

}  // namespace fuzz
