/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: each interrupts when it should, measured with the TSC, and the clocks agree. */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "guests/runtime/guest.h"

PAYLOAD("timer");

#define HPET        0xfed00000ul
#define HPET_T0     0x100
#define HPET_STATUS 0x20
#define VECTOR      0x50
#define LATE_US     20000 /* an emulator on a busy machine */
#define PM_TIMER_HZ 3579545u

static volatile uint64_t *hpet(unsigned offset)
{
	return (volatile uint64_t *)(HPET + offset);
}

/* Wait for the vector to have come `count` times, at most 1 s. Microseconds since `start`. */
static uint64_t wait_for(unsigned vector, unsigned count, uint64_t start)
{
	uint64_t end = rdtsc() + time_hz();

	while (irq_count[vector] < count && rdtsc() < end)
		irq_open();
	return time_tsc_to_us(rdtsc() - start);
}

static void judge(uint64_t us, uint64_t wanted, const char *text)
{
	check(us + wanted / 50 + 20 >= wanted && us <= wanted + LATE_US, "%s: %lu us, not %lu",
		text, us, wanted);
}

static uint64_t apic_timer_hz(void)
{
	uint64_t start, end;
	uint32_t left;

	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR);
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_TIMER_ICT, UINT32_MAX);
	start = rdtsc();
	delay_us(5000);
	left = apic_read(APIC_TIMER_CCT);
	end = rdtsc();
	apic_write(APIC_TIMER_ICT, 0);
	return mul_div(UINT32_MAX - left, time_hz(), end - start);
}

static void test_one_shot(uint64_t hz)
{
	uint64_t start;

	for (uint64_t us = 500; us <= 8000; us *= 4) {
		irq_forget();
		apic_write(APIC_LVT_TIMER, APIC_LVT_ONE_SHOT | VECTOR);
		start = rdtsc();
		apic_write(APIC_TIMER_ICT, (uint32_t)mul_div(us, hz, 1000000));
		judge(wait_for(VECTOR, 1, start), us, "one-shot");
		check(apic_read(APIC_TIMER_CCT) == 0, "one-shot: count %u at the end",
			apic_read(APIC_TIMER_CCT));
	}
	delay_us(1000);
	irq_open();
	check(irq_count[VECTOR] == 1, "one-shot fired %u times", irq_count[VECTOR]);
}

static void test_masked(uint64_t hz)
{
	irq_forget();
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR);
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 2000));
	delay_us(2000);
	irq_open();
	check(irq_count[VECTOR] == 0, "a masked timer interrupts");
	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 2000));
	apic_write(APIC_TIMER_ICT, 0);
	delay_us(2000);
	irq_open();
	check(irq_count[VECTOR] == 0, "a stopped timer interrupts");
}

static void test_divisor(uint64_t hz)
{
	uint64_t start;

	irq_forget();
	apic_write(APIC_TIMER_DCR, 2); /* by 8 */
	start = rdtsc();
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 8 / 250));
	judge(wait_for(VECTOR, 1, start), 4000, "divided by 8");
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
}

static void test_periodic(uint64_t hz)
{
	uint64_t start;

	irq_forget();
	apic_write(APIC_LVT_TIMER, APIC_LVT_PERIODIC | VECTOR);
	start = rdtsc();
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 500));
	judge(wait_for(VECTOR, 10, start), 20000, "periodic, ten times 2 ms");
	apic_write(APIC_TIMER_ICT, 0);
	irq_open();
	irq_forget();
	delay_us(5000);
	irq_open();
	check(irq_count[VECTOR] == 0, "a stopped periodic timer interrupts");
}

static void test_deadline(void)
{
	uint64_t start;

	apic_write(APIC_LVT_TIMER, APIC_LVT_TSC_DEADLINE | VECTOR);
	mfence();
	for (uint64_t us = 300; us <= 5000; us *= 4) {
		irq_forget();
		start = rdtsc();
		wrmsr(MSR_IA32_TSC_DEADLINE, start + time_us_to_tsc(us));
		check(rdmsr(MSR_IA32_TSC_DEADLINE) != 0, "an armed deadline reads 0");
		judge(wait_for(VECTOR, 1, start), us, "TSC deadline");
		check(rdmsr(MSR_IA32_TSC_DEADLINE) == 0, "the deadline stays after it fired");
	}
	irq_forget();
	start = rdtsc();
	wrmsr(MSR_IA32_TSC_DEADLINE, start - 1000);
	judge(wait_for(VECTOR, 1, start), 0, "a deadline in the past");
	wrmsr(MSR_IA32_TSC_DEADLINE, rdtsc() + time_us_to_tsc(1000));
	wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	irq_forget();
	delay_us(3000);
	irq_open();
	check(irq_count[VECTOR] == 0, "a cancelled deadline interrupts");
	check(apic_read(APIC_TIMER_CCT) == 0, "deadline mode counts");
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
}

