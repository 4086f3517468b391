/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed bytes: for the guest in focus, or a command after Ctrl-]. Decides only; the caller acts and
 * tells. Stopped guests keep their turn in the focus, since they can be restarted. No locks.
 */
#include "hv/io/console.h"

#define KEY_ESCAPE 0x1d /* Ctrl-] */

static const struct key {
	uint8_t byte;
	uint8_t kind;
	bool needs_guest;
} keys[] = {
	{KEY_ESCAPE, CONSOLE_SEND, true},
	{'n', CONSOLE_NEXT, true},
	{'p', CONSOLE_LIST, false},
	{'k', CONSOLE_KILL, true},
	{'r', CONSOLE_RESTART, true},
	{'o', CONSOLE_POWER, true},
	{'v', CONSOLE_VIEW, true},
	{'D', CONSOLE_PANIC, false},
};

const char *console_help(void)
{
	return "after Ctrl-]: n next guest, p list guests, k kill, r restart, o power button, "
	       "v its screen, D panic (debug), Ctrl-] sends Ctrl-]";
}

static unsigned next_guest(const struct console *c)
{
	unsigned id = c->focus;

	for (unsigned n = 0; n < c->limit; n++) {
		id = id + 1 < c->limit ? id + 1 : 1;
		if (console_source_name(c, id))
			return id;
	}
	return CONSOLE_NONE;
}

static struct console_action command(struct console *c, uint8_t byte)
{
	struct console_action action = {CONSOLE_HELP, c->focus, byte};

	for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
		if (keys[i].byte != byte)
			continue;
		action.kind = keys[i].kind;
		if (keys[i].needs_guest && c->focus == CONSOLE_NONE)
			action.kind = CONSOLE_NOTHING;
	}
	if (action.kind == CONSOLE_NEXT)
		action.source = c->focus = next_guest(c);
	return action;
}

struct console_action console_input(struct console *c, uint8_t byte)
{
	struct console_action action = {CONSOLE_SEND, c->focus, byte};

	if (c->escaped) {
		c->escaped = false;
		return command(c, byte);
	}
	if (byte == KEY_ESCAPE)
		c->escaped = true;
	if (byte == KEY_ESCAPE || c->focus == CONSOLE_NONE)
		action.kind = CONSOLE_NOTHING;
	return action;
}
