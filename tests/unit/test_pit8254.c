/* SPDX-License-Identifier: Apache-2.0 */
/* The 8254 model against Intel's data sheet: OUT and count over time, in ticks of 1.193182 MHz. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/pit8254.h"
#include "hv/lib/string.h"

struct fixture {
	struct pit8254 pit;
	bool level;
	unsigned rises;
	uint64_t tick; /* the present */
};

static void fake_set(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 0);
	if (level && !f->level)
		f->rises++;
	f->level = level;
}

static void setup(struct fixture *f)
{
	struct irq_line irq = {fake_set, f, 0};

	memset(f, 0, sizeof(*f));
	pit8254_init(&f->pit, irq);
	f->tick = 1000;
}

/* The middle of a tick. */
static ns_t ns(uint64_t tick)
{
	return (tick * NS_PER_SEC + NS_PER_SEC / 2) / PIT8254_HZ;
}

enum op { WR, RD, OUT, TO, GATE };

/* WR: port offset, value. RD: port offset, expected. OUT: channel, level. TO: ticks to go on. */
struct step {
	enum op op;
	unsigned a, b;
};

static bool read_out(struct fixture *f, unsigned channel)
{
	pit8254_write(&f->pit, 3, 1, 0xe0 | 2u << channel, ns(f->tick));
	return pit8254_read(&f->pit, channel, 1, ns(f->tick)) & 0x80;
}

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	unsigned got = s->b;

	switch (s->op) {
	case WR: pit8254_write(&f->pit, s->a, 1, s->b, ns(f->tick)); break;
	case RD: got = pit8254_read(&f->pit, s->a, 1, ns(f->tick)); break;
	case OUT: got = read_out(f, s->a); break;
	case TO: f->tick += s->a; break;
	case GATE: pit8254_write(&f->pit, 4, 1, s->a, ns(f->tick)); break;
	}
	if (got != s->b)
		fail_msg("step %u: %u reads %02x, expected %02x", i, s->a, got, s->b);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

/* OUT and count of channel 2 for `n` clocks from now; the count read low byte only. */
static void expect(struct fixture *f, const char *out, const uint8_t *count)
{
	for (unsigned i = 0; out[i]; i++, f->tick++) {
		uint8_t got;

		if (read_out(f, 2) != (out[i] == 'H'))
			fail_msg("OUT at clock %u should be %c", i, out[i]);
		got = pit8254_read(&f->pit, 2, 1, ns(f->tick));
		if (count && got != count[i])
			fail_msg("count at clock %u is %02x, expected %02x", i, got, count[i]);
	}
}

#define COUNTS(...) ((const uint8_t[]){__VA_ARGS__})

static void test_mode0(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {GATE, 1, 0}, {WR, 3, 0x90}, {OUT, 2, 0}, {WR, 2, 4}, {TO, 1, 0});
	expect(&f, "LLLLHHH", COUNTS(4, 3, 2, 1, 0, 0xff, 0xfe));
	/* gate low freezes the count, a new count starts again */
	RUN(&f, {WR, 2, 4}, {TO, 3, 0}, {RD, 2, 2}, {GATE, 0, 0}, {TO, 50, 0}, {RD, 2, 2},
		{OUT, 2, 0}, {GATE, 1, 0}, {TO, 1, 0}, {RD, 2, 1}, {OUT, 2, 0}, {TO, 1, 0},
		{OUT, 2, 1}, {RD, 4, 0x31});
	/* two bytes: the first stops the old count and sets OUT low */
	RUN(&f, {WR, 3, 0xb0}, {WR, 2, 0x00}, {WR, 2, 0x01}, {TO, 257, 0}, {OUT, 2, 1},
		{WR, 2, 0x05}, {OUT, 2, 0}, {TO, 500, 0}, {OUT, 2, 0}, {WR, 2, 0}, {TO, 5, 0},
		{OUT, 2, 0}, {TO, 1, 0}, {OUT, 2, 1});
}

