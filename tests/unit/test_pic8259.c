/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The 8259A pair against Intel's data sheet and the ICH9's ELCR: tables of accesses and outcomes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/pic8259.h"
#include "hv/lib/string.h"

struct fixture {
	struct pic8259 pic;
	bool intr;
};

static void fake_set(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 9);
	f->intr = level;
}

/* M, S, E: register offsets as ports 20h/21h, A0h/A1h, 4D0h/4D1h. */
#define M0 0
#define M1 1
#define S0 2
#define S1 3
#define E0 4
#define E1 5

enum op { WR, RD, UP, DOWN, INTR, ACK };

struct step {
	enum op op;
	unsigned a, b;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	unsigned got = s->b;

	switch (s->op) {
	case WR: pic8259_write(&f->pic, s->a, 1, s->b, 0); break;
	case RD: got = pic8259_read(&f->pic, s->a, 1, 0); break;
	case UP: pic8259_set_irq(&f->pic, s->a, true); break;
	case DOWN: pic8259_set_irq(&f->pic, s->a, false); break;
	case INTR:
		if (f->intr != s->a)
			fail_msg("step %u: INTR is %d", i, f->intr);
		break;
	case ACK: got = pic8259_ack(&f->pic); break;
	}
	if (got != s->b)
		fail_msg("step %u: got %02x, expected %02x", i, got, s->b);
	if (f->intr != pic8259_pending(&f->pic))
		fail_msg("step %u: wire %d differs from pending", i, f->intr);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

/* Vectors 30h and 38h, as Linux sets them up, with ICW4 as given and everything unmasked. */
static void setup(struct fixture *f, unsigned icw4)
{
	struct irq_line intr = {fake_set, f, 9};

	memset(f, 0, sizeof(*f));
	pic8259_init(&f->pic, intr);
	RUN(f, {WR, M0, 0x11}, {WR, M1, 0x30}, {WR, M1, 0x04}, {WR, M1, icw4}, {WR, S0, 0x11},
		{WR, S1, 0x38}, {WR, S1, 0x02}, {WR, S1, 0x01}, {RD, M1, 0}, {RD, S1, 0});
}

static void test_mask_register(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, M1, 0xfb}, {RD, M1, 0xfb}, {WR, S1, 0xff}, {RD, S1, 0xff}, {UP, 0, 0},
		{UP, 8, 0}, {INTR, 0, 0}, {RD, M0, 0x01}, {RD, S0, 0x01}, {WR, M1, 0xfe},
		{INTR, 1, 0}, {ACK, 0, 0x30}, {INTR, 0, 0}, {WR, M1, 0x00}, {WR, M0, 0x20},
		{WR, S1, 0x00}, {INTR, 1, 0}, {ACK, 0, 0x38});
	assert_int_equal(pic8259_read(&f.pic, 6, 1, 0), 0xff);
	assert_int_equal(pic8259_read(&f.pic, M1, 2, 0), 0x0000);
	pic8259_set_irq(&f.pic, 16, true);
	pic8259_set_irq(&f.pic, 2, true);
	pic8259_write(&f.pic, 6, 4, 0xffffffff, 0);
	assert_false(f.intr);
}

static void test_fully_nested(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {UP, 4, 0}, {INTR, 1, 0}, {ACK, 0, 0x34}, {INTR, 0, 0}, {WR, M0, 0x0b},
		{RD, M0, 0x10}, {UP, 5, 0}, {INTR, 0, 0}, {UP, 1, 0}, {INTR, 1, 0}, {ACK, 0, 0x31},
		{RD, M0, 0x12}, {WR, M0, 0x20}, {RD, M0, 0x10}, {INTR, 0, 0}, {WR, M0, 0x20},
		{INTR, 1, 0}, {ACK, 0, 0x35}, {WR, M0, 0x65}, {RD, M0, 0}, {WR, M0, 0x0a},
		{RD, M0, 0}, {WR, M0, 0x20}, {INTR, 0, 0});
}

/* An edge stays after the line fell; a line that stays high does not interrupt again. */
static void test_edge(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {UP, 3, 0}, {DOWN, 3, 0}, {INTR, 1, 0}, {ACK, 0, 0x33}, {WR, M0, 0x20},
		{INTR, 0, 0}, {UP, 3, 0}, {ACK, 0, 0x33}, {WR, M0, 0x20}, {INTR, 0, 0}, {UP, 3, 0},
		{INTR, 0, 0}, {DOWN, 3, 0}, {UP, 3, 0}, {INTR, 1, 0});
	/* ICW1 forgets edges */
	RUN(&f, {WR, M0, 0x11}, {INTR, 0, 0}, {WR, M1, 0x50}, {WR, M1, 4}, {WR, M1, 1},
		{INTR, 0, 0}, {DOWN, 3, 0}, {UP, 3, 0}, {ACK, 0, 0x53});
}

