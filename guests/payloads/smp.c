/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several CPUs: how they start and what they are like then, who they are, their time, their LAPIC's
 * place, and work that all do together. Interrupts between them: ipi.c.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/smp.h"
#include "hv/lib/string.h"

PAYLOAD("smp");

#define VECTOR         0x50
#define FLUSH_VECTOR   0x51
#define MOVED_BASE     0xfed40000ull
#define TSC_STEP       BIT(40)
#define PING_ROUNDS    1000u
#define FLUSH_ROUNDS   3000u
#define FLUSH_MIN      100u
#define COUNTER_ROUNDS 5000u
#define LATE_US        50000u

/* ---- Start ---- */

static void expect_at(unsigned page, const char *text)
{
	const volatile struct smp_found *f = smp_found(page);
	/* QEMU 10 lets a guest of AMD-V read the real CR4, whatever is intercepted: MCE is on. */
	uint32_t cr4 = f->cr4 & ~(on_qemu_cpu() ? (uint32_t)CR4_MCE : 0);

	check(f->cs == page >> 4, "%s: CS %xh", text, f->cs);
	check((f->cr0 & ~(uint32_t)(CR0_CD | CR0_NW)) == CR0_ET, "%s: CR0 %xh", text, f->cr0);
	check(f->cr2 == 0 && f->cr3 == 0 && cr4 == 0, "%s: CR2 %xh, CR3 %xh, CR4 %xh", text, f->cr2,
		f->cr3, f->cr4);
	check(f->efer == 0, "%s: EFER %xh", text, f->efer);
	check(f->eflags == RFLAGS_RESERVED, "%s: EFLAGS %xh", text, f->eflags);
	check(f->edx == cpuid(CPUID_LEAF_FEATURES, 0).eax, "%s: EDX %xh", text, f->edx);
	check((f->eax | f->ebx | f->ecx | f->esi | f->edi | f->ebp) == 0,
		"%s: a general register is not 0", text);
	check(f->esp == 0xfffc || f->esp == 0xfffffffc, "%s: ESP %xh after a push", text, f->esp);
	check((f->ds | f->ss | f->fs) == 0, "%s: DS %xh, SS %xh", text, f->ds, f->ss);
	check(f->dr0 == 0 && f->dr6 == DR6_RESET && f->dr7 == DR7_RESET,
		"%s: DR0 %xh, DR6 %xh, DR7 %xh", text, f->dr0, f->dr6, f->dr7);
	check(f->gdt_base == 0 && f->gdt_limit == 0xffff, "%s: GDT %xh, limit %xh", text,
		f->gdt_base, f->gdt_limit);
	check(f->idt_base == 0 && f->idt_limit == 0xffff, "%s: IDT %xh, limit %xh", text,
		f->idt_base, f->idt_limit);
}

static void restart(unsigned cpu, unsigned page, const char *text)
{
	unsigned before = smp_arrivals(cpu);

	memset((void *)(uint64_t)(page + SMP_FOUND), 0x55, sizeof(struct smp_found));
	smp_send_init(cpu);
	smp_send_sipi(cpu, page);
	if (smp_await(cpu, before + 1))
		expect_at(page, text);
}

/* Two SIPIs with different pages: the first counts. One to a CPU that runs does nothing. */
static void test_second_sipi(unsigned cpu)
{
	unsigned before = smp_arrivals(cpu);

	memset((void *)(uint64_t)(SMP_PAGE_B + SMP_FOUND), 0x55, sizeof(struct smp_found));
	smp_send_init(cpu);
	smp_send_sipi(cpu, SMP_PAGE_A);
	smp_send_sipi(cpu, SMP_PAGE_B);
	smp_await(cpu, before + 1);
	smp_send_sipi(cpu, SMP_PAGE_B);
	delay_us(200);
	check(smp_arrivals(cpu) == before + 1, "CPU %u starts at a further SIPI", cpu);
	check(smp_found(SMP_PAGE_B)->cs == 0x5555, "CPU %u began at the second SIPI", cpu);
}

static volatile unsigned doing;

