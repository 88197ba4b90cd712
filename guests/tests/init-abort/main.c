/* Gives up before it is ready. */
#include "mayfly_guest.h"

void hyperlight_main(void) { hl_abort_with_code_and_message(hl_ErrorCode_GuestError, "not today"); }
