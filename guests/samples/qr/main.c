/*
 * Text in, QR code out, as an SVG (ISO/IEC 18004): byte mode, error correction level M, versions 1 to 40, the mask
 * with the lowest penalty. Up to 2331 bytes of UTF-8.
 */
#include "mayfly_guest.h"
#include "qr.h"

/* White border that scanners need, in modules. */
enum { QUIET_ZONE = 4 };

/* The longest run is "M180,180h177v1h-177z". */
enum { RUN_BYTES = 24, FRAME_BYTES = 256 };

static size_t append_rows(char *out, size_t room, const QrCode *code) {
  size_t length = 0;
  for (int y = 0; y < code->size; y++) {
    for (int x = 0; x < code->size; x++) {
      int start = x;
      while (x < code->size && qr_module(code, x, y)) x++;
      if (x == start) continue;
      length += (size_t)snprintf(out + length, room - length, "M%d,%dh%dv1h-%dz", start + QUIET_ZONE, y + QUIET_ZONE,
                                 x - start, x - start);
    }
  }
  return length;
}

static hl_Vec *qr(const hl_FunctionCall *call) {
  const char *text = call->parameters[0].value.String;
  QrCode *code = malloc(sizeof *code);
  if (!qr_encode(code, (const uint8_t *)text, strlen(text))) {
    hl_set_error(hl_ErrorCode_GuestError, "the text is longer than a QR code can hold (2331 bytes)");
    return NULL;
  }
  int side = code->size + 2 * QUIET_ZONE;
  /* At most every second module starts a run. */
  size_t room = FRAME_BYTES + (size_t)(code->size * (code->size + 1) / 2) * RUN_BYTES;
  char *svg = malloc(room);
  size_t length = (size_t)snprintf(
      svg, room,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\">"
      "<path fill=\"#fff\" d=\"M0,0h%dv%dH0z\"/><path d=\"",
      side, side, side, side);
  length += append_rows(svg + length, room - length, code);
  snprintf(svg + length, room - length, "\"/></svg>");
  hl_Vec *result = hl_flatbuffer_result_from_String(svg);
  free(svg);
  free(code);
  return result;
}

void hyperlight_main(void) {
  static const hl_ParameterType types[] = {hl_ParameterType_String};
  hl_register_function_definition("Qr", qr, 1, types, hl_ReturnType_String);
}
