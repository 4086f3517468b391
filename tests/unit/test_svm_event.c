/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD-V: what is injected, what an exit cut short, and the windows: NMIs are blocked until IRET,
 * and one instruction is single-stepped where the hardware has no window for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "tests/fakes/svm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define INFO(type, vector) ((uint64_t)(type) << SVM_EVENT_TYPE_SHIFT | (vector))
#define ERROR(code)        (SVM_EVENT_ERROR_VALID | (uint64_t)(code) << SVM_EVENT_ERROR_SHIFT)
#define FLAGS              (RFLAGS_RESERVED | RFLAGS_IF)
#define BEHIND             0x1002u /* the instruction at 0x1000 */

static const struct vcpu_event nmi = {.valid = true, .type = EVENT_NMI, .vector = EXC_NMI};
static const struct vcpu_event interrupt = {.valid = true, .type = EVENT_INTERRUPT, .vector = 0x31};
static const struct vcpu_event gp = {
	.valid = true, .has_error = true, .type = EVENT_EXCEPTION, .vector = EXC_GP, .error = 0x18};

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	svmw_init();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	svmw_fini();
	return 0;
}

/* ---- Scripts ---- */

static void exits_cpuid(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_insn(SVM_EXIT_CPUID, 0, 2);
}

static void exits_interrupt(struct vcpu *v)
{
	(void)v;
	fake_svm_exit(SVM_EXIT_INTR, 0, 0);
}

/* An ordinary instruction, and then CPUID unless something else comes first. */
static void runs(struct vcpu *v)
{
	if (!fake_svm_step(BEHIND, svmw.b->rflags & ~RFLAGS_TF))
		exits_cpuid(v);
}

static uint64_t iret_flags;

static void irets(struct vcpu *v)
{
	if (!fake_svm_iret(0x5000, iret_flags))
		exits_cpuid(v);
}

/* before_entry chooses this once. */
static struct vcpu_event chosen;
static bool nmi_waits, interrupt_waits;

/* The neutral layer in small: an exception first, then NMI, then interrupt; the rest waits. */
static void choose(struct vcpu *v)
{
	uint32_t blocked = svm_interruptibility(v);

	if (v->reinject.valid) {
		v->event = v->reinject;
		v->reinject.valid = false;
	} else if (chosen.valid) {
		v->event = chosen;
		chosen.valid = false;
	} else if (v->event.valid) {
		/* a single step of the guest's */
	} else if (nmi_waits && !(blocked & VCPU_BLOCKED_NMI)) {
		v->event = nmi;
		nmi_waits = false;
	} else if (interrupt_waits && !(blocked & VCPU_BLOCKED_INTERRUPTS)) {
		v->event = interrupt;
		interrupt_waits = false;
	}
	v->want_nmi_window = nmi_waits;
	v->want_interrupt_window = interrupt_waits;
}

static void scripted(void)
{
	chosen.valid = nmi_waits = interrupt_waits = false;
	iret_flags = FLAGS;
	svmw.before = choose;
	svmw.v.attention = VCPU_EVENT;
}

static enum exit_reason go(void (*step)(struct vcpu *v))
{
	return svmw_run(step, ACT_LEAVE)->reason;
}

/* As the hook of the two windows does. */
static void look_again(void)
{
	svmw.v.attention = VCPU_EVENT;
}

static bool irets_exit(void)
{
	return svmw.b->intercept[SVM_INTERCEPT_3] & SVM_3_IRET;
}

static bool nmis_blocked(void)
{
	return svm_interruptibility(&svmw.v) & VCPU_BLOCKED_NMI;
}

/* ---- Injection ---- */

static void inject(struct vcpu_event event)
{
	scripted();
	chosen = event;
	svmw.b->rflags = FLAGS;
	go(exits_cpuid);
	assert_true(fake_svm.injected.valid);
	assert_false(svmw.v.event.valid);
	assert_int_equal(fake_svm.injected.vector, event.vector);
	/* It has been delivered: the next entry is without it. */
	go(exits_cpuid);
	assert_false(fake_svm.injected.valid);
}

