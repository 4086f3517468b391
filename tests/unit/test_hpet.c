/* SPDX-License-Identifier: Apache-2.0 */
/* The HPET model against IA-PC HPET 1.0a and the sequences operating systems use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/hpet.h"
#include "hv/lib/string.h"

struct fixture {
	struct hpet hpet;
	bool level[32];
	unsigned rises[32];
	ns_t now;
};

static void fake_set(void *ctx, unsigned gsi, bool level)
{
	struct fixture *f = ctx;

	assert_true(gsi < 32);
	if (level && !f->level[gsi])
		f->rises[gsi]++;
	f->level[gsi] = level;
}

static void setup(struct fixture *f, uint32_t routes)
{
	struct hpet_env env = {fake_set, f};

	memset(f, 0, sizeof(*f));
	f->now = 5000;
	hpet_init(&f->hpet, &env, routes);
}

#define CONF  0x10
#define ISR   0x20
#define CNT   0xf0
#define TC(n) (0x100 + 0x20 * (n))
#define TV(n) (TC(n) + 8)

enum op { W4, W8, R4, R8, TO, DUE, IDLE, RISES, LEVEL };

/* TO: nanoseconds to go on, then tick. DUE: nanoseconds from now. RISES, LEVEL: gsi, expected. */
struct step {
	enum op op;
	uint64_t a, b;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	uint64_t got = s->b;

