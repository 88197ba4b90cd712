#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

// A test harness small enough to read: named cases register themselves, CHECK throws, main counts.

namespace mayfly::test {

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** Thrown by a case that this host cannot run; its text says why. */
struct Skip : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Case {
  const char* name;
  void (*body)();
  Case* next;
  Case(const char* case_name, void (*case_body)());
};

template <typename A, typename B>
void check_equal(const A& actual, const B& expected, const char* text, const char* file, int line) {
  if (actual == expected) return;
  std::ostringstream message;
  message << file << ":" << line << ": " << text << ": got " << +actual << ", expected " << +expected;
  throw Failure(message.str());
}

inline void check(bool condition, const char* text, const char* file, int line) {
  if (condition) return;
  throw Failure(std::string(file) + ":" + std::to_string(line) + ": " + text);
}

/** Runs the cases whose names hold `filter`. @returns the exit code: 1 when one failed or none ran */
int run_all(const char* suite, const char* filter);
/** Names the reason and counts what did not run. @returns 0 */
int skip_all(const char* suite, const char* reason);

}  // namespace mayfly::test

#define TEST_CONCAT_(a, b) a##b
#define TEST_CONCAT(a, b) TEST_CONCAT_(a, b)
#define TEST(name)                                                                           \
  static void TEST_CONCAT(test_body_, __LINE__)();                                           \
  static ::mayfly::test::Case TEST_CONCAT(test_case_, __LINE__)(name,                        \
                                                                TEST_CONCAT(test_body_, __LINE__)); \
  static void TEST_CONCAT(test_body_, __LINE__)()
#define CHECK(condition) ::mayfly::test::check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(actual, expected) \
  ::mayfly::test::check_equal((actual), (expected), #actual, __FILE__, __LINE__)