static void injection(void **state)
{
	const struct vcpu_event ud = {.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_UD};

	(void)state;
	inject(interrupt);
	inject(ud);
	inject(nmi);
	scripted();
	chosen = gp;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_EXCEPTION);
	assert_true(fake_svm.injected.has_error);
	assert_int_equal(fake_svm.injected.error, 0x18);
}

/* INT1: the frame points behind it. */
static void injected_icebp(void **state)
{
	(void)state;
	scripted();
	chosen = (struct vcpu_event){
		.valid = true, .type = EVENT_PRIVILEGED_SOFT, .vector = EXC_DB, .insn_len = 1};
	svm_reg_write(&svmw.v, REG_DR7, DR7_RESET | DR7_GD);
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_EXCEPTION);
	assert_int_equal(fake_svm.injected.vector, EXC_DB);
	assert_int_equal(fake_svm.injected.rip, 0x1001);
	assert_int_equal(svmw.b->dr7, DR7_RESET);
}

static void use_real_mode(void)
{
	struct vcpu_state s;

	svmw_state(&s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){0, 0x93, 0xffff, 0};
	s.seg[SEG_CS].attr = 0x9b;
	s.cr0 = CR0_ET;
	s.cr4 = 0;
	s.efer = 0;
	s.rip = 0x7c00;
	svm_state_set(&svmw.v, &s);
}

/* Real mode pushes none; what is pushed with EV = 1 there would shift the guest's stack. */
static void no_error_code_in_real_mode(void **state)
{
	(void)state;
	use_real_mode();
	scripted();
	chosen = gp;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.vector, EXC_GP);
	assert_false(fake_svm.injected.has_error);
}

/*
 * What is posted at the last moment is looked at first, and the event that was to go in is not
 * lost.
 */
static void an_aborted_entry_keeps_its_event(void **state)
{
	const struct vcpu_event events[] = {gp, nmi, interrupt};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		scripted();
		chosen = events[i];
		svmw.b->rflags = FLAGS;
		svmw.before_entry_calls = 0;
		fake_svm.post_before_entry = VCPU_POSTED;
		go(exits_cpuid);
		assert_int_equal(svmw.before_entry_calls, 2);
		assert_int_equal(fake_svm.injected.vector, events[i].vector);
		assert_int_equal(fake_svm.injected.error, events[i].error);
		assert_int_equal(fake.count[FAKE_INJECT], 1);
	}
}

/* ---- Events cut short ---- */

static uint64_t vectoring;

static void cuts_short(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_npf(0x100000006, 0x5000, NULL, 0);
	fake_svm_vectoring(vectoring);
}

static void reinjection(void **state)
{
	static const struct {
		uint64_t info;
		bool again; /* what an instruction raised is raised by it again */
	} rows[] = {
		{INFO(SVM_TYPE_INTR, 0xec), true},
		{INFO(SVM_TYPE_NMI, EXC_NMI), true},
		{INFO(SVM_TYPE_EXCEPTION, EXC_DE), true},
		{INFO(SVM_TYPE_EXCEPTION, EXC_DB), true},
		{INFO(SVM_TYPE_EXCEPTION, EXC_PF) | ERROR(7), true},
		{INFO(SVM_TYPE_SOFT, 0x80), false},
		{INFO(SVM_TYPE_EXCEPTION, EXC_BP), false},
		{INFO(SVM_TYPE_EXCEPTION, EXC_OF), false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct fake_injection *in = &fake_svm.injected;

		vectoring = rows[i].info;
		svmw.b->rflags = FLAGS;
		svmw_run(cuts_short, ACT_RESUME);
		assert_int_equal(svmw.at, 2);
		assert_int_equal(in->valid, rows[i].again);
		assert_int_equal(fake.count[FAKE_INJECT], rows[i].again);
		assert_false(svmw.v.reinject.valid);
		if (!in->valid)
			continue;
		assert_int_equal(in->vector, rows[i].info & 0xff);
		assert_int_equal(in->type, rows[i].info >> 8 & 7);
		assert_int_equal(in->has_error, !!(rows[i].info & SVM_EVENT_ERROR_VALID));
		assert_int_equal(in->error, rows[i].info >> 32);
	}
}

/* Every exit that can cut short says so; and the old content of the field says nothing. */
static void cut_short_by(void **state)
{
	static const uint32_t codes[] = {SVM_EXIT_INTR, SVM_EXIT_SHUTDOWN,
		SVM_EXIT_EXCEPTION + EXC_AC, SVM_EXIT_NPF, SVM_EXIT_NMI};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
		struct vcpu *v = &svmw.v;

		svmw.b->exit_code = codes[i];
		svmw.b->exit_int_info = INFO(SVM_TYPE_INTR, 0x41); /* not valid */
		svm_save_vectoring(v);
		assert_false(v->reinject.valid);
	}
	scripted();
	chosen = interrupt;
	go(exits_cpuid);
	assert_false(svmw.v.reinject.valid);
}

