/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is delivered at the next entry: priorities, double faults, windows, HLT, posts of other
 * CPUs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/defs/vmx.h"
#include "hv/vm/pc.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define INFO(type, vector) ((uint32_t)(type) << INTR_INFO_TYPE_SHIFT | (vector))

static struct vm_cpu *c;
static struct vcpu *v;

static int setup_with(unsigned cpus)
{
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(cpus);
	c = vmw.c;
	v = &c->vcpu;
	/* Software-enabled, no PIC behind it. */
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_LVT_MASKED, 0);
	v->attention = 0;
	vm_world_flags(RFLAGS_IF, 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(1);
}

static int setup_two(void **state)
{
	(void)state;
	return setup_with(2);
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static const struct vcpu_event *choose(void)
{
	assert_true(vm_before_entry(v));
	return &v->event;
}

static void chosen(unsigned type, unsigned vector)
{
	assert_true(v->event.valid);
	assert_int_equal(v->event.type, type);
	assert_int_equal(v->event.vector, vector);
	v->event.valid = false;
}

static void reinject(uint8_t type, uint8_t vector)
{
	v->reinject = (struct vcpu_event){.valid = true, .type = type, .vector = vector};
}

/* ---- CR8 for hardware that shows it ---- */

static void cr8_is_told(void **state)
{
	(void)state;
	vm_host.caps.tpr_shown = true;
	choose();
	v->attention = 0;
	assert_true(vm_mmio_write(c, LAPIC_BASE_DEFAULT + LAPIC_TPR, 4, 0x70));
	assert_true(v->attention & VCPU_EVENT);
	choose();
	assert_int_equal(v->tpr_class, 7);
	v->attention = 0;
	assert_true(vm_mmio_write(c, LAPIC_BASE_DEFAULT + LAPIC_TPR, 4, 0x71));
	assert_int_equal(v->attention, 0);
}

/* ---- Priorities ---- */

static void nothing_to_deliver(void **state)
{
	(void)state;
	assert_false(choose()->valid);
	assert_false(v->want_interrupt_window || v->want_nmi_window);
	/* And nothing was asked of the hardware. */
	assert_int_equal(fake.count[FAKE_VMREAD], 0);
}

static void priorities(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x41, false);
	vm_cpu_interrupt(c, 0x81, false);
	vm_cpu_nmi(c);
	vm_inject_ud(c);
	choose();
	chosen(EVENT_EXCEPTION, EXC_UD);
	assert_true(v->want_nmi_window && v->want_interrupt_window);
	choose();
	chosen(EVENT_NMI, EXC_NMI);
	assert_false(v->want_nmi_window);
	assert_true(v->want_interrupt_window);
	choose();
	chosen(EVENT_INTERRUPT, 0x81);
	/* 41h is of a lower class than what is in service. */
	assert_false(choose()->valid);
	lapic_eoi(&c->lapic);
	choose();
	chosen(EVENT_INTERRUPT, 0x41);
	lapic_eoi(&c->lapic);
	assert_false(choose()->valid);
}

/* The frame of a fault has RF, so that a breakpoint does not come twice; others' have not. */
static void faults_have_rf(void **state)
{
	static const struct {
		uint8_t vector;
		bool rf;
	} rows[] = {{EXC_GP, true}, {EXC_PF, true}, {EXC_UD, true}, {EXC_AC, true}, {EXC_NP, true},
		{EXC_DB, false}, {EXC_DF, false}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		vm_world_flags(RFLAGS_IF, 0);
		vm_inject_exception(c, rows[i].vector, EXC_HAS_ERROR_MASK >> rows[i].vector & 1, 0);
		assert_int_equal(!!(v->ops->reg_read(v, REG_RFLAGS) & RFLAGS_RF), rows[i].rf);
		choose();
		chosen(EVENT_EXCEPTION, rows[i].vector);
	}
}

/*
 * Two that come close together are two: the first would be in its handler. A third is lost, and so
 * is the second where NMIs are blocked.
 */
static void nmis_that_come_together(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		vm_cpu_nmi(c);
	for (unsigned i = 0; i < 2; i++) {
		choose();
		chosen(EVENT_NMI, EXC_NMI);
	}
	assert_false(choose()->valid);
	vm_world_flags(0, INTERRUPTIBILITY_NMI);
	vm_cpu_nmi(c);
	vm_cpu_nmi(c);
	assert_false(choose()->valid);
	vm_cpu_nmi(c);
	assert_false(choose()->valid);
	vm_world_flags(0, 0);
	choose();
	chosen(EVENT_NMI, EXC_NMI);
	assert_false(choose()->valid);
}

