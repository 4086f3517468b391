/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real-time clock: formats, a calendar that turns a leap day's midnight, its three interrupts,
 * and both banks of CMOS RAM.
 */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"

PAYLOAD("rtc");

#define PIN    8
#define VECTOR 0x73

#define A_RUN   0x20
#define A_RESET 0x70
#define A_UIP   0x80
#define B_SET   0x80
#define B_PIE   0x40
#define B_AIE   0x20
#define B_UIE   0x10
#define B_DM    0x04
#define B_24H   0x02
#define C_IRQF  0x80
#define C_PF    0x40
#define C_AF    0x20
#define C_UF    0x10

static uint8_t get(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void set(uint8_t index, uint8_t value)
{
	outb(0x70, index);
	outb(0x71, value);
}

/* Seconds, minutes, hours, day, month, year, century. */
static const uint8_t fields[] = {0, 2, 4, 7, 8, 9, 0x32};

static void set_clock(const uint8_t *values)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		set(fields[i], values[i]);
}

static void expect_clock(const uint8_t *values, const char *text)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++)
		check(get(fields[i]) == values[i], "%s: register %xh is %xh, not %xh", text,
			fields[i], get(fields[i]), values[i]);
}

/* Until the RTC has interrupted, or too long. */
static void await(uint64_t us)
{
	uint64_t end = rdtsc() + time_us_to_tsc(us);

	while (irq_count[VECTOR] == 0 && rdtsc() < end) {
		time_arm(end);
		sti_hlt_cli();
	}
}

/*
 * The divider is released: the update comes half a second later, and turns 28 February 2000 into a
 * leap day. Update and alarm, with all three fields "don't care", come with it.
 */
static void test_update(void)
{
	static const uint8_t before[] = {0x59, 0x59, 0x91, 0x28, 0x02, 0x00, 0x20}; /* 11 pm */
	static const uint8_t after[] = {0x00, 0x00, 0x12, 0x29, 0x02, 0x00, 0x20};  /* 12 am */
	uint64_t start;
	uint8_t flags;

	set(0xb, B_SET);
	set(0xa, A_RESET);
	set_clock(before);
	for (uint8_t alarm = 1; alarm <= 5; alarm += 2)
		set(alarm, 0xff);
	(void)get(0xc);
	set(0xa, A_RUN);
	set(0xb, B_AIE | B_UIE);
	start = rdtsc();
	expect_clock(before, "before");
	check(!(get(0xa) & A_UIP), "UIP right after the divider's start");
	irq_forget();
	await(2000000);
	start = time_tsc_to_us(rdtsc() - start);
	check(start > 490000 && start < 700000, "the first update comes after %lu us", start);
	check(irq_count[VECTOR] == 1, "%u interrupts", irq_count[VECTOR]);
	flags = get(0xc);
	check(flags == (C_IRQF | C_AF | C_UF), "flags %xh", flags);
	check(get(0xc) == 0, "flags stay");
	expect_clock(after, "after");
	set(0xb, B_24H | B_DM);
	check(get(4) == 0 && get(7) == 29 && get(9) == 0, "binary, 24 hours: %u", get(4));
}

static void test_periodic(void)
{
	unsigned count;

	set(0xa, A_RUN | 6); /* 1024 Hz */
	set(0xb, B_24H | B_PIE);
	(void)get(0xc);
	irq_forget();
	count = 0;
	for (unsigned i = 0; i < 20; i++) {
		irq_forget();
		await(20000);
		count += irq_count[VECTOR];
		check((get(0xc) & (C_IRQF | C_PF)) == (C_IRQF | C_PF), "no periodic flag");
	}
	check(count == 20, "%u periodic interrupts of 20", count);
	set(0xb, B_24H);
	irq_open(); /* one may have come before that */
	irq_forget();
	await(3000);
	check(irq_count[VECTOR] == 0, "an interrupt that is not enabled");
	check(get(0xc) & C_PF, "the flag does not rise without its interrupt");
}

static void test_ram(void)
{
	set(0x40, 0x12);
	outb(0x72, 0x40);
	outb(0x73, 0x34);
	check(get(0x40) == 0x12, "the banks are one");
	outb(0x72, 0x40);
	check(inb(0x73) == 0x34, "the second bank forgets");
	check(get(0xd) & 0x80, "the battery is dead");
	set(0xcd, 0); /* with the NMI mask */
	check(get(0xd) & 0x80, "VRT can be written");
}

void payload_run(void)
{
	ioapic_route(PIN, VECTOR);
	test_update();
	test_periodic();
	test_ram();
	ioapic_route(PIN, APIC_LVT_MASKED);
}
