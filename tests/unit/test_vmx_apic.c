/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LAPIC with VT-x's help: whatever the CPU does by itself, the guest sees what it would see
 * without. Each test plays a guest step by step on a whole VM.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define STEPS_MAX 8u
#define ALL                                                                                        \
	(VCPU_APIC_TPR | VCPU_APIC_PAGE | VCPU_APIC_MSRS | VCPU_APIC_REGISTERS | VCPU_APIC_DELIVERY)

static struct vm_cpu *c;
static struct vcpu *v;
static void (*steps[STEPS_MAX])(void);
static unsigned at, count;

/* One step for each entry; the last one ends the guest. */
static void guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	if (at == count) {
		vm_stop(vmw.vm, STOP_KILLED, "killed");
		fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
		return;
	}
	steps[at++]();
}

#define PLAY(...)                                                                                  \
	do {                                                                                       \
		void (*const list[])(void) = {__VA_ARGS__};                                        \
		memcpy(steps, list, sizeof(list));                                                 \
		play(ARRAY_SIZE(list));                                                            \
	} while (0)

static void play(unsigned n)
{
	at = 0;
	count = n;
	v->ops->run(v);
	assert_int_equal(vmw.vm->stop.kind, STOP_KILLED);
	assert_int_equal(at, n);
}

/* No more than the TPR shadow. */
static void trim(void)
{
	fake_msr_set(MSR_IA32_VMX_PROCBASED_CTLS2,
		fake_msr_get(MSR_IA32_VMX_PROCBASED_CTLS2) &
			~((uint64_t)(PROC2_VIRTUALIZE_APIC | PROC2_VIRTUALIZE_X2APIC |
				     PROC2_APIC_REGISTERS | PROC2_VIRTUAL_INTERRUPTS)
				<< 32));
}

static int setup_with(unsigned apic, unsigned cpus)
{
	fake_fail_hook = fake_fail_cmocka;
	vm_world_apic = apic;
	vm_world_trim = apic == VCPU_APIC_TPR ? trim : NULL;
	vm_world_init(cpus);
	c = vmw.c;
	v = &c->vcpu;
	assert_int_equal(v->apic, apic & ALL);
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_LVT_MASKED, 0);
	fake_vmx.guest = guest;
	vm_world_flags(RFLAGS_IF, 0);
	return 0;
}

static int setup_tpr(void **state)
{
	(void)state;
	return setup_with(VCPU_APIC_TPR, 1);
}

static int setup_all(void **state)
{
	(void)state;
	return setup_with(UINT32_MAX, 1);
}

static int setup_all_two(void **state)
{
	(void)state;
	return setup_with(UINT32_MAX, 2);
}

static int setup_none(void **state)
{
	(void)state;
	return setup_with(0, 1);
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	vm_world_apic = 0;
	vm_world_trim = NULL;
	return 0;
}

static void tpr_is(uint8_t value)
{
	lapic_mmio_write(&c->lapic, LAPIC_TPR, 4, value, 0);
}

static void leave(void)
{
	fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
}

/* Nothing to deliver: to take what another test step left behind. */
static void look(void)
{
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
}

static void injected(unsigned vector)
{
	assert_true(fake_vmx.injected.valid);
	assert_int_equal(fake_vmx.injected.type, EVENT_INTERRUPT);
	assert_int_equal(fake_vmx.injected.vector, vector);
}

/* ---- Controls ---- */

static void controls_in_use(void)
{
	uint64_t proc = fake_vmcs_get(VMCS_PROC_CONTROLS);

	assert_true(proc & PROC_USE_TPR_SHADOW);
	assert_false(proc & (PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING));
	assert_ptr_equal(phys_to_virt(fake_vmcs_get(VMCS_VIRTUAL_APIC)), c->lapic.page);
	leave();
}

static void tpr_shadow_on(void **state)
{
	(void)state;
	PLAY(controls_in_use);
}