static void what_was_cut_short_comes_first(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x81, false);
	vm_cpu_nmi(c);
	reinject(EVENT_INTERRUPT, 0x31);
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
	choose();
	chosen(EVENT_NMI, EXC_NMI);
	choose();
	chosen(EVENT_INTERRUPT, 0x81);
}

static void tpr_holds_back(void **state)
{
	(void)state;
	assert_int_equal(lapic_cr8_write(&c->lapic, 8), OK);
	vm_cpu_interrupt(c, 0x81, false);
	assert_false(choose()->valid);
	assert_false(v->want_interrupt_window);
	vm_cpu_interrupt(c, 0x91, false);
	choose();
	chosen(EVENT_INTERRUPT, 0x91);
}

/* ---- Windows ---- */

static void interrupt_window(void **state)
{
	static const struct {
		uint64_t flags;
		uint32_t blocked;
	} closed[] = {
		{0, 0}, {RFLAGS_IF, INTERRUPTIBILITY_STI}, {RFLAGS_IF, INTERRUPTIBILITY_MOV_SS}};

	(void)state;
	vm_cpu_interrupt(c, 0x31, false);
	for (unsigned i = 0; i < ARRAY_SIZE(closed); i++) {
		vm_world_flags(closed[i].flags, closed[i].blocked);
		assert_false(choose()->valid);
		assert_true(v->want_interrupt_window);
		assert_false(v->want_nmi_window);
	}
	vm_world_flags(RFLAGS_IF, INTERRUPTIBILITY_NMI); /* blocks NMIs only */
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
	assert_false(v->want_interrupt_window);
}

static void nmi_window(void **state)
{
	(void)state;
	vm_cpu_nmi(c);
	vm_world_flags(0, INTERRUPTIBILITY_NMI);
	assert_false(choose()->valid);
	assert_true(v->want_nmi_window);
	vm_world_flags(0, 0); /* IF does not matter */
	choose();
	chosen(EVENT_NMI, EXC_NMI);
	assert_false(v->want_nmi_window);
	assert_false(choose()->valid); /* one NMI, delivered once */
}

/*
 * An interrupt that was being delivered waits behind an exception whose handler runs with IF clear.
 */
static void interrupt_behind_an_exception(void **state)
{
	(void)state;
	reinject(EVENT_INTERRUPT, 0x31);
	vm_inject_pf(c, PF_ERR_W, 0x5000);
	assert_int_equal(fake_this->cr2, 0x5000);
	choose();
	assert_true(v->event.has_error);
	assert_int_equal(v->event.error, PF_ERR_W);
	chosen(EVENT_EXCEPTION, EXC_PF);
	assert_true(v->want_interrupt_window);
	/*
	 * Exits of the handler are not taken for exits of that delivery, nor do they overwrite it.
	 */
	assert_false(v->reinject.valid);
	vm_world_flags(0, 0);
	reinject(EVENT_EXCEPTION, EXC_DE);
	choose();
	chosen(EVENT_EXCEPTION, EXC_DE);
	assert_false(choose()->valid);
	assert_true(v->want_interrupt_window);
	vm_world_flags(RFLAGS_IF, 0);
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
	assert_false(v->want_interrupt_window || v->reinject.valid);
	assert_false(choose()->valid);
}

static void nmi_behind_an_exception(void **state)
{
	(void)state;
	reinject(EVENT_NMI, EXC_NMI);
	vm_inject_gp(c);
	choose();
	chosen(EVENT_EXCEPTION, EXC_GP);
	assert_true(v->want_nmi_window);
	choose();
	chosen(EVENT_NMI, EXC_NMI);
	assert_false(v->want_nmi_window);
}

/* INT n that faulted is executed again by itself: it must not also be injected into the handler. */
static void soft_interrupt_behind_an_exception(void **state)
{
	static const uint8_t soft[] = {
		EVENT_SOFT_INTERRUPT, EVENT_PRIVILEGED_SOFT, EVENT_SOFT_EXCEPTION};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(soft); i++) {
		reinject(soft[i], 0x80);
		vm_inject_gp(c);
		choose();
		chosen(EVENT_EXCEPTION, EXC_GP);
		assert_false(v->reinject.valid);
		assert_false(choose()->valid);
	}
}

