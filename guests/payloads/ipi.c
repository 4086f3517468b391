/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interrupts between CPUs: every message from each CPU in both APIC modes and mixtures of them, the
 * IOAPIC's and the PIC's to any CPU, what wakes HLT, errors.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/smp.h"
#include "hv/lib/string.h"

PAYLOAD("ipi");

#define LOWEST_FIRST 0x68u /* so many vectors for lowest priority: one CPU gets each */
#define LOWEST_COUNT 4u
#define NOTHING      0xffu /* of a vector: not delivered */
#define PIT_PIN      2u
#define PIC_VECTOR   0x20u
#define HPET         0xfed00000ul
#define HPET_T0      0x100
#define SETTLE_US    300000u

#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECV_ILLEGAL 0x40u

static unsigned expected[SMP_CPUS_MAX][256]; /* vector 2: NMIs */
static const char *mode;
static bool cluster;
static unsigned count, all; /* CPUs, and their mask */

static void nmi_handler(struct trap_frame *f)
{
	(void)f;
	irq_cpu_count[smp_id()][EXC_NMI]++;
}

static unsigned sum(const volatile unsigned (*table)[256])
{
	unsigned n = 0;

	for (unsigned c = 0; c < count; c++) {
		n += table[c][EXC_NMI];
		for (unsigned v = 0x20; v < 0xc0; v++)
			n += table[c][v];
	}
	return n;
}

/* Until as many have come as were expected; then there is time for one too many. */
static void settle(void)
{
	uint64_t end = rdtsc() + time_us_to_tsc(SETTLE_US);
	unsigned wanted = sum((const volatile unsigned(*)[256])expected);

	do {
		irq_window();
		smp_relax();
	} while (sum(irq_cpu_count) < wanted && rdtsc() < end);
}

static void expect(unsigned vector, unsigned targets)
{
	for (unsigned c = 0; c < count; c++)
		expected[c][vector] += targets >> c & 1;
}

static void forget(void)
{
	memset(expected, 0, sizeof(expected));
	memset((void *)(uint64_t)irq_cpu_count, 0, sizeof(irq_cpu_count));
}

static void compare(unsigned sender, const char *text)
{
	for (unsigned v = 0; v < LOWEST_COUNT; v++) {
		unsigned got = 0, wanted = 0;

		for (unsigned c = 0; c < count; c++) {
			got += irq_cpu_count[c][LOWEST_FIRST + v];
			wanted += expected[c][LOWEST_FIRST + v];
		}
		check(got == wanted, "%s %s from %u: lowest priority, %u got it", mode, text,
			sender, got);
	}
	for (unsigned c = 0; c < count; c++) {
		for (unsigned v = 0; v < 256; v++) {
			if (v - LOWEST_FIRST < LOWEST_COUNT)
				continue;
			check(irq_cpu_count[c][v] == expected[c][v],
				"%s %s from %u: CPU %u got vector %xh %u times, not %u", mode, text,
				sender, c, v, irq_cpu_count[c][v], expected[c][v]);
		}
	}
	forget();
}

/* ---- One CPU sends, the others listen ---- */

static unsigned listening;

static bool in_round(uint64_t r)
{
	return __atomic_load_n(&listening, __ATOMIC_ACQUIRE) == r;
}

static void listen(uint64_t r)
{
	while (in_round(r)) {
		irq_window();
		smp_relax();
	}
	irq_window();
}

static void with_listeners(unsigned sender, void (*fn)(uint64_t), uint64_t arg, const char *text)
{
	uint64_t end = rdtsc() + 2 * time_hz();

	for (unsigned c = 1; c < count; c++) {
		if (c != sender)
			smp_run_async(c, listen, listening);
	}
	if (sender == 0) {
		fn(arg);
	} else {
		smp_run_async(sender, fn, arg);
		while (!smp_is_done(sender) && rdtsc() < end) {
			irq_window();
			smp_relax();
		}
	}
	__atomic_add_fetch(&listening, 1, __ATOMIC_RELEASE);
	for (unsigned c = 1; c < count; c++)
		smp_wait(c);
	irq_window();
	compare(sender, text);
}

/* ---- IPIs ---- */

static bool x2apic(void)
{
	return rdmsr(MSR_IA32_APIC_BASE) & APIC_BASE_EXTD;
}

