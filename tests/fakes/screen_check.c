/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "hv/io/font.h"
#include "hv/lib/string.h"
#include "tests/fakes/screen_check.h"

void screen_fake_make(struct screen_fake *f, uint32_t width, uint32_t height, uint32_t pitch,
	uint64_t size, bool bgr)
{
	size = size ? size : (uint64_t)pitch * height;
	f->pixels = malloc(size);
	f->to = (struct screen_surface){f->pixels, size, width, height, pitch, bgr};
	screen_fake_fill(f, SCREEN_POISON);
}

void screen_fake_free(struct screen_fake *f)
{
	free(f->pixels);
}

void screen_fake_fill(struct screen_fake *f, uint32_t value)
{
	for (uint64_t i = 0; i < f->to.size / 4; i++)
		f->pixels[i] = value;
}

uint32_t screen_fake_pixel(const struct screen_fake *f, unsigned pen)
{
	uint32_t rgb = screen_palette[pen % SCREEN_PENS];
	uint8_t red = (uint8_t)(rgb >> 16), green = (uint8_t)(rgb >> 8), blue = (uint8_t)rgb;
	uint8_t bytes[4] = {f->to.bgr ? blue : red, green, f->to.bgr ? red : blue, 0};
	uint32_t pixel;

	memcpy(&pixel, bytes, sizeof(pixel));
	return pixel;
}

/* The pixel at x, y by what the screen says it shows. */
static uint32_t expected(
	const struct screen_fake *f, const struct screen *s, unsigned x, unsigned y, uint32_t other)
{
	unsigned column = x / (8 * s->scale), row = y / (16 * s->scale);
	unsigned bit = 7 - x / s->scale % 8, line = y / s->scale % 16, glyph;
	uint16_t cell;

	if (x >= f->to.width || column >= s->columns || row >= s->rows)
		return other;
	cell = s->shown[row][column];
	if (cell == UINT16_MAX)
		return other;
	glyph = (cell & 0xff) - FONT_FIRST;
	if (line < FONT_TOP || line >= FONT_TOP + FONT_DRAWN ||
		!(font_rows[glyph][line - FONT_TOP] >> bit & 1))
		return screen_fake_pixel(f, 0);
	return screen_fake_pixel(f, cell >> 8);
}

const char *screen_fake_compare(const struct screen_fake *f, const struct screen *s, uint32_t other)
{
	static char text[120];

	for (uint64_t i = 0; i < f->to.size / 4; i++) {
		unsigned y = (unsigned)(i / (f->to.pitch / 4)),
			 x = (unsigned)(i % (f->to.pitch / 4));
		uint32_t want = y < f->to.height ? expected(f, s, x, y, other) : other;

		if (f->pixels[i] == want)
			continue;
		snprintf(text, sizeof(text), "pixel %u, %u is %08x, not %08x", x, y, f->pixels[i],
			want);
		return text;
	}
	return NULL;
}