/* With "exits" on the command line no loop stays in the guest for ever: see smp_relax(). */
static void relax(void)
{
	if (guest_cmdline()[0])
		smp_relax();
	else
		cpu_relax();
}

static void spin_for_ever(uint64_t unused)
{
	(void)unused;
	write_dr0(0x1234);
	write_dr7(DR7_RESET | 1 << 8);
	doing = 1;
	for (;;)
		relax();
}

static void halt_for_ever(uint64_t unused)
{
	(void)unused;
	doing = 1;
	for (;;)
		hlt();
}

/* With an interrupt in service, one waiting and the timer running. */
static void busy_for_ever(uint64_t unused)
{
	(void)unused;
	apic_write(APIC_TPR, 0x20);
	apic_self(VECTOR);
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_PERIODIC | VECTOR);
	apic_write(APIC_TIMER_ICT, 10000);
	doing = 1;
	for (;;)
		relax();
}

static void init_self(uint64_t unused)
{
	(void)unused;
	doing = 1;
	smp_send_init(smp_id());
	for (;;)
		relax();
}

static void lapic_is_new(uint64_t unused)
{
	(void)unused;
	check(!apic_pending(VECTOR) && apic_read(APIC_TIMER_ICT) == 0,
		"CPU %u: the LAPIC keeps what it had before INIT", smp_id());
}

static void test_restart(unsigned cpu)
{
	static const struct {
		void (*fn)(uint64_t);
		const char *text;
	} lives[] = {{spin_for_ever, "from a loop with IF = 0"}, {halt_for_ever, "from HLT"},
		{busy_for_ever, "with LAPIC and timer busy"}, {init_self, "after INIT to itself"}};

	restart(cpu, SMP_PAGE_B, "idle");
	for (unsigned i = 0; i < ARRAY_SIZE(lives); i++) {
		doing = 0;
		smp_run_async(cpu, lives[i].fn, 0);
		if (smp_wait_for(&doing, 1))
			delay_us(100); /* it is in its loop, or asleep */
		restart(cpu, i % 2 ? SMP_PAGE_B : SMP_PAGE_A, lives[i].text);
		smp_run(cpu, lapic_is_new, 0);
	}
}

static void test_nobody(void)
{
	unsigned before[SMP_CPUS_MAX];

	for (unsigned i = 1; i < smp_count(); i++)
		before[i] = smp_arrivals(i);
	smp_send_init(smp_count());
	smp_send_sipi(smp_count(), SMP_PAGE_A);
	smp_send_init(0x7f);
	smp_send_sipi(0x7f, SMP_PAGE_A);
	delay_us(100);
	for (unsigned i = 1; i < smp_count(); i++)
		check(smp_arrivals(i) == before[i] && smp_run(i, lapic_is_new, 0),
			"CPU %u heard a message for nobody", i);
}

/* ---- What INIT keeps: the FPU, XCR0, the TSC ---- */

static uint64_t kept_xcr0;

static void set_kept(uint64_t with_xsave)
{
	const uint64_t pattern = 0x0123456789abcdefull;

	write_cr4(read_cr4() | CR4_OSFXSR | (with_xsave ? CR4_OSXSAVE : 0));
	if (with_xsave)
		xsetbv(0, kept_xcr0);
	__asm__ volatile("movq %0, %%xmm5" : : "r"(pattern));
	wrmsr(MSR_IA32_TSC_ADJUST, TSC_STEP);
}

static void see_kept(uint64_t with_xsave)
{
	uint64_t seen;

	write_cr4(read_cr4() | CR4_OSFXSR | (with_xsave ? CR4_OSXSAVE : 0));
	__asm__ volatile("movq %%xmm5, %0" : "=r"(seen));
	check(seen == 0x0123456789abcdefull, "INIT changes XMM5 to %lxh", seen);
	if (with_xsave)
		check(xgetbv(0) == kept_xcr0, "INIT changes XCR0 to %lxh", xgetbv(0));
	check(rdmsr(MSR_IA32_TSC_ADJUST) == TSC_STEP, "INIT changes TSC_ADJUST");
	wrmsr(MSR_IA32_TSC_ADJUST, 0);
}

