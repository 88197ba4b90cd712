/* What a guest tells of its own work: spans inside spans, events, host calls among them, and more than a batch holds. */
#include "mayfly_guest.h"

static int32_t work(int32_t depth) {
  MAYFLY_SPAN("work");
  if (depth > 1) return work(depth - 1) + 1;
  mayfly_event("bottom", NULL, 0);
  return 1;
}

static int32_t nest(int32_t depth) { return work(depth); }
HYPERLIGHT_WRAP_FUNCTION(nest, Int, 1, Int)

static int32_t host(void) {
  MAYFLY_SPAN("outer");
  mayfly_Span inner = mayfly_span_open("inner", NULL, 0);
  printf("inside");
  mayfly_span_close(inner);
  mayfly_event("after", NULL, 0);
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(host, Int, 0)

static int32_t many(int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    MAYFLY_SPAN("one of many");
  }
  return count;
}
HYPERLIGHT_WRAP_FUNCTION(many, Int, 1, Int)

static int32_t fields(const char *text) {
  const mayfly_Field pairs[] = {{"text", text}, {"", NULL}};
  mayfly_Span span = mayfly_span_open("with fields", pairs, 2);
  mayfly_event("event with fields", pairs, 1);
  mayfly_span_close(span);
  /* More than any batch holds. */
  static const mayfly_Field none[4000];
  span = mayfly_span_open("too large", none, 4000);
  mayfly_event("too large", none, 4000);
  return span == 0 ? 1 : 0;
}
HYPERLIGHT_WRAP_FUNCTION(fields, Int, 1, String)

/* The host sees them end with the call. */
static int32_t leave_open(void) {
  mayfly_span_open("first", NULL, 0);
  mayfly_Span second = mayfly_span_open("second", NULL, 0);
  mayfly_span_open("third", NULL, 0);
  mayfly_span_close(second); /* and with it the third */
  mayfly_span_close(second); /* is closed already */
  mayfly_span_open("fourth", NULL, 0);
  return 1;
}
HYPERLIGHT_WRAP_FUNCTION(leave_open, Int, 0)

static int32_t abort_inside(void) {
  MAYFLY_SPAN("doomed");
  hl_abort_with_code_and_message(8, "inside a span");
}
HYPERLIGHT_WRAP_FUNCTION(abort_inside, Int, 0)

/* Deeper than the SDK keeps: the rest is left out. */
static int32_t deep(int32_t depth) {
  for (int32_t i = 0; i < depth; i++) mayfly_span_open("deep", NULL, 0);
  return depth;
}
HYPERLIGHT_WRAP_FUNCTION(deep, Int, 1, Int)

static bool asked(void) { return mayfly_tracing(); }
HYPERLIGHT_WRAP_FUNCTION(asked, Bool, 0)

void hyperlight_main(void) {
  MAYFLY_SPAN("start"); /* of no call: nobody asks */
  HYPERLIGHT_REGISTER_FUNCTION("Nest", nest);
  HYPERLIGHT_REGISTER_FUNCTION("Host", host);
  HYPERLIGHT_REGISTER_FUNCTION("Many", many);
  HYPERLIGHT_REGISTER_FUNCTION("Fields", fields);
  HYPERLIGHT_REGISTER_FUNCTION("LeaveOpen", leave_open);
  HYPERLIGHT_REGISTER_FUNCTION("AbortInside", abort_inside);
  HYPERLIGHT_REGISTER_FUNCTION("Deep", deep);
  HYPERLIGHT_REGISTER_FUNCTION("Asked", asked);
}