static void hpet_handler(struct trap_frame *f)
{
	(void)f;
	irq_count[VECTOR + 1]++;
	*hpet(HPET_STATUS) = 1; /* before EOI, or the line is still asserted */
	apic_eoi();
}

/* Timer 0 at a level-triggered pin of the IOAPIC. */
static void test_hpet(void)
{
	uint32_t routes = (uint32_t)(*hpet(HPET_T0) >> 32);
	uint64_t period = *hpet(0) >> 32, start;
	unsigned pin = routes ? 31 - (unsigned)__builtin_clz(routes) : 0;

	if (!check(pin < 24, "HPET timer 0 can be routed to 0x%x", routes))
		return;
	trap_set_handler(VECTOR + 1, hpet_handler);
	irq_forget();
	*hpet(0x10) = 0;
	*hpet(0xf0) = 0;
	*hpet(HPET_T0) = (uint64_t)pin << 9 | 1 << 2 | 1 << 1; /* enabled, level */
	*hpet(HPET_T0 + 8) = 3000000000000ull / period;        /* 3 ms */
	ioapic_route(pin, 1 << 15 | (VECTOR + 1));
	start = rdtsc();
	*hpet(0x10) = 1;
	judge(wait_for(VECTOR + 1, 1, start), 3000, "HPET");
	delay_us(1000);
	irq_open();
	check(irq_count[VECTOR + 1] == 1, "the HPET interrupts %u times", irq_count[VECTOR + 1]);
	check(!(ioapic_read(0x10 + 2 * pin) & 1 << 14), "remote IRR stays");
	*hpet(HPET_T0) = 0;
	ioapic_route(pin, APIC_LVT_MASKED);
}

static uint8_t rtc(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void rtc_handler(struct trap_frame *f)
{
	(void)f;
	irq_count[VECTOR + 2]++;
	rtc(0xc);
	apic_eoi();
}

static void test_rtc(void)
{
	uint64_t start;
	uint8_t b = rtc(0xb);

	trap_set_handler(VECTOR + 2, rtc_handler);
	irq_forget();
	ioapic_route(8, VECTOR + 2);
	outb(0x70, 0xa);
	outb(0x71, 0x26);
	outb(0x70, 0xb);
	outb(0x71, b | 0x40);
	rtc(0xc);
	irq_open(); /* an old periodic flag may have interrupted */
	irq_forget();
	wait_for(VECTOR + 2, 1, 0);
	start = rdtsc();
	judge(wait_for(VECTOR + 2, 21, start), 20 * 1000000 / 1024, "RTC, 20 periods");
	outb(0x70, 0xb);
	outb(0x71, b);
	ioapic_route(8, APIC_LVT_MASKED);
}

/* The TSC's rate by CPUID and by the PM timer. */
static void test_rates(void)
{
	uint32_t start = pm_timer(), ticks;
	uint64_t tsc = rdtsc(), hz, ms = time_hz() / 1000;

	do {
		ticks = (pm_timer() - start) & 0xffffff;
	} while (ticks < PM_TIMER_HZ / 20);
	hz = mul_div(rdtsc() - tsc, PM_TIMER_HZ, ticks);
	check(hz / 1000 > ms - ms / 50 && hz / 1000 < ms + ms / 50,
		"TSC at %lu kHz by the PM timer, %lu kHz said", hz / 1000, ms);
}

void payload_run(void)
{
	uint64_t hz = apic_timer_hz();

	test_rates();
	check(hz >= 1000000, "the LAPIC timer counts at %lu Hz", hz);
	test_one_shot(hz);
	test_masked(hz);
	test_divisor(hz);
	test_periodic(hz);
	if (cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_TSC_DEADLINE)
		test_deadline();
	test_hpet();
	test_rtc();
}
