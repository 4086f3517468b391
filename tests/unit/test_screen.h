/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the screen share: one screen on one framebuffer. */
#ifndef TESTS_UNIT_TEST_SCREEN_H
#define TESTS_UNIT_TEST_SCREEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "hv/io/font.h"
#include "hv/lib/string.h"
#include "tests/fakes/screen_check.h"

#define MOST     UINT32_MAX
#define ALPHABET "abcdefghijklmnopqrst" /* COLUMNS */
#define COLUMNS  20
#define ROWS     5
#define BGR      true

static struct screen screen;
static struct screen_fake fake;

static inline void start_size(uint32_t width, uint32_t height, uint32_t pitch, bool bgr)
{
	screen_fake_free(&fake);
	screen_fake_make(&fake, width, height, pitch, 0, bgr);
	memset(&screen, 0xa5, sizeof(screen));
	assert_int_equal(screen_init(&screen, &fake.to), OK);
}

static inline void start(void)
{
	start_size(COLUMNS * 8, ROWS * 16, COLUMNS * 8 * 4, BGR);
}

static inline void put(const char *text)
{
	screen_put(&screen, text, strlen(text));
}

static inline void assert_pixels(uint32_t other)
{
	const char *wrong = screen_fake_compare(&fake, &screen, other);

	if (wrong)
		fail_msg("%s", wrong);
}

/* Draw all there is; what is wanted is shown then, and what is shown is what the pixels are. */
static inline void assert_drawn(uint32_t other)
{
	while (screen_draw(&screen, 7))
		;
	for (unsigned row = 0; row < screen.rows; row++)
		assert_memory_equal(screen.shown[row], screen_row(&screen, row),
			screen.columns * sizeof(uint16_t));
	assert_pixels(other);
}

/* A row's characters without the blanks at its end. */
static inline const char *row_text(unsigned row)
{
	static char text[SCREEN_COLUMNS_MAX + 1];
	unsigned used = 0;

	for (unsigned column = 0; column < screen.columns; column++) {
		text[column] = (char)screen_row(&screen, row)[column];
		if (text[column] != ' ')
			used = column + 1;
	}
	text[used] = 0;
	return text;
}

static inline void fill_with_text(void)
{
	char line[80];

	for (unsigned i = 0; i < 3 * SCREEN_ROWS_MAX; i++) {
		snprintf(line, sizeof(line), "\033[3%um%u: %.*s\n", i % 8, i, (int)(i % 60),
			"The quick brown fox jumps over the lazy dog, {0..9}, #@%&!");
		put(line);
	}
}

static inline unsigned count_cells(uint32_t untouched)
{
	unsigned count = 0;

	for (unsigned row = 0; row < screen.rows; row++) {
		for (unsigned column = 0; column < screen.columns; column++)
			count += fake.pixels[row * 16 * COLUMNS * 8 + column * 8] != untouched;
	}
	return count;
}

static inline int teardown(void **state)
{
	(void)state;
	screen_fake_free(&fake);
	fake.pixels = NULL;
	return 0;
}

#endif
