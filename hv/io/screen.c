/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Geometry and pixels of the screen. Neighbouring cells are drawn together, line by line: a
 * write-combining buffer is sent off whole only if its bytes come one after the other.
 */
#include "hv/io/screen.h"
#include "hv/io/font.h"
#include "hv/lib/string.h"

/* Readable on black; the upper half is bold. Black text is shown grey. */
const uint32_t screen_palette[SCREEN_PENS] = {0x000000, 0xd04848, 0x48b048, 0xc8a030, 0x5c88e8,
	0xc060c8, 0x38b0b8, 0xc8c8c8, 0x808080, 0xff7070, 0x78e078, 0xf8d860, 0x90b4ff, 0xf090f8,
	0x70e8f0, 0xffffff};

#define SCALE_MAX 8u
#define SIDE_MAX  32768u /* pixels; no screen is larger */
#define VIEW_PEN  7u

/* ---- Geometry ---- */

static int check(const struct screen_surface *to)
{
	if (to->pitch % 4 || (uint64_t)to->pitch < (uint64_t)to->width * 4 ||
		(uintptr_t)to->pixels % 4)
		return E_INVAL;
	if (to->pitch > SIDE_MAX * 4 || to->height > SIDE_MAX)
		return E_INVAL;
	return (uint64_t)to->pitch * to->height <= to->size ? OK : E_INVAL;
}

int screen_init(struct screen *s, const struct screen_surface *to)
{
	unsigned columns = to->width / FONT_WIDTH, rows = to->height / FONT_HEIGHT, scale;
	int status = check(to);

	memset(s, 0, sizeof(*s));
	if (status)
		return status;
	if (!columns || !rows)
		return E_RANGE;
	scale = MIN(columns / SCREEN_COLUMNS_GOOD, rows / SCREEN_ROWS_GOOD);
	scale = MIN(MAX(scale, 1u), SCALE_MAX);
	for (unsigned column = 0; column < SCREEN_COLUMNS_MAX; column++) {
		for (unsigned row = 0; row < SCREEN_ROWS_MAX; row++)
			s->wanted[row][column] = SCREEN_BLANK;
		for (unsigned row = 0; row <= SCREEN_VIEW_ROWS; row++)
			s->view[row][column] = SCREEN_BLANK;
	}
	s->to = *to;
	s->scale = scale;
	s->columns = MIN(columns / scale, SCREEN_COLUMNS_MAX);
	s->rows = MIN(rows / scale, SCREEN_ROWS_MAX);
	screen_recover(s);
	s->last = false;
	return OK;
}

void screen_move(struct screen *s, volatile uint32_t *pixels)
{
	s->to.pixels = pixels;
	memset(s->shown, 0xff, sizeof(s->shown)); /* SCREEN_UNKNOWN */
	memset(s->changed, true, sizeof(s->changed));
}

/* ---- View ---- */

void screen_view(struct screen *s, bool on)
{
	s->viewing = on;
	memset(s->changed, true, sizeof(s->changed));
}

void screen_view_row(struct screen *s, unsigned row, const char *chars, unsigned count)
{
	uint16_t *to;

	if (row >= SCREEN_VIEW_ROWS)
		return;
	to = s->view[row];
	for (unsigned column = 0; column < SCREEN_VIEW_COLUMNS; column++) {
		uint8_t c = column < count ? (uint8_t)chars[column] : ' ';

		to[column] = c == ' ' ? SCREEN_BLANK : (uint16_t)(VIEW_PEN << 8 | c);
	}
	s->changed[row] = true;
}

/* What row `row` of the screen shall show. */
static const uint16_t *wanted_row(struct screen *s, unsigned row)
{
	if (s->viewing)
		return s->view[MIN(row, SCREEN_VIEW_ROWS)];
	return screen_row(s, row);
}

/* ---- Pixels ---- */

static uint32_t pixel(const struct screen *s, unsigned pen)
{
	uint32_t rgb = screen_palette[pen % SCREEN_PENS];

	if (s->to.bgr)
		return rgb;
	return (rgb & 0xff) << 16 | (rgb & 0xff00) | rgb >> 16;
}

static volatile uint32_t *line_at(const struct screen *s, unsigned y)
{
	return s->to.pixels + (uint64_t)s->to.pitch / 4 * y;
}

void screen_clear(struct screen *s)
{
	uint32_t background = pixel(s, 0);

	if (!s->rows || !s->to.pixels)
		return;
	for (unsigned y = 0; y < s->to.height; y++) {
		volatile uint32_t *at = line_at(s, y);

		for (unsigned x = 0; x < s->to.width; x++)
			at[x] = background;
	}
	for (unsigned row = 0; row < s->rows; row++) {
		for (unsigned column = 0; column < s->columns; column++)
			s->shown[row][column] = SCREEN_BLANK;
	}
}

/* One line of the pixels of neighbouring cells. */
static void draw_line(const struct screen *s, const uint16_t *cells, unsigned count, unsigned y,
	volatile uint32_t *at)
{
	uint32_t background = pixel(s, 0);

	for (unsigned i = 0; i < count; i++) {
		unsigned bits = font_row((uint8_t)cells[i], y);
		uint32_t ink = pixel(s, cells[i] >> 8);

		for (unsigned mask = 1u << (FONT_WIDTH - 1); mask; mask >>= 1) {
			for (unsigned n = 0; n < s->scale; n++)
				*at++ = bits & mask ? ink : background;
		}
	}
}

static void draw_run(struct screen *s, unsigned row, unsigned column, unsigned count)
{
	const uint16_t *cells = wanted_row(s, row) + column;
	unsigned height = FONT_HEIGHT * s->scale;

	for (unsigned y = 0; y < height; y++)
		draw_line(s, cells, count, y / s->scale,
			line_at(s, row * height + y) + column * FONT_WIDTH * s->scale);
	/* Only now: a panic in between draws these again. */
	memcpy(&s->shown[row][column], cells, count * sizeof(*cells));
}

/* Draw what of a row has changed; returns how much of the budget is left. */
static unsigned draw_row(struct screen *s, unsigned row, unsigned budget)
{
	const uint16_t *wanted = wanted_row(s, row), *shown = s->shown[row];

	for (unsigned column = 0, count; column < s->columns; column += MAX(count, 1u)) {
		for (count = 0; column + count < s->columns; count++) {
			if (wanted[column + count] == shown[column + count])
				break;
		}
		if (count && !budget)
			return 0;
		count = MIN(count, budget);
		if (count)
			draw_run(s, row, column, count);
		budget -= count;
	}
	s->changed[row] = false;
	return budget;
}

bool screen_draw(struct screen *s, unsigned cells)
{
	if (!s->rows || !s->to.pixels)
		return false;
	/* On from where the last call stopped: no part of the screen starves. */
	for (unsigned n = 0; n < s->rows; n++) {
		unsigned row = s->next % s->rows;

		if (s->changed[row])
			cells = draw_row(s, row, cells);
		if (s->changed[row])
			return true;
		s->next = (row + 1) % s->rows;
	}
	return false;
}
