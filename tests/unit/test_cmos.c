/* SPDX-License-Identifier: Apache-2.0 */
/* The RTC against the MC146818 data sheet, its calendar against the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "drivers/virt/cmos.h"
#include "hv/lib/string.h"

#define START 1700000000u /* Tuesday 14 November 2023, 22:13:20 UTC */

struct fixture {
	struct cmos cmos;
	bool irq;
	unsigned rises;
	ns_t now;
};

static void fake_irq(void *ctx, unsigned pin, bool level)
{
	struct fixture *f = ctx;

	assert_int_equal(pin, 8);
	if (level && !f->irq)
		f->rises++;
	f->irq = level;
}

static void setup_at(struct fixture *f, uint64_t unix_time)
{
	struct irq_line irq = {fake_irq, f, 8};
	struct cmos_config config = {unix_time, MIB(512), GIB(1)};

	memset(f, 0, sizeof(*f));
	cmos_init(&f->cmos, &config, irq, 0);
}

static void setup(struct fixture *f)
{
	setup_at(f, START);
}

static uint8_t rd(struct fixture *f, unsigned index)
{
	cmos_write(&f->cmos, 0, 1, index, f->now);
	return cmos_read(&f->cmos, 1, 1, f->now);
}

static void wr(struct fixture *f, unsigned index, uint8_t value)
{
	cmos_write(&f->cmos, 0, 1, index, f->now);
	cmos_write(&f->cmos, 1, 1, value, f->now);
}

enum op { WR, RD, ADVANCE_MS, ADVANCE_NS, DUE_NS, IDLE, IRQ };

struct step {
	enum op op;
	uint32_t a, b;
};

static void run_step(struct fixture *f, const struct step *s, unsigned i)
{
	uint32_t got = s->b;

	switch (s->op) {
	case WR: wr(f, s->a, s->b); break;
	case RD: got = rd(f, s->a); break;
	case ADVANCE_MS:
		f->now += s->a * NS_PER_MS;
		cmos_tick(&f->cmos, f->now);
		break;
	case ADVANCE_NS:
		f->now += s->a;
		cmos_tick(&f->cmos, f->now);
		break;
	case DUE_NS:
		if (cmos_deadline(&f->cmos) != f->now + s->a)
			fail_msg("step %u: due in %lld", i,
				(long long)(cmos_deadline(&f->cmos) - f->now));
		break;
	case IDLE:
		if (cmos_deadline(&f->cmos) != NS_NEVER)
			fail_msg("step %u: not idle", i);
		break;
	case IRQ:
		if (f->irq != s->a)
			fail_msg("step %u: irq is %d", i, f->irq);
		break;
	}
	if (got != s->b)
		fail_msg("step %u: %02x reads %02x, expected %02x", i, s->a, got, s->b);
}

#define RUN(f, ...)                                                                                \
	do {                                                                                       \
		const struct step steps_[] = {__VA_ARGS__};                                        \
		for (unsigned i_ = 0; i_ < ARRAY_SIZE(steps_); i_++)                               \
			run_step(f, &steps_[i_], i_);                                              \
	} while (0)

static void test_contents(void **state)
{
	struct fixture f;
	unsigned sum = 0;

	(void)state;
	setup(&f);
	RUN(&f, {RD, 0x0a, 0x26}, {RD, 0x0b, 0x02}, {RD, 0x0c, 0}, {RD, 0x0d, 0x80}, {RD, 0x0f, 0},
		{RD, 0x15, 0x80}, {RD, 0x16, 0x02}, {RD, 0x17, 0xff}, {RD, 0x18, 0xff},
		{RD, 0x30, 0xff}, {RD, 0x31, 0xff}, {RD, 0x34, 0x00}, {RD, 0x35, 0x1f},
		{RD, 0x5b, 0x00}, {RD, 0x5c, 0x40}, {RD, 0x5d, 0x00}, {WR, 0x0d, 0},
		{RD, 0x0d, 0x80}, {WR, 0x0c, 0xff}, {RD, 0x0c, 0}, {WR, 0x0f, 0x0a},
		{RD, 0x0f, 0x0a}, {WR, 0x7f, 0x55}, {RD, 0xff, 0x55});
	for (unsigned i = 0x10; i <= 0x2d; i++)
		sum += rd(&f, i);
	assert_int_equal(rd(&f, 0x2e) << 8 | rd(&f, 0x2f), sum);
	/* the NMI mask is kept with the index; a word access is index and data */
	cmos_write(&f.cmos, 0, 2, 0x7780 | 0x40, 0);
	assert_int_equal(cmos_read(&f.cmos, 0, 2, 0), 0x77c0);
	assert_int_equal(rd(&f, 0x40), 0x77);
	/* the second bank has an index of its own and is RAM only */
	assert_int_equal(cmos_read(&f.cmos, 2, 2, 0), 0);
	cmos_write(&f.cmos, 2, 2, 0x5a0c, 0);
	cmos_write(&f.cmos, 2, 2, 0xa5ff, 0);
	cmos_write(&f.cmos, 2, 1, 0x0c, 0);
	assert_int_equal(cmos_read(&f.cmos, 3, 1, 0), 0x5a);
	cmos_write(&f.cmos, 2, 1, 0x7f, 0);
	assert_int_equal(cmos_read(&f.cmos, 3, 2, 0), 0xffa5);
	assert_int_equal(rd(&f, 0x7f), 0x55);
	assert_int_equal(cmos_read(&f.cmos, 2, 1, 0), 0x7f);
}