static void send(uint32_t dest, uint32_t command, unsigned targets)
{
	expect((command & APIC_DM_NMI) == APIC_DM_NMI ? EXC_NMI : command & 0xff, targets);
	apic_send(dest, APIC_ICR_ASSERT | command);
}

static uint32_t logical(unsigned cpu)
{
	return cluster ? cpu / 4 << 4 | 1u << cpu % 4 : 1u << cpu;
}

static void send_fixed(unsigned me)
{
	uint32_t group = cluster ? 0xf : 5 & all;

	for (unsigned t = 0; t < count; t++) {
		send(t, 0x40 + t, 1u << t);
		send(logical(t), APIC_ICR_LOGICAL | (0x50 + t), 1u << t);
	}
	send(group, APIC_ICR_LOGICAL | 0x60, group & all);
	send(x2apic() ? UINT32_MAX : 0xff, 0x61, all);
	send(0, APIC_ICR_OTHERS | 0x62, all & ~me);
	send(0, APIC_ICR_ALL | 0x63, all);
	send(0, APIC_ICR_SELF | 0x64, me);
	send(count, 0x66, 0);
	send(0x7e, 0x67, 0);
	send(0, APIC_ICR_ALL | 3u << 8 | 0x6d, 0); /* a reserved delivery mode */
	if (x2apic()) {
		wrmsr(MSR_IA32_X2APIC_BASE + APIC_SELF_IPI / 16, 0x65);
		expect(0x65, me);
	}
	settle();
}

static void send_lowest(void)
{
	uint32_t everyone = cluster ? 0xf : all;

	for (unsigned i = 0; i < LOWEST_COUNT; i++)
		send(everyone, APIC_ICR_LOGICAL | APIC_DM_LOWEST | (LOWEST_FIRST + i), 1);
	send(count - 1, APIC_DM_LOWEST | 0x6c, 1u << (count - 1));
	settle();
}

/* Two NMIs at once may become one: each is awaited. */
static void send_nmis(unsigned me)
{
	for (unsigned t = 0; t < count; t++) {
		send(t, APIC_DM_NMI, 1u << t);
		settle();
	}
	send(0, APIC_ICR_OTHERS | APIC_DM_NMI, all & ~me);
	settle();
}

static void send_illegal(void)
{
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	apic_send(0, APIC_ICR_ASSERT | APIC_ICR_OTHERS | 5);
	apic_write(APIC_ESR, 0);
	check(apic_read(APIC_ESR) == ESR_SEND_ILLEGAL, "%s: CPU %u sent vector 5, ESR %xh", mode,
		smp_id(), apic_read(APIC_ESR));
}

static void send_all(uint64_t unused)
{
	unsigned me = 1u << smp_id();

	(void)unused;
	send_fixed(me);
	send_lowest();
	send_nmis(me);
	if (on_bulkhead())
		send_illegal();
}

static void set_tpr(uint64_t value)
{
	apic_write(APIC_TPR, (uint32_t)value);
}

static void send_to_winner(uint64_t winner)
{
	send(cluster ? 0xf : all, APIC_ICR_LOGICAL | APIC_DM_LOWEST | 0x78, 1u << winner);
	settle();
}

/* The CPU with the lowest task priority gets it. */
static void test_arbitration(unsigned winner)
{
	for (unsigned c = 0; c < count; c++)
		smp_run(c, set_tpr, c == winner ? 0 : 0x20 + c);
	with_listeners(0, send_to_winner, winner, "to the lowest priority");
	for (unsigned c = 0; c < count; c++)
		smp_run(c, set_tpr, 0);
}

static volatile unsigned held;

static void hold_back(uint64_t unused)
{
	unsigned id = smp_id();
	uint64_t end = rdtsc() + time_us_to_tsc(SETTLE_US);

	(void)unused;
	apic_write(APIC_TPR, 0x90);
	held = 1;
	while (!apic_pending(0x91) && rdtsc() < end)
		irq_window();
	check(irq_cpu_count[id][0x91] == 0, "%s: the TPR of CPU %u holds nothing back", mode, id);
	apic_write(APIC_TPR, 0);
	irq_window();
	check(irq_cpu_count[id][0x91] == 1, "%s: CPU %u lost what its TPR held", mode, id);
}