static void nmi_cut_short(struct vcpu *v)
{
	(void)v;
	fake_svm_exit_npf(0x100000006, 0x5000, NULL, 0);
	fake_svm_vectoring(INFO(SVM_TYPE_NMI, EXC_NMI));
}

/* An NMI that was not delivered has blocked nothing. */
static void nmi_delivered_twice_over(void **state)
{
	(void)state;
	scripted();
	nmi_waits = true;
	go(nmi_cut_short);
	assert_false(nmis_blocked());
	go(exits_cpuid); /* the fake refuses it while NMIs are blocked */
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
	assert_true(nmis_blocked());
}

/* ---- NMIs ---- */

static void deliver_nmi(void)
{
	scripted();
	nmi_waits = true;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
	assert_true(nmis_blocked());
	assert_true(irets_exit());
	svmw.b->rflags = FLAGS;
}

static void blocked_until_iret(void **state)
{
	(void)state;
	assert_false(irets_exit());
	deliver_nmi();
	go(exits_cpuid);
	assert_true(nmis_blocked());
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	assert_true(nmis_blocked()); /* not executed yet */
	look_again();
	assert_int_equal(go(irets), EXIT_CPUID);
	assert_int_equal(svmw.b->rip, 0x5000);
	assert_false(nmis_blocked());
	assert_false(irets_exit());
	/* And another one may come. */
	deliver_nmi();
}

/* An NMI was delivered without the CPU, or its IRET done: what was known of an IRET is over. */
static void nmi_block(void **state)
{
	(void)state;
	svm_ops.nmi_block(&svmw.v, true);
	assert_true(nmis_blocked());
	scripted();
	go(exits_cpuid);
	assert_true(irets_exit());
	assert_int_equal(go(irets), EXIT_NMI_WINDOW); /* seen, not executed */
	svm_ops.nmi_block(&svmw.v, true);
	svmw.b->rip++;
	assert_true(nmis_blocked());
	look_again();
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	svm_ops.nmi_block(&svmw.v, false);
	assert_false(nmis_blocked());
	/* And the next one is blocked until its own IRET. */
	deliver_nmi();
	svmw.b->rip++;
	assert_true(nmis_blocked());
	svm_ops.nmi_block(&svmw.v, false);
	look_again();
	go(exits_cpuid);
	assert_false(nmis_blocked());
	assert_false(irets_exit());
}

/* AMD-V switches tasks by itself: no intercept, whatever else is waited for. */
static void tasks_are_the_guests(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		scripted();
		nmi_waits = i & 1;
		interrupt_waits = i & 2;
		svmw.b->rflags = RFLAGS_RESERVED;
		svm_ops.nmi_block(&svmw.v, true);
		go(exits_cpuid);
		assert_false(svmw.b->intercept[SVM_INTERCEPT_3] & SVM_3_TASK_SWITCH);
	}
}

/* A second NMI waits for the first one's IRET, and comes before the next instruction. */
static void step_over_iret(void **state)
{
	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_false(svmw.b->rflags & RFLAGS_TF);
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	look_again();
	iret_flags = FLAGS | RFLAGS_OF;
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.b->rip, 0x5000);
	assert_int_equal(svmw.b->rflags, FLAGS | RFLAGS_OF);
	assert_false(svmw.b->dr6 & DR6_BS);
	assert_false(nmis_blocked());
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
	assert_int_equal(fake_svm.injected.rip, 0x5000);
}