	switch (s->op) {
	case W4: hpet_write(&f->hpet, s->a, 4, s->b, f->now); break;
	case W8: hpet_write(&f->hpet, s->a, 8, s->b, f->now); break;
	case R4: got = hpet_read(&f->hpet, s->a, 4, f->now); break;
	case R8: got = hpet_read(&f->hpet, s->a, 8, f->now); break;
	case TO:
		f->now += s->a;
		hpet_tick(&f->hpet, f->now);
		break;
	case DUE:
		if (hpet_deadline(&f->hpet) != f->now + s->a)
			fail_msg("step %u: due in %lld", i,
				(long long)(hpet_deadline(&f->hpet) - f->now));
		break;
	case IDLE:
		if (hpet_deadline(&f->hpet) != NS_NEVER)
			fail_msg("step %u: not idle", i);
		break;
	case RISES: got = f->rises[s->a]; break;
	case LEVEL: got = f->level[s->a]; break;
	}
	if (got != s->b)
		fail_msg("step %u: %llx gives %llx, expected %llx", i, (unsigned long long)s->a,
			(unsigned long long)got, (unsigned long long)s->b);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

static void test_registers(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	RUN(&f, {R8, 0, 0x009896808086a201}, {R4, 0, 0x8086a201}, {R4, 4, 0x00989680},
		{W8, 0, UINT64_MAX}, {R4, 4, 0x00989680}, {R8, CONF, 0},
		{R8, TC(0), 0x00f0000000000030}, {R8, TC(1), 0x00f0000000000020},
		{R8, TV(2), UINT64_MAX}, {R8, TC(3), 0}, {W8, TC(0), UINT64_MAX},
		{R8, TC(0), 0x00f000000000017e}, {W8, TC(1), UINT64_MAX},
		{R8, TC(1), 0x00f0000000000126}, {R8, TV(0), UINT32_MAX},
		/* routes: GSI 21 is possible, 3 is not and changes nothing */
		{W4, TC(2), 21 << 9}, {R4, TC(2), 21 << 9 | 0x20}, {W4, TC(2), 3 << 9},
		{R4, TC(2), 21 << 9 | 0x20}, {R8, 0x110, 0}, {W8, 0x110, 1}, {R8, 0x110, 0},
		{W4, CONF, 0xfffffffe}, {R8, CONF, 2}, {R8, 0x3f8, 0}, {IDLE, 0, 0});
	/* what is not an aligned dword or quadword */
	assert_true(hpet_read(&f.hpet, 0, 1, 0) == UINT64_MAX);
	assert_true(hpet_read(&f.hpet, 4, 8, 0) == UINT64_MAX);
	assert_true(hpet_read(&f.hpet, 2, 4, 0) == UINT64_MAX);
	assert_true(hpet_read(&f.hpet, 1024, 4, 0) == UINT64_MAX);
	hpet_write(&f.hpet, CONF + 4, 8, 0, 0);
	hpet_write(&f.hpet, CONF, 2, 0, 0);
	RUN(&f, {R8, CONF, 2});
	hpet_reset(&f.hpet, f.now);
	RUN(&f, {R8, CONF, 0}, {R8, TC(0), 0x00f0000000000030});
}

static void test_counter(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	RUN(&f, {R8, CNT, 0}, {TO, 1000, 0}, {R8, CNT, 0}, {W4, CONF, 1}, {R8, CNT, 0}, {TO, 9, 0},
		{R8, CNT, 0}, {TO, 1, 0}, {R8, CNT, 1}, {TO, 990, 0}, {R4, CNT, 100}, {W4, CONF, 0},
		{TO, 5000, 0}, {R8, CNT, 100}, {W4, CNT, 0xfffffffe}, {W4, CNT + 4, 7},
		{R8, CNT, 0x7fffffffe}, {W4, CONF, 1}, {TO, 50, 0}, {R8, CNT, 0x800000003},
		{R4, CNT, 3}, {R4, CNT + 4, 8}, {W8, CNT, UINT64_MAX}, {TO, 10, 0}, {R8, CNT, 0});
}

/* One-shot, edge, 32 bits, legacy routing: the usual clock event device. */
static void test_one_shot(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	RUN(&f, {W4, CONF, 3}, {W4, TC(0), 0x104}, {W4, TV(0), 1000}, {DUE, 10000, 0},
		{TO, 9999, 0}, {RISES, 2, 0}, {TO, 1, 0}, {RISES, 2, 1}, {LEVEL, 2, 0},
		{R8, ISR, 0},
		/* without a new value it comes again when the 32 bits have gone round */
		{DUE, 42949672960, 0}, {W4, TV(0), 3000}, {DUE, 20000, 0}, {TO, 90000, 0},
		{RISES, 2, 2}, {R4, TV(0), 3000},
		/* a value just missed is a whole round away */
		{W4, TV(0), 9999}, {DUE, 42949672960 - 10, 0}, {TO, 3 * 42949672960ull, 0},
		{RISES, 2, 3}, {DUE, 42949672960 - 10, 0}, {W4, TC(0), 0x100}, {IDLE, 0, 0});
	/* timer 1 has GSI 8 in legacy mode, timer 2 its own route */
	RUN(&f, {W4, TC(1), 0x104}, {R4, CNT, 10000}, {W4, TV(1), 10100},
		{W4, TC(2), 0x104 | 20 << 9}, {W4, TV(2), 10200}, {DUE, 1000, 0}, {TO, 1000, 0},
		{RISES, 8, 1}, {DUE, 1000, 0}, {TO, 1000, 0}, {RISES, 20, 1}, {RISES, 2, 3});
	assert_true(hpet_legacy(&f.hpet));
	RUN(&f, {W4, CONF, 1}, {W4, TC(1), 0x104 | 23 << 9}, {W4, TV(1), 10300}, {TO, 1000, 0},
		{RISES, 8, 1}, {RISES, 23, 1});
	assert_false(hpet_legacy(&f.hpet));
	/* 64 bits: once is once */
	RUN(&f, {W4, TC(1), 4 | 23 << 9}, {W8, TV(1), 0x10000000000}, {R8, TV(1), 0x10000000000},
		{TO, 10995116277760, 0}, {RISES, 23, 2});
	hpet_write(&f.hpet, TC(2), 4, 0, f.now);
	RUN(&f, {IDLE, 0, 0});
}

/* Stop, configure with VAL_SET, comparator, then period, start: what Linux and others do. */
static void test_periodic(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	RUN(&f, {W4, CONF, 2}, {W4, CNT, 0}, {W4, CNT + 4, 0}, {W4, TC(0), 0x14c},
		{W4, TV(0), 5000}, {R4, TC(0), 0x13c}, {W4, TV(0), 400000}, {R4, TV(0), 5000},
		{IDLE, 0, 0}, {W4, CONF, 3}, {DUE, 50000, 0}, {TO, 50000, 0}, {RISES, 2, 1},
		{R4, TV(0), 405000}, {DUE, 4000000, 0}, {TO, 4000000, 0}, {RISES, 2, 2},
		/* late: one pulse, and the phase stays */
		{TO, 4000000 * 10 + 123, 0}, {RISES, 2, 3}, {DUE, 4000000 - 123, 0},
		{R4, TV(0), 4805000},
		/* a read makes up for it as well */
		{W4, TC(0), 0x10c}, {DUE, 4000000 - 123, 0}, {W4, TV(0), 100},
		{TO, 4000000 - 123, 0}, {DUE, 1000, 0}, {RISES, 2, 4});
	f.now += 1500;
	RUN(&f, {R4, TV(0), 4805200}, {RISES, 2, 5}, {DUE, 500, 0});
	/* a period of 0 does not divide */
	RUN(&f, {W4, TV(0), 0}, {TO, 500, 0}, {RISES, 2, 6}, {IDLE, 0, 0});
	/* 64 bits, both halves in one write */
	RUN(&f, {W4, CONF, 0}, {W8, CNT, 0}, {W4, TC(0), 0x4c | 22 << 9}, {W8, TV(0), 0x200000000},
		{W4, CONF, 1}, {TO, 85899345920, 0}, {RISES, 22, 1}, {R8, TV(0), 0x400000000},
		{DUE, 85899345920, 0});
	/* timers 1 and 2 are not periodic */
	RUN(&f, {W4, TC(1), 0x1c}, {R4, TC(1), 0x24});
}

static void test_level(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 1u << 16 | 1u << 17);
	RUN(&f, {R8, TC(1), 0x0003000000000020}, {W4, CONF, 1}, {W4, TC(1), 0x106 | 16 << 9},
		{W4, TV(1), 100}, {TO, 1000, 0}, {LEVEL, 16, 1}, {R4, ISR, 2}, {IDLE, 0, 0},
		{W4, ISR, 5}, {LEVEL, 16, 1}, {W4, ISR, 2}, {LEVEL, 16, 0}, {R4, ISR, 0},
		{DUE, 42949672960, 0}, {W4, TV(1), 200}, {TO, 1000, 0}, {LEVEL, 16, 1},
		/* moving the route, disabling, halting */
		{W4, TC(1), 0x106 | 17 << 9}, {LEVEL, 16, 0}, {LEVEL, 17, 1},
		{W4, TC(1), 0x102 | 17 << 9}, {LEVEL, 17, 0}, {R4, ISR, 2},
		{W4, TC(1), 0x106 | 17 << 9}, {LEVEL, 17, 1}, {W4, CONF, 0}, {LEVEL, 17, 0},
		{R4, ISR, 2}, {W4, CONF, 1}, {LEVEL, 17, 1}, {W4, CONF, 3}, {LEVEL, 17, 0},
		{LEVEL, 8, 1}, {W4, TC(1), 0x104 | 17 << 9}, {LEVEL, 8, 0}, {R4, ISR, 0});
	/* status without interrupt: no deadline, seen when somebody looks */
	RUN(&f, {W4, TC(1), 0x102 | 17 << 9}, {W4, TV(1), 400}, {IDLE, 0, 0});
	f.now += 5000;
	RUN(&f, {R4, ISR, 2}, {LEVEL, 8, 0});
	hpet_write(&f.hpet, TC(1), 4, 0x106, f.now);
	assert_true(f.level[8]);
	hpet_reset(&f.hpet, f.now);
	assert_false(f.level[8]);
}

