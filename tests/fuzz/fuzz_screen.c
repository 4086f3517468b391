/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A framebuffer of any shape, with text, drawing, moving and panics on it as the bytes say. After
 * every step the pixels are what the screen believes to show; AddressSanitizer watches the rest.
 */
#include <stdio.h>
#include <stdlib.h>

#include "hv/lib/string.h"
#include "tests/fakes/screen_check.h"

#define SIDE_MAX 400u

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct input {
	const uint8_t *bytes;
	size_t left;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned take(struct input *in, unsigned limit)
{
	unsigned value = 0;

	for (unsigned i = 0; i < 2 && in->left; i++, in->left--)
		value = value << 8 | *in->bytes++;
	return value % limit;
}

static void step(struct screen *s, struct screen_fake *f, struct input *in)
{
	size_t size;

	switch (take(in, 8)) {
	case 0: screen_recover(s); break;
	case 1: screen_clear(s); break;
	case 2:
		screen_fake_fill(f, SCREEN_POISON);
		screen_move(s, f->pixels);
		break;
	case 3:
	case 4:
	case 5: screen_draw(s, take(in, 64)); break;
	default:
		size = MIN((size_t)take(in, 200), in->left);
		screen_put(s, (const char *)in->bytes, size);
		in->bytes += size;
		in->left -= size;
	}
}

/* Margins are poison until cleared, and background from then on. */
static void check(const struct screen *s, const struct screen_fake *f)
{
	REQUIRE(s->columns <= SCREEN_COLUMNS_MAX && s->rows <= SCREEN_ROWS_MAX);
	REQUIRE(!s->rows || (s->top < s->rows && s->row < s->rows && s->column <= s->columns));
	for (unsigned row = 0; row < s->rows; row++) {
		for (unsigned column = 0; column < s->columns; column++) {
			const uint32_t *pixel = f->pixels + row * 16 * s->scale * f->to.pitch / 4 +
						column * 8 * s->scale;

			/* Each glyph's first row is empty. */
			if (s->shown[row][column] != SCREEN_UNKNOWN)
				REQUIRE(*pixel == screen_fake_pixel(f, 0));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct screen screen;
	struct input in = {data, size};
	uint32_t width = take(&in, SIDE_MAX), height = take(&in, SIDE_MAX);
	uint32_t pitch = width * 4 + take(&in, 64) / 4 * 4;
	struct screen_fake fake;
	bool fits;

	screen_fake_make(&fake, width, height, pitch, 0, take(&in, 2));
	fits = screen_init(&screen, &fake.to) == OK;
	REQUIRE(fits == (width >= 8 && height >= 16));
	while (in.left) {
		step(&screen, &fake, &in);
		check(&screen, &fake);
	}
	/* Everything, once more. */
	screen_fake_fill(&fake, SCREEN_POISON);
	if (fits) {
		screen_move(&screen, fake.pixels);
		while (screen_draw(&screen, 100))
			;
		REQUIRE(!screen_fake_compare(&fake, &screen, SCREEN_POISON));
	}
	screen_fake_free(&fake);
	return 0;
}
