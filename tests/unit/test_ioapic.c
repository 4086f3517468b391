/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOAPIC model: tables of register writes, wire changes and EOIs with the messages expected from
 * each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "drivers/virt/ioapic.h"

/* A step names only what its operation uses. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

enum op {
	END, /* a table ends with an empty step */
	WR,  /* indirect register: a = index, b = value */
	RD,  /* a = index, b = expected */
	MWR, /* memory: a = offset, b = value, c = size */
	MRD,
	PIN, /* a = pin, b = level */
	EOI, /* a = vector */
	/* expects one since the last look: a = dest, b = the entry's bits 15:0 as delivered */
	MSG,
	QUIET, /* expects none */
	RESET,
};

struct step {
	enum op op;
	uint32_t a;
	uint64_t b;
	unsigned c;
};

struct fixture {
	struct ioapic io;
	struct ioapic_msg msg;
	unsigned msgs;
};

#define LO(pin) (IOAPIC_REG_REDIR + 2 * (pin))
#define HI(pin) (LO(pin) + 1)

static const char *running;
static unsigned running_step;

static void record(void *ctx, const struct ioapic_msg *msg)
{
	struct fixture *f = ctx;

	f->msg = *msg;
	f->msgs++;
}

static void check_msg(struct fixture *f, const struct step *s)
{
	assert_int_equal(f->msgs, 1);
	f->msgs = 0;
	assert_int_equal(f->msg.dest, s->a);
	assert_int_equal(f->msg.vector, s->b & 0xff);
	assert_int_equal(f->msg.delivery, s->b >> 8 & 7);
	assert_int_equal(f->msg.logical, !!(s->b & IOAPIC_RTE_LOGICAL));
	assert_int_equal(f->msg.level, !!(s->b & IOAPIC_RTE_LEVEL));
}

static void do_step(struct fixture *f, const struct step *s)
{
	switch (s->op) {
	case WR:
		ioapic_mmio_write(&f->io, IOAPIC_IOREGSEL, 4, s->a);
		ioapic_mmio_write(&f->io, IOAPIC_IOWIN, 4, s->b);
		break;
	case RD:
		ioapic_mmio_write(&f->io, IOAPIC_IOREGSEL, 4, s->a);
		assert_int_equal(ioapic_mmio_read(&f->io, IOAPIC_IOWIN, 4), s->b);
		break;
	case MWR: ioapic_mmio_write(&f->io, s->a, s->c, s->b); break;
	case MRD: assert_int_equal(ioapic_mmio_read(&f->io, s->a, s->c), s->b); break;
	case PIN: ioapic_set_irq(&f->io, s->a, s->b); break;
	case EOI: ioapic_eoi(&f->io, (uint8_t)s->a); break;
	case MSG: check_msg(f, s); break;
	case QUIET: assert_int_equal(f->msgs, 0); break;
	default: ioapic_reset(&f->io); break;
	}
}

static int say_where(void **state)
{
	(void)state;
	if (running)
		printf("    in %s, step %u\n", running, running_step);
	running = NULL;
	return 0;
}

static void run(const char *name, const struct step *steps)
{
	static struct fixture f;

	f.msgs = 0;
	ioapic_init(&f.io, record, &f);
	running = name;
	for (running_step = 0; steps[running_step].op != END; running_step++)
		do_step(&f, &steps[running_step]);
	running = NULL;
}