static void test_kept(unsigned cpu)
{
	bool xsave = cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_XSAVE;

	kept_xcr0 = XCR0_X87 | XCR0_SSE;
	smp_run(cpu, set_kept, xsave);
	restart(cpu, SMP_PAGE_A, "with FPU and TSC set");
	smp_run(cpu, see_kept, xsave);
}

/* ---- Who they are ---- */

static void check_ids(uint64_t unused)
{
	unsigned id = smp_id();
	uint32_t leaf1 = cpuid(CPUID_LEAF_FEATURES, 0).ebx;

	(void)unused;
	check(leaf1 >> 24 == id, "CPU %u: CPUID 1 says %u", id, leaf1 >> 24);
	if (cpuid(0, 0).eax >= CPUID_LEAF_TOPOLOGY)
		check(cpuid(CPUID_LEAF_TOPOLOGY, 0).edx == id, "CPU %u: CPUID 0Bh says %u", id,
			cpuid(CPUID_LEAF_TOPOLOGY, 0).edx);
	check(!(rdmsr(MSR_IA32_APIC_BASE) & BIT(8)) == (id != 0), "CPU %u: the BSP flag", id);
	check(apic_read(APIC_ID) == id << 24, "CPU %u: xAPIC ID %xh", id, apic_read(APIC_ID));
	if (!apic_has_x2apic())
		return;
	apic_set_x2apic(true);
	check(apic_read(APIC_ID) == id, "CPU %u: x2APIC ID %xh", id, apic_read(APIC_ID));
	check(apic_read(APIC_LDR) == 1u << id, "CPU %u: x2APIC LDR %xh", id, apic_read(APIC_LDR));
	apic_set_x2apic(false);
}

/* ---- Time ---- */

static struct {
	volatile unsigned turn;
	volatile uint64_t last;
} ping;

/* Two CPUs read the TSC in turns: it never goes back. */
static void ping_pong(uint64_t odd)
{
	for (unsigned i = 0; i < PING_ROUNDS; i++) {
		uint64_t now;

		if (!smp_wait_for(&ping.turn, 2 * i + (unsigned)odd))
			return;
		now = rdtsc();
		if (!check(now >= ping.last, "CPU %u: the TSC is %lu behind", smp_id(),
			    ping.last - now))
			ping.last = now;
		ping.last = now;
		__atomic_add_fetch(&ping.turn, 1, __ATOMIC_RELEASE);
	}
}

static void tsc_step(uint64_t adjust)
{
	if (adjust)
		wrmsr(MSR_IA32_TSC_ADJUST, TSC_STEP);
	else
		wrmsr(MSR_IA32_TSC, rdtsc() + TSC_STEP);
	check(rdtsc() >= TSC_STEP, "CPU %u: its TSC was not moved", smp_id());
}

static void tsc_back(uint64_t unused)
{
	(void)unused;
	check(rdmsr(MSR_IA32_TSC_ADJUST) != 0, "CPU %u: TSC_ADJUST is 0", smp_id());
	wrmsr(MSR_IA32_TSC_ADJUST, 0);
}

static void test_tsc(unsigned cpu)
{
	ping.turn = 0;
	ping.last = 0;
	smp_run_async(cpu, ping_pong, 1);
	ping_pong(0);
	smp_wait(cpu);
	for (unsigned i = 0; i < 2; i++) {
		smp_run(cpu, tsc_step, i);
		check(rdtsc() < TSC_STEP && rdmsr(MSR_IA32_TSC_ADJUST) == 0,
			"CPU %u moved the TSC of CPU 0", cpu);
		smp_run(cpu, tsc_back, 0);
	}
	ping.turn = 0;
	smp_run_async(cpu, ping_pong, 1);
	ping_pong(0);
	smp_wait(cpu);
}

