/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/host_lapic.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/trap.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"

#define PIC1_DATA 0x21u
#define PIC2_DATA 0xa1u

/*
 * All vectors of ours are of the highest priority class; nothing below it is let in. A
 * level-triggered line that firmware left unmasked in an I/O APIC and that nobody serves would come
 * again after each EOI, for ever.
 */
#define TPR_BELOW_OURS ((VECTOR_TIMER & 0xf0u) - 0x10u)

#define ICR_IDLE_POLLS 1000000u
#define CALIBRATE_US   10000u

static struct {
	bool ready, x2apic, deadline;
	volatile uint8_t *regs; /* xAPIC mode only */
	uint64_t timer_hz;      /* 0: not calibrated, or not needed */
} lapic;

static uint32_t reg_read(unsigned offset)
{
	if (lapic.x2apic)
		return (uint32_t)rdmsr(MSR_IA32_X2APIC_BASE + offset / 16);
	return *(volatile uint32_t *)(lapic.regs + offset);
}

static void reg_write(unsigned offset, uint32_t value)
{
	if (lapic.x2apic)
		wrmsr(MSR_IA32_X2APIC_BASE + offset / 16, value);
	else
		*(volatile uint32_t *)(lapic.regs + offset) = value;
}

/* Every CPU: bring IA32_APIC_BASE to the mode the boot CPU chose. */
static int enter_mode(void)
{
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE), wanted = base | APIC_BASE_EN;

	if (lapic.x2apic)
		wanted |= APIC_BASE_EXTD;
	else if (base & APIC_BASE_EXTD)
		return E_UNSUP; /* back to xAPIC only through disabling, which some CPUs refuse */
	/* From disabled to x2APIC there is only the way through xAPIC. */
	if (!(base & APIC_BASE_EN) && wrmsr_safe(MSR_IA32_APIC_BASE, base | APIC_BASE_EN))
		return E_UNSUP;
	if (wanted != (base | APIC_BASE_EN) && wrmsr_safe(MSR_IA32_APIC_BASE, wanted))
		return E_UNSUP;
	return 0;
}

static int choose_mode(void)
{
	struct cpuid_regs features = cpu_cpuid(CPUID_LEAF_FEATURES, 0);
	uint64_t base = rdmsr(MSR_IA32_APIC_BASE);

	if (!(features.edx & CPUID_1_EDX_APIC) && !(base & APIC_BASE_EN))
		return E_UNSUP;
	lapic.x2apic = (base & APIC_BASE_EXTD) || (features.ecx & CPUID_1_ECX_X2APIC);
	lapic.deadline = features.ecx & CPUID_1_ECX_TSC_DEADLINE;
	if (!lapic.x2apic) {
		lapic.regs = host_map_mmio(base & APIC_BASE_ADDR_MASK, PAGE_SIZE);
		if (!lapic.regs)
			return E_NOMEM;
	}
	/* The 8259s are nobody's from now on. */
	outb(PIC1_DATA, 0xff);
	outb(PIC2_DATA, 0xff);
	return 0;
}

/* Whatever firmware left in service would block our vectors. */
static void drain_in_service(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint32_t any = 0;

		for (unsigned word = 0; word < 8; word++)
			any |= reg_read(APIC_ISR + word * 16);
		if (!any)
			break;
		reg_write(APIC_EOI, 0);
	}
}

int host_lapic_init(void)
{
	unsigned last_lvt;
	int status = 0;

	if (!lapic.ready)
		status = choose_mode();
	if (!status)
		status = enter_mode();
	if (status)
		return status;
	reg_write(APIC_SVR, APIC_SVR_ENABLE | VECTOR_SPURIOUS);
	last_lvt = reg_read(APIC_VERSION) >> 16 & 0xff;
	reg_write(APIC_TPR, TPR_BELOW_OURS);
	reg_write(APIC_LVT_LINT0, APIC_LVT_MASKED | APIC_DM_EXTINT);
	reg_write(APIC_LVT_LINT1, APIC_DM_NMI);
	reg_write(APIC_LVT_ERROR, VECTOR_ERROR);
	reg_write(APIC_LVT_TIMER, APIC_LVT_ONE_SHOT | VECTOR_TIMER);
	if (last_lvt >= 4)
		reg_write(APIC_LVT_PERF, APIC_LVT_MASKED);
	reg_write(APIC_TIMER_ICT, 0);
	reg_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	reg_write(APIC_ESR, 0);
	drain_in_service();
	if (lapic.deadline) {
		reg_write(APIC_LVT_TIMER, APIC_LVT_TSC_DEADLINE | VECTOR_TIMER);
		/*
		 * The mode change is ordered before the first deadline (SDM vol. 3, "TSC-Deadline
		 * Mode").
		 */
		mfence();
		wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	}
	lapic.ready = true;
	this_cpu()->apic_id = host_lapic_id();
	return 0;
}