/* TF that IRET loads is the guest's. */
static void step_over_iret_into_tf(void **state)
{
	(void)state;
	deliver_nmi();
	nmi_waits = true;
	go(irets);
	look_again();
	iret_flags = FLAGS | RFLAGS_TF;
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.b->rflags, FLAGS | RFLAGS_TF);
}

static uint32_t exceptions(void)
{
	return svmw.b->intercept[SVM_INTERCEPT_EXCEPTION];
}

static void iret_faults(struct vcpu *v)
{
	(void)v;
	assert_true(svmw.b->rflags & RFLAGS_TF);
	assert_int_equal(exceptions(), UINT32_MAX);
	fake_svm_exit(SVM_EXIT_EXCEPTION + EXC_GP, 0x18, 0);
}

/* The guest gets its exception, with its own flags; the NMI goes on waiting. */
static void exception_during_the_step(void **state)
{
	uint32_t usual = exceptions();

	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	go(irets);
	look_again();
	assert_int_equal(go(iret_faults), EXIT_EXCEPTION);
	assert_int_equal(svmw.exit[0].exception.vector, EXC_GP);
	assert_int_equal(svmw.b->rflags, FLAGS);
	assert_int_equal(exceptions(), usual);
	assert_true(nmis_blocked());
	chosen = gp;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.vector, EXC_GP);
}

/* An interrupt of the machine's ends the step; the next entry begins it again. */
static void interrupt_during_the_step(void **state)
{
	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	go(irets);
	look_again();
	assert_int_equal(go(exits_interrupt), EXIT_INTERRUPT);
	assert_int_equal(svmw.b->rflags, FLAGS);
	assert_true(nmis_blocked());
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.b->rip, 0x5000);
	assert_false(nmis_blocked());
}

/* What is posted before a step has begun: nothing is delivered with the hypervisor's TF set. */
static void step_that_is_not_begun(void **state)
{
	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	go(irets);
	svmw.b->rflags = FLAGS;
	look_again();
	fake_svm.post_before_entry = VCPU_POSTED;
	chosen = (struct vcpu_event){0};
	svmw.before_entry_calls = 0;
	interrupt_waits = false;
	assert_int_equal(go(irets), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.before_entry_calls, 2);
	assert_int_equal(svmw.b->rflags, FLAGS);
	assert_false(nmis_blocked());
}

static void posts_an_interrupt(struct vcpu *v)
{
	if (svmw.before_entry_calls == 2)
		interrupt_waits = true;
	choose(v);
}

static void interrupt_instead_of_the_step(void **state)
{
	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	go(irets);
	svmw.b->rflags = FLAGS;
	svmw.before = posts_an_interrupt;
	svmw.before_entry_calls = 0;
	look_again();
	fake_svm.post_before_entry = VCPU_POSTED;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_INTERRUPT);
	/* The guest's frame has the guest's flags, and no exception is intercepted for us. */
	assert_int_equal(exceptions() & (1u << EXC_GP), 0);
	assert_true(nmis_blocked());
}

/* An exception goes in first; no window opens behind it, so the next exit looks again. */
static void nmi_behind_an_exception(void **state)
{
	(void)state;
	scripted();
	nmi_waits = true;
	chosen = gp;
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.vector, EXC_GP);
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
}

static void shadow(void)
{
	scripted();
	svmw.b->rip = 0x1000;
	svmw.b->int_shadow = SVM_INT_SHADOW;
	svmw.b->rflags = FLAGS;
	nmi_waits = true;
}

static void step_in_a_shadow(void **state)
{
	(void)state;
	shadow();
	assert_int_equal(go(runs), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.b->rip, BEHIND);
	assert_int_equal(svmw.b->rflags, FLAGS);
	assert_false(svmw.b->dr6 & DR6_BS);
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
	assert_int_equal(fake_svm.injected.rip, BEHIND);
}

