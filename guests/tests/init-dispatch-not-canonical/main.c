/* Dispatch at an address that no processor takes. */
#include "runtime.h"

void hyperlight_main(void) { mf_runtime.peb->dispatch = 0x4141414141414141; }
