/* One function for each type that the host and a guest exchange. */
#include "mayfly_guest.h"

static int32_t echo_int(int32_t value) { return value; }
static uint32_t echo_uint(uint32_t value) { return value; }
static int64_t echo_long(int64_t value) { return value; }
static uint64_t echo_ulong(uint64_t value) { return value; }
static float echo_float(float value) { return value; }
static double echo_double(double value) { return value; }
static bool echo_bool(bool value) { return value; }
static const char *echo_string(const char *value) { return value; }
static hl_Vec echo_bytes(hl_Vec value) { return value; }
static void nothing(void) {}
static int32_t add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }

HYPERLIGHT_WRAP_FUNCTION(echo_int, Int, 1, Int)
HYPERLIGHT_WRAP_FUNCTION(echo_uint, UInt, 1, UInt)
HYPERLIGHT_WRAP_FUNCTION(echo_long, Long, 1, Long)
HYPERLIGHT_WRAP_FUNCTION(echo_ulong, ULong, 1, ULong)
HYPERLIGHT_WRAP_FUNCTION(echo_float, Float, 1, Float)
HYPERLIGHT_WRAP_FUNCTION(echo_double, Double, 1, Double)
HYPERLIGHT_WRAP_FUNCTION(echo_bool, Bool, 1, Bool)
HYPERLIGHT_WRAP_FUNCTION(echo_string, String, 1, String)
HYPERLIGHT_WRAP_FUNCTION(echo_bytes, VecBytes, 1, VecBytes)
HYPERLIGHT_WRAP_FUNCTION(nothing, Void, 0)
HYPERLIGHT_WRAP_FUNCTION(add, Int, 2, Int, Int)

void hyperlight_main(void) {
  HYPERLIGHT_REGISTER_FUNCTION("EchoInt", echo_int);
  HYPERLIGHT_REGISTER_FUNCTION("EchoUInt", echo_uint);
  HYPERLIGHT_REGISTER_FUNCTION("EchoLong", echo_long);
  HYPERLIGHT_REGISTER_FUNCTION("EchoULong", echo_ulong);
  HYPERLIGHT_REGISTER_FUNCTION("EchoFloat", echo_float);
  HYPERLIGHT_REGISTER_FUNCTION("EchoDouble", echo_double);
  HYPERLIGHT_REGISTER_FUNCTION("EchoBool", echo_bool);
  HYPERLIGHT_REGISTER_FUNCTION("EchoString", echo_string);
  HYPERLIGHT_REGISTER_FUNCTION("EchoBytes", echo_bytes);
  HYPERLIGHT_REGISTER_FUNCTION("Nothing", nothing);
  HYPERLIGHT_REGISTER_FUNCTION("Add", add);
}
