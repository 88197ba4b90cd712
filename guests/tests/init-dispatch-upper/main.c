/* Dispatch in the half of the address space that is the host's. */
#include "runtime.h"

void hyperlight_main(void) { mf_runtime.peb->dispatch = 0xFFFFFF8000001000; }
