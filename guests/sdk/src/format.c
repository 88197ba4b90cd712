/* The formatter behind snprintf and printf. */
#include "format.h"

#include "decimal.h"

typedef struct Output {
  mf_Sink *sink;
  size_t length;
} Output;

typedef enum Size { SIZE_CHAR, SIZE_SHORT, SIZE_INT, SIZE_LONG } Size;

typedef struct Spec {
  bool left, plus, space, alternate, zero;
  int width;
  int precision; /* -1: none given */
  Size size;
  char conversion;
} Spec;

/* Widths and precisions above this are taken for it: nobody needs them, and sums stay far from overflow. */
enum { WIDTH_MAX = 100000 };

static void put(Output *output, const char *text, size_t length) {
  output->sink->put(output->sink, text, length);
  output->length += length;
}

static void fill(Output *output, char byte, int count) {
  char run[16];
  memset(run, byte, sizeof run);
  for (; count > 0; count -= (int)sizeof run) put(output, run, count < (int)sizeof run ? (size_t)count : sizeof run);
}

/* Padding before a body of `length` bytes with its sign or prefix, zeros inside; what is left over comes after. */
static int begin(Output *output, const Spec *spec, const char *prefix, int length, bool zeros) {
  int prefix_length = (int)strlen(prefix);
  int padding = spec->width - prefix_length - length;
  if (padding < 0) padding = 0;
  if (!spec->left && !zeros) fill(output, ' ', padding);
  put(output, prefix, (size_t)prefix_length);
  if (!spec->left && zeros) fill(output, '0', padding);
  return spec->left ? padding : 0;
}

static const char *sign_of(const Spec *spec, bool negative) {
  return negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
}

/* ---- Text and integers ---- */

static void put_text(Output *output, const Spec *spec, const char *text) {
  if (text == NULL) text = "(null)";
  size_t length = spec->precision >= 0 ? strnlen(text, (size_t)spec->precision) : strlen(text);
  int after = begin(output, spec, "", length > WIDTH_MAX ? WIDTH_MAX : (int)length, false);
  put(output, text, length);
  fill(output, ' ', after);
}

static void put_integer(Output *output, const Spec *spec, uint64_t value, const char *prefix, unsigned base) {
  const char *alphabet = spec->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
  char digits[24];
  int at = (int)sizeof digits;
  for (uint64_t rest = value; rest > 0; rest /= base) digits[--at] = alphabet[rest % base];
  int length = (int)sizeof digits - at;
  int wanted = spec->precision < 0 ? 1 : spec->precision;
  if (base == 8 && spec->alternate && length >= wanted) wanted = length + 1;
  int zeros = wanted > length ? wanted - length : 0;
  int after = begin(output, spec, prefix, zeros + length, spec->zero && spec->precision < 0);
  fill(output, '0', zeros);
  put(output, digits + at, (size_t)length);
  fill(output, ' ', after);
}

static int64_t take_signed(Size size, va_list *arguments) {
  if (size == SIZE_LONG) return va_arg(*arguments, int64_t);
  int value = va_arg(*arguments, int);
  return size == SIZE_CHAR ? (signed char)value : size == SIZE_SHORT ? (short)value : value;
}

static uint64_t take_unsigned(Size size, va_list *arguments) {
  if (size == SIZE_LONG) return va_arg(*arguments, uint64_t);
  unsigned value = va_arg(*arguments, unsigned);
  return size == SIZE_CHAR ? (unsigned char)value : size == SIZE_SHORT ? (unsigned short)value : value;
}

static void put_number(Output *output, const Spec *spec, va_list *arguments) {
  if (spec->conversion == 'd' || spec->conversion == 'i') {
    int64_t value = take_signed(spec->size, arguments);
    put_integer(output, spec, value < 0 ? -(uint64_t)value : (uint64_t)value, sign_of(spec, value < 0), 10);
    return;
  }
  uint64_t value = take_unsigned(spec->size, arguments);
  bool hex = spec->conversion == 'x' || spec->conversion == 'X';
  const char *prefix = hex && spec->alternate && value != 0 ? (spec->conversion == 'x' ? "0x" : "0X") : "";
  put_integer(output, spec, value, prefix, hex ? 16 : spec->conversion == 'o' ? 8 : 10);
}