static void controls_not_in_use(void)
{
	uint64_t proc = fake_vmcs_get(VMCS_PROC_CONTROLS);

	assert_false(proc & PROC_USE_TPR_SHADOW);
	assert_true(proc & PROC_CR8_LOAD_EXITING);
	assert_true(proc & PROC_CR8_STORE_EXITING);
	assert_false(fake_vmcs_defined(VMCS_VIRTUAL_APIC)); /* the field may not exist */
	assert_true(fake_guest_cr8(v, 5));
}

static void cr8_is_5(void)
{
	assert_int_equal(lapic_cr8(&c->lapic), 5);
	leave();
}

/* Switched off, or not there: as before. */
static void nothing_in_use(void **state)
{
	(void)state;
	PLAY(controls_not_in_use, cr8_is_5);
}

/* ---- The threshold ---- */

static void lowers_to_6_and_to_4(void)
{
	assert_false(fake_vmx.injected.valid);
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 5);
	assert_false(fake_guest_cr8(v, 6));
	assert_false(fake_guest_cr8(v, 15));
	assert_false(fake_guest_cr8(v, 5));
	assert_true(fake_guest_cr8(v, 4));
}

static void has_51(void)
{
	injected(0x51);
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 0);
	assert_int_equal(lapic_cr8(&c->lapic), 4);
	leave();
}

/* What waits for the TPR comes as soon as the guest lowers it far enough, and not before. */
static void waits_for_tpr(void **state)
{
	(void)state;
	tpr_is(0x80);
	vm_cpu_interrupt(c, 0x51, false);
	PLAY(lowers_to_6_and_to_4, has_51);
	assert_int_equal(v->exits[EXIT_TPR], 1);
	assert_int_equal(v->exits[EXIT_CR], 0);
}

static void has_62(void)
{
	injected(0x62);
	assert_false(fake_guest_cr8(v, 8));
	vm_cpu_interrupt(c, 0x51, false);
	vm_world_flags(RFLAGS_IF, 0);
	leave();
}

static void ends_62(void)
{
	/* The interrupt in service holds it back: the TPR does not matter yet. */
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 0);
	v->attention = 0;
	(void)!vm_mmio_write(c, LAPIC_BASE_DEFAULT + LAPIC_EOI, 4, 0);
	leave();
}

/* The EOI makes it wait for the TPR alone: without a new threshold it would be forgotten. */
static void eoi_sets_threshold(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x62, false);
	PLAY(has_62, ends_62, lowers_to_6_and_to_4, has_51);
}

static void masks_61(void)
{
	assert_true(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
	assert_false(fake_guest_cr8(v, 7));
	vm_world_flags(RFLAGS_IF, 0);
	fake_exit(VMX_EXIT_INTERRUPT_WINDOW, 0);
}

static void has_nothing(void)
{
	assert_false(fake_vmx.injected.valid);
	assert_false(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 6);
	assert_false(fake_guest_cr8(v, 7));
	leave();
}

/* The guest raises the TPR between the request of a window and the window. */
static void tpr_raised_before_window(void **state)
{
	(void)state;
	vm_world_flags(0, 0);
	vm_cpu_interrupt(c, 0x61, false);
	PLAY(masks_61, has_nothing);
}

static void init_comes(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 5);
	vm_cpu_post_init(c);
	vm_cpu_post_sipi(c, 0x10);
	leave();
}

static void is_reset(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 0);
	assert_int_equal(lapic_cr8(&c->lapic), 0);
	leave();
}

/* INIT clears TPR and IRR: a threshold that stays would make the entry fail. */
static void init_clears_threshold(void **state)
{
	(void)state;
	tpr_is(0x80);
	vm_cpu_interrupt(c, 0x51, false);
	PLAY(init_comes, is_reset);
}

static void disables_lapic(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_TPR_THRESHOLD), 5);
	v->attention = 0;
	assert_true(vm_msr_write(c, MSR_IA32_APIC_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP));
	leave();
}

static void disabling_clears_threshold(void **state)
{
	(void)state;
	tpr_is(0x80);
	vm_cpu_interrupt(c, 0x51, false);
	PLAY(disables_lapic, is_reset);
}

/* ---- What the model shows ---- */

