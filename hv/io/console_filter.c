/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a guest's bytes may reach the operator's terminal. Escape sequences could move the cursor
 * and forge other guests' lines, so none passes, in whatever pieces it comes (ECMA-48, 5.3-5.6). A
 * sequence that never ends is given up at a line's end or after ESCAPE_MAX bytes. No locks.
 */
#include "hv/io/console.h"

#define ESCAPE_MAX 1024u /* the context strings of systemd have some hundred bytes */

#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b
#define DEL 0x7f

enum state {
	TEXT,
	ESCAPE, /* ESC, intermediate bytes */
	CSI,    /* parameters and intermediate bytes */
	STRING, /* OSC, DCS, SOS, PM, APC: until BEL or ST, which is a sequence itself */
};

static enum state after_escape(uint8_t byte)
{
	if (byte == '[')
		return CSI;
	if (byte == ']' || byte == 'P' || byte == 'X' || byte == '^' || byte == '_')
		return STRING;
	return byte < 0x30 ? ESCAPE : TEXT;
}

static enum state next_state(enum state state, uint8_t byte)
{
	switch (state) {
	case STRING: return byte == BEL ? TEXT : STRING;
	case ESCAPE: return after_escape(byte);
	case CSI: return byte < 0x40 ? CSI : TEXT;
	default: return TEXT;
	}
}

/* True when the byte belongs to an escape sequence. */
static bool swallow(struct console_filter *f, uint8_t byte)
{
	enum state before = f->state;

	if (byte == ESC) {
		f->state = ESCAPE;
		f->length = 0;
		return true;
	}
	if (before == TEXT)
		return false;
	if (byte == '\n' || byte == CAN || byte == SUB || ++f->length > ESCAPE_MAX) {
		f->state = TEXT;
		return false;
	}
	f->state = next_state(before, byte);
	/* Only strings hold bytes above 7Fh; elsewhere text has begun again. */
	return byte < 0x80 || f->state == STRING;
}

bool console_filter_pass(struct console_filter *f, uint8_t byte)
{
	if (swallow(f, byte))
		return false;
	if ((byte < 0x20 && byte != '\t' && byte != '\n') || byte == DEL)
		return false;
	/* C2h 80h-9Fh is UTF-8 for the C1 controls, CSI among them. */
	if (f->last == 0xc2 && byte >= 0x80 && byte <= 0x9f)
		return false;
	f->last = byte;
	return true;
}
