/* Abort framing (guest-abi 5.2): OUTs of {count, up to 3 bytes}; 0xFF ends it and so occurs nowhere else. */
#include "abort.h"

#include "cpu.h"
#include "mayfly_guest.h"
#include "trace.h"

/* The host takes 1024 bytes with the code. */
enum { TERMINATOR = 0xFF, CHUNK = 3, TEXT_MAX = 1000, LAST_EXCEPTION = 20, SECURITY_EXCEPTION = 30 };

static void send(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    uint32_t count = length < CHUNK ? (uint32_t)length : CHUNK;
    uint32_t word = count;
    for (uint32_t i = 0; i < count; i++) word |= (uint32_t)bytes[i] << (8 * (i + 1));
    mf_out(MF_PORT_ABORT, word);
    bytes += count;
    length -= count;
  }
}

static void send_text(const char *text) {
  uint8_t chunk[CHUNK];
  size_t held = 0;
  for (size_t sent = 0; sent < TEXT_MAX && *text != 0; sent++, text++) {
    chunk[held++] = (uint8_t)*text == TERMINATOR ? '?' : (uint8_t)*text;
    if (held < CHUNK) continue;
    send(chunk, held);
    held = 0;
  }
  send(chunk, held);
}

static _Noreturn void finish(void) {
  uint8_t end = TERMINATOR;
  send(&end, 1);
  mf_halt();
}

void mf_abort_exception(uint8_t vector, const char *text) {
  uint8_t head[2] = {hl_ErrorCode_GuestError, vector};
  mf_trace_flush();
  send(head, sizeof head);
  send_text(text);
  finish();
}

void hl_abort_with_code_and_message(int32_t code, const char *message) {
  uint8_t byte = code < 0 || code >= TERMINATOR ? hl_ErrorCode_UnknownError : (uint8_t)code;
  uint8_t start = message == NULL ? 0 : (uint8_t)*message;
  mf_trace_flush();
  send(&byte, 1);
  /* The host would take such a first byte for the number of an exception. */
  if (start != 0 && (start <= LAST_EXCEPTION || start == SECURITY_EXCEPTION)) send((const uint8_t *)" ", 1);
  if (start != 0) send_text(message);
  finish();
}

void hl_abort_with_code(int32_t code) { hl_abort_with_code_and_message(code, NULL); }

void abort(void) { hl_abort_with_code(hl_ErrorCode_NoError); }
