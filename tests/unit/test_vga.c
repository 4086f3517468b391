/* SPDX-License-Identifier: Apache-2.0 */
/* The VGA's registers as software probes them, and the rows of the screen for those who look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/vga.h"
#include "hv/lib/string.h"

static struct vga vga;
static uint8_t text[VGA_TEXT_SIZE];

static int setup(void **state)
{
	(void)state;
	memset(&vga, 0xa5, sizeof(vga));
	vga_init(&vga);
	for (unsigned i = 0; i < VGA_TEXT_SIZE; i += 2) {
		text[i] = ' ';
		text[i + 1] = 7;
	}
	return 0;
}

enum op { WR, WR16, RD };

struct step {
	enum op op;
	unsigned port, value;
};

static void run(const struct step *s, unsigned count)
{
	for (unsigned i = 0; i < count; i++, s++) {
		unsigned offset = s->port - VGA_PORT_BASE, got;

		if (s->op != RD) {
			vga_write(&vga, offset, s->op == WR16 ? 2 : 1, s->value, 0);
			continue;
		}
		got = vga_read(&vga, offset, 1, 0);
		if (got != s->value)
			fail_msg("step %u: port %xh reads %02x, expected %02x", i, s->port, got,
				s->value);
	}
}

#define RUN(...)                                                                                   \
	do {                                                                                       \
		static const struct step steps_[] = {__VA_ARGS__};                                 \
		run(steps_, ARRAY_SIZE(steps_));                                                   \
	} while (0)

static void test_crtc(void **state)
{
	(void)state;
	/* mode 3 as firmware leaves it: colour, so nothing answers at 3B4h */
	RUN({RD, 0x3cc, 0x67}, {RD, 0x3b5, 0xff}, {WR, 0x3b4, 1}, {RD, 0x3d4, 0}, {WR, 0x3d4, 0x13},
		{RD, 0x3d4, 0x13}, {RD, 0x3d5, 0x28}, {WR, 0x3d4, 0x0e}, {WR, 0x3d5, 0x12},
		{RD, 0x3d5, 0x12}, {WR16, 0x3d4, 0x340f}, {RD, 0x3d4, 0x0f}, {RD, 0x3d5, 0x34},
		{WR, 0x3d4, 0x0e}, {RD, 0x3d5, 0x12},
		/* there is nothing behind register 18h */
		{WR16, 0x3d4, 0x5519}, {RD, 0x3d5, 0}, {WR16, 0x3d4, 0x55ff}, {RD, 0x3d5, 0},
		/* 0 to 7 are protected until bit 7 of 11h falls, but for line compare */
		{WR16, 0x3d4, 0x1100}, {RD, 0x3d5, 0x5f}, {WR16, 0x3d4, 0x0007}, {RD, 0x3d5, 0x0f},
		{WR16, 0x3d4, 0x1f07}, {RD, 0x3d5, 0x1f}, {WR16, 0x3d4, 0x0e11},
		{WR16, 0x3d4, 0x1100}, {RD, 0x3d5, 0x11}, {WR16, 0x3d4, 0x0007}, {RD, 0x3d5, 0},
		/* the block moves with bit 0 of the miscellaneous output register */
		{WR, 0x3c2, 0x66}, {RD, 0x3cc, 0x66}, {RD, 0x3d5, 0xff}, {WR, 0x3d4, 0},
		{RD, 0x3b4, 7}, {WR16, 0x3b4, 0x210c}, {RD, 0x3b5, 0x21}, {RD, 0x3da, 0xff});
}

static void test_attribute(void **state)
{
	(void)state;
	RUN({RD, 0x3c0, 0x20}, {RD, 0x3c1, 0}, {WR, 0x3c0, 0x06}, {RD, 0x3c1, 0x14},
		{WR, 0x3c0, 0xff}, {RD, 0x3c1, 0x3f}, {WR, 0x3c0, 0x31}, {RD, 0x3c0, 0x31},
		{WR, 0x3c0, 0x5a}, {RD, 0x3c1, 0x5a},
		/* reading the status makes the next write an index */
		{WR, 0x3c0, 0x07}, {RD, 0x3da, 0}, {WR, 0x3c0, 0x08}, {RD, 0x3c1, 0x38},
		{WR, 0x3c0, 0x01}, {RD, 0x3c1, 0x01}, {WR, 0x3c0, 0x1f}, {WR, 0x3c0, 0x77},
		{RD, 0x3c1, 0}, {WR, 0x3c0, 0xe0}, {RD, 0x3c0, 0x20});
}

static void test_indexed(void **state)
{
	(void)state;
	RUN({WR16, 0x3c4, 0xff02}, {RD, 0x3c4, 2}, {RD, 0x3c5, 0x0f}, {WR16, 0x3c4, 0xff01},
		{RD, 0x3c5, 0x3d}, {WR16, 0x3c4, 0x1205}, {RD, 0x3c5, 0}, {WR, 0x3ce, 6},
		{RD, 0x3cf, 0x0e}, {WR, 0x3cf, 0xff}, {RD, 0x3cf, 0x0f}, {WR16, 0x3ce, 0xab08},
		{RD, 0x3ce, 8}, {RD, 0x3cf, 0xab}, {WR16, 0x3ce, 0xab09}, {RD, 0x3cf, 0},
		{RD, 0x3c2, 0x10}, {WR, 0x3da, 3}, {RD, 0x3ca, 3}, {RD, 0x3cb, 0xff},
		{RD, 0x3b0, 0xff}, {RD, 0x3d0, 0xff}, {RD, 0x3df, 0xff});
}