static void test_tpr(unsigned cpu)
{
	held = 0;
	smp_run_async(cpu, hold_back, 0);
	if (smp_wait_for(&held, 1))
		apic_send(cpu, APIC_ICR_ASSERT | 0x91);
	smp_wait(cpu);
	forget();
}

static void set_mode(uint64_t x2)
{
	unsigned id = smp_id();

	apic_set_x2apic(x2 >> id & 1);
	if (x2 >> id & 1)
		return;
	apic_write(APIC_DFR, cluster ? 0x0fffffff : UINT32_MAX);
	apic_write(APIC_LDR, logical(id) << 24);
}

static void test_mode(const char *name, unsigned x2, bool clusters)
{
	mode = name;
	cluster = clusters;
	for (unsigned c = 0; c < count; c++)
		smp_run(c, set_mode, x2);
	forget();
	for (unsigned c = 0; c < count; c++)
		with_listeners(c, send_all, 0, "IPI");
	for (unsigned c = 0; c < MIN(count, cluster ? 4u : count); c++)
		test_arbitration(c);
	for (unsigned c = 1; c < count; c++)
		test_tpr(c);
}

/* ---- HLT ---- */

static void sleep_for_interrupt(uint64_t vector)
{
	held = 1;
	while (irq_cpu_count[smp_id()][vector] == 0)
		sti_hlt_cli();
}

static void sleep_for_nmi(uint64_t unused)
{
	(void)unused;
	held = 1;
	hlt();
	check(irq_cpu_count[smp_id()][EXC_NMI] == 1, "CPU %u woke without its NMI", smp_id());
}

static void test_wake(unsigned cpu)
{
	for (unsigned i = 0; i < 20; i++) {
		held = 0;
		smp_run_async(cpu, sleep_for_interrupt, 0x48);
		smp_wait_for(&held, 1);
		delay_us(i % 4 * 20);
		apic_send(cpu, APIC_ICR_ASSERT | 0x48);
		smp_wait(cpu);
		check(irq_cpu_count[cpu][0x48] == 1, "CPU %u woke %u times", cpu,
			irq_cpu_count[cpu][0x48]);
		forget();
	}
	held = 0;
	smp_run_async(cpu, sleep_for_nmi, 0);
	smp_wait_for(&held, 1);
	delay_us(50);
	apic_send(cpu, APIC_ICR_ASSERT | APIC_DM_NMI);
	smp_wait(cpu);
	forget();
}

/* ---- From the IOAPIC and the PIC ---- */

/* OUT of the PIT goes down, and up 100 us later. */
static void pit_edge(void)
{
	outb(0x43, 0x30);
	outb(0x40, 119);
	outb(0x40, 0);
}

/* delay_us() alone may keep the machine's timer from the PIT: see smp_relax(). */
static void open_for(uint64_t us)
{
	uint64_t end = rdtsc() + time_us_to_tsc(us);

	while (rdtsc() < end)
		smp_relax();
}

static void through_pin(unsigned pin, uint64_t entry, unsigned vector, unsigned targets)
{
	ioapic_route(pin, entry);
	expect(vector, targets);
	pit_edge();
	settle();
	if (targets == 0)
		open_for(400);
	ioapic_route(pin, APIC_LVT_MASKED);
}

static void ioapic_edges(uint64_t unused)
{
	(void)unused;
	for (unsigned t = 0; t < count; t++) {
		through_pin(PIT_PIN, (uint64_t)t << 56 | (0x80 + t), 0x80 + t, 1u << t);
		through_pin(PIT_PIN, 1ull << t << 56 | APIC_ICR_LOGICAL | (0x88 + t), 0x88 + t,
			1u << t);
		through_pin(PIT_PIN, (uint64_t)t << 56 | APIC_DM_NMI, EXC_NMI, 1u << t);
	}
	through_pin(PIT_PIN, (uint64_t)all << 56 | APIC_ICR_LOGICAL | 0x90, 0x90, all);
	through_pin(PIT_PIN, 0xffull << 56 | 0x91, 0x91, all);
	through_pin(PIT_PIN, (uint64_t)count << 56 | 0x92, 0x92, 0);
	through_pin(PIT_PIN, (uint64_t)all << 56 | APIC_ICR_LOGICAL | APIC_DM_LOWEST | LOWEST_FIRST,
		LOWEST_FIRST, 1);
}