/* The instruction in the shadow leaves the guest by itself: stepping over it ends the shadow. */
static void exit_in_a_shadow(void **state)
{
	(void)state;
	shadow();
	assert_int_equal(svmw_run(exits_cpuid, ACT_NEXT)->reason, EXIT_CPUID);
	assert_int_equal(svmw.at, 2);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
	assert_int_equal(fake_svm.injected.rip, BEHIND);
	assert_int_equal(svmw.v.event.valid, false);
}

/* The guest single-steps itself: its #DB comes first, TF and DR6.BS are its own. */
static void guests_own_tf(void **state)
{
	(void)state;
	shadow();
	svmw.b->rflags |= RFLAGS_TF;
	svm_reg_write(&svmw.v, REG_DR7, DR7_RESET | DR7_GD);
	assert_int_equal(svmw_run(runs, ACT_LEAVE)->reason, EXIT_EXCEPTION);
	assert_int_equal(svmw.exit[0].exception.vector, EXC_DB);
	assert_true(svmw.b->dr6 & DR6_BS);
}

static void runs_into_breakpoint(struct vcpu *v)
{
	svmw.b->dr6 |= 1;
	runs(v);
}

/* A breakpoint of the guest's own on the instruction that is stepped is not swallowed. */
static void breakpoint_in_the_step(void **state)
{
	(void)state;
	shadow();
	assert_int_equal(go(runs_into_breakpoint), EXIT_EXCEPTION);
	assert_int_equal(svmw.exit[0].exception.vector, EXC_DB);
	assert_int_equal(svmw.b->dr6 & 0xf, 1);
	assert_false(svmw.b->dr6 & DR6_BS);
	assert_int_equal(svmw.b->rflags, FLAGS);
}

static void breaks(struct vcpu *v)
{
	(void)v;
	if (exceptions() & 1u << EXC_BP)
		fake_svm_exit_insn(SVM_EXIT_EXCEPTION + EXC_BP, 0, 1);
	else
		exits_cpuid(v); /* its handler */
}

/* INT3 is a trap, and intercepted before it has moved RIP: it is executed again, without us. */
static void int3_in_the_step(void **state)
{
	(void)state;
	shadow();
	assert_int_equal(go(breaks), EXIT_AGAIN);
	assert_int_equal(svmw.b->rip, 0x1000);
	assert_int_equal(svmw.b->rflags, FLAGS);
	/* The NMI goes in before it; then the guest gets its #BP. */
	assert_int_equal(go(breaks), EXIT_CPUID);
	assert_int_equal(fake_svm.injected.type, EVENT_NMI);
}

/* DR7.GD is not lost by a step that the guest does not see. */
static void step_keeps_gd(void **state)
{
	(void)state;
	shadow();
	svm_reg_write(&svmw.v, REG_DR7, DR7_RESET | DR7_GD);
	assert_int_equal(go(runs), EXIT_NMI_WINDOW);
	assert_int_equal(svmw.b->dr7, DR7_RESET | DR7_GD);
}

/* ---- The interrupt window ---- */

#define ALWAYS (SVM_V_INTR_MASKING | SVM_V_GIF_ENABLE | SVM_V_GIF)

static void interrupt_window(void **state)
{
	(void)state;
	scripted();
	interrupt_waits = true;
	svmw.b->rflags = RFLAGS_RESERVED;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID); /* closed: the guest runs */
	assert_true(svmw.b->v_intr & SVM_V_IRQ);
	assert_true(svmw.b->intercept[SVM_INTERCEPT_3] & SVM_3_VINTR);
	svmw.b->rflags = FLAGS;
	svmw.b->int_shadow = SVM_INT_SHADOW;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID); /* so it is in the shadow of STI */
	svmw.b->int_shadow = 0;
	svmw.v.attention = 0; /* the guest opens it by itself, between two exits */
	assert_int_equal(go(exits_cpuid), EXIT_INTERRUPT_WINDOW);
	look_again();
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_INTERRUPT);
	assert_false(svmw.b->v_intr & SVM_V_IRQ);
	assert_false(svmw.b->intercept[SVM_INTERCEPT_3] & SVM_3_VINTR);
	assert_int_equal(svmw.b->v_intr, ALWAYS);
}