static void test_read_time(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {RD, 0, 0x20}, {RD, 2, 0x13}, {RD, 4, 0x22}, {RD, 6, 3}, {RD, 7, 0x14},
		{RD, 8, 0x11}, {RD, 9, 0x23}, {RD, 0x32, 0x20}, {ADVANCE_MS, 999, 0}, {RD, 0, 0x20},
		{ADVANCE_MS, 1, 0}, {RD, 0, 0x21},
		/* binary; then 12 hours */
		{WR, 0x0b, 0x06}, {RD, 4, 22}, {RD, 7, 14}, {RD, 9, 23}, {RD, 0x32, 20},
		{WR, 0x0b, 0x00}, {RD, 4, 0x90}, {WR, 0x0b, 0x04}, {RD, 4, 0x8a});
	setup_at(&f, 1700006400); /* 15 November, midnight */
	RUN(&f, {WR, 0x0b, 0}, {RD, 4, 0x12}, {ADVANCE_MS, 12 * 3600000, 0}, {RD, 4, 0x92});
}

/* Every 11 hours and a bit from 1970 to 2106 and around the odd century. */
static void test_calendar(void **state)
{
	struct fixture f;

	(void)state;
	for (uint64_t t = 0; t < 7258118400ull; t += 39989 * 29) {
		time_t when = t;
		struct tm tm;

		gmtime_r(&when, &tm);
		setup_at(&f, t);
		wr(&f, 0x0b, 0x06);
		assert_int_equal(rd(&f, 0), tm.tm_sec);
		assert_int_equal(rd(&f, 2), tm.tm_min);
		assert_int_equal(rd(&f, 4), tm.tm_hour);
		assert_int_equal(rd(&f, 6), tm.tm_wday + 1);
		assert_int_equal(rd(&f, 7), tm.tm_mday);
		assert_int_equal(rd(&f, 8), tm.tm_mon + 1);
		assert_int_equal(rd(&f, 9), tm.tm_year % 100);
		assert_int_equal(rd(&f, 0x32), tm.tm_year / 100 + 19);
		/* there and back */
		wr(&f, 0x0b, 0x86);
		wr(&f, 0x0b, 0x06);
		assert_int_equal(rd(&f, 7), tm.tm_mday);
		assert_int_equal(rd(&f, 0), tm.tm_sec);
	}
}

