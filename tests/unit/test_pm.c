/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI fixed hardware against the ACPI specification and the ICH9's register description. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/pm.h"
#include "hv/lib/string.h"

struct fixture {
	struct pm pm;
	bool sci;
	unsigned slept;
	unsigned slp_typ;
	ns_t now;
};

static void fake_sci(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 9);
	f->sci = level;
}

static void fake_sleep(void *ctx, unsigned slp_typ)
{
	struct fixture *f = ctx;

	f->slept++;
	f->slp_typ = slp_typ;
}

static void setup(struct fixture *f, bool timer_32bit)
{
	struct pm_env env = {fake_sleep, f};
	struct irq_line sci = {fake_sci, f, 9};

	memset(f, 0, sizeof(*f));
	pm_init(&f->pm, &env, sci, timer_32bit);
}

enum op { WR1, WR2, WR4, RD1, RD2, RD4, APM, BUTTON, SCI };

struct step {
	enum op op;
	uint32_t a, b;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	uint32_t got = s->b;

	switch (s->op) {
	case WR1: pm_write(&f->pm, s->a, 1, s->b, f->now); break;
	case WR2: pm_write(&f->pm, s->a, 2, s->b, f->now); break;
	case WR4: pm_write(&f->pm, s->a, 4, s->b, f->now); break;
	case RD1: got = pm_read(&f->pm, s->a, 1, f->now); break;
	case RD2: got = pm_read(&f->pm, s->a, 2, f->now); break;
	case RD4: got = pm_read(&f->pm, s->a, 4, f->now); break;
	case APM: pm_apm_write(&f->pm, s->a, 1, s->b, f->now); break;
	case BUTTON: pm_power_button(&f->pm, f->now); break;
	case SCI: got = f->sci; break;
	}
	if (s->op == SCI ? got != s->a : got != s->b)
		fail_msg("step %u: %x reads %x, expected %x", i, s->a, got, s->b);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

static void test_storage(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, false);
	RUN(&f, {RD4, 0, 0}, {WR2, 2, 0xffff}, {RD2, 2, 0x4521}, {RD4, 0, 0x45210000},
		{WR1, 3, 0x01}, {RD2, 2, 0x0121}, {WR4, 0x28, 0x12345678}, {RD1, 0x29, 0x56},
		{RD2, 0x2a, 0x1234}, {WR4, 0x20, 0xffffffff}, {RD4, 0x20, 0},
		{WR4, 0x30, 0xdeadbeef}, {RD4, 0x30, 0xdeadbeef}, {WR4, 0x60, 0xffffffff},
		{RD4, 0x60, 0}, {RD4, 0x7e, 0xffff0000}, {RD1, 0x80, 0xff}, {WR1, 0x80, 0},
		{WR4, 0x7e, 0xffffffff}, {SCI, 0, 0});
	assert_int_equal(f.slept, 0);
	pm_reset(&f.pm, 0);
	RUN(&f, {RD2, 2, 0}, {RD4, 0x30, 0});
}

static void test_sci_enable(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, false);
	RUN(&f, {APM, 0, 1}, {RD2, 4, 0}, {APM, 0, 2}, {RD2, 4, 1}, {APM, 1, 3}, {RD2, 4, 1},
		{APM, 0, 3}, {RD2, 4, 0}, {WR2, 4, 1}, {RD2, 4, 1}, {WR4, 4, 0xffffdfff},
		{RD4, 4, 0x1c03});
	assert_int_equal(pm_apm_read(&f.pm, 0, 1, 0), 3);
	assert_int_equal(pm_apm_read(&f.pm, 0, 4, 0), 0xffff0303);
	assert_int_equal(f.slept, 0);
}

static void test_power_button(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, false);
	RUN(&f, {BUTTON, 0, 0}, {RD2, 0, 0x0100}, {SCI, 0, 0}, {WR2, 2, 0x0100}, {SCI, 0, 0},
		{APM, 0, 2}, {SCI, 1, 0},
		/* writing zeros or other bits clears nothing, the bit itself does */
		{WR2, 0, 0xfeff}, {SCI, 1, 0}, {RD2, 0, 0x0100}, {WR2, 0, 0x0100}, {SCI, 0, 0},
		{RD2, 0, 0}, {BUTTON, 0, 0}, {SCI, 1, 0}, {WR2, 2, 0}, {SCI, 0, 0}, {WR2, 2, 0x100},
		{SCI, 1, 0}, {APM, 0, 3}, {SCI, 0, 0});
}

