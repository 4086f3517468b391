/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivering events: injection, what an exit cut short, and the windows in which an interrupt or an
 * NMI may come (APM vol. 2, "Event Injection", "Virtual Interrupts", "NMI Support").
 */
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/svm/svm.h"

#define EXCEPTION_INTERCEPTS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)

/*
 * Task switches are the guest's own: all that they change is its, or intercepted elsewhere, and
 * nested paging lets them load CR3.
 */
#define BASE_3                                                                                     \
	(SVM_3_INTR | SVM_3_NMI | SVM_3_INIT | SVM_3_RDPMC | SVM_3_CPUID | SVM_3_INVD |            \
		SVM_3_HLT | SVM_3_INVLPGA | SVM_3_IOIO | SVM_3_MSR | SVM_3_SHUTDOWN)

/* ---- Intercepts that depend on the moment ---- */

static void intercept(struct svm_vcpu *x, enum svm_intercept_word word, uint32_t bits)
{
	if (x->vmcb->intercept[word] == bits)
		return;
	x->vmcb->intercept[word] = bits;
	x->vmcb->clean &= ~SVM_CLEAN_I;
}

static void intercept_exceptions(struct svm_vcpu *x, bool all)
{
	intercept(x, SVM_INTERCEPT_EXCEPTION, all ? UINT32_MAX : EXCEPTION_INTERCEPTS);
}

void svm_intercept_usual(struct svm_vcpu *x)
{
	intercept_exceptions(x, false);
	intercept(x, SVM_INTERCEPT_3, BASE_3);
}

/* ---- Events ---- */

static uint64_t pack(const struct vcpu_event *event, bool error)
{
	uint64_t type = event->type >= EVENT_SOFT_INTERRUPT ? SVM_TYPE_EXCEPTION : event->type;
	uint64_t info = SVM_EVENT_VALID | type << SVM_EVENT_TYPE_SHIFT | event->vector;

	_Static_assert(EVENT_INTERRUPT == SVM_TYPE_INTR && EVENT_NMI == SVM_TYPE_NMI &&
			       EVENT_EXCEPTION == SVM_TYPE_EXCEPTION,
		"the types have the same numbers");
	if (error)
		info |= SVM_EVENT_ERROR_VALID | (uint64_t)event->error << SVM_EVENT_ERROR_SHIFT;
	return info;
}

static struct vcpu_event unpack(uint64_t info)
{
	return (struct vcpu_event){
		.valid = true,
		.vector = (uint8_t)(info & SVM_EVENT_VECTOR),
		.type = (uint8_t)((info >> SVM_EVENT_TYPE_SHIFT) & SVM_EVENT_TYPE_MASK),
		.has_error = info & SVM_EVENT_ERROR_VALID,
		.error = (uint32_t)(info >> SVM_EVENT_ERROR_SHIFT),
	};
}

/*
 * INT1, the only soft event that comes here, is injected as an exception behind the instruction.
 * Real mode pushes no error code.
 */
void svm_inject(struct svm_vcpu *x, struct vcpu_event *event)
{
	struct vmcb *b = x->vmcb;

	b->int_shadow = 0;
	if (event->type == EVENT_INTERRUPT && x->injects_twice) {
		x->virtual_taken = true;
		x->virtual_vector = event->vector;
		event->valid = false;
		return;
	}
	if (event->type >= EVENT_SOFT_INTERRUPT)
		b->rip += event->insn_len;
	b->event_inj = pack(event, event->has_error && (b->cr0 & CR0_PE));
	if (event->type == EVENT_NMI) {
		x->nmi_blocked = true;
		x->iret_seen = false;
	} else if (event->vector == EXC_DB) {
		/* Delivery clears GD, which the injection does not. */
		b->dr7 &= ~DR7_GD;
		b->clean &= ~SVM_CLEAN_DRX;
	}
	event->valid = false;
}

static void deliver_again(struct vcpu *v, uint64_t info)
{
	struct svm_vcpu *x = v->vendor;

	v->reinject = unpack(info);
	if (v->reinject.type == EVENT_NMI)
		x->nmi_blocked = false;
	__atomic_or_fetch(&v->attention, VCPU_REINJECT, __ATOMIC_RELAXED);
}

static void virtual_again(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	x->virtual_taken = false;
	deliver_again(v, SVM_EVENT_VALID | (uint64_t)SVM_TYPE_INTR << SVM_EVENT_TYPE_SHIFT |
				 x->virtual_vector);
}

/*
 * Where delivery itself was cut short it still waits, too, whatever EXITINTINFO has made of it.
 */
void svm_virtual_end(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	if (!x->virtual_taken)
		return;
	x->virtual_taken = false;
	if (x->vmcb->v_intr & SVM_V_IRQ)
		virtual_again(v);
}

static void step_leave(struct svm_vcpu *x)
{
	x->stepping = false;
	intercept_exceptions(x, false);
}

/*
 * The entry did not happen: the event that was to go with it is chosen again. So is the step:
 * instead of it an event may go in, whose frame must not show our TF.
 */
void svm_take_back(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;
	uint64_t info = x->vmcb->event_inj;

	if (x->stepping) {
		step_leave(x);
		if (!x->step_tf)
			x->vmcb->rflags &= ~(uint64_t)RFLAGS_TF;
	}
	x->vmcb->event_inj = 0;
	if (info & SVM_EVENT_VALID)
		deliver_again(v, info);
	if (x->virtual_taken)
		virtual_again(v);
}

