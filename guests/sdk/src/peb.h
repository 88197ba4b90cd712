/* The process environment block (guest-abi 3): 120 bytes that the host fills, but for `dispatch`. */
#ifndef MAYFLY_PEB_H
#define MAYFLY_PEB_H

#include <stdint.h>

typedef struct mf_Region {
  uint64_t size;
  uint64_t address;
} mf_Region;

typedef struct mf_Peb {
  uint64_t security_cookie_seed;
  uint64_t dispatch;
  uint64_t code;
  mf_Region input;
  mf_Region output;
  mf_Region init_data;
  mf_Region heap;
  uint64_t stack_lowest;
  uint64_t stack_highest;
  mf_Region host_functions;
} mf_Peb;

_Static_assert(sizeof(mf_Peb) == 120, "guest-abi 3");

#endif
