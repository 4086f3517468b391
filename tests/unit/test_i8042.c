/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller: commands and their answers, as an OS probes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/i8042.h"
#include "hv/lib/string.h"

struct fixture {
	struct i8042 kbc;
	bool irq;
	unsigned rises;
	unsigned resets;
};

static void fake_irq(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 1);
	if (level && !f->irq)
		f->rises++;
	f->irq = level;
}

static void fake_reset(void *ctx)
{
	struct fixture *f = ctx;

	f->resets++;
}

static void setup(struct fixture *f)
{
	struct i8042_env env = {fake_reset, f};
	struct irq_line irq = {fake_irq, f, 1};

	memset(f, 0, sizeof(*f));
	i8042_init(&f->kbc, &env, irq);
}

enum op { CMD, DATA, ST, RD, IRQ };

/* CMD: write 64h. DATA: write 60h. ST: status expected. RD: data expected. */
struct step {
	enum op op;
	unsigned a;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	unsigned got = s->a;

	switch (s->op) {
	case CMD: i8042_write(&f->kbc, 4, 1, s->a, 0); break;
	case DATA: i8042_write(&f->kbc, 0, 1, s->a, 0); break;
	case ST: got = i8042_read(&f->kbc, 4, 1, 0); break;
	case RD: got = i8042_read(&f->kbc, 0, 1, 0); break;
	case IRQ: got = f->irq; break;
	}
	if (got != s->a)
		fail_msg("step %u: got %02x, expected %02x", i, got, s->a);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

static void test_controller(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {ST, 0x14}, {CMD, 0xaa}, {ST, 0x1d}, {RD, 0x55}, {ST, 0x1c}, {CMD, 0xab},
		{RD, 0x00}, {CMD, 0x20}, {RD, 0x75}, {CMD, 0x60}, {ST, 0x1c}, {DATA, 0x47},
		{ST, 0x14}, {CMD, 0x20}, {RD, 0x47}, {CMD, 0xad}, {CMD, 0x20}, {RD, 0x57},
		{CMD, 0xae}, {CMD, 0x20}, {RD, 0x47}, {CMD, 0xa7}, {CMD, 0x20}, {RD, 0x67},
		{CMD, 0xa8}, {CMD, 0x20}, {RD, 0x47}, {CMD, 0xa4}, {RD, 0xf1}, {CMD, 0xc0},
		{RD, 0x80}, {CMD, 0x7f}, {DATA, 0x12}, {CMD, 0x3f}, {RD, 0x12}, {CMD, 0x40},
		{ST, 0x1c}, {CMD, 0xb0}, {ST, 0x1c}, {CMD, 0x60}, {DATA, 0x00}, {ST, 0x10});
	assert_int_equal(i8042_read(&f.kbc, 1, 1, 0), 0xff);
	assert_int_equal(i8042_read(&f.kbc, 4, 2, 0), 0xff10);
	assert_int_equal(f.resets, 0);
}

static void test_output_port(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {CMD, 0xd0}, {RD, 0x03}, {CMD, 0xd1}, {DATA, 0xdd}, {CMD, 0xd0}, {RD, 0xcd});
	RUN(&f, {CMD, 0xdf}, {CMD, 0xd0}, {RD, 0xcf}, {CMD, 0xdd}, {CMD, 0xd0}, {RD, 0xcd});
	assert_int_equal(f.resets, 0);
	RUN(&f, {CMD, 0xff}, {CMD, 0xfd});
	assert_int_equal(f.resets, 0);
	RUN(&f, {CMD, 0xfe});
	assert_int_equal(f.resets, 1);
	RUN(&f, {CMD, 0xd1}, {DATA, 0x02});
	assert_int_equal(f.resets, 2);
	i8042_reset(&f.kbc, 0);
	RUN(&f, {CMD, 0xd0}, {RD, 0x03});
}

/*
 * No auxiliary device: the loop comes back without AUX_OBF, the test fails, a byte to it times out.
 */
static void test_no_aux(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {CMD, 0xd3}, {DATA, 0x5a}, {ST, 0x15}, {CMD, 0xa9}, {ST, 0x1d}, {RD, 0x01},
		{CMD, 0xd4}, {DATA, 0xf2}, {ST, 0x75}, {IRQ, 0}, {RD, 0xfe}, {ST, 0x14},
		{CMD, 0xd2}, {DATA, 0x33}, {ST, 0x15}, {IRQ, 1}, {RD, 0x33}, {IRQ, 0});
}