static void test_level(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, E0, 0xff}, {WR, E1, 0xff}, {RD, E0, 0xf8}, {RD, E1, 0xde}, {UP, 5, 0},
		{ACK, 0, 0x35}, {WR, M0, 0x20}, {INTR, 1, 0}, {ACK, 0, 0x35}, {DOWN, 5, 0},
		{WR, M0, 0x20}, {INTR, 0, 0}, {UP, 11, 0}, {INTR, 1, 0}, {ACK, 0, 0x3b},
		{WR, S0, 0x20}, {WR, M0, 0x20}, {INTR, 1, 0}, {WR, E1, 0}, {INTR, 0, 0},
		{WR, E1, 0x08}, {INTR, 1, 0}, {DOWN, 11, 0}, {INTR, 0, 0});
}

static void test_spurious(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, M0, 0x0b}, {WR, S0, 0x0b}, {ACK, 0, 0x37}, {RD, M0, 0}, {WR, E0, 0x20},
		{UP, 5, 0}, {INTR, 1, 0}, {DOWN, 5, 0}, {ACK, 0, 0x37}, {RD, M0, 0},
		/* both chips: the request of IRQ7 itself does set its bit */
		{UP, 7, 0}, {ACK, 0, 0x37}, {RD, M0, 0x80}, {RD, S0, 0});
}

static void test_cascade(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, M0, 0x0b}, {WR, S0, 0x0b}, {UP, 12, 0}, {INTR, 1, 0}, {ACK, 0, 0x3c},
		{RD, M0, 0x04}, {RD, S0, 0x10},
		/* a higher slave request waits for the master's EOI of IR2 */
		{UP, 8, 0}, {INTR, 0, 0}, {UP, 1, 0}, {INTR, 1, 0}, {ACK, 0, 0x31}, {WR, M0, 0x61},
		{WR, M0, 0x62}, {INTR, 1, 0}, {ACK, 0, 0x38}, {RD, S0, 0x11}, {WR, S0, 0x60},
		{WR, S0, 0x64}, {WR, M0, 0x62}, {INTR, 0, 0}, {RD, M0, 0}, {RD, S0, 0},
		/* slave masked: nothing; master's IR2 masked: nothing */
		{WR, S1, 0x20}, {UP, 13, 0}, {INTR, 0, 0}, {WR, S1, 0}, {INTR, 1, 0},
		{WR, M1, 0x04}, {INTR, 0, 0}, {WR, M1, 0}, {ACK, 0, 0x3d});
}

static void test_special_nested(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0x11);
	RUN(&f, {UP, 12, 0}, {ACK, 0, 0x3c}, {UP, 13, 0}, {INTR, 0, 0}, {UP, 8, 0}, {INTR, 1, 0},
		{ACK, 0, 0x38}, {INTR, 0, 0});
}

static void test_auto_eoi(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3);
	RUN(&f, {WR, M0, 0x0b}, {UP, 1, 0}, {ACK, 0, 0x31}, {RD, M0, 0}, {DOWN, 1, 0}, {UP, 1, 0},
		{UP, 3, 0}, {ACK, 0, 0x31}, {ACK, 0, 0x33},
		/* with rotation the one served becomes the lowest */
		{WR, M0, 0x80}, {DOWN, 1, 0}, {DOWN, 3, 0}, {UP, 1, 0}, {ACK, 0, 0x31},
		{DOWN, 1, 0}, {UP, 1, 0}, {UP, 3, 0}, {ACK, 0, 0x33}, {ACK, 0, 0x31},
		{WR, M0, 0x00}, {UP, 5, 0}, {UP, 0, 0}, {ACK, 0, 0x35}, {ACK, 0, 0x30});
}

static void test_rotation(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	/* IR4 lowest: 5, 6, 7, 0, 1, ... */
	RUN(&f, {WR, M0, 0xc4}, {UP, 1, 0}, {UP, 6, 0}, {UP, 4, 0}, {ACK, 0, 0x36}, {INTR, 0, 0},
		/* rotate on non-specific EOI: IR6 lowest */
		{WR, M0, 0xa0}, {ACK, 0, 0x31}, {DOWN, 6, 0}, {UP, 6, 0}, {UP, 7, 0}, {INTR, 1, 0},
		{ACK, 0, 0x37}, {WR, M0, 0xe7}, {WR, M0, 0x61}, {ACK, 0, 0x34}, {WR, M0, 0x64},
		{ACK, 0, 0x36});
}

