/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of 8259A in "virtual wire" mode: through LINT0 as ExtINT, master and slave. */
#include "arch/x86/defs/apic.h"
#include "guests/runtime/guest.h"

PAYLOAD("pic");

#define MASTER  0x20
#define SLAVE   0xa0
#define BASE    0x20
#define EOI     0x20
#define IRQ_PIT 0
#define IRQ_RTC 8

static volatile unsigned pit_ticks, rtc_ticks;

static void pit_handler(struct trap_frame *f)
{
	(void)f;
	pit_ticks++;
	outb(MASTER, EOI);
}

static void rtc_handler(struct trap_frame *f)
{
	(void)f;
	rtc_ticks++;
	outb(0x70, 0xc);
	(void)inb(0x71);
	outb(SLAVE, EOI);
	outb(MASTER, EOI);
}

static void pic_init(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} words[] = {
		{MASTER, 0x11},
		{MASTER + 1, BASE},
		{MASTER + 1, 4},
		{MASTER + 1, 1},
		{SLAVE, 0x11},
		{SLAVE + 1, BASE + 8},
		{SLAVE + 1, 2},
		{SLAVE + 1, 1},
		{MASTER + 1, 0xff},
		{SLAVE + 1, 0xff},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i].port, words[i].value);
}

static void open_for(uint64_t us)
{
	sti();
	delay_us(us);
	cli();
}

static void start_pit(void)
{
	outb(0x43, 0x34);
	outb(0x40, 0xa9); /* 1193: 1 kHz */
	outb(0x40, 0x04);
}

static void start_rtc(void)
{
	outb(0x70, 0xa);
	outb(0x71, 0x26); /* 1024 Hz */
	outb(0x70, 0xb);
	outb(0x71, 0x42); /* 24 hours, periodic interrupt */
	outb(0x70, 0xc);
	(void)inb(0x71);
}

static void test_masks(void)
{
	open_for(5000);
	check(pit_ticks == 0, "%u interrupts while masked", pit_ticks);
	outb(MASTER + 1, 0xfe);
	apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED | APIC_DM_EXTINT);
	open_for(5000);
	check(pit_ticks == 0, "%u interrupts while LINT0 is masked", pit_ticks);
	outb(MASTER, 0x0a); /* OCW3: IRR */
	check(inb(MASTER) & 1, "IRQ 0 is not requested");
}

static void test_delivery(void)
{
	apic_write(APIC_LVT_LINT0, APIC_DM_EXTINT);
	open_for(30000);
	check(pit_ticks >= 20 && pit_ticks <= 34, "%u PIT interrupts in 30 ms", pit_ticks);
	outb(MASTER, 0x0b); /* OCW3: ISR */
	check(inb(MASTER) == 0, "ISR is %xh after all EOIs", inb(MASTER));
	outb(MASTER + 1, 0xfb); /* the slave alone */
	outb(SLAVE + 1, 0xfe);
	pit_ticks = 0;
	open_for(30000);
	check(rtc_ticks >= 20 && rtc_ticks <= 34, "%u RTC interrupts in 30 ms", rtc_ticks);
	check(pit_ticks == 0, "the PIT's interrupt is masked and came");
}

/*
 * TPR does not hold ExtINT back; without EOI the PIC sends nothing of the same or lower priority.
 */
static void test_priority(void)
{
	outb(MASTER + 1, 0xfa);
	apic_write(APIC_TPR, 0xf0);
	pit_ticks = 0;
	open_for(10000);
	check(pit_ticks >= 5, "TPR held %u ExtINTs back", pit_ticks);
	apic_write(APIC_TPR, 0);
	check(!apic_in_service(BASE) && !apic_pending(BASE), "ExtINT is in the LAPIC's ISR or IRR");
}

void payload_run(void)
{
	trap_set_handler(BASE + IRQ_PIT, pit_handler);
	trap_set_handler(BASE + IRQ_RTC, rtc_handler);
	pic_init();
	start_pit();
	start_rtc();
	test_masks();
	test_delivery();
	test_priority();
}