/*
 * The last exit cut short the delivery of an event. INT n, INT3 and INTO are executed again: RIP
 * still points at them.
 */
void svm_save_vectoring(struct vcpu *v)
{
	const struct svm_vcpu *x = v->vendor;
	uint64_t info = x->vmcb->exit_int_info;
	struct vcpu_event event = unpack(info);

	if (!(info & SVM_EVENT_VALID) || event.type == SVM_TYPE_SOFT)
		return;
	if (event.type == EVENT_EXCEPTION && (event.vector == EXC_BP || event.vector == EXC_OF))
		return;
	deliver_again(v, info);
}

/* NMIs stay blocked until IRET, once seen, has been executed. */
static bool nmi_blocked(struct svm_vcpu *x)
{
	if (x->nmi_blocked && x->iret_seen && x->vmcb->rip != x->iret_rip) {
		x->nmi_blocked = false;
		x->iret_seen = false;
	}
	return x->nmi_blocked;
}

uint32_t svm_interruptibility(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;
	const struct vmcb *b = x->vmcb;
	uint32_t blocked = 0;

	if (!(b->rflags & RFLAGS_IF) || (b->int_shadow & SVM_INT_SHADOW))
		blocked |= VCPU_BLOCKED_INTERRUPTS;
	if (nmi_blocked(x) || (b->int_shadow & SVM_INT_SHADOW))
		blocked |= VCPU_BLOCKED_NMI;
	return blocked;
}

void svm_iret(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;

	x->iret_seen = true;
	x->iret_rip = v->rip;
}

/*
 * Come back behind the next instruction. Every exception is intercepted meanwhile, so that none
 * pushes our TF where the guest would see it.
 */
static void step_begin(struct svm_vcpu *x)
{
	x->stepping = true;
	x->step_tf = x->vmcb->rflags & RFLAGS_TF;
	x->vmcb->rflags |= RFLAGS_TF;
	intercept_exceptions(x, true);
}

bool svm_step_end(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb *b = x->vmcb;
	bool done = b->exit_code == SVM_EXIT_EXCEPTION + EXC_DB;

	step_leave(x);
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
	/* IRET has loaded RFLAGS; anything else has left our TF there. */
	if (done && x->iret_seen) {
		x->nmi_blocked = false;
		x->iret_seen = false;
	} else if (!x->step_tf) {
		b->rflags &= ~(uint64_t)RFLAGS_TF;
	}
	if (!done || x->step_tf)
		return false;
	b->dr6 &= ~DR6_BS;
	b->clean &= ~SVM_CLEAN_DRX;
	return !(b->dr6 & 0xf); /* else a breakpoint of the guest's own, too */
}

/*
 * V_TPR says what CR8 is to a guest whose read of it does not exit although it is intercepted, as
 * in QEMU 10.
 */
static void update_v_intr(bool wanted, const struct vcpu *v, struct svm_vcpu *x)
{
	const uint64_t request = SVM_V_IRQ | SVM_V_INTR_PRIO | SVM_V_IGN_TPR;
	uint64_t v_intr = x->v_intr | v->tpr_class;
	struct vmcb *b = x->vmcb;

	if (x->virtual_taken)
		v_intr |= request | (uint64_t)x->virtual_vector << SVM_V_VECTOR_SHIFT;
	else if (wanted)
		v_intr |= request;
	if (b->v_intr == v_intr)
		return;
	b->v_intr = v_intr;
	b->clean &= ~SVM_CLEAN_TPR;
}

/* All that an interrupt waits for is the end of the shadow: one instruction. */
static bool in_shadow_of_sti(const struct vcpu *v, const struct vmcb *b)
{
	return v->want_interrupt_window && (b->int_shadow & SVM_INT_SHADOW) &&
	       (b->rflags & RFLAGS_IF);
}

/*
 * QEMU's VMRUN does not load the shadow: an interrupt would come before the HLT behind STI, from
 * which nothing would then wake the guest. So a shadow that is gone although RIP has not moved
 * comes back, once, and its end is found by a step. Called at exits that no instruction causes.
 */
void svm_keep_shadow(struct svm_vcpu *x)
{
	struct vmcb *b = x->vmcb;
	bool seen = b->int_shadow & SVM_INT_SHADOW;

	x->shadow_lost = !seen && x->shadow_seen && x->shadow_rip == b->rip;
	if (x->shadow_lost)
		b->int_shadow = SVM_INT_SHADOW;
	x->shadow_seen = seen;
	x->shadow_rip = b->rip;
}

void svm_update_windows(struct vcpu *v)
{
	struct svm_vcpu *x = v->vendor;
	struct vmcb *b = x->vmcb;
	uint32_t word = BASE_3;
	bool blocked = nmi_blocked(x), step = x->shadow_lost && in_shadow_of_sti(v, b);
	bool window = v->want_interrupt_window && !step && !x->virtual_taken;

	x->shadow_lost = false;
	update_v_intr(window, v, x);
	/* Also without a window: an exit shows whether it was taken. */
	v->want_interrupt_window |= x->virtual_taken;
	if (window)
		word |= SVM_3_VINTR;
	if (blocked && !x->iret_seen)
		word |= SVM_3_IRET;
	intercept(x, SVM_INTERCEPT_3, word);
	if (x->stepping || x->virtual_taken || (b->event_inj & SVM_EVENT_VALID))
		return;
	if (step ||
		(v->want_nmi_window && (blocked ? x->iret_seen : b->int_shadow & SVM_INT_SHADOW)))
		step_begin(x);
}