/* In special mask mode a masked in-service level lets lower ones through. */
static void test_special_mask(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, M0, 0x0b}, {UP, 1, 0}, {ACK, 0, 0x31}, {UP, 6, 0}, {INTR, 0, 0},
		{WR, M1, 0x02}, {INTR, 0, 0}, {WR, M0, 0x68}, {INTR, 1, 0}, {ACK, 0, 0x36},
		{RD, M0, 0x42},
		/* and a non-specific EOI passes it over */
		{WR, M0, 0x20}, {RD, M0, 0x02}, {WR, M0, 0x20}, {RD, M0, 0x02}, {WR, M0, 0x48},
		{WR, M0, 0x20}, {RD, M0, 0});
}

static void test_poll(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	RUN(&f, {WR, M0, 0x0b}, {WR, M0, 0x0c}, {RD, M0, 0x00}, {RD, M0, 0}, {UP, 5, 0},
		{WR, M0, 0x0c}, {RD, M0, 0x85}, {RD, M0, 0x20}, {INTR, 0, 0}, {WR, M0, 0x20},
		{UP, 9, 0}, {WR, M0, 0x0c}, {RD, M1, 0x82}, {WR, S0, 0x0c}, {RD, S0, 0x81},
		{RD, M0, 0x04}, {WR, S0, 0x20}, {WR, M0, 0x20}, {RD, M0, 0});
}

/* ICW1 without IC4 ends the sequence early and clears what ICW4 had set; SNGL skips ICW3. */
static void test_short_sequences(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3);
	RUN(&f, {WR, M1, 0xff}, {WR, M0, 0x10}, {WR, M1, 0x40}, {WR, M1, 0x04}, {RD, M1, 0},
		{WR, M1, 0x55}, {RD, M1, 0x55}, {WR, M1, 0}, {WR, M0, 0x0b}, {UP, 1, 0},
		{ACK, 0, 0x41}, {RD, M0, 0x02}, {WR, M0, 0x12}, {WR, M1, 0x60}, {WR, M1, 0xaa},
		{RD, M1, 0xaa}, {WR, M0, 0x13}, {WR, M1, 0x60}, {WR, M1, 1}, {WR, M1, 0x5a},
		{RD, M1, 0x5a});
	/* no interrupt while a sequence is open */
	RUN(&f, {WR, M1, 0}, {WR, M0, 0x11}, {DOWN, 1, 0}, {UP, 1, 0}, {INTR, 0, 0}, {WR, M1, 0x20},
		{WR, M1, 4}, {WR, M1, 1}, {INTR, 1, 0}, {ACK, 0, 0x21});
	pic8259_reset(&f.pic, 0);
	RUN(&f, {INTR, 0, 0}, {RD, M1, 0xff});
}

static void test_eoi_forms(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1);
	/* non-specific EOI does not rotate; the rotating specific one clears its own level only */
	RUN(&f, {WR, M0, 0x0b}, {UP, 0, 0}, {ACK, 0, 0x30}, {WR, M0, 0x20}, {DOWN, 0, 0},
		{UP, 0, 0}, {UP, 1, 0}, {ACK, 0, 0x30}, {RD, M0, 0x01}, {WR, M0, 0xe0},
		{RD, M0, 0x00}, {DOWN, 0, 0}, {UP, 0, 0}, {ACK, 0, 0x31}, {WR, M0, 0x61},
		{ACK, 0, 0x30});
	/* 000 ends rotation in automatic EOI mode */
	setup(&f, 3);
	RUN(&f, {WR, M0, 0x80}, {WR, M0, 0x00}, {UP, 1, 0}, {ACK, 0, 0x31}, {DOWN, 1, 0},
		{UP, 1, 0}, {UP, 3, 0}, {ACK, 0, 0x31}, {ACK, 0, 0x33});
	/* ICW1 ends special mask and poll modes */
	setup(&f, 1);
	RUN(&f, {UP, 1, 0}, {ACK, 0, 0x31}, {WR, M0, 0x68}, {WR, M0, 0x0c}, {WR, M0, 0x11},
		{WR, M1, 0x30}, {WR, M1, 4}, {WR, M1, 1}, {RD, M0, 0}, {DOWN, 1, 0}, {UP, 1, 0},
		{ACK, 0, 0x31}, {WR, M1, 2}, {UP, 6, 0}, {INTR, 0, 0});
	/* pins that do not exist; a reset masks both chips and forgets */
	pic8259_set_irq(&f.pic, 16, true);
	RUN(&f, {RD, S0, 0}, {UP, 9, 0});
	pic8259_reset(&f.pic, 0);
	RUN(&f, {RD, S0, 0}, {RD, S1, 0xff}, {RD, M1, 0xff}, {INTR, 0, 0});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mask_register),
		cmocka_unit_test(test_fully_nested),
		cmocka_unit_test(test_edge),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_spurious),
		cmocka_unit_test(test_cascade),
		cmocka_unit_test(test_special_nested),
		cmocka_unit_test(test_auto_eoi),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_special_mask),
		cmocka_unit_test(test_poll),
		cmocka_unit_test(test_short_sequences),
		cmocka_unit_test(test_eoi_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
