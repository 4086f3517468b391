/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded text formatting without a C library.
 *
 * Conversions: %d %i %u %x %X %c %s %p %% with flags - and 0, a width (also *), a precision for %s
 * (also .*), and the length modifiers hh h l ll z. Anything else prints itself. No floating point.
 */
#ifndef HV_LIB_FMT_H
#define HV_LIB_FMT_H

#include <stdarg.h>
#include "hv/lib/types.h"

/*
 * Write at most size - 1 characters and a NUL to buf (nothing if size is 0). Returns the number of
 * characters stored, NUL excluded: never more than size - 1, so results can be added up safely.
 */
size_t fmt_string(char *buf, size_t size, const char *format, ...) PRINTF(3, 4);
size_t fmt_vstring(char *buf, size_t size, const char *format, va_list args) PRINTF(3, 0);

#endif
