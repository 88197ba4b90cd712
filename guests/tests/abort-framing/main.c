/* Aborts that are framed in ways the SDK never frames them (guest-abi 5.2). */
#include "cpu.h"
#include "mayfly_guest.h"

static void send(uint8_t count, uint8_t a, uint8_t b, uint8_t c) {
  mf_out(MF_PORT_ABORT, count | (uint32_t)a << 8 | (uint32_t)b << 16 | (uint32_t)c << 24);
}

static void send_end(void) { send(1, 0xFF, 0, 0); }

/* Three payload bytes fit, whatever the count says. */
static int32_t count_too_large(void) {
  send(255, 15, 'h', 'i');
  send_end();
  return 1;
}

static int32_t count_zero_for_ever(void) {
  for (;;) send(0, 1, 2, 3);
  return 0;
}

static int32_t never_ends(void) {
  for (;;) send(3, 'a', 'b', 'c');
  return 0;
}

/* One byte more than the host keeps. */
static int32_t too_long(void) {
  for (unsigned i = 0; i < 1025; i++) send(1, 'x', 0, 0);
  send_end();
  return 1;
}

/* As long as may be: code and 1023 bytes. */
static int32_t longest(void) {
  send(1, 15, 0, 0);
  for (unsigned i = 0; i < 341; i++) send(3, 'x', 'x', 'x');
  send_end();
  return 1;
}

static int32_t empty(void) {
  send_end();
  return 1;
}

static int32_t code_is_terminator(void) {
  send(3, 0xFF, 'n', 'o');
  return 1;
}

static int32_t terminator_inside(void) {
  send(3, 15, 'a', 0xFF);
  send(3, 'l', 'a', 't');
  return 1;
}

static int32_t not_utf8(void) {
  send(3, 15, 'a', 0xC3);
  send(3, '(', 0x80, 0xFF);
  return 1;
}

static int32_t stack_overflow_code(void) {
  send(2, hl_ErrorCode_StackOverflow, 0xFF, 0);
  return 1;
}

/* What a guest with its own exception handlers sends. */
static int32_t claims_exception(void) {
  send(2, 15, 14, 0);
  send(3, 'P', 'F', 0xFF);
  return 1;
}

static int32_t unknown_exception(void) {
  send(2, 15, 25, 0);
  send(3, 'n', 'o', 0xFF);
  return 1;
}

/* Starts to abort, then answers after all: the bytes must not show up in a later abort. */
static int32_t changes_its_mind(void) {
  send(3, 15, 'o', 'l');
  send(1, 'd', 0, 0);
  return 7;
}

#define ENTRIES(X)                                                                                              \
  X("CountTooLarge", count_too_large) X("CountZeroForEver", count_zero_for_ever) X("NeverEnds", never_ends)     \
  X("TooLong", too_long) X("Longest", longest) X("Empty", empty) X("CodeIsTerminator", code_is_terminator)      \
  X("TerminatorInside", terminator_inside) X("NotUtf8", not_utf8) X("StackOverflowCode", stack_overflow_code)   \
  X("ClaimsException", claims_exception) X("UnknownException", unknown_exception)                               \
  X("ChangesItsMind", changes_its_mind)

#define WRAP(name, fn) HYPERLIGHT_WRAP_FUNCTION(fn, Int, 0)
ENTRIES(WRAP)

void hyperlight_main(void) {
#define REGISTER(name, fn) HYPERLIGHT_REGISTER_FUNCTION(name, fn);
  ENTRIES(REGISTER)
}