static void reads_ppr(void)
{
	uint64_t value = 0;

	assert_false(fake_guest_cr8(v, 9));
	assert_int_equal(lapic_priority(&c->lapic), 0x90); /* for the arbitration of others */
	assert_true(vm_mmio_read(c, LAPIC_BASE_DEFAULT + LAPIC_PPR, 4, &value));
	assert_int_equal(value, 0x90);
	assert_false(fake_guest_cr8(v, 3));
	assert_true(vm_msr_write(c, MSR_IA32_APIC_BASE,
		LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD | LAPIC_BASE_BSP));
	assert_true(vm_msr_read(c, LAPIC_MSR_FIRST + LAPIC_PPR / 16, &value));
	assert_int_equal(value, 0x30);
	leave();
}

static void ppr_follows(void **state)
{
	(void)state;
	PLAY(reads_ppr);
}

static void sleeps_at_7(void)
{
	assert_false(fake_guest_cr8(v, 7));
	fake_exit_insn(VMX_EXIT_HLT, 0, 1);
}

static void sends_61_then_81(void)
{
	vm_cpu_interrupt(c, vmw.idles == 1 ? 0x61 : 0x81, false);
}

static void has_81(void)
{
	injected(0x81);
	assert_int_equal(vmw.idles, 2);
	leave();
}

/* HLT goes on sleeping through what the TPR holds back. */
static void halt_obeys_tpr(void **state)
{
	(void)state;
	vmw.idle = sends_61_then_81;
	look();
	PLAY(sleeps_at_7, has_81);
}

/* ---- Virtual-interrupt delivery ---- */

static void eoi(bool exits)
{
	assert_int_equal(fake_guest_wrmsr(v, LAPIC_MSR_FIRST + LAPIC_EOI / 16, 0), exits);
}

static void in_x2apic(void)
{
	assert_true(vm_msr_write(c, MSR_IA32_APIC_BASE,
		LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD | LAPIC_BASE_BSP));
}

static void takes_81_62_51(void)
{
	assert_false(fake_vmx.injected.valid);
	assert_int_equal(fake_vmx.delivered, 0x62);
	assert_false(fake_guest_cr8(v, 5));
	/* A higher one nests, sent by itself. */
	assert_false(fake_guest_wrmsr(v, LAPIC_MSR_FIRST + LAPIC_SELF_IPI / 16, 0x81));
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x81);
	eoi(false);
	eoi(false);
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x81); /* 51h waits for the TPR */
	assert_false(fake_guest_cr8(v, 4));
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x51);
	eoi(false);
	leave();
}

static void nothing_is_left(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTR_STATUS), 0);
	assert_false(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
	leave();
}

/* Delivery, nesting, priority and the ends of three interrupts, in a single stay in the guest. */
static void delivered_without_exits(void **state)
{
	(void)state;
	in_x2apic();
	vm_cpu_interrupt(c, 0x51, false);
	vm_cpu_interrupt(c, 0x62, false);
	PLAY(takes_81_62_51, nothing_is_left);
	assert_int_equal(v->exits[EXIT_INTERRUPT], 3);
	lapic_rescan(&c->lapic);
	assert_int_equal(c->lapic.irr_max, -1);
	assert_int_equal(c->lapic.isr_max, -1);
}

static void has_41_then_others_post(void)
{
	assert_int_equal(fake_vmx.delivered, 0x41);
	fake_cpu_select(1);
	vm_cpu_interrupt(c, 0x31, false);
	vm_cpu_interrupt(c, 0x93, false);
	fake_cpu_select(0);
	leave();
}

static void merged(void)
{
	assert_int_equal(fake_vmx.delivered, 0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTR_STATUS), 0x4193);
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x93);
	eoi(false);
	eoi(false);
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x31);
	leave();
}

/* What other CPUs post goes into the page between an exit and the entry behind it. */
static void posts_are_merged(void **state)
{
	(void)state;
	in_x2apic();
	vm_cpu_interrupt(c, 0x41, false);
	PLAY(has_41_then_others_post, merged);
	assert_int_equal(vmw.kicks[0], 3); /* the end of the guest is the last */
}

static unsigned ended;

