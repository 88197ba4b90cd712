/* Dispatch outside guest memory. */
#include "runtime.h"

void hyperlight_main(void) { mf_runtime.peb->dispatch = 0x400000000000; }