/* ---- Double and triple faults: SDM vol. 3, "Conditions for Generating a Double Fault" ---- */

static void double_faults(void **state)
{
	/* By class: benign, contributory, page fault. */
	static const uint8_t benign[] = {EXC_DB, EXC_NMI, EXC_BP, EXC_OF, EXC_BR, EXC_UD, EXC_NM,
		EXC_MF, EXC_AC, EXC_MC, EXC_XM};
	static const uint8_t contributory[] = {EXC_DE, EXC_TS, EXC_NP, EXC_SS, EXC_GP, EXC_CP};
	static const uint8_t page[] = {EXC_PF};
	static const struct {
		const uint8_t *vectors;
		unsigned count;
	} classes[3] = {
		{benign, ARRAY_SIZE(benign)}, {contributory, ARRAY_SIZE(contributory)}, {page, 1}};
	static const bool doubles[3][3] = {
		{false, false, false}, {false, true, false}, {false, true, true}};

	(void)state;
	for (unsigned a = 0; a < 3; a++) {
		for (unsigned b = 0; b < 3; b++) {
			for (unsigned i = 0; i < classes[a].count * classes[b].count; i++) {
				uint8_t first = classes[a].vectors[i % classes[a].count];
				uint8_t second = classes[b].vectors[i / classes[a].count];

				if (first == EXC_NMI || second == EXC_NMI)
					continue;
				reinject(EVENT_EXCEPTION, first);
				vm_inject_exception(c, second, false, 0);
				choose();
				if (doubles[a][b]) {
					assert_true(v->event.has_error);
					assert_int_equal(v->event.error, 0);
				}
				chosen(EVENT_EXCEPTION, doubles[a][b] ? EXC_DF : second);
				assert_false(v->reinject.valid);
			}
		}
	}
}

static void triple_fault(void **state)
{
	(void)state;
	reinject(EVENT_EXCEPTION, EXC_DF);
	vm_inject_gp(c);
	assert_int_equal(vmw.vm->stop.kind, STOP_FAILED);
	assert_string_equal(vmw.vm->stop.text, "triple fault");
	assert_false(vm_before_entry(v));
}

/* An event of another kind in delivery makes no double fault. */
static void no_double_fault_with_interrupts(void **state)
{
	(void)state;
	reinject(EVENT_INTERRUPT, EXC_GP); /* a vector, not an exception */
	vm_inject_gp(c);
	choose();
	chosen(EVENT_EXCEPTION, EXC_GP);
}

/* ---- HLT ---- */

static unsigned idle_rounds;

static void interrupt_comes(void)
{
	idle_rounds++;
	vm_cpu_interrupt(c, 0x31, false);
}

static void nothing_then_nmi(void)
{
	if (++idle_rounds < 3)
		return;
	vm_cpu_nmi(c);
}

static void stop_comes(void)
{
	vm_stop(vmw.vm, STOP_KILLED, "killed");
}

static void halt_until_an_interrupt(void **state)
{
	(void)state;
	c->halted = true;
	idle_rounds = 0;
	vmw.idle = interrupt_comes;
	choose();
	assert_int_equal(vmw.idles, 1);
	assert_false(c->halted);
	chosen(EVENT_INTERRUPT, 0x31);
}

static void halt_ends_at_once(void **state)
{
	(void)state;
	c->halted = true;
	vm_cpu_interrupt(c, 0x31, false);
	choose();
	assert_int_equal(vmw.idles, 0);
	chosen(EVENT_INTERRUPT, 0x31);
}

/* With IF clear only an NMI ends HLT. */
static void halt_with_interrupts_off(void **state)
{
	(void)state;
	vm_world_flags(0, 0);
	c->halted = true;
	vm_cpu_interrupt(c, 0x31, false);
	idle_rounds = 0;
	vmw.idle = nothing_then_nmi;
	choose();
	assert_int_equal(vmw.idles, 3);
	chosen(EVENT_NMI, EXC_NMI);
	assert_false(c->halted);
}

/* An NMI handler that halts: the next NMI is blocked and does not wake it. */
static void halt_with_nmis_blocked(void **state)
{
	(void)state;
	vm_world_flags(RFLAGS_IF, INTERRUPTIBILITY_NMI);
	c->halted = true;
	vm_cpu_nmi(c);
	idle_rounds = 0;
	vmw.idle = interrupt_comes;
	choose();
	assert_int_equal(vmw.idles, 1);
	chosen(EVENT_INTERRUPT, 0x31);
	assert_true(v->want_nmi_window);
}

