/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is delivered to a vCPU at its next entry, in the order of the manuals (SDM vol. 3, "Priority
 * Among Concurrent Events"): an event cut short by the last exit, an exception that a handler
 * raised, NMI, then the highest interrupt of the LAPIC or the PIC. Runs only when vcpu.attention is
 * set.
 */
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "hv/vm/pc.h"
#include "hv/vm/vm.h"

/* Exceptions that combine to #DF (SDM vol. 3, "Interrupt 8 - Double Fault Exception"). */
#define CONTRIBUTORY                                                                               \
	(1u << EXC_DE | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_CP)

/* What is delivered with RFLAGS.RF set in its frame (SDM vol. 3, "Instruction-Breakpoint"). */
#define FAULTS                                                                                     \
	(CONTRIBUTORY | 1u << EXC_BR | 1u << EXC_UD | 1u << EXC_NM | 1u << EXC_PF | 1u << EXC_MF | \
		1u << EXC_AC | 1u << EXC_XM)

/* Injection pushes RFLAGS as it is. */
static void set_rf(struct vcpu *v, uint8_t vector)
{
	if (vector < 32 && (FAULTS & (1u << vector)))
		v->ops->reg_write(v, REG_RFLAGS, v->ops->reg_read(v, REG_RFLAGS) | RFLAGS_RF);
}

static bool is_contributory(uint8_t vector)
{
	return vector < 32 && (CONTRIBUTORY & (1u << vector));
}

/* A second exception while the delivery of `first` is not complete. */
static bool makes_double_fault(uint8_t first, uint8_t second)
{
	if (first == EXC_PF)
		return second == EXC_PF || is_contributory(second);
	return is_contributory(first) && is_contributory(second);
}

void vm_inject_exception(struct vm_cpu *c, uint8_t vector, bool has_error, uint32_t error)
{
	struct vcpu *v = &c->vcpu;
	struct vcpu_event event = {
		.valid = true,
		.type = EVENT_EXCEPTION,
		.vector = vector,
		.has_error = has_error,
		.error = error,
	};

	if (v->reinject.valid && v->reinject.type == EVENT_EXCEPTION) {
		if (v->reinject.vector == EXC_DF) {
			vm_stop(c->vm, STOP_FAILED, "triple fault");
			return;
		}
		if (makes_double_fault(v->reinject.vector, vector))
			event = (struct vcpu_event){true, true, EVENT_EXCEPTION, EXC_DF, 0, 0};
		v->reinject.valid = false; /* a fault comes again by itself */
	}
	/* So does an INT n, INT3 or INTO that faulted: it is executed again. */
	if (v->reinject.type >= EVENT_SOFT_INTERRUPT)
		v->reinject.valid = false;
	v->event = event;
	set_rf(v, event.vector);
	__atomic_or_fetch(&v->attention, VCPU_EVENT, __ATOMIC_RELAXED);
}

void vm_inject_gp(struct vm_cpu *c)
{
	vm_inject_exception(c, EXC_GP, true, 0);
}

void vm_inject_ud(struct vm_cpu *c)
{
	vm_inject_exception(c, EXC_UD, false, 0);
}

void vm_inject_pf(struct vm_cpu *c, uint32_t error, gva_t cr2)
{
	c->vcpu.ops->reg_write(&c->vcpu, REG_CR2, cr2);
	vm_inject_exception(c, EXC_PF, true, error);
}

static void take_vectors(struct vm_cpu *c)
{
	c->lapic_used = true;
	for (unsigned i = 0; i < 8; i++) {
		uint64_t bits = __atomic_exchange_n(
			&c->post_vector[i / 4][i % 4], 0, __ATOMIC_ACQUIRE);

		for (; bits; bits &= bits - 1)
			lapic_accept(&c->lapic,
				(uint8_t)(i % 4 * 64 + (unsigned)__builtin_ctzll(bits)), i >= 4);
	}
}

/*
 * A CPU takes an NMI between two instructions, and holds back one more while NMIs are blocked. So
 * of those that came since the last exit, the first would be in its handler by now: two count, one
 * if NMIs are blocked.
 *
 * Who waits for a SIPI takes none: it could not handle it where that starts it.
 */
static void take_nmis(struct vm_cpu *c)
{
	uint32_t more = __atomic_exchange_n(&c->nmis_posted, 0, __ATOMIC_ACQUIRE);
	bool blocked = c->vcpu.ops->interruptibility(&c->vcpu) & VCPU_BLOCKED_NMI;

	if (c->waits_for_sipi)
		return;
	more = MIN(more, 2u) + c->nmi_pending;
	c->nmi_pending = (uint8_t)MIN(more, blocked ? 1u : 2u);
}

/* In a function of its own, so that the usual case, without posts, needs few registers. */
static NOINLINE void handle_posts(struct vm_cpu *c, uint32_t posts)
{
	if (posts & POST_NMI)
		take_nmis(c);
	/* Another vCPU may have fetched it meanwhile. */
	if (posts & POST_EXTINT)
		c->extint_pending = pc_pic_pending(c->vm);
	if (posts & POST_CONSOLE)
		pc_console_poll(c->vm);
	if (posts & POST_POWER)
		pc_power_button(c->vm);
	if (posts & POST_TIMERS)
		pc_timers_rearm(c->vm);
	if (posts & POST_FLUSH)
		c->vcpu.ops->flush_stage2(&c->vcpu);
	if (posts & POST_VECTOR)
		take_vectors(c);
	/* A SIPI in the same word has come after the INIT: see vm_cpu_post_init(). */
	if (posts & POST_INIT)
		vm_cpu_reset(c);
	if (posts & POST_SIPI)
		vm_cpu_startup(c, (uint8_t)(posts >> POST_SIPI_SHIFT));
}

/* Take over what other CPUs posted. */
static void take_posts(struct vm_cpu *c)
{
	uint32_t posts = __atomic_exchange_n(&c->posts, 0, __ATOMIC_ACQUIRE);

	if (UNLIKELY(posts))
		handle_posts(c, posts);
}

/* The PIC's request comes by the LINT0 pin, or the IOAPIC has told this vCPU to fetch it. */
static bool pic_wants_in(const struct vm_cpu *c)
{
	return pc_pic_pending(c->vm) && (c->extint_pending || lapic_accepts_pic(&c->lapic));
}

static bool interrupt_waits(const struct vm_cpu *c)
{
	return c->interrupt_again || lapic_pending(&c->lapic) >= 0 || pic_wants_in(c);
}

/* The LAPIC's own need no injection if the CPU delivers them. */
static bool injection_waits(const struct vm_cpu *c)
{
	return c->interrupt_again || pic_wants_in(c) ||
	       (!(c->vcpu.apic & VCPU_APIC_DELIVERY) && lapic_pending(&c->lapic) >= 0);
}

/*
 * What waits for the TPR alone. If the CPU knows nothing of the TPR, each write of it is an exit;
 * if it delivers, it looks itself.
 */
static uint8_t tpr_threshold(const struct vm_cpu *c)
{
	if (!c->vcpu.apic || (c->vcpu.apic & VCPU_APIC_DELIVERY))
		return 0;
	return (uint8_t)lapic_tpr_threshold(&c->lapic);
}

/* Hardware that shows the guest CR8 past the intercept must be told. */
static bool cr8_differs(const struct vm_cpu *c)
{
	return vm_host.caps.tpr_shown && lapic_cr8(&c->lapic) != c->vcpu.tpr_class;
}

void vm_lapic_written(struct vm_cpu *c)
{
	bool delivery;

	vm_lapic_changed(c);
	delivery = c->vcpu.apic & VCPU_APIC_DELIVERY;
	if (!delivery)
		vm_lapic_sync(c);
	if (delivery || interrupt_waits(c) || cr8_differs(c) ||
		tpr_threshold(c) != c->vcpu.tpr_threshold)
		vm_lapic_look(c);
}

/*
 * ExtINT comes before the LAPIC's own: the PIC's request is not in the IRR and has no priority
 * there. -1: there was nothing but that, and another vCPU has fetched it meanwhile.
 */
static int take_interrupt(struct vm_cpu *c)
{
	int vector = -1;

	if (c->interrupt_again) {
		c->interrupt_again = false;
		return c->vector_again;
	}
	if (pic_wants_in(c))
		vector = pc_pic_ack(c->vm);
	c->extint_pending = false;
	if (vector >= 0)
		return vector;
	vector = lapic_pending(&c->lapic);
	if (vector >= 0)
		lapic_ack(&c->lapic, (uint8_t)vector);
	return vector;
}

static void choose_interrupt(struct vm_cpu *c)
{
	int vector = take_interrupt(c);

	if (vector >= 0)
		c->vcpu.event = (struct vcpu_event){
			true, false, EVENT_INTERRUPT, (uint8_t)vector, 0, 0};
}

static bool deliverable(const struct vcpu_event *event, uint32_t blocked)
{
	if (event->type == EVENT_INTERRUPT)
		return !(blocked & VCPU_BLOCKED_INTERRUPTS);
	return event->type != EVENT_NMI || !(blocked & VCPU_BLOCKED_NMI);
}

/*
 * What was cut short and must wait (behind an exception, or for IF) does so here: the next exit may
 * cut short something else. An NMI is pending once more.
 */
static void set_aside(struct vm_cpu *c)
{
	struct vcpu_event *event = &c->vcpu.reinject;

	if (!event->valid)
		return;
	event->valid = false;
	if (event->type == EVENT_NMI) {
		c->nmi_pending = (uint8_t)MIN(c->nmi_pending + 1u, 2u);
	} else if (event->type == EVENT_INTERRUPT) {
		c->interrupt_again = true;
		c->vector_again = event->vector;
	}
}

static void choose_event(struct vm_cpu *c)
{
	struct vcpu *v = &c->vcpu;
	bool interrupt = injection_waits(c);
	bool waiting = v->reinject.valid || c->nmi_pending || interrupt;
	uint32_t blocked = waiting ? v->ops->interruptibility(v) : 0;

	if (v->event.valid) {
		/* an exception: goes first */
	} else if (v->reinject.valid && deliverable(&v->reinject, blocked)) {
		v->event = v->reinject;
		v->reinject.valid = false;
	} else if (c->nmi_pending && !(blocked & VCPU_BLOCKED_NMI)) {
		c->nmi_pending--;
		v->event = (struct vcpu_event){true, false, EVENT_NMI, EXC_NMI, 0, 0};
	} else if (interrupt && !(blocked & VCPU_BLOCKED_INTERRUPTS)) {
		choose_interrupt(c);
	}
	set_aside(c);
	v->want_nmi_window = c->nmi_pending;
	v->want_interrupt_window = waiting && injection_waits(c);
	v->tpr_threshold = tpr_threshold(c);
	v->tpr_class = (uint8_t)lapic_cr8(&c->lapic);
}

/*
 * If the CPU delivers, what the model has done to the page. From the entry on, the CPU goes its own
 * way.
 */
static void tell_lapic(struct vm_cpu *c)
{
	struct vcpu *v = &c->vcpu;

	if (c->lapic_used && (v->apic & VCPU_APIC_DELIVERY)) {
		vm_lapic_read_back(c);
		v->apic_requested = (uint8_t)MAX(c->lapic.irr_max, 0);
		v->apic_in_service = (uint8_t)MAX(c->lapic.isr_max, 0);
		v->apic_update = true;
	}
	c->lapic_used = false;
	c->lapic_stale = true;
}

/*
 * What ends HLT: an NMI that is not blocked, or an interrupt that IF lets in (SDM vol. 2, "HLT").
 * What ends the wait for a SIPI is only that.
 */
static bool is_awake(struct vm_cpu *c)
{
	struct vcpu *v = &c->vcpu;

	if (c->waits_for_sipi)
		return false;
	if (!c->halted || v->event.valid)
		return true;
	if (c->nmi_pending && !(v->ops->interruptibility(v) & VCPU_BLOCKED_NMI))
		return true;
	return interrupt_waits(c) && (v->ops->reg_read(v, REG_RFLAGS) & RFLAGS_IF);
}

bool vm_before_entry(struct vcpu *v)
{
	struct vm_cpu *c = vm_cpu_of(v);
	uint64_t since;

	if (c->halted || !(v->apic & VCPU_APIC_DELIVERY))
		vm_lapic_read_back(c); /* nothing else asks which interrupt is pending */
	for (;;) {
		__atomic_exchange_n(&v->attention, 0, __ATOMIC_ACQ_REL);
		if (__atomic_load_n(&c->vm->stop.kind, __ATOMIC_ACQUIRE) != STOP_NONE)
			return false;
		take_posts(c);
		if (is_awake(c))
			break;
		since = timing_now();
		vm_host.idle(&v->attention);
		timing_slept(&v->timing, since);
	}
	c->halted = false;
	choose_event(c);
	tell_lapic(c);
	return true;
}

static void kick(struct vcpu *v, uint32_t attention)
{
	__atomic_or_fetch(&v->attention, attention, __ATOMIC_ACQ_REL);
	vm_host.kick(v->cpu);
}

void vm_cpu_look(struct vm_cpu *c)
{
	kick(&c->vcpu, VCPU_EVENT);
}

void vm_cpu_post(struct vm_cpu *c, uint32_t posts)
{
	__atomic_or_fetch(&c->posts, posts, __ATOMIC_RELEASE);
	kick(&c->vcpu, VCPU_POSTED);
}

void vm_cpu_nmi(struct vm_cpu *c)
{
	__atomic_add_fetch(&c->nmis_posted, 1, __ATOMIC_RELAXED);
	vm_cpu_post(c, POST_NMI);
}

/* Forgets a SIPI that has not been taken: it belongs to the life that ends here. */
void vm_cpu_post_init(struct vm_cpu *c)
{
	uint32_t posts = __atomic_load_n(&c->posts, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(&c->posts, &posts,
		(posts & ~POST_SIPI_BITS) | POST_INIT, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		cpu_relax();
	kick(&c->vcpu, VCPU_POSTED);
}

/* The second of two would find the vCPU running: it has no effect, whatever its vector. */
void vm_cpu_post_sipi(struct vm_cpu *c, uint8_t vector)
{
	uint32_t posts = __atomic_load_n(&c->posts, __ATOMIC_RELAXED);

	do {
		if (posts & POST_SIPI)
			return;
	} while (!__atomic_compare_exchange_n(&c->posts, &posts,
		posts | POST_SIPI | (uint32_t)vector << POST_SIPI_SHIFT, false, __ATOMIC_RELEASE,
		__ATOMIC_RELAXED));
	kick(&c->vcpu, VCPU_POSTED);
}