static void await_interrupts(unsigned count, uint64_t us, uint64_t start, const char *text)
{
	const volatile unsigned *seen = &irq_cpu_count[smp_id()][VECTOR];
	uint64_t end = rdtsc() + time_hz();

	while (*seen < count && rdtsc() < end)
		irq_window();
	us = us - MIN(us, us / 50 + 20);
	check(*seen >= count && rdtsc() - start >= time_us_to_tsc(us) &&
			rdtsc() - start <= time_us_to_tsc(us + LATE_US),
		"CPU %u, %s: %u interrupts of %u in %lu us", smp_id(), text, *seen, count,
		time_tsc_to_us(rdtsc() - start));
	irq_cpu_count[smp_id()][VECTOR] = 0;
}

static void check_timer(uint64_t hz)
{
	uint64_t start;

	irq_cpu_count[smp_id()][VECTOR] = 0;
	start = rdtsc();
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_ONE_SHOT | VECTOR);
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 500));
	await_interrupts(1, 2000, start, "one-shot");
	apic_write(APIC_LVT_TIMER, APIC_LVT_PERIODIC | VECTOR);
	start = rdtsc();
	apic_write(APIC_TIMER_ICT, (uint32_t)(hz / 1000));
	await_interrupts(5, 5000, start, "periodic");
	apic_write(APIC_TIMER_ICT, 0);
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	irq_window();
	irq_cpu_count[smp_id()][VECTOR] = 0;
	if (!(cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_TSC_DEADLINE))
		return;
	apic_write(APIC_LVT_TIMER, APIC_LVT_TSC_DEADLINE | VECTOR);
	mfence();
	start = rdtsc();
	wrmsr(MSR_IA32_TSC_DEADLINE, start + time_us_to_tsc(1500));
	await_interrupts(1, 1500, start, "TSC deadline");
	apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
}

/* Of the LAPIC timer, divided by 1. */
static uint64_t timer_rate(void)
{
	uint64_t start, end;
	uint32_t left;

	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_TIMER_ICT, UINT32_MAX);
	start = rdtsc();
	delay_us(2000);
	left = apic_read(APIC_TIMER_CCT);
	end = rdtsc();
	apic_write(APIC_TIMER_ICT, 0);
	return mul_div(UINT32_MAX - left, time_hz(), end - start);
}

/* ---- The LAPIC's page ---- */

static volatile uint32_t *word(uint64_t address)
{
	return (volatile uint32_t *)address;
}

static void move_lapic(uint64_t base)
{
	uint64_t old = rdmsr(MSR_IA32_APIC_BASE);
	uint64_t from = old & ~0xfffull;
	uint32_t version = *word(from + APIC_VERSION);

	wrmsr(MSR_IA32_APIC_BASE, (old & 0xfff) | base);
	check(*word(base + APIC_VERSION) == version, "no LAPIC at %lxh: %xh", base,
		*word(base + APIC_VERSION));
	check(*word(base + APIC_ID) == smp_id() << 24, "the LAPIC at %lxh is another's", base);
	if (from == APIC_DEFAULT_BASE)
		check(*word(from + APIC_VERSION) == UINT32_MAX, "the LAPIC is still at %lxh", from);
}

static void read_free_page(uint64_t value)
{
	check(*word(SMP_FREE_PAGE + APIC_VERSION) == value, "CPU %u: the RAM holds %xh", smp_id(),
		*word(SMP_FREE_PAGE + APIC_VERSION));
}

/* Other CPUs go on to see the RAM, to which its own CPU comes back in the end. */
static void test_moves(unsigned cpu)
{
	volatile uint32_t *ram = word(SMP_FREE_PAGE + APIC_VERSION);

	smp_run(cpu, move_lapic, MOVED_BASE);
	check(*word(MOVED_BASE + APIC_VERSION) == UINT32_MAX, "CPU 0 sees the LAPIC of CPU %u",
		cpu);
	check(*word(APIC_DEFAULT_BASE + APIC_ID) == 0, "the LAPIC of CPU 0 has moved too");
	*ram = 0x11110000 + cpu;
	smp_run(cpu, move_lapic, SMP_FREE_PAGE);
	read_free_page(0x11110000 + cpu);
	*ram = 0x22220000 + cpu;
	__asm__ volatile("lock incl %0" : "+m"(*ram) : : "memory");
	read_free_page(0x22220001 + cpu);
	smp_run(cpu, move_lapic, APIC_DEFAULT_BASE);
	smp_run(cpu, read_free_page, 0x22220001 + cpu);
}

