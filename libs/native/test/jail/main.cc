#include "harness.hpp"

int main(int argc, char** argv) { return mayfly::test::run_all("jail", argc > 1 ? argv[1] : nullptr); }
