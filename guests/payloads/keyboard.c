/* SPDX-License-Identifier: Apache-2.0 */
/* The keyboard controller and its keyboard, probed as kernels do; IRQ 1; no mouse. */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"

PAYLOAD("keyboard");

#define DATA    0x60
#define STATUS  0x64
#define COMMAND 0x64
#define OBF     0x01
#define IBF     0x02
#define PIN     1
#define VECTOR  0x72
#define NOTHING 0x100

static void command(uint8_t value)
{
	check(!(inb(STATUS) & IBF), "the controller takes nothing");
	outb(COMMAND, value);
}

/* The next byte, or NOTHING. */
static unsigned take(void)
{
	uint64_t end = rdtsc() + time_us_to_tsc(20000);

	while (!(inb(STATUS) & OBF)) {
		if (rdtsc() > end)
			return NOTHING;
	}
	return inb(DATA);
}

static void expect(const char *text, unsigned want)
{
	unsigned got = take();

	check(got == want, "%s: %xh, not %xh", text, got, want);
}

static void test_controller(void)
{
	while (inb(STATUS) & OBF)
		(void)inb(DATA);
	command(0xaa);
	expect("self test", 0x55);
	command(0xab);
	expect("keyboard interface", 0);
	command(0xa9);
	check(take() != 0, "there is a mouse");
	command(0x60);
	outb(DATA, 0x44); /* translation, no interrupt */
	command(0x20);
	expect("command byte", 0x44);
	command(0xad);
	command(0x20);
	expect("keyboard disabled", 0x54);
	command(0xae);
	command(0xd0);
	check((take() & 3) == 3, "the output port resets, or holds A20");
	command(0xd1);
	outb(DATA, 0xdd); /* A20 off, and on */
	command(0xd0);
	check((take() & 2) == 0, "A20 does not go off");
	command(0xdf);
	command(0xd0);
	check((take() & 3) == 3, "A20 does not come back");
	command(0xd2);
	outb(DATA, 0x42);
	expect("loop", 0x42);
	check(take() == NOTHING, "a byte too many");
}

static void test_keyboard(void)
{
	static const struct {
		uint8_t sent[2], answer[3];
		uint8_t sent_count, answer_count;
		const char *text;
	} rows[] = {
		{{0xff}, {0xfa, 0xaa}, 1, 2, "reset"},
		{{0xee}, {0xee}, 1, 1, "echo"},
		{{0xf2}, {0xfa, 0xab, 0x41}, 1, 3, "identify"},
		{{0xf5}, {0xfa}, 1, 1, "disable"},
		{{0xed, 7}, {0xfa, 0xfa}, 2, 2, "LEDs"},
		{{0xf3, 0x2b}, {0xfa, 0xfa}, 2, 2, "typematic rate"},
		{{0xf0, 2}, {0xfa, 0xfa}, 2, 2, "scan set"},
		{{0xf0, 0}, {0xfa, 0xfa, 0x41}, 2, 3, "scan set, read"},
		{{0xf4}, {0xfa}, 1, 1, "enable"},
		{{0x77}, {0xfe}, 1, 1, "no command"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned taken = 0;

		for (unsigned k = 0; k < rows[i].sent_count; k++) {
			outb(DATA, rows[i].sent[k]);
			expect(rows[i].text, rows[i].answer[taken++]);
		}
		while (taken < rows[i].answer_count)
			expect(rows[i].text, rows[i].answer[taken++]);
	}
	check(take() == NOTHING, "a byte too many");
}

/* The line follows the output buffer: each byte is an edge. */
static void test_interrupt(void)
{
	irq_forget();
	ioapic_route(PIN, VECTOR);
	command(0x60);
	outb(DATA, 0x45);
	outb(DATA, 0xf2);
	for (unsigned i = 0; i < 3; i++) {
		sti();
		delay_us(100);
		cli();
		check(irq_count[VECTOR] == i + 1, "%u interrupts for %u bytes", irq_count[VECTOR],
			i + 1);
		(void)inb(DATA);
	}
	sti();
	delay_us(100);
	cli();
	check(irq_count[VECTOR] == 3, "an interrupt without a byte");
	ioapic_route(PIN, APIC_LVT_MASKED);
}

void payload_run(void)
{
	test_controller();
	test_keyboard();
	test_interrupt();
}
