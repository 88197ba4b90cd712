/* Dispatch in guest memory, but not in code. */
#include "runtime.h"

void hyperlight_main(void) { mf_runtime.peb->dispatch = mf_runtime.peb->heap.address; }