static void pic_handler(struct trap_frame *f)
{
	irq_cpu_count[smp_id()][f->vector]++;
	outb(0x20, 0x20);
}

/* Only IRQ 0, at vector 20h. */
static void pic_init(uint8_t mask)
{
	static const uint16_t words[][2] = {{0x20, 0x11}, {0x21, PIC_VECTOR}, {0x21, 4}, {0x21, 1},
		{0xa0, 0x11}, {0xa1, PIC_VECTOR + 8}, {0xa1, 2}, {0xa1, 1}, {0xa1, 0xff}};

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
		outb(words[i][0], (uint8_t)words[i][1]);
	outb(0x21, mask);
	for (unsigned v = PIC_VECTOR; v < PIC_VECTOR + 8; v++)
		trap_set_handler(v, mask == 0xff ? NULL : pic_handler);
}

/* Pin 0 carries INTR. */
static void extint_by_ioapic(uint64_t unused)
{
	(void)unused;
	for (unsigned t = 0; t < count; t++) {
		through_pin(0, (uint64_t)t << 56 | APIC_DM_EXTINT, PIC_VECTOR, 1u << t);
		through_pin(0, (uint64_t)t << 56 | APIC_DM_EXTINT, PIC_VECTOR, 1u << t);
	}
}

static void set_lint0(uint64_t value)
{
	apic_write(APIC_LVT_LINT0, (uint32_t)value);
}

static void extint_by_lint0(uint64_t cpu)
{
	for (unsigned i = 0; i < 3; i++) {
		expect(PIC_VECTOR, 1u << cpu);
		pit_edge();
		settle();
	}
}

/* Whoever is quicker gets it, and only one; a vector out of nothing would be somewhere else. */
static void extint_for_anyone(uint64_t unused)
{
	(void)unused;
	for (unsigned i = 0; i < 50; i++) {
		unsigned got = 0;

		expect(PIC_VECTOR, 1);
		pit_edge();
		settle();
		for (unsigned c = 0; c < count; c++)
			got += irq_cpu_count[c][PIC_VECTOR];
		check(got == 1, "an interrupt of the PIC came to %u CPUs", got);
		for (unsigned c = 0; c < count; c++)
			expected[c][PIC_VECTOR] = irq_cpu_count[c][PIC_VECTOR] = 0;
	}
}

static void test_extint(void)
{
	mode = "ExtINT";
	pic_init(0xfe);
	with_listeners(0, extint_by_ioapic, 0, "by the IOAPIC");
	for (unsigned c = 0; c < count; c++) {
		smp_run(c, set_lint0, APIC_DM_EXTINT);
		with_listeners(0, extint_by_lint0, c, "by LINT0");
		smp_run(c, set_lint0, APIC_LVT_MASKED);
	}
	for (unsigned c = 0; c < count; c++)
		smp_run(c, set_lint0, APIC_DM_EXTINT);
	with_listeners(0, extint_for_anyone, 0, "by all LINT0");
	for (unsigned c = 0; c < count; c++)
		smp_run(c, set_lint0, APIC_LVT_MASKED);
	pic_init(0xff);
}

static volatile uint64_t *hpet(unsigned offset)
{
	return (volatile uint64_t *)(HPET + offset);
}

static unsigned hpet_pin;

static void hpet_handler(struct trap_frame *f)
{
	irq_cpu_count[smp_id()][f->vector]++;
	check(ioapic_read(0x10 + 2 * hpet_pin) & 1 << 14, "no remote IRR in the handler");
	*hpet(0x20) = 1; /* before EOI, or the line is still asserted */
	apic_eoi();
}

