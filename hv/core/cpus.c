/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/cpus.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_lapic.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/smp.h"
#include "arch/x86/cpu/trap.h"
#include "arch/x86/cpu/tsc.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "hv/core/housekeeping.h"
#include "hv/core/log.h"
#include "hv/core/machine.h"
#include "hv/mm/memory.h"

/* What one CPU has to do; only `guest` is touched by others. */
struct cpu_work {
	struct timer_queue timers;
	bool in_timer;       /* its interrupt is being served, and arms it in the end */
	struct guest *guest; /* atomic: set by housekeeping, cleared by the CPU */
	const char *problem; /* why it cannot run guests; NULL: it can, if it has started */
};

static struct cpu_work work[CPUS_MAX];
static unsigned enabled; /* CPUs that the firmware lists as such: all that a config may name */
const struct virt_ops *cpus_virt;

static struct cpu_work *my_work(void)
{
	return &work[this_cpu()->index];
}

static unsigned my_index(void)
{
	return this_cpu()->index;
}

/* ---- Timers ---- */

/*
 * A guest may ask for a timer that is due again before its interrupt has been dealt with. Were it
 * armed like that, this CPU would do nothing but take it, not even leave the guest.
 */
#define TIMER_PAUSE_NS (20 * NS_PER_US)

/* Arm the timer for the first deadline, but not before `earliest`. */
static void program_timer(const struct timer_queue *q, uint64_t earliest)
{
	uint64_t next = timer_queue_next(q);

	if (next == TIMER_NEVER)
		host_lapic_timer_stop();
	else
		host_lapic_timer_arm(MAX(next, earliest));
}

static void on_timer(unsigned vector)
{
	struct cpu_work *w = my_work();

	(void)vector;
	w->in_timer = true;
	timer_queue_run(&w->timers, rdtsc());
	w->in_timer = false;
	program_timer(&w->timers, rdtsc() + tsc_from_ns(TIMER_PAUSE_NS));
}

static void cpu_timer_arm(struct timer *t, uint64_t deadline)
{
	struct cpu_work *w = my_work();

	if (timer_arm(&w->timers, t, deadline) && !w->in_timer)
		program_timer(&w->timers, 0);
}

/* ---- Waiting and kicking ---- */

static void on_kick(unsigned vector)
{
	(void)vector; /* leaving HLT or the guest was all */
}

void cpus_kick(unsigned cpu)
{
	if (cpu != my_index())
		host_lapic_send_ipi(cpu_get(cpu)->apic_id, VECTOR_KICK);
}

/*
 * IF is off: a wake-up that comes after the look at *wake is pending when STI lets it in, and ends
 * HLT.
 */
static void cpu_idle(const uint32_t *wake)
{
	housekeeping_poll();
	if (__atomic_load_n(wake, __ATOMIC_ACQUIRE))
		return;
	if (frame_scrub_step(&host_frames))
		irq_window();
	else
		sti_hlt_cli();
}

/* ---- Choosing and enabling the extension ---- */

/*
 * Instruction fetches through a large page whose size changes can raise a machine check on these
 * CPUs (iTLB multihit): there stage 2 uses 4 KiB leaves (design decision 5).
 */
static bool has_itlb_multihit(void)
{
	uint64_t capabilities = 0;
	bool intel = cpuid(CPUID_LEAF_VENDOR, 0).ecx == CPUID_VENDOR_INTEL_ECX;

	if (!intel)
		return false;
	if (cpu_cpuid(CPUID_LEAF_EXTENDED, 0).edx & CPUID_7_EDX_ARCH_CAPS)
		(void)!rdmsr_safe(MSR_IA32_ARCH_CAPABILITIES, &capabilities);
	return !(capabilities & ARCH_CAP_IF_PSCHANGE_MC_NO);
}

static void say_guest(const struct vm *vm, const char *text)
{
	log_line("%s: %s", vm->name, text);
}

static void choose_page_sizes(void)
{
	vm_host.page_sizes = PT_4K;
	if (has_itlb_multihit()) {
		log_line(
			"this CPU has the iTLB multihit erratum: guests are mapped in 4 KiB pages");
		return;
	}
	vm_host.page_sizes |= vm_host.caps.page_2m ? PT_2M : 0;
	vm_host.page_sizes |= vm_host.caps.page_1g ? PT_1G : 0;
}

