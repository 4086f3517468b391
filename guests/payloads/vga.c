/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VGA in text mode: registers read back, the raster moves, text memory is memory. With "wait"
 * something stands on the screen until a key comes, for those who look at it from outside; with
 * "die" it stands there at the guest's untimely end.
 */
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("vga");

#define CRTC      0x3d4
#define STATUS    0x3da
#define RETRACE   0x08
#define ATTRIBUTE 0x3c0

#define COLUMNS 80
#define CELLS   0x4000u

static volatile uint16_t *const text = (volatile uint16_t *)0xb8000;

static uint8_t crtc_read(uint8_t index)
{
	outb(CRTC, index);
	return inb(CRTC + 1);
}

static void crtc_write(uint8_t index, uint8_t value)
{
	outw(CRTC, (uint16_t)(value << 8 | index));
}

static void put(unsigned row, const char *s)
{
	for (volatile uint16_t *cell = text + COLUMNS * row; *s; s++)
		*cell++ = (uint16_t)(0x0700 | (uint8_t)*s);
}

/* The screen begins at this cell. */
static void set_start(unsigned cell)
{
	crtc_write(0x0c, (uint8_t)(cell >> 8));
	crtc_write(0x0d, (uint8_t)cell);
}

static void test_registers(void)
{
	check(inb(0x3cc) & 1, "misc output %xh: not a colour mode", inb(0x3cc));
	check(inb(0x3b5) == 0xff, "a monochrome CRTC answers: %xh", inb(0x3b5));
	check(crtc_read(0x13) == COLUMNS / 2, "row offset %u", crtc_read(0x13));
	crtc_write(0x0e, 0x03);
	crtc_write(0x0f, 0xe8);
	check(crtc_read(0x0e) == 3 && crtc_read(0x0f) == 0xe8, "the cursor does not stay");
	(void)inb(STATUS);
	outb(ATTRIBUTE, 0x0e);
	outb(ATTRIBUTE, 0x2a);
	(void)inb(STATUS);
	outb(ATTRIBUTE, 0x2e);
	check(inb(ATTRIBUTE + 1) == 0x2a, "palette entry %xh", inb(ATTRIBUTE + 1));
	(void)inb(STATUS);
	outb(0x3c8, 1);
	outb(0x3c9, 1);
	outb(0x3c9, 2);
	outb(0x3c9, 3);
	outb(0x3c7, 1);
	check(inb(0x3c9) == 1 && inb(0x3c9) == 2 && inb(0x3c9) == 3, "the DAC does not stay");
}

/* Within many frames: an emulator's CPUs may take turns of 100 ms. */
static bool retrace_becomes(uint8_t wanted)
{
	uint64_t end = rdtsc() + time_us_to_tsc(2000000);

	while ((inb(STATUS) & RETRACE) != wanted) {
		if (rdtsc() > end)
			return false;
	}
	return true;
}

static void test_memory(void)
{
	check(text[0] == 0x0720 && text[CELLS - 1] == 0x0720, "the screen is not clear: %xh %xh",
		text[0], text[CELLS - 1]);
	text[0] = 0x1f41;
	text[CELLS - 1] = 0x2a5a;
	check(text[0] == 0x1f41 && text[CELLS - 1] == 0x2a5a, "text does not stay");
	check(((volatile uint8_t *)text)[1] == 0x1f, "the attribute is not behind its character");
	__asm__ volatile("lock incw %0" : "+m"(text[0]) : : "memory", "cc");
	check(text[0] == 0x1f42, "LOCK INC of a cell: %xh", text[0]);
	check(*(volatile uint32_t *)0xb7ffc == UINT32_MAX, "memory before the text");
	text[0] = 0x0720;
}

/* Somebody looks at the screen, and scrolls it by a row when a key comes; then another ends it. */
static void wait_for_key(void)
{
	while (!(inb(0x3fd) & 1))
		time_sleep_until(rdtsc() + time_us_to_tsc(1000));
	(void)inb(0x3f8);
}

static void draw(void)
{
	put(0, "first row");
	put(1, "  second row: \x01 is not ASCII");
	put(24, "the last row ends in column 80 ---------------------------------------------->");
	put(25, "below the screen");
}

static void show(void)
{
	draw();
	print("the screen is drawn");
	wait_for_key();
	set_start(COLUMNS);
	print("the screen is scrolled");
	wait_for_key();
}

void payload_run(void)
{
	test_registers();
	check(retrace_becomes(RETRACE) && retrace_becomes(0) && retrace_becomes(RETRACE),
		"the raster stands still");
	test_memory();
	if (!strcmp(guest_cmdline(), "wait"))
		show();
	if (!strcmp(guest_cmdline(), "die")) {
		draw();
		guest_exit(3);
	}
	set_start(0);
}
