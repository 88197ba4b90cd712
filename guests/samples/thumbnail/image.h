#ifndef SAMPLE_IMAGE_H
#define SAMPLE_IMAGE_H

#include "mayfly_guest.h"

/** Rows from the top, pixels from the left, `channels` bytes each: 1 gray or 3 red, green, blue. */
typedef struct Image {
  uint32_t width, height, channels;
  const uint8_t *pixels;
  uint8_t *owned; /* what to free, NULL when the pixels belong to somebody else */
} Image;

/** Reads a P5 or P6 file in place. Returns NULL, or what is wrong with it. */
const char *image_read(Image *image, const uint8_t *file, size_t size);
/** A new file; the caller frees it. */
uint8_t *image_write(const Image *image, size_t *size);
/** Averages pixels so that no side is longer than `side`; an image that is small enough stays as it is. */
Image image_scaled_down(const Image *image, uint32_t side);
Image image_gray(const Image *image);

#endif
