/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Output side of the console: turns. In a turn one source prints at most one line or
 * CONSOLE_LINE_MAX bytes of it, prefixed unless it continues what it left open on the screen. The
 * hypervisor's turns go first, guests take theirs in a circle, so none can starve another. A turn
 * is built in one piece and handed out in as many as the caller's room asks for. No locks:
 * housekeeping CPU only.
 */
#include "hv/io/console.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

/* Bytes looked at in a turn; most of them may be dropped ones. */
#define TAKE_MAX (2 * CONSOLE_LINE_MAX)

/* ECMA-48 SGR parameters. The hypervisor's is bold: readable on any background. */
#define SGR_HYPERVISOR 1u
static const uint8_t sgr_guest[] = {36, 32, 33, 35, 34, 96, 92, 93, 95, 94};

static bool source_exists(const struct console *c, unsigned id)
{
	return id < c->limit && c->source[id].name;
}

static void put(struct console *c, const char *text, size_t size)
{
	memcpy(c->out + c->out_used, text, size);
	c->out_used += size;
}

/* ---- Sources ---- */

void console_init(struct console *c, struct ring *log, const uint64_t *log_dropped, bool color)
{
	memset(c, 0, sizeof(*c));
	c->color = color;
	c->owner = c->focus = CONSOLE_NONE;
	c->limit = 1;
	c->source[CONSOLE_HYPERVISOR].name = "bulkhead";
	c->source[CONSOLE_HYPERVISOR].ring = log;
	c->source[CONSOLE_HYPERVISOR].dropped = log_dropped;
}

int console_add_source(
	struct console *c, const char *name, struct ring *ring, const uint64_t *dropped)
{
	unsigned id = 1;

	while (source_exists(c, id))
		id++;
	if (id == CONSOLE_SOURCES_MAX)
		return E_NOMEM;
	c->source[id] = (struct console_source){.name = name, .ring = ring, .dropped = dropped};
	if (id == c->limit)
		c->limit++;
	if (c->focus == CONSOLE_NONE)
		c->focus = id;
	return (int)id;
}

/* The line on the screen, if it has no end yet, gets one. */
static void close_open_line(struct console *c)
{
	if (!c->open)
		return;
	put(c, "\r\n", 2);
	if (c->owner != CONSOLE_NONE)
		c->source[c->owner].cut = true;
	c->open = false;
	c->owner = CONSOLE_NONE;
}

void console_remove_source(struct console *c, unsigned id)
{
	if (!source_exists(c, id) || id == CONSOLE_HYPERVISOR)
		return;
	c->source[id].name = NULL;
	if (c->owner == id)
		c->owner = CONSOLE_NONE;
	if (c->focus != id)
		return;
	c->focus = CONSOLE_NONE;
	for (unsigned i = c->limit; i-- > 1;)
		if (source_exists(c, i))
			c->focus = i;
}

void console_end_source(struct console *c, unsigned id)
{
	struct console_source *s;

	if (!source_exists(c, id))
		return;
	s = &c->source[id];
	s->ending = true;
	s->end_mark = s->ring->tail + ring_used(s->ring);
}

const char *console_source_name(const struct console *c, unsigned id)
{
	return source_exists(c, id) ? c->source[id].name : NULL;
}

/* ---- From the ring to a line ---- */

static void end_life(struct console *c, unsigned id)
{
	struct console_source *s = &c->source[id];

	s->ending = false;
	s->filter = (struct console_filter){0};
	s->ended = s->used > 0 || c->owner == id;
	s->cut = s->cut && s->ended;
}

/* Move bytes until the line is full or ended, or the ring is empty. */
static void take(struct console *c, unsigned id, ns_t now)
{
	struct console_source *s = &c->source[id];
	uint8_t byte;

	for (unsigned n = 0; n < TAKE_MAX && s->used < CONSOLE_LINE_MAX && !s->ended; n++) {
		if (s->ending && s->ring->tail == s->end_mark) {
			end_life(c, id);
			continue;
		}
		if (!ring_get(s->ring, &byte))
			return;
		if (!console_filter_pass(&s->filter, byte))
			continue;
		if (byte == '\n') {
			s->ended = true;
			return;
		}
		if (s->used == 0)
			s->since = now;
		s->text[s->used++] = (char)byte;
	}
}

static bool is_ready(const struct console *c, unsigned id, ns_t now)
{
	const struct console_source *s = &c->source[id];

	if (s->ended || s->used == CONSOLE_LINE_MAX)
		return true;
	return s->used > 0 && (c->owner == id || now >= s->since + CONSOLE_FLUSH_NS);
}

/* ---- From a line to the screen ---- */