/* What CR8 is stands where a CPU may look that does not heed the intercept. */
static void cr8_is_shown(void **state)
{
	(void)state;
	scripted();
	svmw.v.tpr_class = 9;
	go(exits_cpuid);
	assert_int_equal(svmw.b->v_intr, ALWAYS | 9);
	interrupt_waits = true;
	svmw.b->rflags = RFLAGS_RESERVED;
	look_again();
	go(exits_cpuid);
	assert_int_equal(svmw.b->v_intr & (SVM_V_TPR | SVM_V_IRQ), SVM_V_IRQ | 9);
	svmw.v.tpr_class = 0;
	look_again();
	go(exits_cpuid);
	assert_int_equal(svmw.b->v_intr & SVM_V_TPR, 0);
}

/* ---- QEMU injects interrupts twice; virtual ones come once ---- */

static void interrupt_as_virtual(void **state)
{
	(void)state;
	scripted();
	svmw.x->injects_twice = svm_config.injects_twice = true;
	interrupt_waits = true;
	svmw.b->rflags = FLAGS;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_true(fake_svm.injected.valid);
	assert_int_equal(fake_svm.injected.vector, interrupt.vector);
	assert_false(svmw.b->event_inj & SVM_EVENT_VALID);
	look_again();
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_false(fake_svm.injected.valid);
	assert_false(svmw.v.reinject.valid);
}

/* It stays pending in the VMCB where something else came first, and is chosen again. */
static void virtual_not_taken(void **state)
{
	(void)state;
	scripted();
	svmw.x->injects_twice = svm_config.injects_twice = true;
	interrupt_waits = true;
	svmw.b->rflags = FLAGS;
	fake_svm.interrupted = true;
	assert_int_equal(go(exits_cpuid), EXIT_INTERRUPT);
	assert_true(svmw.v.reinject.valid);
	assert_int_equal(svmw.v.reinject.vector, interrupt.vector);
	assert_int_equal(svmw.v.reinject.type, EVENT_INTERRUPT);
	fake_svm.interrupted = false;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_int_equal(fake_svm.injected.vector, interrupt.vector);
	assert_false(svmw.v.reinject.valid);
}

static void virtual_taken_back(void **state)
{
	(void)state;
	scripted();
	svmw.x->injects_twice = svm_config.injects_twice = true;
	interrupt_waits = true;
	svmw.b->rflags = FLAGS;
	fake_svm.post_before_entry = VCPU_EVENT;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_int_equal(fake_svm.injected.vector, interrupt.vector);
	assert_false(svmw.v.reinject.valid);
}

/* QEMU: the shadow is gone although nothing has run. */
static void exits_without_shadow(struct vcpu *v)
{
	svmw.b->int_shadow = 0;
	exits_interrupt(v);
}

static void window_without_shadow(struct vcpu *v)
{
	(void)v;
	svmw.b->int_shadow = 0;
	fake_svm_exit(SVM_EXIT_VINTR, 0, 0);
}

static void steps_over_hlt(void)
{
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_false(fake_svm.injected.valid);
	assert_true(svmw.b->rflags & RFLAGS_IF);
	assert_false(svmw.b->rflags & RFLAGS_TF);
	assert_false(svmw.b->v_intr & SVM_V_IRQ);
	/* That one instruction was all it waited for. */
	svmw.b->int_shadow = 0;
	look_again();
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_INTERRUPT);
}

/* An interrupt between STI and HLT would be lost for whoever sleeps until it comes. */
static void lost_shadow_comes_back(void **state)
{
	(void)state;
	scripted();
	svmw.b->int_shadow = SVM_INT_SHADOW;
	assert_int_equal(go(exits_interrupt), EXIT_INTERRUPT);
	assert_int_equal(go(exits_without_shadow), EXIT_INTERRUPT);
	interrupt_waits = true;
	look_again();
	steps_over_hlt();
}

