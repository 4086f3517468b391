/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 16550A model against the PC16550D data sheet: tables of accesses with the expected outcome.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/uart16550.h"
#include "hv/lib/string.h"

struct fixture {
	struct uart16550 uart;
	bool ready;
	unsigned room;
	char sent[64];
	unsigned sent_count;
	bool level;
	unsigned rises;
	ns_t now;
};

static bool fake_tx(void *ctx, uint8_t byte)
{
	struct fixture *f = ctx;

	if (!f->ready || !f->room)
		return false;
	assert_true(f->sent_count < sizeof(f->sent));
	f->sent[f->sent_count++] = byte;
	f->room--;
	return true;
}

static void fake_set(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 4);
	if (level && !f->level)
		f->rises++;
	f->level = level;
}

static void setup(struct fixture *f)
{
	struct uart16550_env env = {fake_tx, f};
	struct irq_line irq = {fake_set, f, 4};

	memset(f, 0, sizeof(*f));
	f->ready = true;
	f->room = sizeof(f->sent);
	uart16550_init(&f->uart, &env, irq);
}

enum op { RD, WR, RX, BUSY, ROOM, POLL, IRQ, SENT, ADVANCE, DUE, IDLE, MODEM };

/* RD: reg, expected. WR: reg, value. RX: byte. IRQ: level. SENT: count. ADVANCE: ns then tick. */
struct step {
	enum op op;
	unsigned a, b;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	unsigned got = s->b;

	switch (s->op) {
	case RD: got = uart16550_read(&f->uart, s->a, 1, f->now); break;
	case WR: uart16550_write(&f->uart, s->a, 1, s->b, f->now); break;
	case RX: uart16550_rx(&f->uart, s->a, f->now); break;
	case BUSY: f->ready = false; break;
	case ROOM:
		f->ready = true;
		f->room = s->a;
		break;
	case POLL: uart16550_tx_poll(&f->uart, f->now); break;
	case IRQ: assert_int_equal(f->level * 100 + i, s->a * 100 + i); break;
	case SENT: assert_int_equal(f->sent_count, s->a); break;
	case ADVANCE:
		f->now += s->a;
		uart16550_tick(&f->uart, f->now);
		break;
	case DUE: assert_int_equal(uart16550_deadline(&f->uart), f->now + s->a); break;
	case IDLE: assert_true(uart16550_deadline(&f->uart) == NS_NEVER); break;
	case MODEM: uart16550_set_modem(&f->uart, s->a, f->now); break;
	}
	if (got != s->b)
		fail_msg("step %u: register %u reads %02x, expected %02x", i, s->a, got, s->b);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

static void test_reset_values(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {RD, 1, 0x00}, {RD, 2, 0x01}, {RD, 3, 0x00}, {RD, 4, 0x00}, {RD, 5, 0x60},
		{RD, 6, 0xb0}, {IRQ, 0, 0}, {IDLE, 0, 0});
	assert_int_equal(uart16550_read(&f.uart, 8, 1, 0), 0xff);
	assert_int_equal(uart16550_read(&f.uart, 3, 4, 0), 0xb0600000);
}

/* What a driver does to tell an 8250, a 16450 and a 16550A apart. */
static void test_detection(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 1, 0xff}, {RD, 1, 0x0f}, {WR, 1, 0}, {RD, 1, 0}, {WR, 7, 0xa5}, {RD, 7, 0xa5},
		{WR, 4, 0xff}, {RD, 4, 0x1f}, {WR, 4, 0x1a}, {RD, 6, 0x96}, {WR, 4, 0},
		{WR, 2, 0x01}, {RD, 2, 0xc1}, {WR, 2, 0x21}, {RD, 2, 0xc1}, {WR, 2, 0}, {RD, 2, 1},
		{WR, 3, 0x80}, {WR, 0, 0x34}, {WR, 1, 0x12}, {RD, 0, 0x34}, {RD, 1, 0x12},
		{WR, 3, 0x03}, {RD, 1, 0}, {RD, 3, 3});
}

static void test_transmit(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 4, 0x08}, {WR, 0, 'a'}, {RD, 5, 0x60}, {SENT, 1, 0}, {IRQ, 0, 0},
		/* THRE: pending as soon as it is enabled, cleared by reading IIR */
		{WR, 1, 0x02}, {IRQ, 1, 0}, {RD, 2, 0x02}, {IRQ, 0, 0}, {RD, 2, 0x01},
		/* writing IER again without an edge brings nothing */
		{WR, 1, 0x02}, {IRQ, 0, 0}, {WR, 1, 0}, {WR, 1, 0x02}, {IRQ, 1, 0},
		/* an enabled source that is not the one reported stays */
		{WR, 0, 'b'}, {IRQ, 1, 0}, {SENT, 2, 0}, {RD, 2, 0x02}, {RD, 2, 0x01});
	assert_memory_equal(f.sent, "ab", 2);
	assert_int_equal(f.rises, 3);
}

