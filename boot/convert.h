/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between the firmware's notions and ours: UTF-16 text and calendar time. Pure.
 */
#ifndef BOOT_CONVERT_H
#define BOOT_CONVERT_H

#include "hv/lib/types.h"

/*
 * UTF-8 to UTF-16 with a terminating 0; at most max units are written, terminator included.
 * E_INVAL: not UTF-8, or outside the Basic Multilingual Plane; E_RANGE: does not fit. What was
 * converted up to there is terminated in either case.
 */
int boot_convert_utf16(uint16_t *dst, size_t max, const char *src) MUST_CHECK;

/* The path on the volume of a file that the config names: below \bulkhead\. */
int boot_convert_path(uint16_t *dst, size_t max, const char *path) MUST_CHECK;

struct boot_calendar {
	unsigned year, month, day, hour, minute, second;
	int utc_minutes; /* UTC minus this clock, in minutes (UEFI: EFI_TIME.TimeZone), 0: UTC */
};

/* Seconds since 1970, or 0 when the fields make no sense or lie before 1970. */
uint64_t boot_convert_time(const struct boot_calendar *c);

#endif
