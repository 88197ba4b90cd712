/* Gives functions of the SDK names of their own, so that a test can have them beside those of libc. */
#ifndef MAYFLY_HOSTED_H
#define MAYFLY_HOSTED_H

#define malloc sdk_malloc
#define calloc sdk_calloc
#define realloc sdk_realloc
#define free sdk_free
#define abort sdk_abort
#define printf sdk_printf
#define vprintf sdk_vprintf
#define puts sdk_puts
#define putchar sdk_putchar
#define snprintf sdk_snprintf
#define vsnprintf sdk_vsnprintf

#ifdef HOSTED_STRINGS
#define memcpy sdk_memcpy
#define memmove sdk_memmove
#define memset sdk_memset
#define memcmp sdk_memcmp
#define memchr sdk_memchr
#define strlen sdk_strlen
#define strnlen sdk_strnlen
#define strcmp sdk_strcmp
#define strncmp sdk_strncmp
#define strchr sdk_strchr
#define strrchr sdk_strrchr
#define strstr sdk_strstr
#define strcpy sdk_strcpy
#define strncpy sdk_strncpy
#define strcat sdk_strcat
#define strdup sdk_strdup
#endif

#endif
