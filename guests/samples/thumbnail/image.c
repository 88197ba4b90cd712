#include "image.h"

/* Far more than an input buffer holds; keeps every product below 2^64. */
enum { SIDE_MAX = 65535, HEADER_BYTES_MAX = 64 };

/* ---- Files ---- */

typedef struct Cursor {
  const uint8_t *next, *end;
} Cursor;

static bool is_space(uint8_t byte) { return byte == ' ' || (byte >= '\t' && byte <= '\r'); }

/* White space, and comments from # to the end of the line. */
static void skip_space(Cursor *cursor) {
  while (cursor->next < cursor->end) {
    if (*cursor->next == '#')
      while (cursor->next < cursor->end && *cursor->next != '\n') cursor->next++;
    else if (is_space(*cursor->next))
      cursor->next++;
    else
      return;
  }
}

/* A decimal number up to 65535; 0 stands for anything else, too. */
static uint32_t read_number(Cursor *cursor) {
  uint32_t value = 0;
  skip_space(cursor);
  for (; cursor->next < cursor->end && *cursor->next >= '0' && *cursor->next <= '9'; cursor->next++) {
    value = 10 * value + (*cursor->next - '0');
    if (value > SIDE_MAX) return 0;
  }
  return value;
}

const char *image_read(Image *image, const uint8_t *file, size_t size) {
  if (size < 2 || file[0] != 'P' || (file[1] != '5' && file[1] != '6')) return "not a PGM (P5) or PPM (P6) file";
  Cursor cursor = {file + 2, file + size};
  *image = (Image){.channels = file[1] == '6' ? 3 : 1};
  image->width = read_number(&cursor);
  image->height = read_number(&cursor);
  if (image->width == 0 || image->height == 0) return "width and height are numbers from 1 to 65535";
  if (read_number(&cursor) != 255) return "only images with 8 bits a channel (maximum 255) are read";
  if (cursor.next == cursor.end || !is_space(*cursor.next)) return "the header ends early";
  cursor.next++; /* exactly one: what follows are pixels, even if it looks like space */
  uint64_t needed = (uint64_t)image->width * image->height * image->channels;
  if (needed > (uint64_t)(cursor.end - cursor.next)) return "there are fewer pixels than width and height say";
  image->pixels = cursor.next;
  return NULL;
}

uint8_t *image_write(const Image *image, size_t *size) {
  size_t pixels = (size_t)image->width * image->height * image->channels;
  uint8_t *file = malloc(HEADER_BYTES_MAX + pixels);
  size_t header = (size_t)snprintf((char *)file, HEADER_BYTES_MAX, "P%c\n%u %u\n255\n", image->channels == 3 ? '6' : '5',
                                   image->width, image->height);
  memcpy(file + header, image->pixels, pixels);
  *size = header + pixels;
  return file;
}

/* ---- Pixels ---- */

static Image image_new(uint32_t width, uint32_t height, uint32_t channels) {
  uint8_t *pixels = malloc((size_t)width * height * channels);
  return (Image){width, height, channels, pixels, pixels};
}

/* The mean of one channel over a rectangle, rounded. */
static uint8_t mean(const Image *image, uint32_t channel, uint32_t left, uint32_t top, uint32_t right, uint32_t bottom) {
  uint64_t sum = 0, count = (uint64_t)(right - left) * (bottom - top);
  for (uint32_t y = top; y < bottom; y++)
    for (uint32_t x = left; x < right; x++)
      sum += image->pixels[((size_t)y * image->width + x) * image->channels + channel];
  return (uint8_t)((sum + count / 2) / count);
}

static uint32_t scaled(uint32_t length, uint32_t side, uint32_t longest) {
  uint32_t result = (uint32_t)(((uint64_t)length * side + longest / 2) / longest);
  return result == 0 ? 1 : result;
}

static uint32_t edge(uint32_t index, uint32_t from, uint32_t to) { return (uint32_t)((uint64_t)index * from / to); }

Image image_scaled_down(const Image *image, uint32_t side) {
  uint32_t longest = image->width > image->height ? image->width : image->height;
  if (longest <= side) return *image;
  Image small = image_new(scaled(image->width, side, longest), scaled(image->height, side, longest), image->channels);
  uint8_t *out = small.owned;
  for (uint32_t y = 0; y < small.height; y++)
    for (uint32_t x = 0; x < small.width; x++)
      for (uint32_t channel = 0; channel < image->channels; channel++)
        *out++ = mean(image, channel, edge(x, image->width, small.width), edge(y, image->height, small.height),
                      edge(x + 1, image->width, small.width), edge(y + 1, image->height, small.height));
  return small;
}

Image image_gray(const Image *image) {
  if (image->channels == 1) return *image;
  Image gray = image_new(image->width, image->height, 1);
  size_t count = (size_t)image->width * image->height;
  /* Rec. 601 luma in 16 bits: the weights add up to 65536. */
  for (size_t i = 0; i < count; i++) {
    const uint8_t *pixel = image->pixels + 3 * i;
    gray.owned[i] = (uint8_t)((19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 32768u) >> 16);
  }
  return gray;
}