static void halted_guest_is_stopped(void **state)
{
	(void)state;
	c->halted = true;
	vmw.idle = stop_comes;
	assert_false(vm_before_entry(v));
}

/* ---- Other CPUs ---- */

static void posted_from_another_cpu(void **state)
{
	(void)state;
	fake_cpu_select(1);
	vm_cpu_interrupt(c, 0x31, false);
	vm_cpu_interrupt(c, 0xff, true);
	vm_cpu_interrupt(c, 0x31, false); /* coalesces */
	assert_int_equal(vmw.kicks[0], 3);
	assert_true(v->attention & VCPU_POSTED);
	assert_int_equal(lapic_pending(&c->lapic), -1); /* not touched from there */
	fake_cpu_select(0);
	choose();
	chosen(EVENT_INTERRUPT, 0xff);
	lapic_eoi(&c->lapic);
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
	lapic_eoi(&c->lapic);
	assert_false(choose()->valid);
	assert_int_equal(
		c->lapic.page[LAPIC_TMR / 4 + 4 * 7] >> 31, 1); /* FFh was level-triggered */
}

/* A post between the check of attention and the entry: the kick is what brings the CPU back. */
static void post_after_the_check(void **state)
{
	(void)state;
	assert_false(choose()->valid);
	assert_int_equal(v->attention, 0);
	fake_cpu_select(1);
	vm_cpu_interrupt(c, 0x31, false);
	assert_int_equal(vmw.kicks[0], 1);
	fake_cpu_select(0);
	assert_true(v->attention != 0);
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
}

/*
 * The other CPU finishes its post while this one already looks: attention is cleared before posts
 * are taken.
 */
static void post_is_visible_before_attention(void **state)
{
	(void)state;
	c->posts = POST_VECTOR; /* set, but not yet in attention */
	c->post_vector[0][0] = BIT(0x31);
	v->attention = VCPU_EVENT;
	choose();
	chosen(EVENT_INTERRUPT, 0x31);
	v->attention |= VCPU_POSTED; /* it comes late: harmless */
	assert_false(choose()->valid);
}

static void another_cpu_posts(void)
{
	vmw.timer_was_armed = NULL;
	fake_cpu_select(1);
	vm_cpu_interrupt(c, 0x31, false);
	fake_cpu_select(0);
}

/* A post while posts are being taken (here: while console input is) is not lost. */
static void post_while_posts_are_taken(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 40;
		i++) /* more than the UART takes: a timer is armed for the rest */
		assert_true(ring_put(&vmw.console_in, 'x'));
	vmw.timer_was_armed = another_cpu_posts;
	vm_cpu_post(c, POST_CONSOLE);
	choose();
	assert_null(vmw.timer_was_armed);
	assert_true(v->event.valid || (v->attention & VCPU_POSTED));
	if (!v->event.valid)
		choose();
	chosen(EVENT_INTERRUPT, 0x31);
}

static void own_interrupts_need_no_kick(void **state)
{
	(void)state;
	vm_cpu_interrupt(c, 0x31, false);
	assert_int_equal(vmw.kicks[0], 0);
	assert_true(v->attention & VCPU_EVENT);
}

static void nmi_to_another_vcpu(void **state)
{
	struct vm_cpu *other = vmw.vm->cpu[1];

	(void)state;
	vm_cpu_nmi(other);
	assert_int_equal(vmw.kicks[1], 1);
	assert_false(c->nmi_pending);
	assert_false(choose()->valid);
	fake_cpu_select(1);
	assert_true(vm_before_entry(&other->vcpu));
	assert_int_equal(other->vcpu.event.type, EVENT_NMI);
	other->vcpu.event.valid = false;
	fake_cpu_select(0);
}

/* ---- The PIC ---- */

static void pic_program(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} init[] = {{0x20, 0x11}, {0x21, 0x20}, {0x21, 4}, {0x21, 1}, {0xa0, 0x11}, {0xa1, 0x28},
		{0xa1, 2}, {0xa1, 1}, {0x21, 0xef}, {0xa1, 0xff}};

	for (unsigned i = 0; i < ARRAY_SIZE(init); i++)
		assert_true(bus_write(&vmw.vm->ports, init[i].port, 1, init[i].value));
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_DM_EXTINT << 8, 0);
}

