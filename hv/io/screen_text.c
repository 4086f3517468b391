/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From bytes to cells: lines, tabs, wrapping, scrolling, and of all escape sequences the colours
 * (ECMA-48, 8.3.117, SGR). Indices are brought into range where they are used, for after a panic
 * they may be anything.
 */
#include "hv/io/font.h"
#include "hv/io/screen.h"
#include "hv/lib/string.h"

#define TAB_WIDTH     8u
#define ESCAPE_MAX    256u  /* a longer sequence is none */
#define PARAMETER_MAX 9999u /* larger ones mean nothing */
#define COLOR_DEFAULT 7u
#define COLOR_BOLD    8u

#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b
#define DEL 0x7f

enum state {
	TEXT,
	ESCAPE, /* ESC, intermediate bytes */
	CSI,    /* parameters, intermediate bytes */
	STRING, /* until BEL, or ST, which is a sequence itself */
};

/* ---- Lines ---- */

static void change_all(struct screen *s)
{
	memset(s->changed, true, sizeof(s->changed));
}

static void clear_row(struct screen *s)
{
	for (unsigned column = 0; column < s->columns; column++)
		screen_row(s, s->row)[column] = SCREEN_BLANK;
	s->changed[s->row] = true;
}

/* In the last row of a screen that must not scroll any more. */
static bool is_full(const struct screen *s)
{
	return s->row + 1 == s->rows && s->last && !s->scrolls;
}

static void new_line(struct screen *s)
{
	s->column = 0;
	if (is_full(s))
		return; /* what is there stays until something comes instead */
	if (s->row + 1 < s->rows) {
		s->row++;
	} else {
		s->row = s->rows - 1;
		s->top = (s->top + 1) % s->rows;
		s->scrolls -= s->scrolls > 0;
		change_all(s);
	}
	clear_row(s);
}

static void put_character(struct screen *s, uint8_t character)
{
	unsigned pen = s->color | (s->bold ? COLOR_BOLD : 0), row, column;

	if (s->column >= s->columns)
		new_line(s);
	if (s->column == 0 && is_full(s))
		clear_row(s);
	row = s->row % s->rows;
	column = s->column % s->columns;
	screen_row(s, row)[column] = character == ' ' ? SCREEN_BLANK
						      : (uint16_t)(pen << 8 | character);
	s->changed[row] = true;
	s->column = column + 1;
}

static void tab(struct screen *s)
{
	if (s->column + 1 < s->columns)
		s->column = MIN((s->column / TAB_WIDTH + 1) * TAB_WIDTH, s->columns - 1);
}

/* ---- Colours ---- */

static void set_color(struct screen *s, unsigned color)
{
	/* Black on black is not to be read. */
	s->color = (uint8_t)(color ? color : COLOR_BOLD);
}

static void select_rendition(struct screen *s)
{
	const struct screen_parser *p = &s->parser;

	for (unsigned i = 0; i <= p->count && i < SCREEN_PARAMETERS; i++) {
		unsigned n = p->parameter[i];

		if (n == 38 || n == 48)
			return; /* what follows are numbers of another kind */
		if (n == 0 || n == 39)
			set_color(s, COLOR_DEFAULT);
		if (n == 0 || n == 22)
			s->bold = false;
		if (n == 1)
			s->bold = true;
		if (n >= 30 && n <= 37)
			set_color(s, n - 30);
		if (n >= 90 && n <= 97)
			set_color(s, n - 90 + COLOR_BOLD);
	}
}

/* ---- Escape sequences ---- */

static enum state begin_sequence(struct screen_parser *p, uint8_t byte)
{
	if (byte == '[') {
		p->count = 0;
		p->strange = false;
		memset(p->parameter, 0, sizeof(p->parameter));
		return CSI;
	}
	if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')
		return STRING;
	return byte < 0x30 ? ESCAPE : TEXT;
}

static enum state in_sequence(struct screen *s, uint8_t byte)
{
	struct screen_parser *p = &s->parser;

	if (byte >= '0' && byte <= '9') {
		if (p->count < SCREEN_PARAMETERS)
			p->parameter[p->count] = (uint16_t)MIN(
				p->parameter[p->count] * 10u + byte - '0', PARAMETER_MAX);
	} else if (byte == ';') {
		p->count = MIN(p->count + 1u, SCREEN_PARAMETERS);
	} else if (byte >= 0x40) {
		if (byte == 'm' && !p->strange)
			select_rendition(s);
		return TEXT;
	} else if (byte >= 0x20) {
		p->strange = true; /* somebody's own, or of another function */
	}
	return CSI;
}

/* True when the byte belongs to a sequence. */
static bool take_escape(struct screen *s, uint8_t byte)
{
	struct screen_parser *p = &s->parser;

	if (byte == ESC) {
		p->state = ESCAPE;
		p->length = 0;
		return true;
	}
	if (p->state == TEXT)
		return false;
	if (byte == '\n' || byte == CAN || byte == SUB || ++p->length > ESCAPE_MAX ||
		(byte >= 0x80 && p->state != STRING)) {
		p->state = TEXT;
		return false;
	}
	if (p->state == ESCAPE)
		p->state = begin_sequence(p, byte);
	else if (p->state == CSI)
		p->state = in_sequence(s, byte);
	else if (byte == BEL)
		p->state = TEXT;
	return true;
}

/* ---- Bytes ---- */

/* One sign for each character beyond ASCII: UTF-8's following bytes show nothing more. */
static bool take_following(struct screen_parser *p, uint8_t byte)
{
	if (byte >= 0x80 && byte < 0xc0 && p->following) {
		p->following--;
		return true;
	}
	p->following = byte < 0xc0 ? 0 : byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
	return false;
}

static void put_byte(struct screen *s, uint8_t byte)
{
	if (take_escape(s, byte) || take_following(&s->parser, byte))
		return;
	switch (byte) {
	case '\n': new_line(s); break;
	case '\r': s->column = 0; break;
	case '\t': tab(s); break;
	case '\b': s->column -= s->column > 0; break;
	default:
		if (byte >= 0x80)
			put_character(s, FONT_OTHER);
		else if (byte >= ' ' && byte != DEL)
			put_character(s, byte);
	}
}

void screen_put(struct screen *s, const char *text, size_t size)
{
	if (!s->rows)
		return;
	for (size_t i = 0; i < size; i++)
		put_byte(s, (uint8_t)text[i]);
}

void screen_recover(struct screen *s)
{
	if (!s->rows)
		return;
	/* Whatever stopped it may have written here, too. */
	s->columns = MIN(MAX(s->columns, 1u), SCREEN_COLUMNS_MAX);
	s->rows = MIN(s->rows, SCREEN_ROWS_MAX);
	s->top %= s->rows;
	s->row %= s->rows;
	s->next = 0;
	s->last = s->bold = s->viewing = false;
	s->color = COLOR_DEFAULT;
	memset(&s->parser, 0, sizeof(s->parser));
	if (s->column || screen_row(s, s->row)[0] != SCREEN_BLANK)
		new_line(s);
	s->last = true;
	s->scrolls = s->row;
	memset(s->shown, 0xff, sizeof(s->shown)); /* SCREEN_UNKNOWN */
	change_all(s);
}