static void lost_shadow_opens_no_window(void **state)
{
	(void)state;
	scripted();
	svmw.b->int_shadow = SVM_INT_SHADOW;
	assert_int_equal(go(exits_interrupt), EXIT_INTERRUPT);
	interrupt_waits = true;
	look_again();
	assert_int_equal(go(window_without_shadow), EXIT_INTERRUPT_WINDOW);
	look_again();
	steps_over_hlt();
}

/* RIP has moved: the shadow is over. */
static void shadow_that_is_over(void **state)
{
	(void)state;
	scripted();
	svmw.b->int_shadow = SVM_INT_SHADOW;
	assert_int_equal(go(exits_interrupt), EXIT_INTERRUPT);
	svmw.b->rip++;
	assert_int_equal(go(exits_without_shadow), EXIT_INTERRUPT);
	interrupt_waits = true;
	look_again();
	go(exits_cpuid);
	assert_int_equal(fake_svm.injected.type, EVENT_INTERRUPT);
}

/* An exit for something else finds the window open: no exit of its own is needed. */
static void window_found_open(void **state)
{
	(void)state;
	scripted();
	interrupt_waits = true;
	svmw.b->rflags = RFLAGS_RESERVED;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	svmw.b->rflags = FLAGS;
	assert_int_equal(go(exits_cpuid), EXIT_CPUID);
	assert_int_equal(fake_svm.injected.type, EVENT_INTERRUPT);
}

static void interruptibility(void **state)
{
	static const struct {
		uint64_t flags, shadow;
		uint32_t blocked;
	} rows[] = {
		{RFLAGS_IF, 0, 0},
		{0, 0, VCPU_BLOCKED_INTERRUPTS},
		{RFLAGS_IF, SVM_INT_SHADOW, VCPU_BLOCKED_INTERRUPTS | VCPU_BLOCKED_NMI},
		{0, SVM_INT_SHADOW, VCPU_BLOCKED_INTERRUPTS | VCPU_BLOCKED_NMI},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		svmw.b->rflags = RFLAGS_RESERVED | rows[i].flags;
		svmw.b->int_shadow = rows[i].shadow;
		assert_int_equal(svm_interruptibility(&svmw.v), rows[i].blocked);
	}
}

/* INIT: nothing of an NMI or a step survives it. */
static void state_set_forgets(void **state)
{
	struct vcpu_state s;

	(void)state;
	deliver_nmi();
	nmi_waits = true;
	look_again();
	go(irets);
	svmw_state(&s);
	svm_state_set(&svmw.v, &s);
	assert_false(nmis_blocked());
	assert_int_equal(svmw.b->event_inj, 0);
	assert_int_equal(svmw.b->int_shadow, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(injection),
		TEST(injected_icebp),
		TEST(no_error_code_in_real_mode),
		TEST(an_aborted_entry_keeps_its_event),
		TEST(reinjection),
		TEST(cut_short_by),
		TEST(nmi_delivered_twice_over),
		TEST(blocked_until_iret),
		TEST(nmi_block),
		TEST(tasks_are_the_guests),
		TEST(step_over_iret),
		TEST(step_over_iret_into_tf),
		TEST(exception_during_the_step),
		TEST(interrupt_during_the_step),
		TEST(step_that_is_not_begun),
		TEST(interrupt_instead_of_the_step),
		TEST(nmi_behind_an_exception),
		TEST(step_in_a_shadow),
		TEST(exit_in_a_shadow),
		TEST(guests_own_tf),
		TEST(breakpoint_in_the_step),
		TEST(int3_in_the_step),
		TEST(step_keeps_gd),
		TEST(interrupt_window),
		TEST(cr8_is_shown),
		TEST(window_found_open),
		TEST(interrupt_as_virtual),
		TEST(virtual_not_taken),
		TEST(virtual_taken_back),
		TEST(lost_shadow_comes_back),
		TEST(lost_shadow_opens_no_window),
		TEST(shadow_that_is_over),
		TEST(interruptibility),
		TEST(state_set_forgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
