/* The last error of a function of libc that says one here. */
#ifndef MAYFLY_ERRNO_H
#define MAYFLY_ERRNO_H

extern int errno;

enum { EINVAL = 22, EDOM = 33, ERANGE = 34 };

#endif