static void disable_lapic(uint64_t unused)
{
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);
	uint32_t version = apic_read(APIC_VERSION);

	(void)unused;
	wrmsr(MSR_IA32_APIC_BASE, base & ~APIC_BASE_EN);
	check(apic_read(APIC_VERSION) == UINT32_MAX, "a disabled LAPIC is readable");
	check(!(cpuid(CPUID_LEAF_FEATURES, 0).edx & 1 << 9), "CPUID shows a disabled LAPIC");
	wrmsr(MSR_IA32_APIC_BASE, base);
	check(apic_read(APIC_VERSION) == version, "the LAPIC does not come back");
	check(cpuid(CPUID_LEAF_FEATURES, 0).edx & 1 << 9, "CPUID does not show the LAPIC");
	apic_init_cpu();
}

/* ---- Together ---- */

static volatile uint32_t counter;

static void count(uint64_t unused)
{
	(void)unused;
	for (unsigned i = 0; i < COUNTER_ROUNDS; i++)
		__asm__ volatile("lock incl %0" : "+m"(counter) : : "memory");
}

static void test_counter(void)
{
	counter = 0;
	for (unsigned i = 1; i < smp_count(); i++)
		smp_run_async(i, count, 0);
	count(0);
	for (unsigned i = 1; i < smp_count(); i++)
		smp_wait(i);
	check(counter == smp_count() * COUNTER_ROUNDS, "%u counts of %u", counter,
		smp_count() * COUNTER_ROUNDS);
}

static volatile unsigned flushed, flushing;

static void flush_handler(struct trap_frame *f)
{
	(void)f;
	write_cr3(read_cr3());
	__atomic_add_fetch(&flushed, 1, __ATOMIC_RELEASE);
	apic_eoi();
}

static void serve_flushes(uint64_t by_halting)
{
	while (flushing) {
		if (by_halting)
			sti_hlt_cli();
		else
			irq_window();
		smp_relax();
	}
}

/* As a kernel does it: all others flush and say so. Every second CPU sleeps in between. */
static void test_shootdown(void)
{
	uint64_t end = rdtsc() + time_hz();
	unsigned others = smp_count() - 1, round = 0;

	trap_set_handler(FLUSH_VECTOR, flush_handler);
	flushed = 0;
	flushing = 1;
	for (unsigned i = 1; i <= others; i++)
		smp_run_async(i, serve_flushes, i % 2);
	while (round < FLUSH_ROUNDS && rdtsc() < end) {
		apic_send(0, APIC_ICR_ASSERT | APIC_ICR_OTHERS | FLUSH_VECTOR);
		round++;
		if (!smp_wait_for(&flushed, round * others))
			break;
	}
	check(flushed == round * others, "%u answers to %u rounds", flushed, round);
	check(round >= FLUSH_MIN, "only %u rounds in a second", round);
	flushing = 0;
	apic_send(0, APIC_ICR_ASSERT | APIC_ICR_OTHERS | FLUSH_VECTOR);
	for (unsigned i = 1; i <= others; i++)
		smp_wait(i);
	trap_set_handler(FLUSH_VECTOR, NULL);
}

void payload_run(void)
{
	uint64_t hz = timer_rate();

	if (!check(smp_count() > 1, "a guest with one CPU"))
		return;
	smp_init();
	if (!smp_start_all())
		return;
	for (unsigned i = 0; i < smp_count(); i++)
		smp_run(i, check_ids, 0);
	for (unsigned i = 1; i < smp_count(); i++) {
		test_second_sipi(i);
		test_restart(i);
		test_kept(i);
		test_tsc(i);
		smp_run(i, check_timer, hz);
		test_moves(i);
		smp_run(i, disable_lapic, 0);
	}
	test_nobody();
	test_counter();
	test_shootdown();
}