static void test_keyboard(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {DATA, 0xff}, {IRQ, 1}, {ST, 0x15}, {RD, 0xfa}, {IRQ, 1}, {RD, 0xaa}, {IRQ, 0},
		{ST, 0x14});
	assert_int_equal(f.rises, 2);
	RUN(&f, {DATA, 0xf2}, {RD, 0xfa}, {RD, 0xab}, {RD, 0x41}, {DATA, 0xed}, {RD, 0xfa},
		{DATA, 0x07}, {RD, 0xfa}, {ST, 0x14}, {DATA, 0xf3}, {RD, 0xfa}, {DATA, 0x00},
		{RD, 0xfa}, {DATA, 0xf4}, {RD, 0xfa}, {DATA, 0xf5}, {RD, 0xfa}, {DATA, 0xf6},
		{RD, 0xfa}, {DATA, 0xee}, {RD, 0xee}, {DATA, 0xfe}, {RD, 0xee}, {DATA, 0x12},
		{RD, 0xfe}, {DATA, 0xf1}, {RD, 0xfe}, {DATA, 0xef}, {RD, 0xfe}, {ST, 0x14});
	/* single keys of scan set 3: any number of them, until the next command */
	RUN(&f, {DATA, 0xfb}, {RD, 0xfa}, {DATA, 0x1c}, {RD, 0xfa}, {DATA, 0x32}, {RD, 0xfa},
		{DATA, 0xfd}, {RD, 0xfa}, {DATA, 0x21}, {RD, 0xfa}, {DATA, 0xf4}, {RD, 0xfa},
		{DATA, 0x1c}, {RD, 0xfe}, {DATA, 0xfa}, {RD, 0xfa}, {DATA, 0x1c}, {RD, 0xfe});
	/* scan set; a command ends the wait for an argument */
	RUN(&f, {CMD, 0x60}, {DATA, 0x05}, {DATA, 0xf0}, {RD, 0xfa}, {DATA, 0}, {RD, 0xfa},
		{RD, 0x02}, {DATA, 0xf0}, {RD, 0xfa}, {DATA, 3}, {RD, 0xfa}, {DATA, 0xf0},
		{RD, 0xfa}, {DATA, 0}, {RD, 0xfa}, {RD, 0x03}, {DATA, 0xf0}, {RD, 0xfa},
		{DATA, 0xf2}, {RD, 0xfa}, {RD, 0xab}, {RD, 0x83}, {ST, 0x14}, {CMD, 0x60},
		{DATA, 0x45}, {DATA, 0xf6}, {RD, 0xfa}, {DATA, 0xf0}, {RD, 0xfa}, {DATA, 0},
		{RD, 0xfa}, {RD, 0x41});
}

/*
 * The keyboard's bytes wait while its clock is held or the buffer is full; the interrupt follows
 * KIE.
 */
static void test_flow(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {DATA, 0xf2}, {RD, 0xfa}, {CMD, 0xad}, {RD, 0xab}, {ST, 0x1c}, {CMD, 0xae},
		{ST, 0x1d}, {IRQ, 1}, {CMD, 0x60}, {DATA, 0x44}, {IRQ, 0}, {CMD, 0x60},
		{DATA, 0x45}, {IRQ, 1}, {RD, 0x41}, {IRQ, 0});
	/* many commands without reading: bounded, the last one's answer is kept */
	for (unsigned i = 0; i < 1000; i++)
		i8042_write(&f.kbc, 0, 1, 0xf2, 0);
	RUN(&f, {RD, 0xfa}, {RD, 0xfa}, {RD, 0xab}, {RD, 0x41}, {ST, 0x14}, {RD, 0x41});
	for (unsigned i = 0; i < 1000; i++)
		i8042_write(&f.kbc, 0, 1, i % 2 ? 0x01 : 0xed, 0);
	for (unsigned i = 0; i < I8042_QUEUE + 1; i++)
		i8042_read(&f.kbc, 0, 1, 0);
	RUN(&f, {ST, 0x14}, {IRQ, 0});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_controller),
		cmocka_unit_test(test_output_port),
		cmocka_unit_test(test_no_aux),
		cmocka_unit_test(test_keyboard),
		cmocka_unit_test(test_flow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