/* Several steps on a line. */
/* clang-format off */
static const struct step registers[] = {
	{ RD, IOAPIC_REG_VER, 0x00170011 }, { RD, IOAPIC_REG_ID, 0 }, { RD, LO(0), 0x10000 },
	{ RD, HI(23), 0 }, { WR, IOAPIC_REG_ID, 0xffffffff }, { RD, IOAPIC_REG_ID, 0x0f000000 },
	{ RD, IOAPIC_REG_ARB, 0x0f000000 }, { WR, IOAPIC_REG_ARB, 0 },
	{ RD, IOAPIC_REG_ARB, 0x0f000000 }, { WR, IOAPIC_REG_VER, 0 },
	{ RD, IOAPIC_REG_VER, 0x00170011 },
	/* Delivery status, remote IRR and reserved bits do not take a write. */
	{ WR, LO(5), 0xffffffff }, { RD, LO(5), 0x0001afff },
	{ WR, HI(5), 0xffffffff }, { RD, HI(5), 0xff000000 }, { RD, LO(5), 0x0001afff },
	{ RD, LO(4), 0x10000 }, { RD, HI(4), 0 },
	/* Nothing there */
	{ RD, 0x03, 0xffffffff }, { RD, 0x0f, 0xffffffff }, { RD, LO(24), 0xffffffff },
	{ RD, 0xff, 0xffffffff }, { WR, 0x03, 1 }, { WR, LO(24), 0x31 }, { WR, 0xff, 1 }, { RESET },
	{ RD, LO(5), 0x10000 }, { RD, HI(5), 0 }, { RD, IOAPIC_REG_ID, 0 },
	{ 0 },
};

static const struct step access_sizes[] = {
	/* The index is one byte, whatever the width. */
	{ MWR, IOAPIC_IOREGSEL, 0x01, 1 }, { MRD, IOAPIC_IOREGSEL, 0x01, 4 },
	{ MRD, IOAPIC_IOWIN, 0x00170011, 4 }, { MRD, IOAPIC_IOWIN, 0x0011, 2 },
	{ MRD, IOAPIC_IOWIN + 2, 0x17, 1 }, { MRD, IOAPIC_IOWIN + 2, 0x0017, 2 },
	{ MWR, IOAPIC_IOREGSEL, 0xabcdef10, 4 }, { MRD, IOAPIC_IOREGSEL, 0x10, 4 },
	{ MRD, IOAPIC_IOREGSEL + 1, 0x00, 1 }, { MWR, IOAPIC_IOREGSEL + 1, 0x55, 1 },
	{ MRD, IOAPIC_IOREGSEL, 0x10, 1 },
	/* The window takes 32 bits only. */
	{ MWR, IOAPIC_IOWIN, 0x31, 1 }, { MWR, IOAPIC_IOWIN, 0x31, 2 },
	{ MWR, IOAPIC_IOWIN, 0x31, 8 }, { MWR, IOAPIC_IOWIN + 1, 0x31, 4 },
	{ MRD, IOAPIC_IOWIN, 0x10000, 4 }, { MWR, IOAPIC_IOWIN, 0x31, 4 },
	{ MRD, IOAPIC_IOWIN, 0x31, 4 },
	/* Elsewhere, across the end of a register, too wide */
	{ MRD, 0x04, 0xffffffff, 4 }, { MRD, 0x40, 0xff, 1 }, { MRD, IOAPIC_IOWIN + 3, 0xffff, 2 },
	{ MRD, IOAPIC_IOWIN, UINT64_MAX, 8 }, { MWR, 0x40, 0x31, 4 }, { MRD, 0xffffffff, 0xff, 1 },
	{ 0 },
};

static const struct step edge[] = {
	{ WR, HI(4), 0x03000000 }, { WR, LO(4), 0x0041 }, { PIN, 4, true }, { MSG, 3, 0x0041 },
	{ PIN, 4, true }, { QUIET }, { PIN, 4, false }, { QUIET },
	{ PIN, 4, true }, { MSG, 3, 0x0041 }, { RD, LO(4), 0x0041 },
	{ EOI, 0x41 }, { QUIET },
	/* While masked an edge is lost. */
	{ PIN, 4, false }, { WR, LO(4), 0x10041 }, { PIN, 4, true }, { QUIET },
	{ WR, LO(4), 0x0041 }, { QUIET },
	/* Programmed polarity does not matter: wires are logical. */
	{ PIN, 4, false }, { WR, LO(4), 0x2041 }, { QUIET },
	{ PIN, 4, true }, { MSG, 3, 0x2041 },
	/* Every delivery and destination mode is passed on as programmed. */
	{ PIN, 4, false }, { WR, LO(4), 0x0941 }, { PIN, 4, true }, { MSG, 3, 0x0941 },
	{ PIN, 4, false }, { WR, LO(4), 0x0200 }, { PIN, 4, true }, { MSG, 3, 0x0200 },
	{ PIN, 4, false }, { WR, LO(4), 0x0700 }, { PIN, 4, true }, { MSG, 3, 0x0700 },
	/* NMI knows no level. */
	{ PIN, 4, false }, { WR, LO(4), 0x8400 }, { PIN, 4, true }, { MSG, 3, 0x0400 },
	{ RD, LO(4), 0x8400 },
	/* Pins that do not exist */
	{ PIN, 24, true }, { PIN, 32, true }, { PIN, 0xffffffff, true }, { QUIET },
	{ 0 },
};

