/* Writes to a port that the ABI does not know. */
#include "cpu.h"

void hyperlight_main(void);

void hyperlight_main(void) { mf_out(100, 1); }
