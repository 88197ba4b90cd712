/*
 * A binary body in, a binary body out: images in the formats PPM (P6) and PGM (P5) with 8 bits a channel.
 *   Thumbnail  scales an image down so that its longer side has at most 128 pixels
 *   Scale      the same for a side of the caller's choice
 *   Grayscale  turns a PPM into a PGM
 */
#include "image.h"
#include "mayfly_guest.h"

enum { THUMBNAIL_SIDE = 128 };

static hl_Vec *answer(Image *image) {
  size_t size;
  uint8_t *file = image_write(image, &size);
  hl_Vec *result = hl_flatbuffer_result_from_Bytes(file, size);
  free(file);
  free(image->owned);
  return result;
}

static bool read_argument(const hl_FunctionCall *call, Image *image) {
  hl_Vec body = call->parameters[0].value.VecBytes;
  const char *problem = image_read(image, body.data, body.len);
  if (problem != NULL) hl_set_error(hl_ErrorCode_GuestError, problem);
  return problem == NULL;
}

static hl_Vec *scale_to(const hl_FunctionCall *call, uint32_t side) {
  Image image;
  if (side == 0) {
    hl_set_error(hl_ErrorCode_GuestError, "a side has at least 1 pixel");
    return NULL;
  }
  if (!read_argument(call, &image)) return NULL;
  Image small = image_scaled_down(&image, side);
  return answer(&small);
}

static hl_Vec *thumbnail(const hl_FunctionCall *call) { return scale_to(call, THUMBNAIL_SIDE); }

static hl_Vec *scale(const hl_FunctionCall *call) { return scale_to(call, call->parameters[1].value.UInt); }

static hl_Vec *grayscale(const hl_FunctionCall *call) {
  Image image;
  if (!read_argument(call, &image)) return NULL;
  Image gray = image_gray(&image);
  return answer(&gray);
}

void hyperlight_main(void) {
  static const hl_ParameterType types[] = {hl_ParameterType_VecBytes, hl_ParameterType_UInt};
  hl_register_function_definition("Thumbnail", thumbnail, 1, types, hl_ReturnType_VecBytes);
  hl_register_function_definition("Scale", scale, 2, types, hl_ReturnType_VecBytes);
  hl_register_function_definition("Grayscale", grayscale, 1, types, hl_ReturnType_VecBytes);
}
