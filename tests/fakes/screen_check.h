/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A framebuffer of exactly the bytes it has, so that AddressSanitizer sees every byte beyond, and a
 * comparison of its pixels with what a screen believes to show, written without screen.c.
 */
#ifndef TESTS_FAKES_SCREEN_CHECK_H
#define TESTS_FAKES_SCREEN_CHECK_H

#include "hv/io/screen.h"

/* What no pixel of the palette has. */
#define SCREEN_POISON 0xa5c3e1f7u

struct screen_fake {
	struct screen_surface to;
	uint32_t *pixels;
};

/* Memory of size bytes, poisoned; size 0: pitch * height. */
void screen_fake_make(struct screen_fake *f, uint32_t width, uint32_t height, uint32_t pitch,
	uint64_t size, bool bgr);
void screen_fake_free(struct screen_fake *f);
void screen_fake_fill(struct screen_fake *f, uint32_t value);

/* The pixel of a pen in this framebuffer's order of colours. */
uint32_t screen_fake_pixel(const struct screen_fake *f, unsigned pen);

/*
 * Every cell shows what `shown` says; unknown ones, and pixels that belong to no cell, are `other`.
 * NULL, or what is wrong, in a static buffer.
 */
const char *screen_fake_compare(
	const struct screen_fake *f, const struct screen *s, uint32_t other);

#endif