static void test_dac(void **state)
{
	(void)state;
	RUN({RD, 0x3c6, 0xff}, {WR, 0x3c6, 0x0f}, {RD, 0x3c6, 0x0f},
		/* colour 7 is light grey; 3Fh is white */
		{WR, 0x3c7, 7}, {RD, 0x3c7, 3}, {RD, 0x3c9, 0x2a}, {RD, 0x3c9, 0x2a},
		{RD, 0x3c9, 0x2a}, {WR, 0x3c7, 0x3f}, {RD, 0x3c9, 0x3f}, {RD, 0x3c9, 0x3f},
		{RD, 0x3c9, 0x3f}, {WR, 0x3c7, 0x14}, {RD, 0x3c9, 0x2a}, {RD, 0x3c9, 0x15},
		{RD, 0x3c9, 0}, {WR, 0x3c8, 0xff}, {RD, 0x3c7, 0}, {RD, 0x3c8, 0xff},
		{WR, 0x3c9, 0xff}, {WR, 0x3c9, 2}, {WR, 0x3c9, 3}, {RD, 0x3c8, 0}, {WR, 0x3c9, 9},
		{WR, 0x3c7, 0xff}, {RD, 0x3c9, 0x3f}, {RD, 0x3c9, 2}, {RD, 0x3c9, 3},
		{RD, 0x3c9, 9});
	for (unsigned i = 0; i < 10000; i++)
		vga_read(&vga, 0x19, 4, 0);
}

/* 70 times a second the retrace comes; the display is off then, and for a part of each line. */
static void test_raster(void **state)
{
	unsigned frames = 0, off = 0;
	uint8_t last = 0;

	(void)state;
	for (ns_t t = 0; t < NS_PER_SEC; t += 5 * NS_PER_US) {
		uint8_t now = vga_read(&vga, 0x2a, 1, t);

		frames += (now & 8) && !(last & 8);
		off += now & 1;
		if (now & 8)
			assert_true(now & 1);
		last = now;
	}
	assert_in_range(frames, 69, 71);
	assert_in_range(off, 200000 * 25 / 100, 200000 * 40 / 100);
	vga_read(&vga, 0x2a, 4, UINT64_MAX);
}

static void put(unsigned cell, const char *s)
{
	for (; *s; s++, cell++)
		text[2 * cell % VGA_TEXT_SIZE] = (uint8_t)*s;
}

static void row_is(unsigned row, const char *want)
{
	char chars[VGA_COLUMNS + 1];
	bool any = vga_text_row(&vga, text, row, chars);
	unsigned length = VGA_COLUMNS;

	while (length > 0 && chars[length - 1] == ' ')
		length--;
	chars[length] = 0;
	assert_string_equal(chars, want);
	assert_int_equal(any, length > 0);
}

static void test_rows(void **state)
{
	(void)state;
	row_is(0, "");
	put(0, "first");
	put(80 + 79, "xy"); /* the end of the second row, the start of the third */
	put(24 * 80, "last");
	put(25 * 80, "unseen");
	row_is(0, "first");
	row_is(1, "                                                                       "
		  "        x");
	row_is(2, "y");
	row_is(24, "last");
	row_is(25, "");
	row_is(UINT32_MAX, "");
	/* what is no printable ASCII shows as dots, and zeroes as nothing */
	text[0] = 0x1b;
	text[2] = 0xff;
	text[4] = 0;
	text[6] = 0x7f;
	row_is(0, ".. .t");
	/* the start address scrolls, also beyond the end of the memory */
	RUN({WR16, 0x3d4, 80 << 8 | 0x0d});
	row_is(23, "last");
	row_is(24, "unseen");
	RUN({WR16, 0x3d4, 0xff0c}, {WR16, 0x3d4, 0xb00d}); /* FFB0h: a row before the start */
	row_is(0, "");
	row_is(1, ".. .t");
	/* another width of the memory's rows; none at all */
	RUN({WR16, 0x3d4, 0x000c}, {WR16, 0x3d4, 0x000d}, {WR16, 0x3d4, 0x5013});
	row_is(12, "last");
	RUN({WR16, 0x3d4, 0x0013});
	row_is(24, ".. .t");
	/* a graphics mode shows no text */
	RUN({WR16, 0x3ce, 0x0506});
	row_is(0, "");
}

/* Any registers at all: no access outside of the text. */
static void test_hostile(void **state)
{
	uint8_t *exact = test_malloc(VGA_TEXT_SIZE);
	char chars[VGA_COLUMNS];

	(void)state;
	memset(exact, 'x', VGA_TEXT_SIZE);
	for (unsigned i = 0; i < 4096; i++) {
		vga_write(&vga, i % VGA_REGS, 1 << i % 3, i * 2654435761u, i);
		vga_read(&vga, (i * 7) % (VGA_REGS + 2), 4, i);
		vga_text_row(&vga, exact, i % 40, chars);
	}
	test_free(exact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_crtc, setup),
		cmocka_unit_test_setup(test_attribute, setup),
		cmocka_unit_test_setup(test_indexed, setup),
		cmocka_unit_test_setup(test_dac, setup),
		cmocka_unit_test_setup(test_raster, setup),
		cmocka_unit_test_setup(test_rows, setup),
		cmocka_unit_test_setup(test_hostile, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
