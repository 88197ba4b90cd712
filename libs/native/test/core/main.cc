#include <string>

#include "error.hpp"
#include "harness.hpp"
#include "kvm_backend.hpp"

int main(int argc, char** argv) {
  try {
    mayfly::open_kvm_backend();
  } catch (const mayfly::KvmError& error) {
    return mayfly::test::skip_all("core", (std::string("no hypervisor here: ") + error.what()).c_str());
  }
  return mayfly::test::run_all("core", argc > 1 ? argv[1] : nullptr);
}
