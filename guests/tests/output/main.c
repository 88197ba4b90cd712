/* Functions that talk: logs and prints, in sizes from none to a flood. */
#include "cpu.h"
#include "mayfly_guest.h"

static int32_t print(const char *text) { return printf("%s", text); }
HYPERLIGHT_WRAP_FUNCTION(print, Int, 1, String)

static int32_t print_formatted(const char *text, int32_t number) { return printf("<%5d|%-6s|%#x>\n", number, text, number); }
HYPERLIGHT_WRAP_FUNCTION(print_formatted, Int, 2, String, Int)

static int32_t print_bad_bytes(void) { return printf("a\xff\xc3(\x80"); }
HYPERLIGHT_WRAP_FUNCTION(print_bad_bytes, Int, 0)

static int32_t print_flood(uint32_t pieces) {
  static char text[1000];
  memset(text, 'p', sizeof text - 1);
  int32_t total = 0;
  for (uint32_t i = 0; i < pieces; i++) total += printf("%s", text);
  return total;
}
HYPERLIGHT_WRAP_FUNCTION(print_flood, Int, 1, UInt)

static int32_t log_at(int32_t level, const char *message) {
  hl_log((hl_Level)level, message, 7, "output.c");
  return level;
}
HYPERLIGHT_WRAP_FUNCTION(log_at, Int, 2, Int, String)

static int32_t log_bad_bytes(void) {
  hl_log(hl_Level_Error, "a\xff\xc3(", __LINE__, "\xfe.c");
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(log_bad_bytes, Int, 0)

/* A message longer than the output buffer is cut by the SDK. */
static int32_t log_huge(void) {
  enum { SIZE = 600000 };
  char *text = malloc(SIZE + 1);
  memset(text, 'h', SIZE);
  text[SIZE] = 0;
  LOG(hl_Level_Error, text);
  return SIZE;
}
HYPERLIGHT_WRAP_FUNCTION(log_huge, Int, 0)

static uint32_t log_flood(uint32_t records) {
  for (uint32_t i = 0; i < records; i++) LOG(hl_Level_Error, "flood");
  return records;
}
HYPERLIGHT_WRAP_FUNCTION(log_flood, UInt, 1, UInt)

static void log_for_ever(void) {
  for (;;) LOG(hl_Level_Error, "for ever");
}
HYPERLIGHT_WRAP_FUNCTION(log_for_ever, Void, 0)

/* Port 103: one character at a time. */
static int32_t debug_print(const char *text) {
  for (; *text != 0; text++) mf_out(MF_PORT_DEBUG_PRINT, (uint8_t)*text);
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(debug_print, Int, 1, String)

static int32_t debug_print_surrogate(void) {
  mf_out(MF_PORT_DEBUG_PRINT, 0xD800);
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(debug_print_surrogate, Int, 0)

static int32_t debug_print_flood(void) {
  for (;;) mf_out(MF_PORT_DEBUG_PRINT, 'd');
  return 0;
}
HYPERLIGHT_WRAP_FUNCTION(debug_print_flood, Int, 0)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("Print", print);
  HYPERLIGHT_REGISTER_FUNCTION("PrintFormatted", print_formatted);
  HYPERLIGHT_REGISTER_FUNCTION("PrintBadBytes", print_bad_bytes);
  HYPERLIGHT_REGISTER_FUNCTION("PrintFlood", print_flood);
  HYPERLIGHT_REGISTER_FUNCTION("Log", log_at);
  HYPERLIGHT_REGISTER_FUNCTION("LogBadBytes", log_bad_bytes);
  HYPERLIGHT_REGISTER_FUNCTION("LogHuge", log_huge);
  HYPERLIGHT_REGISTER_FUNCTION("LogFlood", log_flood);
  HYPERLIGHT_REGISTER_FUNCTION("LogForEver", log_for_ever);
  HYPERLIGHT_REGISTER_FUNCTION("DebugPrint", debug_print);
  HYPERLIGHT_REGISTER_FUNCTION("DebugPrintSurrogate", debug_print_surrogate);
  HYPERLIGHT_REGISTER_FUNCTION("DebugPrintFlood", debug_print_flood);
}
