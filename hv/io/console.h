/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console multiplexer: many sources of bytes, one physical line. Each line is shown as
 * "name | text"; what is typed goes to the guest in focus, or is a command after Ctrl-]. Knows no
 * UART, no guest and no clock: bytes are pulled, time is passed in. Runs on the housekeeping CPU
 * only, so there is no lock; the rings' producers run elsewhere. Bytes from guests are hostile: see
 * console_filter.c.
 */
#ifndef HV_IO_CONSOLE_H
#define HV_IO_CONSOLE_H

#include "hv/lib/ring.h"
#include "hv/lib/types.h"

#define CONSOLE_SOURCES_MAX 129u             /* the hypervisor and 128 guests */
#define CONSOLE_LINE_MAX    256u             /* text of one turn; longer lines take several */
#define CONSOLE_NAME_MAX    31u              /* longer names are cut */
#define CONSOLE_FLUSH_NS    (50 * NS_PER_MS) /* a partial line waits so long for its LF */
#define CONSOLE_NOTICE_NS   NS_PER_SEC       /* between two notices of dropped bytes */
#define CONSOLE_HYPERVISOR  0u               /* the hypervisor's source */
#define CONSOLE_NONE        CONSOLE_SOURCES_MAX

/* Takes control bytes and escape sequences out of a stream. */
struct console_filter {
	uint8_t state; /* enum in console_filter.c; 0: plain text */
	uint8_t last;  /* last byte that passed */
	uint16_t length;
};

struct console_source {
	const char *name;  /* NULL: free slot */
	struct ring *ring; /* this module is the consumer */
	const uint64_t *dropped;
	uint64_t dropped_told;
	uint32_t notice_mark; /* the notice comes after the bytes up to here */
	uint32_t end_mark;    /* console_end_source(): the last byte before it */
	struct console_filter filter;
	bool noticing, ending;
	bool ended; /* text is the end of a line */
	bool cut;   /* the line's beginning is on the screen, ended by another source */
	uint16_t used;
	ns_t since; /* arrival of text[0] */
	char text[CONSOLE_LINE_MAX];
};

/* Some 43 KiB: keep it static. */
struct console {
	struct console_source source[CONSOLE_SOURCES_MAX];
	unsigned limit; /* slots at and above were never used */
	unsigned turn;  /* the guest that printed last */
	unsigned owner; /* whose line the open one is, or CONSOLE_NONE */
	unsigned focus; /* guest, or CONSOLE_NONE */
	bool open;      /* the line on the screen has no end yet */
	bool color, escaped;
	ns_t notice_after;
	unsigned out_used, out_sent;
	char out[2 + 8 + CONSOLE_NAME_MAX + 2 + 4 + 1 + CONSOLE_LINE_MAX + 2];
};

enum console_kind {
	CONSOLE_NOTHING,
	CONSOLE_SEND,    /* byte to source */
	CONSOLE_NEXT,    /* source has the focus now */
	CONSOLE_LIST,    /* show the guests */
	CONSOLE_KILL,    /* source */
	CONSOLE_RESTART, /* source */
	CONSOLE_POWER,   /* press the power button of source */
	CONSOLE_VIEW,    /* show the screen of source, or stop showing it */
	CONSOLE_PANIC,   /* debug: panic now */
	CONSOLE_HELP,    /* show console_help() */
};

struct console_action {
	enum console_kind kind;
	unsigned source; /* SEND, NEXT, KILL, RESTART, POWER, VIEW */
	uint8_t byte;    /* SEND */
};

/*
 * log is the hypervisor's own ring. A source's name, ring and counter live until it is removed. A
 * dropped counter, read atomically, counts bytes that found the ring full; NULL: none.
 */
void console_init(struct console *c, struct ring *log, const uint64_t *log_dropped, bool color);

/*
 * The new source's id, or E_NOMEM. The first guest gets the focus. A source stays while its guest
 * is stopped and started again.
 */
int console_add_source(
	struct console *c, const char *name, struct ring *ring, const uint64_t *dropped) MUST_CHECK;

/* What it has not printed yet is lost; its id may be given again. Not for the hypervisor's. */
void console_remove_source(struct console *c, unsigned id);

/*
 * The guest has stopped and its ring's producer is quiet: what is in the ring now ends a line, and
 * any escape sequence. The next bytes are another life's.
 */
void console_end_source(struct console *c, unsigned id);

/* NULL: no such source. */
const char *console_source_name(const struct console *c, unsigned id);

/* Fill buf with up to `room` bytes for the physical line; returns how many. Never NULs. */
size_t console_output(struct console *c, char *buf, size_t room, ns_t now);

/* console_output() has work to do: bytes to give, or bytes in a ring to look at. */
bool console_has_output(const struct console *c, ns_t now);

/* When console_has_output() will become true without a new byte, NS_NEVER: not at all. */
ns_t console_deadline(const struct console *c);

/* One byte was typed. */
struct console_action console_input(struct console *c, uint8_t byte);

/* One line about the keys. */
const char *console_help(void);

/* The byte may be shown. LF always passes. */
bool console_filter_pass(struct console_filter *f, uint8_t byte);

#endif
