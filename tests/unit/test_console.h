/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the console share: one console, three guests' rings, and a drain. */
#ifndef TESTS_UNIT_TEST_CONSOLE_H
#define TESTS_UNIT_TEST_CONSOLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hv/io/console.h"
#include "hv/lib/string.h"

#define GUESTS    3
#define RING_SIZE 4096

static struct console con;
static uint8_t bytes[GUESTS + 1][RING_SIZE];
static struct ring rings[GUESTS + 1];
static uint64_t dropped[GUESTS + 1];
static const char *const names[] = {"bulkhead", "web", "db", "a-long-name"};

static inline void start(unsigned guests, bool color)
{
	for (unsigned i = 0; i <= GUESTS; i++) {
		ring_init(&rings[i], bytes[i], RING_SIZE);
		rings[i].head = rings[i].tail = UINT32_MAX - 100; /* indices wrap early */
		dropped[i] = 0;
	}
	memset(&con, 0xa5, sizeof(con));
	console_init(&con, &rings[0], &dropped[0], color);
	for (unsigned i = 1; i <= guests; i++)
		assert_int_equal(console_add_source(&con, names[i], &rings[i], &dropped[i]), i);
}

static inline void feed_bytes(unsigned id, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_true(ring_put(&rings[id], (uint8_t)text[i]));
}

static inline void feed(unsigned id, const char *text)
{
	feed_bytes(id, text, strlen(text));
}

/* All there is at this time, through a buffer of `room` bytes. */
static inline size_t drain(char *buf, size_t size, size_t room, ns_t now)
{
	size_t used = 0, n;

	do {
		assert_true(used + room < size);
		memset(buf + used, '#', room);
		n = console_output(&con, buf + used, room, now);
		assert_true(n <= room);
		used += n;
	} while (console_has_output(&con, now));
	buf[used] = 0;
	return used;
}

static inline ns_t ms(uint64_t n)
{
	return n * NS_PER_MS;
}

#endif