static void note_eoi(void *ctx, uint8_t vector)
{
	(void)ctx;
	ended = ended << 8 | vector;
}

static void ends_level(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_EOI_EXIT0 + 2), 1ull << (0x71 - 64));
	assert_int_equal(fake_vmx.delivered, 0x71);
	eoi(true);
}

static void level_is_edge_now(void)
{
	assert_int_equal(ended, 0x71);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTR_STATUS), 0);
	vm_cpu_interrupt(c, 0x71, false);
	vm_world_flags(RFLAGS_IF, 0);
	leave();
}

static void ends_edge(void)
{
	assert_int_equal(fake_vmcs_get(VMCS_EOI_EXIT0 + 2), 0);
	assert_int_equal(fake_vmx.delivered, 0x71);
	eoi(false);
	leave();
}

/* Only level-triggered interrupts end with an exit: somebody waits for their end. */
static void level_ends_with_exit(void **state)
{
	(void)state;
	ended = 0;
	c->lapic.env.eoi_broadcast = note_eoi;
	in_x2apic();
	vm_cpu_interrupt(c, 0x71, true);
	PLAY(ends_level, level_is_edge_now, ends_edge);
	assert_int_equal(ended, 0x71);
	assert_int_equal(v->exits[EXIT_APIC_EOI], 1);
}

static void is_cut_short(void)
{
	assert_int_equal(fake_vmx.delivered, 0x51);
	vm_world_flags(RFLAGS_IF, 0); /* it has not been delivered after all */
	fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
	fake_vectoring(INTR_INFO_VALID | 0x51, 0, 0);
}

static void has_51_again(void)
{
	injected(0x51);
	assert_int_equal(fake_vmx.delivered, 0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTR_STATUS), 0x5100);
	leave();
}

/* The exit came between ISR and the guest's stack: it is injected, and stays in service once. */
static void cut_short_is_injected(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x51, false);
	PLAY(is_cut_short, has_51_again);
}

static void sleeps(void)
{
	fake_exit_insn(VMX_EXIT_HLT, 0, 1);
}

static void wakes(void)
{
	vm_cpu_interrupt(c, 0x51, false);
}

static void woken(void)
{
	assert_int_equal(fake_vmx.delivered, 0x51);
	assert_int_equal(vmw.idles, 1);
	leave();
}

static void halt_ends(void **state)
{
	(void)state;
	vmw.idle = wakes;
	look();
	PLAY(sleeps, woken);
}

static void window_for_pic(void)
{
	assert_int_equal(fake_vmx.delivered, 0);
	assert_true(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
	vm_world_flags(RFLAGS_IF, 0);
	fake_exit(VMX_EXIT_INTERRUPT_WINDOW, 0);
}

static void pic_first(void)
{
	injected(0x28);
	assert_int_equal(fake_vmx.delivered, 0);
	assert_false(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
	fake_guest_sti();
	assert_int_equal(fake_vmx.delivered, 0x71);
	leave();
}

/* What is to be injected comes before what the CPU delivers, window and all. */
static void extint_comes_first(void **state)
{
	(void)state;
	vm_world_flags(0, 0);
	c->interrupt_again = true; /* taken from the PIC, and cut short */
	c->vector_again = 0x28;
	vm_cpu_interrupt(c, 0x71, false);
	PLAY(window_for_pic, pic_first);
}

static void init_while_in_service(void)
{
	assert_int_equal(fake_vmx.delivered, 0x71);
	vm_cpu_interrupt(c, 0x72, true);
	vm_cpu_post_init(c);
	vm_cpu_post_sipi(c, 0x10);
	leave();
}

/* Disabled by software now: nothing is delivered by the CPU, until software enables it again. */
static void not_delivering(void)
{
	assert_false(fake_vmcs_get(VMCS_PROC2_CONTROLS) & PROC2_VIRTUAL_INTERRUPTS);
	assert_int_equal(v->apic, ALL & ~VCPU_APIC_DELIVERY);
	(void)!vm_mmio_write(c, LAPIC_BASE_DEFAULT + LAPIC_SVR, 4, 0x1ff);
	leave();
}

static void delivering(void)
{
	assert_true(fake_vmcs_get(VMCS_PROC2_CONTROLS) & PROC2_VIRTUAL_INTERRUPTS);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_INTR_STATUS), 0);
	assert_int_equal(fake_vmcs_get(VMCS_EOI_EXIT0 + 2), 0);
	leave();
}