/* The CPU says which of the two it has; where it has neither, the vendor decides on the words. */
static const struct virt_ops *choose_extension(void)
{
	if (cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_VMX)
		return &vmx_ops;
	if (cpuid(CPUID_LEAF_EXT_MAX, 0).eax >= CPUID_LEAF_EXT_FEAT &&
		(cpuid(CPUID_LEAF_EXT_FEAT, 0).ecx & CPUID_EXT1_ECX_SVM))
		return &svm_ops;
	return cpuid(CPUID_LEAF_VENDOR, 0).ecx == CPUID_VENDOR_INTEL_ECX ? &vmx_ops : &svm_ops;
}

int cpus_init(void)
{
	const struct virt_ops *ops;
	const char *reason = "";
	int status;

	/* Housekeeping needs these whether guests can run or not. */
	vm_host.poll = housekeeping_poll;
	vm_host.idle = cpu_idle;
	vm_host.timer_arm = cpu_timer_arm;
	vm_host.kick = cpus_kick;
	vm_host.this_cpu = my_index;
	vm_host.say = say_guest;
	if (irq_set_handler(VECTOR_TIMER, on_timer) != OK ||
		irq_set_handler(VECTOR_KICK, on_kick) != OK)
		panic("the hypervisor's own interrupt vectors are taken");
	ops = choose_extension();
	status = ops->cpu_check(&vm_host.caps, &reason);
	if (status != OK) {
		log_line("no guest can run: %s", reason);
		return status;
	}
	cpus_virt = ops;
	choose_page_sizes();
	return OK;
}

static void enable_virt(void)
{
	struct cpu *cpu = this_cpu();
	struct virt_caps caps;
	const char *reason = "";

	if (!cpus_virt)
		return; /* said once, by cpus_init() */
	if (cpus_virt->cpu_check(&caps, &reason) == OK &&
		cpus_virt->cpu_enable(cpu->index, &reason) == OK)
		return;
	log_line("CPU %u cannot run guests: %s", cpu->index, reason);
	__atomic_store_n(&my_work()->problem, reason, __ATOMIC_RELEASE);
}

#define ENABLE_WAIT_NS NS_PER_SEC
static unsigned arrived;

void hv_ap_main(struct cpu *cpu)
{
	(void)cpu;
	enable_virt();
	__atomic_add_fetch(&arrived, 1, __ATOMIC_RELEASE);
	cpus_loop();
}

void cpus_start(void)
{
	unsigned others;
	ns_t end;

	enable_virt();
	others = smp_start(&machine.bi, log_line, &enabled) - 1;
	/* Each one only has the extension left to enable; one that hangs there is not usable. */
	end = tsc_now_ns() + ENABLE_WAIT_NS;
	while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < others && tsc_now_ns() < end)
		cpu_relax();
}

unsigned cpus_count(void)
{
	return enabled;
}

const char *cpus_problem(unsigned cpu)
{
	if (!cpu_get(cpu))
		return "it did not start";
	return __atomic_load_n(&work[cpu].problem, __ATOMIC_ACQUIRE);
}

unsigned cpus_usable(void)
{
	unsigned n = 0;

	for (unsigned i = 0; cpus_virt && i < cpu_count(); i++)
		n += cpus_problem(i) == NULL;
	return n;
}

/* ---- The loop ---- */

void cpus_assign(unsigned cpu, struct guest *g)
{
	CHECK(!cpus_guest(cpu));
	__atomic_store_n(&work[cpu].guest, g, __ATOMIC_RELEASE);
	cpus_kick(cpu);
}

struct guest *cpus_guest(unsigned cpu)
{
	return __atomic_load_n(&work[cpu].guest, __ATOMIC_ACQUIRE);
}

void cpus_loop(void)
{
	struct cpu_work *w = my_work();
	uint32_t wake;

	for (;;) {
		struct guest *g;

		housekeeping_poll(); /* may give this CPU a guest */
		g = __atomic_load_n(&w->guest, __ATOMIC_ACQUIRE);
		if (g) {
			guests_run(g);
			__atomic_store_n(&w->guest, NULL, __ATOMIC_RELEASE);
			housekeeping_wake();
			continue;
		}
		wake = __atomic_load_n(&w->guest, __ATOMIC_ACQUIRE) != NULL;
		cpu_idle(&wake);
	}
}