/* A disabled edge timer loses its match; enabling it later does not bring it back. */
static void test_disabled_edge(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 0);
	RUN(&f, {W4, CONF, 3}, {W4, TC(0), 0x100}, {W4, TV(0), 100}, {IDLE, 0, 0});
	f.now += 2000;
	RUN(&f, {W4, TC(0), 0x104}, {RISES, 2, 0}, {DUE, 42949672960 - 1000, 0});
	/* no route: no interrupt, no deadline */
	RUN(&f, {W4, CONF, 1}, {IDLE, 0, 0}, {TO, 42949672960, 0}, {RISES, 2, 0}, {RISES, 0, 0});
}

static void test_extremes(void **state)
{
	static const uint64_t values[] = {0, 1, UINT32_MAX, UINT64_MAX, BIT(63), 0x14c, 7};
	struct fixture f;

	(void)state;
	setup(&f, 0xffffffff);
	for (unsigned i = 0; i < 5000; i++) {
		f.now += i % 7 ? 10 : UINT64_MAX / 6000;
		hpet_write(&f.hpet, i * 36 % 0x180, i % 3 ? 4 : 8, values[i % ARRAY_SIZE(values)],
			f.now);
		hpet_tick(&f.hpet, f.now);
		assert_true(hpet_deadline(&f.hpet) >= f.now / 10 * 10);
	}
}

static void test_two_levels(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 3u << 16);
	RUN(&f, {W4, CONF, 1}, {W4, TC(1), 0x106 | 16 << 9}, {W4, TC(2), 0x106 | 17 << 9},
		{W4, TV(1), 100}, {W4, TV(2), 100}, {TO, 1000, 0}, {R4, ISR, 6}, {LEVEL, 16, 1},
		{LEVEL, 17, 1}, {W4, ISR, 4}, {R4, ISR, 2}, {LEVEL, 17, 0}, {LEVEL, 16, 1});
	/*
	 * leaving 32-bit mode moves the next match; a comparator equal to the counter matches at
	 * once
	 */
	RUN(&f, {W4, ISR, 6}, {W4, TV(2), 50}, {DUE, 42949672960 - 500, 0},
		{W4, TC(2), 0x006 | 17 << 9}, {W4, TC(1), 0x100}, {TO, 42949672960 * 2, 0},
		{R4, ISR, 0}, {W4, TC(2), 0x106 | 17 << 9}, {W4, TV(2), 100}, {LEVEL, 17, 1});
	hpet_reset(&f.hpet, f.now);
	RUN(&f, {R4, ISR, 0}, {LEVEL, 17, 0}, {R4, TC(2), 0x20});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_counter),
		cmocka_unit_test(test_one_shot),
		cmocka_unit_test(test_periodic),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_disabled_edge),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_two_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
