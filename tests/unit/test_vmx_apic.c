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

static int setup_with(unsigned apic, unsigned cpus)
{
	fake_fail_hook = fake_fail_cmocka;
	vm_world_apic = apic;
	vm_world_init(cpus);
	c = vmw.c;
	v = &c->vcpu;
	assert_int_equal(v->apic, apic);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