static const struct step level[] = {
	{ WR, HI(9), 0x02000000 }, { WR, LO(9), 0x8951 }, { PIN, 9, true }, { MSG, 2, 0x8951 },
	/* still in service */
	{ RD, LO(9), 0xc951 }, { PIN, 9, false }, { PIN, 9, true }, { QUIET },
	/* still asserted */
	{ EOI, 0x50 }, { QUIET }, { RD, LO(9), 0xc951 }, { EOI, 0x51 }, { MSG, 2, 0x8951 },
	{ RD, LO(9), 0xc951 }, { PIN, 9, false }, { EOI, 0x51 }, { QUIET }, { RD, LO(9), 0x8951 },
	/* Asserted while masked: delivered when unmasked. */
	{ WR, LO(9), 0x18951 }, { PIN, 9, true }, { QUIET },
	{ WR, LO(9), 0x8951 }, { MSG, 2, 0x8951 },
	/* A write cannot set or clear remote IRR ... */
	{ WR, LO(9), 0x8951 }, { QUIET }, { RD, LO(9), 0xc951 },
	/* ... masked while in service the EOI clears it without a new delivery ... */
	{ WR, LO(9), 0x18951 }, { EOI, 0x51 }, { QUIET }, { RD, LO(9), 0x18951 },
	{ WR, LO(9), 0x8951 }, { MSG, 2, 0x8951 },
	/* ... and edge mode forgets it. */
	{ WR, LO(9), 0x10951 }, { RD, LO(9), 0x10951 }, { WR, LO(9), 0x8951 }, { MSG, 2, 0x8951 },
	/* Released while masked and asserted again later */
	{ PIN, 9, false }, { EOI, 0x51 }, { QUIET }, { RESET }, { PIN, 9, true }, { QUIET },
	/* Reset keeps the wires: programming the entry finds the pin asserted. */
	{ WR, LO(9), 0x8060 }, { MSG, 0, 0x8060 },
	{ 0 },
};

/* Two pins may share a vector; the EOI ends both, each on its own terms. */
static const struct step shared_vector[] = {
	{ WR, LO(16), 0x8061 }, { WR, LO(17), 0x8061 }, { WR, LO(18), 0x0061 }, { PIN, 16, true },
	{ MSG, 0, 0x8061 }, { PIN, 17, true }, { MSG, 0, 0x8061 },
	{ PIN, 18, true }, { MSG, 0, 0x0061 }, { PIN, 16, false }, { EOI, 0x61 },
	{ MSG, 0, 0x8061 }, { RD, LO(16), 0x8061 }, { RD, LO(17), 0xc061 }, { RD, LO(18), 0x0061 },
	/* The last pin works like the others. */
	{ WR, HI(23), 0xff000000 }, { WR, LO(23), 0x80fe }, { PIN, 23, true },
	{ MSG, 0xff, 0x80fe },
	{ 0 },
};
/* clang-format on */

#define TABLE_TEST(name)                                                                           \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(#name, name);                                                                  \
	}

TABLE_TEST(registers)
TABLE_TEST(access_sizes)
TABLE_TEST(edge)
TABLE_TEST(level)
TABLE_TEST(shared_vector)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_registers, say_where),
		cmocka_unit_test_teardown(test_access_sizes, say_where),
		cmocka_unit_test_teardown(test_edge, say_where),
		cmocka_unit_test_teardown(test_level, say_where),
		cmocka_unit_test_teardown(test_shared_vector, say_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