/* Level-triggered, to each CPU: its EOI ends it at the IOAPIC. */
static void hpet_levels(uint64_t unused)
{
	uint64_t period = *hpet(0) >> 32;

	(void)unused;
	for (unsigned t = 0; t < count; t++) {
		*hpet(0x10) = 0;
		*hpet(0xf0) = 0;
		*hpet(HPET_T0) = (uint64_t)hpet_pin << 9 | 1 << 2 | 1 << 1;
		*hpet(HPET_T0 + 8) = 200000000000ull / period; /* 0.2 ms */
		ioapic_route(hpet_pin, (uint64_t)t << 56 | 1 << 15 | (0xa0 + t));
		expect(0xa0 + t, 1u << t);
		*hpet(0x10) = 1;
		settle();
		open_for(100);
		check(!(ioapic_read(0x10 + 2 * hpet_pin) & 1 << 14), "remote IRR stays: CPU %u", t);
		*hpet(HPET_T0) = 0;
		ioapic_route(hpet_pin, APIC_LVT_MASKED);
	}
}

static void test_levels(void)
{
	uint32_t routes = (uint32_t)(*hpet(HPET_T0) >> 32);

	if (!check(routes != 0, "the HPET has no routes"))
		return;
	hpet_pin = 31 - (unsigned)__builtin_clz(routes);
	for (unsigned t = 0; t < count; t++)
		trap_set_handler(0xa0 + t, hpet_handler);
	with_listeners(0, hpet_levels, 0, "level");
}

/* ---- Errors ---- */

static void clear_esr(uint64_t unused)
{
	(void)unused;
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
}

static void see_received(uint64_t unused)
{
	(void)unused;
	apic_write(APIC_ESR, 0);
	check(apic_read(APIC_ESR) == ESR_RECV_ILLEGAL, "CPU %u: got vector 3, ESR %xh", smp_id(),
		apic_read(APIC_ESR));
}

static void send_illegal_by_pin(uint64_t cpu)
{
	through_pin(PIT_PIN, cpu << 56 | 3, NOTHING, 0);
}

static void check_reserved(uint64_t unused)
{
	static const struct {
		unsigned offset;
		uint64_t value;
	} rows[] = {{APIC_TPR, 0x100}, {APIC_EOI, 1}, {APIC_ICR, 1 << 12}, {APIC_ICR, 1 << 20},
		{APIC_SELF_IPI, 0x100}, {APIC_ESR, 1}, {APIC_ID, 0}, {APIC_DFR, 0}, {APIC_LDR, 0},
		{APIC_ICR_HIGH, 0}, {APIC_SVR, 1 << 16}, {APIC_LVT_TIMER, 3 << 17},
		{APIC_TIMER_DCR, 4}};
	uint64_t value;

	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		check(wrmsr_safe(MSR_IA32_X2APIC_BASE + rows[i].offset / 16, rows[i].value) != OK,
			"x2APIC register %xh takes %lxh", rows[i].offset, rows[i].value);
	check(rdmsr_safe(MSR_IA32_X2APIC_BASE + APIC_ICR_HIGH / 16, &value) != OK,
		"x2APIC register 310h can be read");
}

static void test_errors(unsigned cpu)
{
	uint64_t value;

	smp_run(cpu, clear_esr, 0);
	with_listeners(0, send_illegal_by_pin, cpu, "illegal vector");
	smp_run(cpu, see_received, 0);
	check(rdmsr_safe(MSR_IA32_X2APIC_BASE + APIC_ID / 16, &value) != OK,
		"x2APIC registers in xAPIC mode");
	smp_run(cpu, set_mode, 1u << cpu);
	smp_run(cpu, check_reserved, 0);
	smp_run(cpu, set_mode, 0);
}

void payload_run(void)
{
	count = smp_count();
	all = (1u << count) - 1;
	if (!check(count > 1, "a guest with one CPU"))
		return;
	smp_init();
	if (!smp_start_all())
		return;
	trap_set_handler(EXC_NMI, nmi_handler);
	test_mode("xAPIC cluster", 0, true);
	if (apic_has_x2apic())
		test_mode("x2APIC", all, false);
	/* What a mixture does is not promised by the manuals. */
	if (apic_has_x2apic() && on_bulkhead()) {
		test_mode("odd ones x2APIC", 0xaa & all, false);
		test_mode("even ones x2APIC", 0x55 & all, false);
	}
	test_mode("xAPIC flat", 0, false);
	for (unsigned c = 1; c < count; c++)
		test_wake(c);
	mode = "IOAPIC";
	with_listeners(0, ioapic_edges, 0, "edge");
	test_levels();
	test_extint();
	for (unsigned c = 1; c < count && on_bulkhead(); c++)
		test_errors(c);
}
