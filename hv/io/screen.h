/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console on a framebuffer. Text goes into a shadow of characters (screen_text.c); drawing
 * brings the pixels after it, cell by cell (screen.c): a second shadow tells what they show, so
 * that pixels are written only where something changed, and never read. Text costs no pixel access
 * and drawing is bounded by its caller, however much text there is: what scrolls by faster than it
 * can be drawn is not drawn.
 *
 * Knows no hardware: the caller maps the pixels, and passes them in. The text may be hostile; only
 * colours are taken from its escape sequences. No locks: one CPU at a time. A panic may come at any
 * instruction: see screen_recover().
 */
#ifndef HV_IO_SCREEN_H
#define HV_IO_SCREEN_H

#include "hv/lib/types.h"

/* Larger framebuffers keep the rest empty. */
#define SCREEN_COLUMNS_MAX  256u
#define SCREEN_ROWS_MAX     100u
#define SCREEN_CELLS_MAX    (SCREEN_COLUMNS_MAX * SCREEN_ROWS_MAX)
/* Glyphs are enlarged by whole factors where at least so much text remains. */
#define SCREEN_COLUMNS_GOOD 160u
#define SCREEN_ROWS_GOOD    25u

#define SCREEN_PARAMETERS 8u

/* A view: somebody else's 25 rows below a title, instead of the console's text. */
#define SCREEN_VIEW_ROWS    26u
#define SCREEN_VIEW_COLUMNS 80u

/* Where the pixels are: 32 bits each, blue or red in the lowest byte, the highest unused. */
struct screen_surface {
	volatile uint32_t *pixels; /* written only; NULL: cannot be reached yet */
	uint64_t size;             /* bytes */
	uint32_t width, height;
	uint32_t pitch; /* bytes from one line to the next */
	bool bgr;       /* blue is the lowest byte */
};

/* An escape sequence on its way, and a character of several bytes. */
struct screen_parser {
	uint8_t state; /* enum in screen_text.c; 0: plain text */
	uint8_t count; /* parameter being read */
	bool strange;  /* a sequence that is not understood */
	uint8_t following;
	uint16_t length;
	uint16_t parameter[SCREEN_PARAMETERS];
};

/* Some 100 KiB: keep it static. All zero it is a screen that takes and shows nothing. */
struct screen {
	struct screen_surface to;
	unsigned columns, rows, scale;

	/* Text. Row r of the screen is wanted[(top + r) % rows]: scrolling moves top. */
	unsigned top, row, column; /* column == columns: the next character begins a line */
	uint8_t color;
	bool bold;
	bool last;        /* after screen_recover(): what comes now must stay */
	unsigned scrolls; /* then: how often the screen may still scroll */
	struct screen_parser parser;

	unsigned next; /* row where drawing goes on */
	uint8_t changed[SCREEN_ROWS_MAX];
	/* Character in the low byte, colour in the high one. */
	uint16_t wanted[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX];
	uint16_t shown[SCREEN_ROWS_MAX][SCREEN_COLUMNS_MAX];

	bool viewing;
	uint16_t view[SCREEN_VIEW_ROWS + 1][SCREEN_COLUMNS_MAX]; /* the last row is always blank */
};

#define SCREEN_BLANK   ((uint16_t)' ')
#define SCREEN_UNKNOWN UINT16_MAX /* in shown: the pixels may be anything */

/*
 * An empty screen; nothing is drawn yet. E_INVAL: these facts contradict each other or the pixels
 * are not aligned; E_RANGE: too small for one character. Then it takes and shows nothing.
 */
int screen_init(struct screen *s, const struct screen_surface *to) MUST_CHECK;

/* From now on the pixels are there, whatever they show. */
void screen_move(struct screen *s, volatile uint32_t *pixels);

void screen_put(struct screen *s, const char *text, size_t size);

/*
 * From now on the view is drawn, or the text again. Text that comes meanwhile is kept as always.
 */
void screen_view(struct screen *s, bool on);
/* A row of the view: its first characters, the rest is blank. Rows beyond it are ignored. */
void screen_view_row(struct screen *s, unsigned row, const char *chars, unsigned count);

/* Draw at most `cells` cells of those that changed; true: there are more. */
bool screen_draw(struct screen *s, unsigned cells);

/* All pixels become background, also those that belong to no cell. Takes long: once, at boot. */
void screen_clear(struct screen *s);

/*
 * The code that used it was stopped anywhere, or is still running on a CPU that will not stop:
 * carry on at the start of a line, and take nothing for drawn. What is put from now on does not
 * scroll away: on a full screen the last row is used again and again.
 */
void screen_recover(struct screen *s);

/* The row of the text shadow that the screen shows as row `row`. */
static inline uint16_t *screen_row(struct screen *s, unsigned row)
{
	return s->wanted[(s->top + row) % s->rows];
}

/* What a pen looks like, red in bits 16 to 23; 0 is the background. */
#define SCREEN_PENS 16u
extern const uint32_t screen_palette[SCREEN_PENS];

#endif
