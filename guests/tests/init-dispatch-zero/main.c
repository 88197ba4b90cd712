/* Says that there is nothing to dispatch to. */
#include "runtime.h"

void hyperlight_main(void) { mf_runtime.peb->dispatch = 0; }
