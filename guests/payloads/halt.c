/* SPDX-License-Identifier: Apache-2.0 */
/* HLT: what wakes the CPU and what does not. */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("halt");

#define PIT_PIN 2

static volatile unsigned nmis;
static volatile uint64_t nmi_rip;

static void nmi_handler(struct trap_frame *f)
{
	nmis++;
	nmi_rip = f->rip;
}

static uint64_t sleep_us(uint64_t us)
{
	uint64_t start = rdtsc();

	time_arm(start + time_us_to_tsc(us));
	sti_hlt_cli();
	return time_tsc_to_us(rdtsc() - start);
}

static void test_timer(void)
{
	for (unsigned i = 0; i < 50; i++) {
		uint64_t us = sleep_us(500);

		check(us >= 480, "HLT lasted %lu us of 500", us);
		check(irq_count[TIME_VECTOR] == i + 1, "HLT ended without its interrupt");
	}
	irq_forget();
}

/* An interrupt that waits already: STI, HLT must not sleep. */
static void test_pending(void)
{
	unsigned slept = 0;

	for (unsigned i = 0; i < 8; i++) {
		uint64_t start = rdtsc();

		time_arm(start + time_us_to_tsc(50000));
		apic_self(0x40);
		sti_hlt_cli();
		slept += time_tsc_to_us(rdtsc() - start) > 40000;
	}
	check(irq_count[0x40] == 8 && slept == 0, "HLT slept over %u of 8 waiting interrupts",
		slept);
	time_arm(rdtsc());
	irq_open();
	irq_forget();
}

/* One that the TPR holds back does not wake. */
static void test_held_back(void)
{
	uint64_t us;

	apic_write(APIC_TPR, 0x50);
	apic_self(0x40);
	us = sleep_us(3000);
	check(us >= 2900, "a masked interrupt ended HLT after %lu us", us);
	check(irq_count[0x40] == 0, "the TPR held nothing back");
	apic_write(APIC_TPR, 0);
	irq_open();
	check(irq_count[0x40] == 1, "the interrupt is lost");
	irq_forget();
}

static void nmi_self(void)
{
	apic_send(0, APIC_ICR_ASSERT | APIC_DM_NMI);
}

static void test_nmi(void)
{
	trap_set_handler(EXC_NMI, nmi_handler);
	nmi_self();
	cpuid(0, 0);
	check(nmis == 1, "an NMI to itself came %u times", nmis);
	for (unsigned i = 0; i < 10; i++)
		nmi_self();
	cpuid(0, 0);
	check(nmis == 11, "of 10 NMIs came %u", nmis - 1);
}

/* The PIT through the IOAPIC as NMI, once, while the CPU halts with interrupts off. */
static void test_nmi_wakes(void)
{
	uint64_t start, us;

	nmis = 0;
	ioapic_route(PIT_PIN, APIC_DM_NMI);
	outb(0x43, 0x30); /* mode 0: once */
	outb(0x40, 0x4b);
	start = rdtsc();
	outb(0x40, 0x17); /* 5963: 5 ms */
	cli();
	hlt();
	us = time_tsc_to_us(rdtsc() - start);
	check(nmis == 1, "HLT with IF = 0 ended by %u NMIs", nmis);
	check(us >= 4500 && us < 60000, "the NMI came after %lu us", us);
	ioapic_route(PIT_PIN, APIC_LVT_MASKED);
}

/* NMIs are blocked until IRET: one raised in the handler comes after it. */
static volatile unsigned depth, depth_max;

static void nested_handler(struct trap_frame *f)
{
	(void)f;
	depth_max = MAX(depth_max, ++depth);
	if (++nmis == 1) {
		nmi_self();
		cpuid(0, 0);
	}
	depth--;
}

static void test_nmi_blocking(void)
{
	nmis = 0;
	trap_set_handler(EXC_NMI, nested_handler);
	nmi_self();
	cpuid(0, 0);
	check(nmis == 2, "%u NMIs of 2", nmis);
	check(depth_max == 1, "an NMI interrupted the NMI handler");
}

void payload_run(void)
{
	irq_forget();
	test_timer();
	test_pending();
	test_held_back();
	test_nmi();
	test_nmi_wakes();
	test_nmi_blocking();
}