/* ---- Floating point ---- */

#ifdef __SSE2__

static void put_fixed(Output *output, const Spec *spec, const mf_Decimal *value, int precision, const char *sign) {
  int whole = value->point > 0 ? value->point : 1;
  bool dot = precision > 0 || spec->alternate;
  int after = begin(output, spec, sign, whole + dot + precision, spec->zero);
  for (int i = value->point - whole; i < value->point; i++) put(output, (char[]){mf_decimal_digit(value, i)}, 1);
  if (dot) put(output, ".", 1);
  for (int i = 0; i < precision; i++) put(output, (char[]){mf_decimal_digit(value, value->point + i)}, 1);
  fill(output, ' ', after);
}

static void put_exponent(Output *output, const Spec *spec, const mf_Decimal *value, int precision,
                         const char *sign) {
  int exponent = value->point - 1;
  unsigned magnitude = (unsigned)(exponent < 0 ? -exponent : exponent);
  bool dot = precision > 0 || spec->alternate;
  bool upper = spec->conversion == 'E' || spec->conversion == 'G';
  char tail[5] = {upper ? 'E' : 'e', exponent < 0 ? '-' : '+'};
  int length = 2;
  if (magnitude >= 100) tail[length++] = (char)('0' + magnitude / 100);
  tail[length++] = (char)('0' + magnitude / 10 % 10);
  tail[length++] = (char)('0' + magnitude % 10);
  int after = begin(output, spec, sign, 1 + dot + precision + length, spec->zero);
  put(output, (char[]){mf_decimal_digit(value, 0)}, 1);
  if (dot) put(output, ".", 1);
  for (int i = 1; i <= precision; i++) put(output, (char[]){mf_decimal_digit(value, i)}, 1);
  put(output, tail, (size_t)length);
  fill(output, ' ', after);
}

static void put_general(Output *output, const Spec *spec, mf_Decimal *value, int precision, const char *sign) {
  if (precision == 0) precision = 1;
  mf_decimal_round(value, precision);
  int exponent = value->point - 1;
  bool fixed = exponent >= -4 && exponent < precision;
  int fraction = fixed ? precision - 1 - exponent : precision - 1;
  if (!spec->alternate) {
    /* Trailing zeros go; what is kept ends at the last digit that is not zero. */
    int kept = fixed ? value->count - value->point : value->count - 1;
    if (kept < 0) kept = 0;
    if (kept < fraction) fraction = kept;
  }
  if (fixed)
    put_fixed(output, spec, value, fraction, sign);
  else
    put_exponent(output, spec, value, fraction, sign);
}

static void put_double(Output *output, const Spec *spec, double number) {
  enum { EXPONENT_BIAS = 1075, FRACTION_BITS = 52, EXPONENT_MASK = 0x7FF };
  uint64_t bits;
  memcpy(&bits, &number, sizeof bits);
  int exponent = (int)(bits >> FRACTION_BITS & EXPONENT_MASK);
  uint64_t mantissa = bits & ((1ull << FRACTION_BITS) - 1);
  const char *sign = sign_of(spec, bits >> 63 != 0);
  if (exponent == EXPONENT_MASK) {
    bool upper = spec->conversion < 'a';
    const char *word = mantissa != 0 ? (upper ? "NAN" : "nan") : (upper ? "INF" : "inf");
    int after = begin(output, spec, sign, 3, false);
    put(output, word, 3);
    fill(output, ' ', after);
    return;
  }
  mf_Decimal value;
  if (exponent != 0) mantissa |= 1ull << FRACTION_BITS;
  mf_decimal_make(&value, mantissa, (exponent == 0 ? 1 : exponent) - EXPONENT_BIAS);
  int precision = spec->precision < 0 ? 6 : spec->precision;
  switch (spec->conversion) {
    case 'f':
    case 'F':
      mf_decimal_round(&value, value.point + precision);
      put_fixed(output, spec, &value, precision, sign);
      return;
    case 'e':
    case 'E':
      mf_decimal_round(&value, precision + 1);
      put_exponent(output, spec, &value, precision, sign);
      return;
    default:
      put_general(output, spec, &value, precision, sign);
  }
}