static void test_mode1(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 3, 0x92}, {OUT, 2, 1}, {GATE, 1, 0}, {TO, 9, 0}, {OUT, 2, 1}, {GATE, 0, 0},
		{WR, 2, 3}, {TO, 10, 0}, {OUT, 2, 1}, {GATE, 1, 0}, {TO, 1, 0});
	expect(&f, "LLLHH", COUNTS(3, 2, 1, 0, 0xff));
	/* retriggered; the gate's level does not matter; a new count waits for the trigger */
	RUN(&f, {GATE, 0, 0}, {OUT, 2, 1}, {GATE, 1, 0}, {TO, 3, 0}, {OUT, 2, 0}, {GATE, 0, 0},
		{GATE, 1, 0}, {WR, 2, 2}, {TO, 3, 0}, {OUT, 2, 0}, {TO, 1, 0}, {OUT, 2, 1},
		{GATE, 0, 0}, {GATE, 1, 0}, {TO, 2, 0}, {OUT, 2, 0}, {TO, 1, 0}, {OUT, 2, 1});
}

static void test_mode2(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {GATE, 1, 0}, {WR, 3, 0x94}, {WR, 2, 3}, {TO, 1, 0});
	expect(&f, "HHLHHLHH", COUNTS(3, 2, 1, 3, 2, 1, 3, 2));
	/* a new count comes at the end of the cycle */
	RUN(&f, {WR, 2, 5});
	expect(&f, "LHHHHLH", COUNTS(1, 5, 4, 3, 2, 1, 5));
	/* gate low: OUT high; rising edge: starts again */
	RUN(&f, {TO, 3, 0}, {OUT, 2, 0}, {GATE, 0, 0}, {OUT, 2, 1}, {TO, 7, 0}, {OUT, 2, 1},
		{GATE, 1, 0}, {TO, 1, 0});
	expect(&f, "HHHHLH", COUNTS(5, 4, 3, 2, 1, 5));
	/* a count of 1 is illegal: no edges, no division by zero */
	RUN(&f, {WR, 3, 0x94}, {WR, 2, 1}, {TO, 5, 0}, {RD, 2, 1});
}

static void test_mode3(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {GATE, 1, 0}, {WR, 3, 0x96}, {WR, 2, 4}, {TO, 1, 0});
	expect(&f, "HHLLHHLL", COUNTS(4, 2, 4, 2, 4, 2, 4, 2));
	RUN(&f, {WR, 3, 0x9e}, {WR, 2, 5}, {TO, 1, 0});
	expect(&f, "HHHLLHHHLL", COUNTS(4, 2, 0, 4, 2, 4, 2, 0, 4, 2));
	/* a new count in the high half comes with the low half, and the other way round */
	RUN(&f, {WR, 2, 2});
	expect(&f, "HHHLHLH", COUNTS(4, 2, 0, 2, 2, 2, 2));
	RUN(&f, {WR, 2, 6});
	expect(&f, "LHHHLLLH", COUNTS(2, 6, 4, 2, 6, 4, 2, 6));
	RUN(&f, {WR, 3, 0x96}, {WR, 2, 1}, {TO, 5, 0}, {OUT, 2, 1});
}

static void test_mode4_and_5(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {GATE, 1, 0}, {WR, 3, 0x98}, {OUT, 2, 1}, {WR, 2, 3}, {TO, 1, 0});
	expect(&f, "HHHLHH", COUNTS(3, 2, 1, 0, 0xff, 0xfe));
	RUN(&f, {WR, 2, 2}, {TO, 1, 0});
	expect(&f, "HHLH", COUNTS(2, 1, 0, 0xff));
	RUN(&f, {WR, 3, 0x9a}, {WR, 2, 2}, {TO, 9, 0}, {OUT, 2, 1}, {GATE, 0, 0}, {GATE, 1, 0},
		{TO, 1, 0});
	expect(&f, "HHLHH", COUNTS(2, 1, 0, 0xff, 0xfe));
}

static void test_latch_and_read_back(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* status: null count until the count is loaded, then mode and access */
	RUN(&f, {WR, 3, 0x34}, {WR, 3, 0xe2}, {RD, 0, 0xf4}, {WR, 0, 0x00}, {WR, 0, 0x10},
		{TO, 1, 0}, {WR, 3, 0xe2}, {RD, 0, 0xb4}, {TO, 0x101, 0},
		/* a latched count stays while time goes on; a second latch is ignored */
		{WR, 3, 0x00}, {TO, 0x10, 0}, {WR, 3, 0x00}, {RD, 0, 0xff}, {RD, 0, 0x0e},
		{RD, 0, 0xef}, {RD, 0, 0x0e},
		/* read-back of status and count: status comes first */
		{WR, 3, 0xc2}, {TO, 0x100, 0}, {RD, 0, 0xb4}, {RD, 0, 0xef}, {RD, 0, 0x0e},
		{RD, 0, 0xef}, {RD, 0, 0x0d}, {RD, 3, 0xff});
	/* all three channels at once */
	RUN(&f, {WR, 3, 0x54}, {WR, 1, 18}, {WR, 3, 0xee}, {RD, 0, 0xb4}, {RD, 1, 0x94},
		{RD, 2, 0xf6});
}