bool host_lapic_is_x2apic(void)
{
	return lapic.x2apic;
}

uint32_t host_lapic_id(void)
{
	return lapic.x2apic ? reg_read(APIC_ID) : reg_read(APIC_ID) >> 24;
}

void host_lapic_eoi(void)
{
	reg_write(APIC_EOI, 0);
}

bool host_lapic_in_service(unsigned vector)
{
	if (!lapic.ready)
		return false;
	return reg_read(APIC_ISR + vector / 32 * 16) >> (vector % 32) & 1;
}

/* ---- IPIs ---- */

static void icr_send(uint32_t apic_id, uint32_t low)
{
	uint64_t flags;

	if (lapic.x2apic) {
		/* WRMSR to the x2APIC is not serializing: what we tell the other CPU goes first. */
		mfence();
		lfence();
		wrmsr(MSR_IA32_X2APIC_BASE + APIC_ICR / 16, (uint64_t)apic_id << 32 | low);
		return;
	}
	flags = irq_save();
	for (unsigned i = 0; i < ICR_IDLE_POLLS && (reg_read(APIC_ICR) & APIC_ICR_PENDING); i++)
		cpu_relax();
	reg_write(APIC_ICR_HIGH, apic_id << 24);
	reg_write(APIC_ICR, low);
	irq_restore(flags);
}

void host_lapic_send_ipi(uint32_t apic_id, unsigned vector)
{
	icr_send(apic_id, APIC_DM_FIXED | APIC_ICR_ASSERT | (vector & 0xff));
}

void host_lapic_send_nmi(uint32_t apic_id)
{
	icr_send(apic_id, APIC_DM_NMI | APIC_ICR_ASSERT);
}

void host_lapic_send_init(uint32_t apic_id)
{
	icr_send(apic_id, APIC_DM_INIT | APIC_ICR_ASSERT);
}

void host_lapic_send_sipi(uint32_t apic_id, hpa_t entry)
{
	icr_send(apic_id,
		APIC_DM_STARTUP | APIC_ICR_ASSERT | (uint32_t)(entry >> PAGE_SHIFT & 0xff));
}

/* ---- Timer ---- */

bool host_lapic_timer_has_deadline(void)
{
	return lapic.deadline;
}

int host_lapic_timer_calibrate(void)
{
	uint64_t start, ticks;
	uint32_t left;

	if (lapic.deadline)
		return 0;
	reg_write(APIC_LVT_TIMER, APIC_LVT_MASKED | VECTOR_TIMER);
	reg_write(APIC_TIMER_ICT, UINT32_MAX);
	start = rdtsc();
	tsc_delay_us(CALIBRATE_US);
	left = reg_read(APIC_TIMER_CCT);
	ticks = rdtsc() - start;
	reg_write(APIC_TIMER_ICT, 0);
	if (left == UINT32_MAX || left == 0)
		return E_UNSUP;
	lapic.timer_hz = mul_div(UINT32_MAX - left, tsc_hz(), ticks);
	reg_write(APIC_LVT_TIMER, APIC_LVT_ONE_SHOT | VECTOR_TIMER);
	return lapic.timer_hz ? 0 : E_UNSUP;
}

static uint32_t one_shot_count(uint64_t tsc)
{
	uint64_t now = rdtsc(), ticks = tsc > now ? tsc - now : 0;
	uint64_t longest = mul_div(UINT32_MAX, tsc_hz(), lapic.timer_hz);
	uint64_t timer_count;

	if (ticks >= longest)
		return UINT32_MAX;
	timer_count = mul_div(ticks, lapic.timer_hz, tsc_hz()) + 1;
	return timer_count < UINT32_MAX ? (uint32_t)timer_count : UINT32_MAX;
}

void host_lapic_timer_arm(uint64_t tsc)
{
	if (lapic.deadline)
		wrmsr(MSR_IA32_TSC_DEADLINE, tsc ? tsc : 1); /* 0 would disarm */
	else if (lapic.timer_hz)
		reg_write(APIC_TIMER_ICT, one_shot_count(tsc));
}

void host_lapic_timer_stop(void)
{
	if (lapic.deadline)
		wrmsr(MSR_IA32_TSC_DEADLINE, 0);
	else
		reg_write(APIC_TIMER_ICT, 0);
}