/* IRQ 4: the UART, with "transmitter empty" enabled; OUT2 gates it. */
static void uart_interrupt(void)
{
	assert_true(bus_write(&vmw.vm->ports, 0x3fc, 1, 8));
	assert_true(bus_write(&vmw.vm->ports, 0x3f9, 1, 2));
}

static void pic_interrupt(void **state)
{
	(void)state;
	pic_program();
	vm_world_flags(0, 0);
	v->attention = 0;
	uart_interrupt();
	assert_true(v->attention & VCPU_EVENT);
	assert_true(pc_pic_pending(vmw.vm));
	assert_false(choose()->valid);
	assert_true(v->want_interrupt_window);
	vm_world_flags(RFLAGS_IF, 0);
	vm_cpu_interrupt(c, 0xf1, false); /* ExtINT goes before the LAPIC's own */
	choose();
	chosen(EVENT_INTERRUPT, 0x24);
	choose();
	chosen(EVENT_INTERRUPT, 0xf1);
}

static void pic_is_cut_off_by_lint0(void **state)
{
	(void)state;
	pic_program();
	lapic_mmio_write(&c->lapic, LAPIC_LVT_LINT0, 4, LAPIC_LVT_MASKED | LAPIC_DM_EXTINT << 8, 0);
	uart_interrupt();
	assert_true(pc_pic_pending(vmw.vm));
	assert_false(choose()->valid);
	assert_false(v->want_interrupt_window);
}

static void console_posts(void **state)
{
	(void)state;
	assert_true(ring_put(&vmw.console_in, 'x'));
	vm_cpu_post(c, POST_CONSOLE);
	choose();
	assert_int_equal(ring_used(&vmw.console_in), 0);
	uint64_t lsr;
	assert_true(bus_read(&vmw.vm->ports, 0x3fd, 1, &lsr));
	assert_true(lsr & 1);
}

/* ---- Through the run loop: every lost event would be a guest that hangs ---- */

static unsigned script_at;

static void run_script(struct vcpu *unused, void *ctx)
{
	const struct fake_injection *in = &fake_vmx.injected;

	(void)unused;
	(void)ctx;
	switch (script_at++) {
	case 0: /* a vector arrives while IF is clear; the guest runs on */
		vm_cpu_interrupt(c, 0x31, false);
		fake_exit_insn(VMX_EXIT_CPUID, 0, 2);
		break;
	case 1: /* its window is asked for; the guest says STI */
		assert_false(in->valid);
		assert_true(fake_vmcs_get(VMCS_PROC_CONTROLS) & PROC_INTERRUPT_WINDOW_EXITING);
		vm_world_flags(RFLAGS_IF, 0);
		fake_exit_insn(VMX_EXIT_CPUID, 0, 2);
		break;
	case 2: /* delivery hits a page that is not mapped: the I/O APIC's registers */
		assert_true(in->valid);
		assert_int_equal(in->vector, 0x31);
		vm_world_flags(RFLAGS_IF, 0);
		fake_exit(VMX_EXIT_EXTERNAL_INTERRUPT, 0);
		fake_vectoring(INFO(EVENT_INTERRUPT, 0x31), 0, 0);
		break;
	case 3: /* so it comes again, once */
		assert_true(in->valid);
		assert_int_equal(in->vector, 0x31);
		fake_exit_insn(VMX_EXIT_HLT, 0, 1);
		vm_world_flags(0, 0);
		break;
	default:
		assert_int_equal(in->type, EVENT_NMI);
		stop_comes();
		fake_exit(VMX_EXIT_INIT, 0);
	}
}

static void run_loop(void **state)
{
	(void)state;
	vm_world_flags(0, 0);
	script_at = idle_rounds = 0;
	vmw.idle = nothing_then_nmi;
	fake_vmx.guest = run_script;
	v->ops->run(v);
	assert_int_equal(script_at, 5);
	assert_int_equal(vmw.idles, 3);
	assert_int_equal(vmw.polls, 1);
	assert_int_equal(fake.count[FAKE_INJECT], 3);
	assert_int_equal(v->exits[EXIT_INTERRUPT_WINDOW], 1);
}

static unsigned x2apic_at;