static void put_prefix(struct console *c, unsigned id)
{
	const char *name = c->source[id].name;
	unsigned sgr = id == CONSOLE_HYPERVISOR ? SGR_HYPERVISOR
						: sgr_guest[(id - 1) % ARRAY_SIZE(sgr_guest)];
	char sgr_text[8];

	if (c->color)
		put(c, sgr_text, fmt_string(sgr_text, sizeof(sgr_text), "\033[%um", sgr));
	put(c, name, strnlen(name, CONSOLE_NAME_MAX));
	put(c, " |", 2);
	if (c->color)
		put(c, "\033[0m", 4);
	put(c, " ", 1);
}

static void print_line(struct console *c, unsigned id)
{
	struct console_source *s = &c->source[id];
	bool ended = s->ended;

	/* Only the end of a cut line is left, and the screen has that already. */
	if (c->owner != id && s->used == 0 && s->cut) {
		s->ended = s->cut = false;
		return;
	}
	if (c->owner != id) {
		close_open_line(c);
		put_prefix(c, id);
	}
	put(c, s->text, s->used);
	if (ended)
		put(c, "\r\n", 2);
	c->open = !ended;
	c->owner = ended ? CONSOLE_NONE : id;
	s->cut = s->cut && !ended;
	s->ended = false;
	s->used = 0;
}

/* ---- Notices of dropped bytes ---- */

static uint64_t dropped_count(const struct console_source *s)
{
	return s->dropped ? __atomic_load_n(s->dropped, __ATOMIC_RELAXED) : 0;
}

/* What was in the ring when the loss was seen is on the screen. */
static bool notice_reached(const struct console_source *s)
{
	return s->noticing && s->used == 0 && (int32_t)(s->ring->tail - s->notice_mark) >= 0;
}

static bool print_notice(struct console *c, unsigned id, ns_t now)
{
	struct console_source *s = &c->source[id];
	uint64_t count = dropped_count(s), lost;

	if (count < s->dropped_told)
		s->dropped_told = 0; /* another life's counter */
	lost = count - s->dropped_told;
	if (lost > 0 && !s->noticing) {
		s->noticing = true;
		s->notice_mark = s->ring->tail + ring_used(s->ring);
	}
	if (!notice_reached(s) || now < c->notice_after)
		return false;
	s->noticing = false;
	if (lost == 0)
		return false;
	s->dropped_told = count;
	c->notice_after = now + CONSOLE_NOTICE_NS;
	close_open_line(c);
	put_prefix(c, CONSOLE_HYPERVISOR);
	c->out_used += fmt_string(c->out + c->out_used, CONSOLE_LINE_MAX,
		"%.*s: %llu byte%s of console output dropped\r\n", (int)CONSOLE_NAME_MAX, s->name,
		(unsigned long long)lost, lost == 1 ? "" : "s");
	return true;
}

/* ---- Turns ---- */

static bool source_turn(struct console *c, unsigned id, ns_t now)
{
	if (print_notice(c, id, now))
		return true;
	take(c, id, now);
	if (!is_ready(c, id, now))
		return false;
	print_line(c, id);
	return true;
}

/* False: nobody has anything to print. */
static bool next_turn(struct console *c, ns_t now)
{
	unsigned id = c->turn;

	c->out_used = c->out_sent = 0;
	if (source_turn(c, CONSOLE_HYPERVISOR, now))
		return true;
	for (unsigned n = 1; n < c->limit; n++) {
		id = id + 1 < c->limit ? id + 1 : 1;
		if (source_exists(c, id) && source_turn(c, id, now)) {
			c->turn = id;
			return true;
		}
	}
	return false;
}

size_t console_output(struct console *c, char *buf, size_t room, ns_t now)
{
	size_t filled = 0;

	while (filled < room) {
		size_t size = MIN(room - filled, (size_t)(c->out_used - c->out_sent));

		if (size == 0 && !next_turn(c, now))
			break;
		memcpy(buf + filled, c->out + c->out_sent, size);
		c->out_sent += size;
		filled += size;
	}
	return filled;
}

bool console_has_output(const struct console *c, ns_t now)
{
	if (c->out_sent < c->out_used)
		return true;
	for (unsigned id = 0; id < c->limit; id++) {
		const struct console_source *s = &c->source[id];

		if (!s->name)
			continue;
		if (ring_used(s->ring) > 0 || s->ending || is_ready(c, id, now))
			return true;
		if (s->noticing ? notice_reached(s) && now >= c->notice_after
				: dropped_count(s) != s->dropped_told)
			return true;
	}
	return false;
}

ns_t console_deadline(const struct console *c)
{
	ns_t at = NS_NEVER;

	for (unsigned id = 0; id < c->limit; id++) {
		const struct console_source *s = &c->source[id];

		if (!s->name)
			continue;
		if (s->used > 0)
			at = MIN(at, s->since + CONSOLE_FLUSH_NS);
		if (notice_reached(s))
			at = MIN(at, c->notice_after);
	}
	return at;
}
