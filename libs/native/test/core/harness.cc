#include "harness.hpp"

#include <cstdio>
#include <cstring>
#include <exception>

namespace mayfly::test {
namespace {
Case* first_case = nullptr;
Case** last_link = &first_case;
}  // namespace

Case::Case(const char* case_name, void (*case_body)()) : name(case_name), body(case_body), next(nullptr) {
  *last_link = this;
  last_link = &next;
}

int run_all(const char* suite, const char* filter) {
  int passed = 0;
  int failed = 0;
  int skipped = 0;
  for (Case* test = first_case; test != nullptr; test = test->next) {
    if (filter != nullptr && std::strstr(test->name, filter) == nullptr) continue;
    try {
      test->body();
      passed++;
      std::printf("ok   %s\n", test->name);
    } catch (const Skip& skip) {
      skipped++;
      std::printf("skip %s\n     %s\n", test->name, skip.what());
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAIL %s\n     %s\n", test->name, error.what());
    }
    std::fflush(stdout);
  }
  std::printf("%s tests: %d passed, %d failed", suite, passed, failed);
  if (skipped > 0) std::printf(", %d skipped", skipped);
  std::printf("\n");
  return failed == 0 && passed > 0 ? 0 : 1;
}

int skip_all(const char* suite, const char* reason) {
  int skipped = 0;
  for (Case* test = first_case; test != nullptr; test = test->next) skipped++;
  std::printf("%s\n%s tests: 0 passed, 0 failed, %d skipped\n", reason, suite, skipped);
  return 0;
}

}  // namespace mayfly::test
