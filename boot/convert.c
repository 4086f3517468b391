/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between the firmware's notions and ours. Pure; must not call firmware.
 */
#include "boot/convert.h"
#include "boot/bootinfo.h"
#include "hv/lib/string.h"

/* One character of at most three bytes; returns the bytes used, 0 when it is not valid. */
static unsigned decode(const unsigned char *s, uint16_t *unit)
{
	uint32_t c;

	if (s[0] < 0x80) {
		*unit = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0 && (s[1] & 0xc0) == 0x80) {
		*unit = (uint16_t)((s[0] & 0x1f) << 6 | (s[1] & 0x3f));
		return *unit >= 0x80 ? 2 : 0;
	}
	if ((s[0] & 0xf0) == 0xe0 && (s[1] & 0xc0) == 0x80 && (s[2] & 0xc0) == 0x80) {
		c = (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
		*unit = (uint16_t)c;
		return c >= 0x800 && (c & 0xf800) != 0xd800 ? 3 : 0;
	}
	return 0;
}

int boot_convert_utf16(uint16_t *dst, size_t max, const char *src)
{
	const unsigned char *s = (const unsigned char *)src;
	size_t n = 0;
	int ret = max ? OK : E_RANGE;

	while (!ret && *s) {
		uint16_t unit;
		unsigned used = decode(s, &unit);

		if (!used) {
			ret = E_INVAL;
		} else if (n + 1 >= max) {
			ret = E_RANGE;
		} else {
			dst[n++] = unit;
			s += used;
		}
	}
	if (max)
		dst[n] = 0;
	return ret;
}

int boot_convert_path(uint16_t *dst, size_t max, const char *path)
{
	static const char folder[] = "\\bulkhead\\";
	char text[sizeof(folder) + BOOT_PATH_MAX];
	size_t at = sizeof(folder) - 1;
	size_t n = strnlen(path, BOOT_PATH_MAX);

	if (n == BOOT_PATH_MAX)
		return E_RANGE;
	memcpy(text, folder, at);
	for (size_t i = 0; i <= n; i++)
		text[at + i] = path[i] == '/' ? '\\' : path[i];
	return boot_convert_utf16(dst, max, text);
}

static bool is_leap(unsigned year)
{
	return year % 4 == 0 && (year % 100 || year % 400 == 0);
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

uint64_t boot_convert_time(const struct boot_calendar *c)
{
	int64_t days = 0, seconds;

	if (c->year < 1970 || c->year > 9999 || c->month < 1 || c->month > 12)
		return 0;
	if (c->day < 1 || c->day > days_in_month(c->year, c->month))
		return 0;
	if (c->hour > 23 || c->minute > 59 || c->second > 59)
		return 0;
	for (unsigned y = 1970; y < c->year; y++)
		days += 365 + is_leap(y);
	for (unsigned m = 1; m < c->month; m++)
		days += days_in_month(c->year, m);
	days += c->day - 1;
	seconds = ((days * 24 + c->hour) * 60 + c->minute + c->utc_minutes) * 60 + c->second;
	return seconds > 0 ? (uint64_t)seconds : 0;
}