static void test_transmit_held_back(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* one byte without FIFO, a second overwrites it */
	RUN(&f, {WR, 4, 0x08}, {WR, 1, 0x02}, {RD, 2, 2}, {BUSY, 0, 0}, {WR, 0, 'a'}, {RD, 5, 0},
		{IRQ, 0, 0}, {WR, 0, 'b'}, {ROOM, 8, 0}, {POLL, 0, 0}, {RD, 5, 0x60}, {IRQ, 1, 0},
		{RD, 2, 2}, {SENT, 1, 0});
	assert_int_equal(f.sent[0], 'b');
	RUN(&f, {WR, 2, 0x01}, {BUSY, 0, 0});
	for (unsigned i = 0; i < 20; i++)
		uart16550_write(&f.uart, 0, 1, '0' + i, f.now);
	assert_true(uart16550_tx_waiting(&f.uart));
	/* room for a part only: THRE stays low until the FIFO is empty */
	RUN(&f, {ROOM, 3, 0}, {POLL, 0, 0}, {SENT, 4, 0}, {RD, 5, 0}, {IRQ, 0, 0}, {ROOM, 30, 0},
		{POLL, 0, 0}, {SENT, 17, 0}, {RD, 5, 0x60}, {IRQ, 1, 0});
	assert_memory_equal(f.sent + 1, "0123456789:;<=>?", 16);
	assert_false(uart16550_tx_waiting(&f.uart));
	/* clearing the transmit FIFO empties it */
	RUN(&f, {BUSY, 0, 0}, {WR, 0, 'x'}, {RD, 5, 0}, {IRQ, 0, 0}, {WR, 2, 0x05}, {RD, 5, 0x60},
		{IRQ, 1, 0}, {ROOM, 9, 0}, {POLL, 0, 0}, {SENT, 17, 0});
}

static void test_receive_no_fifo(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	assert_int_equal(uart16550_rx_room(&f.uart), 1);
	RUN(&f, {WR, 4, 0x08}, {WR, 1, 0x05}, {RX, 'a', 0}, {IRQ, 1, 0}, {RD, 2, 4}, {RD, 5, 0x61},
		/* overrun: the new byte replaces the old one; reading LSR clears OE */
		{RX, 'b', 0}, {RD, 2, 6}, {RD, 5, 0x63}, {RD, 5, 0x61}, {RD, 2, 4}, {RD, 0, 'b'},
		{IRQ, 0, 0}, {RD, 5, 0x60}, {RD, 2, 1}, {IDLE, 0, 0});
}

static void test_receive_fifo(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 3, 3}, {WR, 4, 0x08}, {WR, 2, 0x81}, {WR, 1, 0x01});
	for (unsigned i = 0; i < 7; i++)
		uart16550_rx(&f.uart, 'a' + i, f.now);
	assert_int_equal(uart16550_rx_room(&f.uart), 9);
	RUN(&f, {IRQ, 0, 0}, {RD, 5, 0x61}, {RX, 'h', 0}, {IRQ, 1, 0}, {RD, 2, 0xc4}, {RD, 0, 'a'},
		{IRQ, 0, 0});
	for (unsigned i = 0; i < 9; i++)
		uart16550_rx(&f.uart, 'i' + i, f.now);
	assert_int_equal(uart16550_rx_room(&f.uart), 0);
	/* overrun with FIFO: contents stay, the new byte is lost */
	RUN(&f, {RX, 'z', 0}, {RD, 5, 0x63}, {RD, 5, 0x61});
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(uart16550_read(&f.uart, 0, 1, f.now), 'b' + i);
	RUN(&f, {RD, 5, 0x60}, {IRQ, 0, 0}, {RX, 'q', 0}, {WR, 2, 0x83}, {RD, 5, 0x60},
		{RX, 'r', 0}, {WR, 2, 0x00}, {RD, 5, 0x60});
}

/* 10 bits at 115,200 baud: 86,805 ns a character. */
static void test_timeout_indication(void **state)
{
	struct fixture f;
	const unsigned wait = 4 * 86805;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 3, 3}, {WR, 4, 8}, {WR, 2, 0x81}, {IDLE, 0, 0}, {WR, 1, 1}, {RX, 'a', 0},
		{DUE, wait, 0}, {ADVANCE, 1000, 0}, {RX, 'b', 0}, {DUE, wait, 0},
		{ADVANCE, wait - 1, 0}, {IRQ, 0, 0}, {ADVANCE, 1, 0}, {IRQ, 1, 0}, {IDLE, 0, 0},
		{RD, 2, 0xcc}, {RD, 2, 0xcc},
		/* a read clears it and starts the time again while bytes are left */
		{RD, 0, 'a'}, {IRQ, 0, 0}, {DUE, wait, 0}, {ADVANCE, wait, 0}, {RD, 2, 0xcc},
		{RD, 0, 'b'}, {IRQ, 0, 0}, {IDLE, 0, 0});
	/* a further byte does not take the indication back */
	RUN(&f, {RX, 'd', 0}, {ADVANCE, wait, 0}, {RX, 'e', 0}, {IRQ, 1, 0}, {RD, 2, 0xcc},
		{WR, 2, 0x83}, {IRQ, 0, 0}, {IDLE, 0, 0});
	/* at 9,600 baud with parity and two stop bits: 12 bits */
	RUN(&f, {WR, 3, 0x8f}, {WR, 0, 12}, {WR, 1, 0}, {WR, 3, 0x0f}, {RX, 'c', 0},
		{DUE, 4 * 1250000, 0});
	/* disabled: no deadline, yet seen when enabled later */
	RUN(&f, {WR, 1, 0}, {IDLE, 0, 0}, {ADVANCE, 5000000, 0}, {IRQ, 0, 0}, {WR, 1, 1},
		{IRQ, 1, 0});
}