static void test_bcd_and_access(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {GATE, 1, 0}, {WR, 3, 0xb1}, {WR, 2, 0x00}, {WR, 2, 0x20}, {TO, 2, 0},
		{RD, 2, 0x99}, {RD, 2, 0x19}, {TO, 1990, 0}, {RD, 2, 0x09}, {RD, 2, 0x00},
		{TO, 9, 0}, {OUT, 2, 1}, {TO, 1, 0}, {RD, 2, 0x99}, {RD, 2, 0x99});
	/* a count of 0 is 10,000 */
	RUN(&f, {WR, 3, 0xb1}, {WR, 2, 0}, {WR, 2, 0}, {TO, 10000, 0}, {OUT, 2, 0}, {TO, 1, 0},
		{OUT, 2, 1});
	/* binary: 65,536; MSB-only access */
	RUN(&f, {WR, 3, 0xa0}, {WR, 2, 0}, {TO, 0x101, 0}, {RD, 2, 0xff}, {RD, 2, 0xff},
		{TO, 0xff00 - 1, 0}, {OUT, 2, 0}, {TO, 1, 0}, {OUT, 2, 1});
	RUN(&f, {WR, 3, 0xa0}, {WR, 2, 2}, {TO, 512, 0}, {OUT, 2, 0}, {TO, 1, 0}, {OUT, 2, 1});
}

/* The ns deadline is the first at which the edge has happened, and not one earlier. */
static void test_periodic_interrupt(void **state)
{
	struct fixture f;
	ns_t due, last;

	(void)state;
	setup(&f);
	assert_true(pit8254_deadline(&f.pit) == NS_NEVER);
	RUN(&f, {WR, 3, 0x34}, {WR, 0, 0xa9}, {WR, 0, 0x04});
	assert_int_equal(f.rises, 1); /* OUT goes high with the mode */
	last = ns(f.tick);
	for (unsigned i = 0; i < 1000; i++) {
		unsigned before = f.rises;

		due = pit8254_deadline(&f.pit);
		pit8254_tick(&f.pit, due - 1);
		assert_int_equal(f.rises, before);
		assert_true(pit8254_deadline(&f.pit) == due);
		pit8254_tick(&f.pit, due);
		assert_int_equal(f.rises, before + 1);
		last = due;
	}
	/* 1000 periods of 1193 ticks, without drift */
	assert_in_range(last, (1000 * 1193 + 1001) * 1000ull / 1193182 * NS_PER_MS,
		(1000 * 1193 + 1002) * 838096ull / 1000);
	/* a late tick brings one edge, and the phase stays */
	pit8254_tick(&f.pit, last + NS_PER_SEC);
	assert_int_equal(f.rises, 1002);
	due = pit8254_deadline(&f.pit);
	assert_in_range(due, last + NS_PER_SEC + 1, last + NS_PER_SEC + NS_PER_MS);
}

static void test_one_shot_interrupt(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 3, 0x30}, {WR, 0, 100}, {WR, 0, 0});
	assert_false(f.level);
	assert_in_range(pit8254_deadline(&f.pit), ns(f.tick + 100), ns(f.tick + 101));
	pit8254_tick(&f.pit, ns(f.tick + 101));
	assert_true(f.level);
	assert_int_equal(f.rises, 1);
	assert_true(pit8254_deadline(&f.pit) == NS_NEVER);
	/* mode 4, as a one-shot clock event: low for one tick, then the edge */
	f.tick += 500;
	RUN(&f, {WR, 3, 0x38}, {WR, 0, 100}, {WR, 0, 0});
	assert_in_range(pit8254_deadline(&f.pit), ns(f.tick + 101), ns(f.tick + 102));
	pit8254_tick(&f.pit, ns(f.tick + 102));
	assert_int_equal(f.rises, 2);
	/* a read after the moment delivers the edge as a tick would */
	f.tick += 500;
	RUN(&f, {WR, 0, 10}, {WR, 0, 0}, {TO, 12, 0}, {RD, 0, 0xff});
	assert_int_equal(f.rises, 3);
	assert_true(pit8254_deadline(&f.pit) == NS_NEVER);
	/* counting stops with a new mode word */
	RUN(&f, {WR, 3, 0x34}, {TO, 70000, 0}, {OUT, 0, 1});
	assert_true(pit8254_deadline(&f.pit) == NS_NEVER);
	pit8254_reset(&f.pit, ns(f.tick));
	assert_true(pit8254_deadline(&f.pit) == NS_NEVER);
}