static void test_sleep(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, false);
	RUN(&f, {WR2, 4, 0x1401}, {RD2, 4, 0x1401});
	assert_int_equal(f.slept, 0);
	RUN(&f, {WR2, 4, 0x3401}, {RD2, 4, 0x1401});
	assert_int_equal(f.slept, 1);
	assert_int_equal(f.slp_typ, 5);
	RUN(&f, {WR1, 5, 0x20}, {RD1, 5, 0});
	assert_int_equal(f.slept, 2);
	assert_int_equal(f.slp_typ, 0);
	RUN(&f, {WR4, 4, 0x3c00});
	assert_int_equal(f.slp_typ, 7);
	/* an access that only reaches into PM1_CNT */
	RUN(&f, {WR4, 2, 0x20000000});
	assert_int_equal(f.slept, 4);
}

static void test_timer_value(void **state)
{
	static const struct {
		ns_t now;
		uint32_t narrow, wide;
	} rows[] = {
		{0, 0, 0},
		{279, 0, 0},
		{280, 1, 1},
		{NS_PER_SEC, 3579545, 3579545},
		{5 * NS_PER_SEC, 17897725 - 0x1000000, 17897725},
		{4000 * NS_PER_SEC, 14318180000 & 0xffffff, (uint32_t)14318180000},
		{UINT64_MAX - 1, 0, 0},
	};
	struct fixture f, wide;

	(void)state;
	setup(&f, false);
	setup(&wide, true);
	for (unsigned i = 0; i < ARRAY_SIZE(rows) - 1; i++) {
		assert_int_equal(pm_read(&f.pm, 8, 4, rows[i].now), rows[i].narrow);
		assert_int_equal(pm_read(&wide.pm, 8, 4, rows[i].now), rows[i].wide);
		assert_int_equal(pm_read(&wide.pm, 9, 2, rows[i].now), rows[i].wide >> 8 & 0xffff);
		pm_write(&f.pm, 8, 4, 0x12345678, rows[i].now);
	}
	pm_read(&wide.pm, 8, 4, UINT64_MAX - 1);
	pm_read(&wide.pm, 0, 4, UINT64_MAX - 1);
	pm_write(&wide.pm, 0, 4, 1 | 1 << 16, UINT64_MAX - 1);
	assert_true(pm_deadline(&wide.pm) == NS_NEVER);
}

/* Half a cycle of a 24-bit timer: 2^23 / 3.579545 MHz = 2,343,484,437.2 ns. */
static void test_timer_carry(void **state)
{
	struct fixture f;
	ns_t half = 2343484438;

	(void)state;
	setup(&f, false);
	assert_true(pm_deadline(&f.pm) == NS_NEVER);
	RUN(&f, {APM, 0, 2}, {WR2, 2, 1}, {RD2, 0, 0});
	assert_int_equal(pm_deadline(&f.pm), half);
	pm_tick(&f.pm, half - 1);
	assert_false(f.sci);
	assert_int_equal(pm_deadline(&f.pm), half);
	pm_tick(&f.pm, half);
	assert_true(f.sci);
	assert_true(pm_deadline(&f.pm) == NS_NEVER);
	f.now = half + 5;
	RUN(&f, {RD2, 0, 1}, {WR2, 0, 1}, {RD2, 0, 0}, {SCI, 0, 0});
	assert_in_range(pm_deadline(&f.pm), 2 * half - 2, 2 * half);
	/* without the enable bit the status still comes, and no deadline */
	RUN(&f, {WR2, 2, 0});
	assert_true(pm_deadline(&f.pm) == NS_NEVER);
	f.now = 3 * half;
	RUN(&f, {RD2, 0, 1}, {SCI, 0, 0}, {WR2, 0, 1}, {RD2, 0, 0});
	setup(&f, true);
	RUN(&f, {WR2, 2, 1});
	assert_in_range(pm_deadline(&f.pm), 599932015941, 599932015941);
}

/* No event raises GPE0 yet; its part in SCI is checked on the register itself. */
static void test_gpe_and_reset(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, false);
	f.pm.reg[PM_GPE0_STS + 3] = 0x80;
	RUN(&f, {APM, 0, 2}, {SCI, 0, 0}, {WR1, PM_GPE0_EN + 3, 0x80}, {SCI, 1, 0},
		{WR1, PM_GPE0_STS + 3, 0x80}, {SCI, 0, 0}, {BUTTON, 0, 0}, {WR2, 2, 0x100},
		{SCI, 1, 0});
	/* the carry does not disturb other events */
	f.now = 3 * NS_PER_SEC;
	RUN(&f, {RD2, 0, 0x0101}, {WR2, 0, 0x0001}, {RD2, 0, 0x0100}, {SCI, 1, 0}, {WR2, 2, 0x101});
	pm_reset(&f.pm, f.now);
	RUN(&f, {SCI, 0, 0}, {RD2, 0, 0}, {RD2, 2, 0}, {RD2, 4, 0});
	assert_int_equal(pm_apm_read(&f.pm, 0, 2, f.now), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_storage),
		cmocka_unit_test(test_sci_enable),
		cmocka_unit_test(test_power_button),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_timer_value),
		cmocka_unit_test(test_timer_carry),
		cmocka_unit_test(test_gpe_and_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
