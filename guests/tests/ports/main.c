/* Port accesses that the ABI does not have. */
#include "cpu.h"
#include "mayfly_guest.h"

static int32_t out_dword(uint32_t port, uint32_t value) {
  mf_out((uint16_t)port, value);
  return 1;
}

static int32_t out_word(uint32_t port, uint32_t value) {
  __asm__ volatile("outw %w0, %w1" : : "a"(value), "d"(port) : "memory");
  return 1;
}

static int32_t out_byte(uint32_t port, uint32_t value) {
  __asm__ volatile("outb %b0, %w1" : : "a"(value), "d"(port) : "memory");
  return 1;
}

static uint32_t in_dword(uint32_t port) {
  uint32_t value;
  __asm__ volatile("inl %w1, %0" : "=a"(value) : "d"(port));
  return value;
}

static uint32_t in_byte(uint32_t port) {
  uint8_t value;
  __asm__ volatile("inb %w1, %0" : "=a"(value) : "d"(port));
  return value;
}

static int32_t out_string(uint32_t port, const char *text) {
  size_t count = strlen(text);
  __asm__ volatile("rep outsb" : "+S"(text), "+c"(count) : "d"(port) : "memory");
  return 1;
}

static int32_t in_string(uint32_t port) {
  static uint8_t bytes[64];
  uint8_t *to = bytes;
  size_t count = sizeof bytes;
  __asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
  return 1;
}

HYPERLIGHT_WRAP_FUNCTION(out_dword, Int, 2, UInt, UInt)
HYPERLIGHT_WRAP_FUNCTION(out_word, Int, 2, UInt, UInt)
HYPERLIGHT_WRAP_FUNCTION(out_byte, Int, 2, UInt, UInt)
HYPERLIGHT_WRAP_FUNCTION(in_dword, UInt, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(in_byte, UInt, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(out_string, Int, 2, UInt, String)
HYPERLIGHT_WRAP_FUNCTION(in_string, Int, 1, UInt)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("OutDword", out_dword);
  HYPERLIGHT_REGISTER_FUNCTION("OutWord", out_word);
  HYPERLIGHT_REGISTER_FUNCTION("OutByte", out_byte);
  HYPERLIGHT_REGISTER_FUNCTION("InDword", in_dword);
  HYPERLIGHT_REGISTER_FUNCTION("InByte", in_byte);
  HYPERLIGHT_REGISTER_FUNCTION("OutString", out_string);
  HYPERLIGHT_REGISTER_FUNCTION("InString", in_string);
}