/* A new count on the periodic channel 0 while it runs, looked at late. */
static void test_reload_interrupt(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 3, 0x34}, {WR, 0, 100}, {WR, 0, 0}, {TO, 51, 0}, {WR, 0, 0xe8}, {WR, 0, 3});
	assert_int_equal(f.rises, 1);
	pit8254_tick(&f.pit, ns(f.tick + 60));
	assert_int_equal(f.rises, 2);
	assert_in_range(pit8254_deadline(&f.pit), ns(f.tick + 1049), ns(f.tick + 1050));
	/* the same with both edges behind us: one pulse */
	setup(&f);
	RUN(&f, {WR, 3, 0x36}, {WR, 0, 100}, {WR, 0, 0}, {TO, 11, 0}, {WR, 0, 0xe8}, {WR, 0, 3});
	pit8254_tick(&f.pit, ns(f.tick + 5000));
	assert_int_equal(f.rises, 2);
}

static void test_port61(void **state)
{
	struct fixture f;
	unsigned toggles = 0;
	uint8_t last;

	(void)state;
	setup(&f);
	RUN(&f, {WR, 4, 0xff}, {WR, 3, 0xb0});
	assert_int_equal(pit8254_read(&f.pit, 4, 1, 0) & 0xef, 0x0f);
	last = pit8254_read(&f.pit, 4, 1, ns(f.tick)) & 0x10;
	for (ns_t t = ns(f.tick); t < ns(f.tick) + 10 * NS_PER_MS; t += NS_PER_US) {
		uint8_t now = pit8254_read(&f.pit, 4, 1, t) & 0x10;

		toggles += now != last;
		last = now;
	}
	assert_in_range(toggles, 660, 665);
	/* 50 ms by channel 2, as kernels calibrate */
	setup(&f);
	RUN(&f, {WR, 4, 0x01}, {WR, 3, 0xb0}, {WR, 2, 59659 & 0xff}, {WR, 2, 59659 >> 8});
	assert_int_equal(pit8254_read(&f.pit, 4, 1, ns(f.tick) + 49999 * NS_PER_US) & 0x20, 0);
	assert_int_equal(pit8254_read(&f.pit, 4, 1, ns(f.tick) + 50002 * NS_PER_US) & 0x20, 0x20);
}

/* Times near the end of the clock and hostile writes must not fault. */
static void test_extremes(void **state)
{
	struct fixture f;
	const ns_t end = UINT64_MAX - 1;

	(void)state;
	setup(&f);
	for (unsigned control = 0; control < 256; control++) {
		pit8254_write(&f.pit, 3, 1, control, end);
		for (unsigned i = 0; i < 6; i++) {
			pit8254_write(&f.pit, i % 3, 1, control * 7 + i, end);
			pit8254_write(&f.pit, 4, 1, i, end);
			pit8254_read(&f.pit, i % 5, 4, end);
		}
		pit8254_deadline(&f.pit);
		pit8254_tick(&f.pit, end);
	}
	assert_int_equal(pit8254_read(&f.pit, 5, 1, end), 0xff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mode0),
		cmocka_unit_test(test_mode1),
		cmocka_unit_test(test_mode2),
		cmocka_unit_test(test_mode3),
		cmocka_unit_test(test_mode4_and_5),
		cmocka_unit_test(test_latch_and_read_back),
		cmocka_unit_test(test_bcd_and_access),
		cmocka_unit_test(test_periodic_interrupt),
		cmocka_unit_test(test_one_shot_interrupt),
		cmocka_unit_test(test_reload_interrupt),
		cmocka_unit_test(test_port61),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