static void test_set_time(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* with SET the bytes stand still and read back as written */
	RUN(&f, {ADVANCE_MS, 300, 0}, {WR, 0x0b, 0x92}, {RD, 0x0b, 0x82}, {ADVANCE_MS, 5000, 0},
		{RD, 0, 0x20}, {RD, 0x0a, 0x26}, {WR, 0, 0x58}, {WR, 2, 0x59}, {WR, 4, 0x23},
		{WR, 6, 0x05}, {WR, 7, 0x28}, {WR, 8, 0x02}, {WR, 9, 0x00}, {WR, 0x32, 0x20},
		{ADVANCE_MS, 1000, 0}, {RD, 0, 0x58}, {WR, 0x0b, 0x02}, {RD, 0, 0x58},
		/* the divider went on: 300 ms of its second had passed */
		{ADVANCE_MS, 700, 0}, {RD, 0, 0x59}, {ADVANCE_MS, 1000, 0}, {RD, 0, 0x00},
		{RD, 2, 0}, {RD, 4, 0}, {RD, 7, 0x29}, {RD, 8, 0x02}, {RD, 6, 0x06}, {RD, 9, 0x00});
	/* writing one field while it runs */
	RUN(&f, {WR, 9, 0x01}, {RD, 9, 0x01}, {RD, 8, 0x03}, {RD, 7, 0x01}, {RD, 6, 0x06});
	/* a held divider: the first update comes half a second after its release */
	RUN(&f, {WR, 0x0a, 0x76}, {ADVANCE_MS, 3000, 0}, {RD, 0, 0}, {WR, 0, 0x10}, {RD, 0, 0x10},
		{WR, 0x0a, 0x26}, {ADVANCE_MS, 499, 0}, {RD, 0, 0x10}, {ADVANCE_MS, 1, 0},
		{RD, 0, 0x11}, {ADVANCE_MS, 999, 0}, {RD, 0, 0x11}, {ADVANCE_MS, 1, 0},
		{RD, 0, 0x12});
	/* nonsense carries over and does not fault */
	RUN(&f, {WR, 0x0b, 0x82}, {WR, 8, 0xff}, {WR, 7, 0}, {WR, 0x32, 0xff}, {WR, 9, 0xff},
		{WR, 4, 0xff}, {WR, 6, 0xff}, {WR, 0, 0xff}, {RD, 8, 0xff}, {WR, 0x0b, 0},
		{WR, 8, 0}, {WR, 0x32, 0}, {WR, 9, 0}, {WR, 0x0b, 6}, {ADVANCE_MS, 9000, 0});
	rd(&f, 8);
	/* power-on just now, divider released before half a second has passed at all */
	setup(&f);
	RUN(&f, {WR, 0x0a, 0x66}, {WR, 0x0a, 0x26}, {RD, 0, 0x20}, {ADVANCE_MS, 500, 0},
		{RD, 0, 0x21});
}

static void test_update_in_progress(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	RUN(&f, {RD, 0x0a, 0x26}, {ADVANCE_NS, 1000000000 - 2228001, 0}, {RD, 0x0a, 0x26},
		{ADVANCE_NS, 1, 0}, {RD, 0x0a, 0xa6}, {RD, 0, 0x20}, {ADVANCE_NS, 2227999, 0},
		{RD, 0x0a, 0xa6}, {ADVANCE_NS, 1, 0}, {RD, 0x0a, 0x26}, {RD, 0, 0x21},
		{ADVANCE_NS, 999999999, 0}, {RD, 0x0a, 0xa6}, {WR, 0x0b, 0x82}, {RD, 0x0a, 0x26},
		{WR, 0x0a, 0xa6}, {RD, 0x0a, 0x26});
}

static void test_update_interrupt(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* UF comes without UIE, but no deadline and no interrupt */
	RUN(&f, {IDLE, 0, 0}, {ADVANCE_MS, 1500, 0}, {IRQ, 0, 0}, {RD, 0x0c, 0x50}, {RD, 0x0c, 0},
		{WR, 0x0b, 0x12}, {DUE_NS, 500000000, 0}, {ADVANCE_NS, 499999999, 0}, {IRQ, 0, 0},
		{DUE_NS, 1, 0}, {ADVANCE_NS, 1, 0}, {IRQ, 1, 0}, {IDLE, 0, 0},
		{ADVANCE_MS, 5000, 0}, {IRQ, 1, 0}, {RD, 0x0c, 0xd0}, {IRQ, 0, 0},
		{DUE_NS, 1000000000, 0}, {ADVANCE_MS, 1000, 0}, {IRQ, 1, 0});
	assert_int_equal(f.rises, 2);
	/* SET clears UIE and with it the interrupt */
	RUN(&f, {WR, 0x0b, 0x92}, {IRQ, 0, 0}, {IDLE, 0, 0}, {ADVANCE_MS, 5000, 0},
		{RD, 0x0c, 0x50}, {ADVANCE_MS, 5000, 0}, {RD, 0x0c, 0x40});
	RUN(&f, {WR, 0x0b, 0x12}, {ADVANCE_MS, 1000, 0}, {IRQ, 1, 0});
	cmos_reset(&f.cmos, f.now);
	RUN(&f, {IRQ, 0, 0}, {RD, 0x0b, 0x02}, {RD, 0x0c, 0}, {IDLE, 0, 0});
}

