/* printf: through the host function HostPrint, at most 1000 bytes at a time (guest-abi 8.6). */
#include "format.h"
#include "runtime.h"
#include "utf8.h"

enum { PIECE = 1000 };

typedef struct Printer {
  mf_Sink sink;
  size_t held;
  bool failed;
  char text[PIECE + 1];
} Printer;

static void flush(Printer *printer, size_t length) {
  char first_left = printer->text[length];
  if (length == 0 || printer->failed) return;
  mf_utf8_repair(printer->text, length);
  printer->text[length] = 0;
  hl_Parameter parameter = {hl_ParameterType_String, {.String = printer->text}};
  hl_FunctionCall call = {"HostPrint", &parameter, 1, hl_ReturnType_Int};
  mf_Reply reply;
  printer->failed = !mf_host_call(&call, &reply);
  printer->text[length] = first_left;
}

static void put_print(mf_Sink *sink, const char *text, size_t length) {
  Printer *printer = (Printer *)sink;
  while (length > 0) {
    size_t part = PIECE - printer->held;
    if (part > length) part = length;
    memcpy(printer->text + printer->held, text, part);
    printer->held += part;
    text += part;
    length -= part;
    if (printer->held < PIECE) return;
    /* A character that this piece would cut goes with the next. */
    size_t whole = mf_utf8_cut(printer->text, PIECE - 1);
    flush(printer, whole);
    memmove(printer->text, printer->text + whole, printer->held - whole);
    printer->held -= whole;
  }
}

int vprintf(const char *format, va_list arguments) {
  Printer printer;
  printer.sink.put = put_print;
  printer.held = 0;
  printer.failed = false;
  int length = mf_format(&printer.sink, format, arguments);
  flush(&printer, printer.held);
  return printer.failed ? -1 : length;
}

int printf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vprintf(format, arguments);
  va_end(arguments);
  return length;
}

int puts(const char *text) { return printf("%s\n", text); }

int putchar(int byte) { return printf("%c", byte) < 0 ? -1 : (unsigned char)byte; }