static void test_loopback(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 4, 0x10}, {RD, 6, 0x0b}, {RD, 6, 0x00}, {WR, 4, 0x11}, {RD, 6, 0x22},
		{WR, 4, 0x12}, {RD, 6, 0x13}, {WR, 4, 0x14}, {RD, 6, 0x41}, {WR, 4, 0x10},
		{RD, 6, 0x04}, {WR, 4, 0x18}, {RD, 6, 0x88}, {WR, 1, 0x01}, {WR, 0, 0x5a},
		{SENT, 0, 0}, {IRQ, 0, 0}, {RD, 2, 0x04}, {RD, 5, 0x61}, {RX, 1, 0}, {RD, 0, 0x5a},
		{RD, 5, 0x60});
	assert_int_equal(uart16550_rx_room(&f.uart), 0);
}

static void test_modem_status(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 4, 8}, {WR, 1, 8}, {IRQ, 0, 0}, {MODEM, 0xa0, 0}, {IRQ, 1, 0}, {RD, 2, 0},
		{RD, 6, 0xa1}, {IRQ, 0, 0}, {RD, 6, 0xa0},
		/* RI counts at its trailing edge only */
		{MODEM, 0xe0, 0}, {IRQ, 0, 0}, {MODEM, 0xa0, 0}, {IRQ, 1, 0}, {RD, 6, 0xa4});
}

/* Priorities: line status, data, THRE, modem status; OUT2 gates the pin but not IIR. */
static void test_priority_and_out2(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 1, 0x0f}, {MODEM, 0, 0}, {RX, 'a', 0}, {RX, 'b', 0}, {IRQ, 0, 0}, {RD, 2, 6},
		{WR, 4, 8}, {IRQ, 1, 0}, {RD, 5, 0x63}, {RD, 2, 4}, {RD, 0, 'b'}, {RD, 2, 2},
		{RD, 2, 0}, {RD, 6, 0x0b}, {RD, 2, 1}, {IRQ, 0, 0});
}

/* Registers that change together, and what a reset forgets. */
static void test_more_interrupts(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* loopback: THRE comes again after the byte went round; two modem lines at once */
	RUN(&f, {WR, 4, 0x13}, {RD, 6, 0x38}, {WR, 1, 2}, {RD, 2, 2}, {RD, 2, 1}, {WR, 0, 'a'},
		{RD, 2, 2}, {WR, 4, 8}, {RD, 0, 'a'});
	/* line status drops the line when read; clearing an empty transmit FIFO is no event */
	RUN(&f, {WR, 1, 4}, {RX, 'a', 0}, {IRQ, 0, 0}, {RX, 'b', 0}, {IRQ, 1, 0}, {RD, 5, 0x63},
		{IRQ, 0, 0}, {WR, 1, 2}, {WR, 2, 1}, {RD, 2, 0xc2}, {WR, 2, 5}, {RD, 2, 0xc1});
	RUN(&f, {WR, 1, 0x0f}, {RX, 'c', 0}, {MODEM, 0, 0}, {WR, 3, 0x1b}, {WR, 7, 0x77},
		{IRQ, 1, 0});
	uart16550_reset(&f.uart, f.now);
	RUN(&f, {IRQ, 0, 0}, {RD, 1, 0}, {RD, 2, 1}, {RD, 3, 0}, {RD, 4, 0}, {RD, 5, 0x60},
		{RD, 6, 0}, {RD, 7, 0x77}, {IDLE, 0, 0}, {WR, 1, 0x0f}, {RD, 2, 2}, {RD, 2, 1});
	/* a time-out that is over when somebody reads IIR before the tick */
	RUN(&f, {WR, 2, 0x81}, {RX, 'd', 0});
	f.now += NS_PER_SEC;
	RUN(&f, {RD, 2, 0xcc});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reset_values),
		cmocka_unit_test(test_detection),
		cmocka_unit_test(test_transmit),
		cmocka_unit_test(test_transmit_held_back),
		cmocka_unit_test(test_receive_no_fifo),
		cmocka_unit_test(test_receive_fifo),
		cmocka_unit_test(test_timeout_indication),
		cmocka_unit_test(test_loopback),
		cmocka_unit_test(test_modem_status),
		cmocka_unit_test(test_priority_and_out2),
		cmocka_unit_test(test_more_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
