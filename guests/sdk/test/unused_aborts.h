/* For tests of parts that never abort. */
#ifndef MAYFLY_UNUSED_ABORTS_H
#define MAYFLY_UNUSED_ABORTS_H

void hl_abort_with_code(int32_t code) { exit(code + 100); }
void hl_abort_with_code_and_message(int32_t code, const char *message) {
  fprintf(stderr, "aborted: %s\n", message);
  exit(code + 100);
}

#endif