/* In x2APIC mode EOI is a WRMSR: it must make the CPU look for the interrupt that had to wait. */
static void x2apic_guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	vm_world_flags(RFLAGS_IF, 0);
	switch (x2apic_at++) {
	case 0:
		assert_int_equal(fake_vmx.injected.vector, 0x81);
		v->gpr[RCX] = 0x80b;
		v->gpr[RAX] = v->gpr[RDX] = 0;
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		break;
	case 1:
		assert_true(fake_vmx.injected.valid);
		assert_int_equal(fake_vmx.injected.vector, 0x41);
		v->gpr[RAX] = 0;
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		break;
	case 2: /* self IPI */
		v->gpr[RCX] = 0x83f;
		v->gpr[RAX] = 0x51;
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		break;
	default:
		assert_true(fake_vmx.injected.valid);
		assert_int_equal(fake_vmx.injected.vector, 0x51);
		stop_comes();
		fake_exit(VMX_EXIT_INIT, 0);
	}
}

static void x2apic_eoi_and_self_ipi(void **state)
{
	(void)state;
	x2apic_at = 0;
	assert_true(vm_msr_write(c, 0x1b, LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD));
	vm_cpu_interrupt(c, 0x81, false);
	vm_cpu_interrupt(c, 0x41, false);
	fake_vmx.guest = x2apic_guest;
	v->ops->run(v);
	assert_int_equal(x2apic_at, 4);
}

/*
 * ---- A guest that makes the CPU fault without end can be stopped (pitfalls: endless vectoring)
 * ----
 */

static unsigned ac_count;

static void ac_for_ever(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	vm_world_flags(RFLAGS_IF, 0);
	if (++ac_count == 1000)
		stop_comes();
	fake_exit_exception(INFO(EVENT_EXCEPTION, EXC_AC) | INTR_INFO_ERROR_VALID, 0, 0);
	if (fake_vmx.injected.valid)
		fake_vectoring(INFO(EVENT_EXCEPTION, EXC_AC) | INTR_INFO_ERROR_VALID, 0, 0);
}

static void endless_alignment_checks(void **state)
{
	(void)state;
	ac_count = 0;
	fake_vmx.guest = ac_for_ever;
	v->ops->run(v);
	assert_int_equal(ac_count, 1000);
}

/* ---- Debug exceptions ---- */

static void db_guest(struct vcpu *unused, void *ctx)
{
	(void)unused;
	(void)ctx;
	if (!fake_vmx.injected.valid) {
		fake_vmcs_set(VMCS_GUEST_DR7, DR7_RESET | DR7_GD);
		fake_exit_exception(INFO(EVENT_EXCEPTION, EXC_DB), 0, DR6_BS | 1);
		return;
	}
	assert_int_equal(fake_vmx.injected.vector, EXC_DB);
	stop_comes();
	fake_exit(VMX_EXIT_INIT, 0);
}

static void debug_exception(void **state)
{
	(void)state;
	write_dr6(DR6_RESET | 2);
	fake_vmx.guest = db_guest;
	v->ops->run(v);
	assert_int_equal(fake_this->dr[6], DR6_RESET | DR6_BS | 1);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_DR7), DR7_RESET); /* GD is cleared by delivery */
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_to_deliver),
		TEST(cr8_is_told),
		TEST(priorities),
		TEST(nmis_that_come_together),
		TEST(faults_have_rf),
		TEST(what_was_cut_short_comes_first),
		TEST(tpr_holds_back),
		TEST(interrupt_window),
		TEST(nmi_window),
		TEST(interrupt_behind_an_exception),
		TEST(nmi_behind_an_exception),
		TEST(soft_interrupt_behind_an_exception),
		TEST(double_faults),
		TEST(triple_fault),
		TEST(no_double_fault_with_interrupts),
		TEST(halt_until_an_interrupt),
		TEST(halt_ends_at_once),
		TEST(halt_with_interrupts_off),
		TEST(halt_with_nmis_blocked),
		TEST(halted_guest_is_stopped),
		TEST_TWO(posted_from_another_cpu),
		TEST(post_after_the_check),
		TEST(post_is_visible_before_attention),
		TEST(post_while_posts_are_taken),
		TEST(own_interrupts_need_no_kick),
		TEST_TWO(nmi_to_another_vcpu),
		TEST(pic_interrupt),
		TEST(pic_is_cut_off_by_lint0),
		TEST(console_posts),
		TEST(run_loop),
		TEST(x2apic_eoi_and_self_ipi),
		TEST(endless_alignment_checks),
		TEST(debug_exception),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
