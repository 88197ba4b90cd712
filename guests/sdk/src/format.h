#ifndef MAYFLY_FORMAT_H
#define MAYFLY_FORMAT_H

#include "mayfly_guest.h"

/** Where formatted text goes, piece by piece. */
typedef struct mf_Sink {
  void (*put)(struct mf_Sink *sink, const char *text, size_t length);
} mf_Sink;

/** Formats into the sink; returns the number of bytes. */
int mf_format(mf_Sink *sink, const char *format, va_list arguments);

#endif