static void test_periodic_interrupt(void **state)
{
	static const struct {
		uint8_t rs;
		uint32_t ns;
	} rates[] = {
		{1, 3906250},
		{2, 7812500},
		{3, 122071},
		{6, 976563},
		{13, 125000000},
		{15, 500000000},
	};
	struct fixture f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
		setup(&f);
		wr(&f, 0x0a, 0x20 | rates[i].rs);
		wr(&f, 0x0b, 0x42);
		RUN(&f, {DUE_NS, rates[i].ns, 0}, {ADVANCE_NS, rates[i].ns - 1, 0}, {IRQ, 0, 0},
			{ADVANCE_NS, 1, 0}, {IRQ, 1, 0}, {IDLE, 0, 0}, {RD, 0x0c, 0xc0},
			{IRQ, 0, 0});
		/* missed periods are one interrupt, the phase stays */
		RUN(&f, {ADVANCE_MS, 3000, 0}, {IRQ, 1, 0});
		assert_int_equal(rd(&f, 0x0c) & 0xc0, 0xc0);
		assert_in_range(cmos_deadline(&f.cmos), f.now + 1, f.now + rates[i].ns);
	}
	RUN(&f, {WR, 0x0a, 0x20}, {IDLE, 0, 0}, {ADVANCE_MS, 900, 0}, {RD, 0x0c, 0x10},
		{WR, 0x0a, 0x26}, {WR, 0x0a, 0x76}, {IDLE, 0, 0});
	/* 8,192 Hz for ten seconds: no drift */
	setup(&f);
	RUN(&f, {WR, 0x0a, 0x23}, {WR, 0x0b, 0x42});
	for (unsigned i = 0; i < 81920; i++) {
		f.now = cmos_deadline(&f.cmos);
		cmos_tick(&f.cmos, f.now);
		rd(&f, 0x0c);
	}
	assert_int_equal(f.rises, 81920);
	assert_int_equal(f.now, 10 * NS_PER_SEC);
}

static void test_alarm(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f);
	/* 22:13:25, five seconds ahead; then the next day */
	RUN(&f, {WR, 1, 0x25}, {WR, 3, 0x13}, {WR, 5, 0x22}, {IDLE, 0, 0}, {WR, 0x0b, 0x22},
		{ADVANCE_MS, 2000, 0}, {DUE_NS, 3000000000u, 0}, {ADVANCE_MS, 2999, 0}, {IRQ, 0, 0},
		{ADVANCE_MS, 1, 0}, {IRQ, 1, 0}, {IDLE, 0, 0}, {RD, 0x0c, 0xf0}, {IRQ, 0, 0});
	assert_int_equal(cmos_deadline(&f.cmos) - f.now, 86400 * NS_PER_SEC);
	/* don't care: every minute at :10, every second, once an hour */
	RUN(&f, {WR, 1, 0x10}, {WR, 3, 0xff}, {WR, 5, 0xc0});
	assert_int_equal(cmos_deadline(&f.cmos) - f.now, 45 * NS_PER_SEC);
	RUN(&f, {WR, 1, 0xff}, {DUE_NS, 1000000000, 0}, {WR, 1, 0x00}, {WR, 3, 0x05});
	assert_int_equal(cmos_deadline(&f.cmos) - f.now, (51 * 60 + 35) * NS_PER_SEC);
	/* 12 hours: 1 am */
	RUN(&f, {WR, 0x0b, 0x20}, {WR, 5, 0x01}, {WR, 3, 0}, {WR, 1, 0});
	assert_int_equal(cmos_deadline(&f.cmos) - f.now, (2 * 3600 + 46 * 60 + 35) * NS_PER_SEC);
	/* an impossible alarm never comes; AF without AIE is only a flag */
	RUN(&f, {WR, 3, 0x61}, {IDLE, 0, 0}, {WR, 3, 0xff}, {WR, 1, 0xff}, {WR, 5, 0xff},
		{WR, 0x0b, 0x02}, {IDLE, 0, 0}, {RD, 0x0c, 0x00}, {ADVANCE_MS, 1000, 0},
		{IRQ, 0, 0}, {RD, 0x0c, 0x70}, {WR, 0x0b, 0x22}, {IRQ, 0, 0});
	/* the clock is set past the alarm: it waits for the next one */
	RUN(&f, {WR, 5, 0x22}, {WR, 3, 0x14}, {WR, 1, 0}, {WR, 2, 0x15});
	assert_in_range(cmos_deadline(&f.cmos) - f.now, 86000 * NS_PER_SEC, 86400 * NS_PER_SEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_read_time),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_set_time),
		cmocka_unit_test(test_update_in_progress),
		cmocka_unit_test(test_update_interrupt),
		cmocka_unit_test(test_periodic_interrupt),
		cmocka_unit_test(test_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