#endif

/* ---- Directives ---- */

static int read_number(const char **format, va_list *arguments) {
  int value = 0;
  if (**format == '*') {
    ++*format;
    return va_arg(*arguments, int);
  }
  for (; **format >= '0' && **format <= '9'; ++*format)
    if (value < WIDTH_MAX) value = 10 * value + (**format - '0');
  return value;
}

static void read_flags(const char **format, Spec *spec) {
  for (;; ++*format) {
    switch (**format) {
      case '-': spec->left = true; break;
      case '+': spec->plus = true; break;
      case ' ': spec->space = true; break;
      case '#': spec->alternate = true; break;
      case '0': spec->zero = true; break;
      default: return;
    }
  }
}

static Size read_size(const char **format) {
  Size size = SIZE_INT;
  for (;; ++*format) {
    switch (**format) {
      case 'h': size = size == SIZE_SHORT ? SIZE_CHAR : SIZE_SHORT; break;
      case 'l': case 'j': case 'z': case 't': size = SIZE_LONG; break;
      default: return size;
    }
  }
}

static Spec read_spec(const char **format, va_list *arguments) {
  Spec spec = {.precision = -1};
  read_flags(format, &spec);
  int width = read_number(format, arguments);
  if (width < 0) {
    spec.left = true;
    width = width < -WIDTH_MAX ? WIDTH_MAX : -width;
  }
  spec.width = width > WIDTH_MAX ? WIDTH_MAX : width;
  if (**format == '.') {
    ++*format;
    int precision = read_number(format, arguments);
    spec.precision = precision < 0 ? -1 : precision > WIDTH_MAX ? WIDTH_MAX : precision;
  }
  spec.size = read_size(format);
  spec.conversion = **format;
  if (spec.conversion != 0) ++*format;
  return spec;
}

static void convert(Output *output, Spec *spec, va_list *arguments) {
  switch (spec->conversion) {
    case 'd': case 'i': case 'u': case 'o': case 'x': case 'X':
      put_number(output, spec, arguments);
      return;
    case 'p':
      spec->size = SIZE_LONG;
      spec->conversion = 'x';
      spec->alternate = true;
      put_number(output, spec, arguments);
      return;
    case 'c': {
      char byte = (char)va_arg(*arguments, int);
      int after = begin(output, spec, "", 1, false);
      put(output, &byte, 1);
      fill(output, ' ', after);
      return;
    }
    case 's':
      put_text(output, spec, va_arg(*arguments, const char *));
      return;
#ifdef __SSE2__
    case 'f': case 'F': case 'e': case 'E': case 'g': case 'G':
      put_double(output, spec, va_arg(*arguments, double));
      return;
#endif
    case 0:
      return;
    default:
      put(output, &spec->conversion, 1);
  }
}

int mf_format(mf_Sink *sink, const char *format, va_list arguments) {
  Output output = {sink, 0};
  va_list rest;
  va_copy(rest, arguments);
  while (*format != 0) {
    const char *percent = strchr(format, '%');
    size_t plain = percent == NULL ? strlen(format) : (size_t)(percent - format);
    if (plain > 0) put(&output, format, plain);
    format += plain;
    if (*format == 0) break;
    format++;
    Spec spec = read_spec(&format, &rest);
    convert(&output, &spec, &rest);
  }
  va_end(rest);
  return output.length > INT32_MAX ? INT32_MAX : (int)output.length;
}

/* ---- Into memory ---- */

typedef struct Memory {
  mf_Sink sink;
  char *next;
  size_t room; /* the NUL's byte excluded */
} Memory;

static void put_memory(mf_Sink *sink, const char *text, size_t length) {
  Memory *memory = (Memory *)sink;
  if (length > memory->room) length = memory->room;
  memcpy(memory->next, text, length);
  memory->next += length;
  memory->room -= length;
}

int vsnprintf(char *out, size_t size, const char *format, va_list arguments) {
  Memory memory = {{put_memory}, out, size == 0 ? 0 : size - 1};
  int length = mf_format(&memory.sink, format, arguments);
  if (size > 0) *memory.next = 0;
  return length;
}

int snprintf(char *out, size_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(out, size, format, arguments);
  va_end(arguments);
  return length;
}
