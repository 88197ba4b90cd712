#include <cstdio>
#include <cstring>
#include <exception>

#include "error.hpp"
#include "harness.hpp"
#include "kvm_backend.hpp"

namespace mayfly::test {
namespace {
Case* first_case = nullptr;
Case** last_link = &first_case;
}  // namespace

Case::Case(const char* case_name, void (*case_body)()) : name(case_name), body(case_body), next(nullptr) {
  *last_link = this;
  last_link = &next;
}

static int run_all(const char* filter) {
  int passed = 0;
  int failed = 0;
  for (Case* test = first_case; test != nullptr; test = test->next) {
    if (filter != nullptr && std::strstr(test->name, filter) == nullptr) continue;
    try {
      test->body();
      passed++;
      std::printf("ok   %s\n", test->name);
    } catch (const std::exception& error) {
      failed++;
      std::printf("FAIL %s\n     %s\n", test->name, error.what());
    }
    std::fflush(stdout);
  }
  std::printf("core tests: %d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

static int skip_all(const char* reason) {
  int skipped = 0;
  for (Case* test = first_case; test != nullptr; test = test->next) skipped++;
  std::printf("no hypervisor here: %s\n", reason);
  std::printf("core tests: 0 passed, 0 failed, %d skipped\n", skipped);
  return 0;
}

}  // namespace mayfly::test

int main(int argc, char** argv) {
  try {
    mayfly::open_kvm_backend();
  } catch (const mayfly::KvmError& error) {
    return mayfly::test::skip_all(error.what());
  }
  return mayfly::test::run_all(argc > 1 ? argv[1] : nullptr);
}
