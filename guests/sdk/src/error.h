#ifndef MAYFLY_ERROR_H
#define MAYFLY_ERROR_H

#include "mayfly_guest.h"

/** hl_set_error with a format. */
void mf_error(hl_ErrorCode code, const char *format, ...) __attribute__((format(__printf__, 2, 3)));
/** Error 15 for a message that is too large for the output buffer. */
void mf_error_no_room(hl_ReturnType type, const hl_ParameterValue *value, uint64_t room);
/** The ABI's word for a parameter type (guest-abi 8.4). */
const char *mf_type_name(hl_ParameterType type);

#endif