static void init_forgets(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x71, false);
	PLAY(init_while_in_service, not_delivering, delivering);
}

static void disabled_while_pending(void)
{
	assert_int_equal(fake_vmx.delivered, 0);
	(void)!vm_mmio_write(c, LAPIC_BASE_DEFAULT + LAPIC_SVR, 4, 0xff);
	vm_world_flags(RFLAGS_IF, 0);
	leave();
}

static void still_comes(void)
{
	injected(0x71);
	assert_int_equal(fake_vmx.delivered, 0);
	leave();
}

/* A LAPIC that software disables holds on to what it has accepted. */
static void pending_survives_disabling(void **state)
{
	(void)state;
	vm_world_flags(0, 0);
	vm_cpu_interrupt(c, 0x71, false);
	PLAY(disabled_while_pending, still_comes);
}

static void fires_on_read(void)
{
	uint64_t value;

	fake_this->tsc += 1ull << 40;
	v->attention = 0;
	assert_true(vm_mmio_read(c, LAPIC_BASE_DEFAULT + LAPIC_TIMER_CCT, 4, &value));
	leave();
}

static void timer_came(void)
{
	assert_int_equal(fake_vmx.delivered, 0xe1);
	leave();
}

/* Even a read may make the model raise an interrupt: the CPU must be told. */
static void read_raises_timer(void **state)
{
	(void)state;
	lapic_mmio_write(&c->lapic, LAPIC_LVT_TIMER, 4, 0xe1, vm_cpu_tsc(c));
	lapic_mmio_write(&c->lapic, LAPIC_TIMER_ICT, 4, 1000, vm_cpu_tsc(c));
	look();
	PLAY(fires_on_read, timer_came);
}

static void asks_cpuid(void)
{
	v->gpr[RAX] = 1;
	fake_counts_clear();
	fake_exit_insn(VMX_EXIT_CPUID, 0, 2);
}

static void cpuid_was_cheap(void)
{
	assert_int_equal(fake.count[FAKE_VMREAD], 5);
	assert_int_equal(fake.count[FAKE_VMWRITE], 1);
	fake_counts_clear();
	look();
	leave();
}

static void look_was_cheap(void)
{
	assert_int_equal(fake.count[FAKE_VMWRITE], 0); /* the LAPIC was not touched */
	leave();
}

/* Exits that have nothing to do with the LAPIC pay nothing for it. */
static void others_pay_nothing(void **state)
{
	(void)state;
	look();
	PLAY(leave, leave, asks_cpuid, cpuid_was_cheap, look_was_cheap);
}

#define TEST_WITH(name, setup) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_WITH(nothing_in_use, setup_none),
		TEST_WITH(tpr_shadow_on, setup_tpr),
		TEST_WITH(waits_for_tpr, setup_tpr),
		TEST_WITH(eoi_sets_threshold, setup_tpr),
		TEST_WITH(tpr_raised_before_window, setup_tpr),
		TEST_WITH(init_clears_threshold, setup_tpr),
		TEST_WITH(disabling_clears_threshold, setup_tpr),
		TEST_WITH(ppr_follows, setup_tpr),
		TEST_WITH(halt_obeys_tpr, setup_tpr),
		TEST_WITH(delivered_without_exits, setup_all),
		TEST_WITH(posts_are_merged, setup_all_two),
		TEST_WITH(level_ends_with_exit, setup_all),
		TEST_WITH(cut_short_is_injected, setup_all),
		TEST_WITH(halt_ends, setup_all),
		TEST_WITH(extint_comes_first, setup_all),
		TEST_WITH(init_forgets, setup_all),
		TEST_WITH(pending_survives_disabling, setup_all),
		TEST_WITH(read_raises_timer, setup_all),
		TEST_WITH(others_pay_nothing, setup_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
