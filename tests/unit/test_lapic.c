/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC model: tables of register sequences with the expected outcome of every step. After
 * each step the cached priorities are compared with what the register page says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "drivers/virt/lapic.h"
#include "hv/lib/string.h"

/* A step names only what its operation uses. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define ID    3
#define SHIFT 2 /* timer input clock = TSC / 4 */
#define NONE  (-1)

enum op {
	END, /* a table ends with an empty step */
	WR,  /* xAPIC: a = offset, b = value */
	RD,  /* xAPIC: a = offset, b = expected */
	RDN, /* xAPIC, size c: a = offset, b = expected */
	WRN, /* xAPIC, size c: a = offset, b = value */
	WM,  /* x2APIC: a = offset, b = value, succeeds */
	WM_GP,
	RM, /* x2APIC: a = offset, b = expected */
	RM_GP,
	BASE, /* IA32_APIC_BASE with 40 address bits: b = value, succeeds */
	BASE_GP,
	EDGE, /* an interrupt arrives: a = vector */
	LEVEL,
	PEND, /* b = lapic_pending() */
	ACK,  /* a = vector, which must be the one pending */
	CR8,  /* b = value, succeeds */
	CR8_GP,
	THRESHOLD, /* b = lapic_tpr_threshold() */
	LINT,      /* a = pin, b = level */
	PIC,       /* b = lapic_accepts_pic() */
	/*
	 * expects one since the last look: a = dest, b = vector | delivery << 8 | shorthand << 18
	 * and LOGICAL, WIDE
	 */
	IPI,
	IPI_NONE,
	EOIS,  /* expects b EOI broadcasts since the last look, the last of vector a */
	EVENT, /* expects one LINT event of delivery mode a */
	EVENT_NONE,
	AT,          /* sets the time: b = tsc */
	TICK,        /* moves the time to b and ticks */
	DUE,         /* b = lapic_timer_deadline() */
	MOVED,       /* the guest adds b to its TSC */
	DEADLINE,    /* writes MSR 6E0h: b */
	DEADLINE_IS, /* reads it: b expected */
	INIT,
	POWER,
};

#define LOGICAL (1u << 11)
#define WIDE    (1ull << 32)

struct step {
	enum op op;
	uint32_t a;
	uint64_t b;
	unsigned c;
};

struct fixture {
	struct lapic l;
	uint32_t page[1024];
	uint64_t tsc;
	struct lapic_ipi ipi;
	unsigned ipis, eois, events;
	uint8_t eoi_vector;
	enum lapic_delivery event;
};

static void record_ipi(void *ctx, const struct lapic_ipi *ipi)
{
	struct fixture *f = ctx;

	f->ipi = *ipi;
	f->ipis++;
}

static void record_eoi(void *ctx, uint8_t vector)
{
	struct fixture *f = ctx;

	f->eoi_vector = vector;
	f->eois++;
}

static void record_event(void *ctx, enum lapic_delivery delivery)
{
	struct fixture *f = ctx;

	f->event = delivery;
	f->events++;
}

static void setup(struct fixture *f, uint32_t id)
{
	const struct lapic_env env = {record_ipi, record_eoi, record_event, f};

	memset(f, 0xa5, sizeof(*f));
	f->ipis = f->eois = f->events = 0;
	f->tsc = 1000;
	lapic_init(&f->l, f->page, id, true, SHIFT, &env);
}

static int highest(const struct fixture *f, uint32_t array)
{
	for (int v = 255; v >= 0; v--)
		if (f->page[(array + (unsigned)v / 32 * 16) / 4] >> (v % 32) & 1)
			return v;
	return NONE;
}

/* The manual's definition of PPR, spelled out anew. */
static void check_invariants(const struct fixture *f)
{
	int irr = highest(f, LAPIC_IRR), isr = highest(f, LAPIC_ISR);
	unsigned tpr = f->page[LAPIC_TPR / 4], isrv = isr < 0 ? 0 : (unsigned)isr, ppr;

	if (tpr >> 4 >= isrv >> 4)
		ppr = tpr;
	else
		ppr = isrv & 0xf0;
	assert_int_equal(f->l.irr_max, irr);
	assert_int_equal(f->l.isr_max, isr);
	assert_int_equal(f->page[LAPIC_PPR / 4], ppr);
	assert_int_equal(lapic_pending(&f->l), irr >= 0 && irr >> 4 > (int)ppr >> 4 ? irr : NONE);
}

static uint32_t msr_of(uint32_t offset)
{
	return LAPIC_MSR_FIRST + (offset >> 4);
}

static void do_msr(struct fixture *f, const struct step *s)
{
	uint64_t value = 0xdeadbeef;

	switch (s->op) {
	case WM: assert_int_equal(lapic_msr_write(&f->l, msr_of(s->a), s->b, f->tsc), 0); break;
	case WM_GP:
		assert_int_equal(lapic_msr_write(&f->l, msr_of(s->a), s->b, f->tsc), E_INVAL);
		break;
	case RM:
		assert_int_equal(lapic_msr_read(&f->l, msr_of(s->a), f->tsc, &value), 0);
		assert_int_equal(value, s->b);
		break;
	default:
		assert_int_equal(lapic_msr_read(&f->l, msr_of(s->a), f->tsc, &value), E_INVAL);
		assert_int_equal(value, 0xdeadbeef);
		break;
	}
}

static void check_ipi(struct fixture *f, const struct step *s)
{
	assert_int_equal(f->ipis, 1);
	f->ipis = 0;
	assert_int_equal(f->ipi.dest, s->a);
	assert_int_equal(f->ipi.sender, f->l.id);
	assert_int_equal(f->ipi.vector, s->b & 0xff);
	assert_int_equal(f->ipi.delivery, s->b >> 8 & 7);
	assert_int_equal(f->ipi.logical, !!(s->b & LOGICAL));
	assert_int_equal(f->ipi.shorthand, s->b >> 18 & 3);
	assert_int_equal(f->ipi.wide, !!(s->b & WIDE));
	assert_false(f->ipi.level);
}

static void do_record(struct fixture *f, const struct step *s)
{
	switch (s->op) {
	case IPI: check_ipi(f, s); break;
	case IPI_NONE: assert_int_equal(f->ipis, 0); break;
	case EOIS:
		assert_int_equal(f->eois, s->b);
		if (s->b)
			assert_int_equal(f->eoi_vector, s->a);
		f->eois = 0;
		break;
	case EVENT:
		assert_int_equal(f->events, 1);
		assert_int_equal(f->event, s->a);
		f->events = 0;
		break;
	default: assert_int_equal(f->events, 0); break;
	}
}

static void do_time(struct fixture *f, const struct step *s)
{
	switch (s->op) {
	case TICK:
		f->tsc = s->b;
		lapic_timer_tick(&f->l, f->tsc);
		break;
	case DUE: assert_int_equal(lapic_timer_deadline(&f->l), s->b); break;
	case MOVED:
		f->tsc += s->b;
		lapic_timer_tsc_moved(&f->l, s->b);
		break;
	case DEADLINE: lapic_tsc_deadline_write(&f->l, s->b, f->tsc); break;
	case DEADLINE_IS: assert_int_equal(lapic_tsc_deadline_read(&f->l, f->tsc), s->b); break;
	default: f->tsc = s->b; break;
	}
}

static void do_cpu(struct fixture *f, const struct step *s)
{
	switch (s->op) {
	case PEND: assert_int_equal(lapic_pending(&f->l), (int)s->b); break;
	case ACK:
		assert_int_equal(lapic_pending(&f->l), s->a);
		lapic_ack(&f->l, (uint8_t)s->a);
		break;
	case CR8:
		assert_int_equal(lapic_cr8_write(&f->l, s->b), 0);
		assert_int_equal(lapic_cr8(&f->l), s->b);
		break;
	case CR8_GP: assert_int_equal(lapic_cr8_write(&f->l, s->b), E_INVAL); break;
	case THRESHOLD: assert_int_equal(lapic_tpr_threshold(&f->l), s->b); break;
	case BASE: assert_int_equal(lapic_apic_base_write(&f->l, s->b, 40), 0); break;
	case BASE_GP: assert_int_equal(lapic_apic_base_write(&f->l, s->b, 40), E_INVAL); break;
	default: assert_int_equal(lapic_accepts_pic(&f->l), s->b); break;
	}
}

static void do_step(struct fixture *f, const struct step *s)
{
	switch (s->op) {
	case WR: lapic_mmio_write(&f->l, s->a, 4, s->b, f->tsc); break;
	case WRN: lapic_mmio_write(&f->l, s->a, s->c, s->b, f->tsc); break;
	case RD: assert_int_equal(lapic_mmio_read(&f->l, s->a, 4, f->tsc), s->b); break;
	case RDN: assert_int_equal(lapic_mmio_read(&f->l, s->a, s->c, f->tsc), s->b); break;
	case WM ... RM_GP: do_msr(f, s); break;
	case EDGE:
	case LEVEL: lapic_accept(&f->l, (uint8_t)s->a, s->op == LEVEL); break;
	case LINT: lapic_lint(&f->l, s->a, s->b); break;
	case IPI ... EVENT_NONE: do_record(f, s); break;
	case AT ... DEADLINE_IS: do_time(f, s); break;
	case INIT: lapic_reset_init(&f->l); break;
	case POWER: lapic_reset_power_up(&f->l); break;
	default: do_cpu(f, s); break;
	}
}

static const char *running;
static unsigned running_step;

static void run(const char *name, const struct step *steps, uint32_t id)
{
	static struct fixture f;

	setup(&f, id);
	running = name;
	for (running_step = 0; steps[running_step].op != END; running_step++) {
		do_step(&f, &steps[running_step]);
		check_invariants(&f);
	}
	running = NULL;
}

/* cmocka says which comparison failed; this says in which step. */
static int say_where(void **state)
{
	(void)state;
	if (running)
		printf("    in %s, step %u\n", running, running_step);
	running = NULL;
	return 0;
}

#define ON        WR, LAPIC_SVR, 0x1ff
#define GO_X2APIC BASE, 0, 0xfee00d00
#define EOI       WR, LAPIC_EOI, 0

/* Several steps on a line. */
/* clang-format off */
static const struct step reset_values[] = {
	{ RD, LAPIC_ID, ID << 24 }, { RD, LAPIC_VERSION, 0x00050014 }, { RD, LAPIC_TPR, 0 },
	{ RD, LAPIC_PPR, 0 }, { RD, LAPIC_RRD, 0 }, { RD, LAPIC_LDR, 0 },
	{ RD, LAPIC_DFR, 0xffffffff }, { RD, LAPIC_SVR, 0xff }, { RD, LAPIC_ESR, 0 },
	{ RD, LAPIC_ICR_LOW, 0 }, { RD, LAPIC_LVT_TIMER, 0x10000 },
	{ RD, LAPIC_LVT_THERM, 0x10000 }, { RD, LAPIC_LVT_PERF, 0x10000 },
	{ RD, LAPIC_LVT_LINT0, 0x10000 }, { RD, LAPIC_LVT_LINT1, 0x10000 },
	{ RD, LAPIC_LVT_ERROR, 0x10000 }, { RD, LAPIC_TIMER_ICT, 0 }, { RD, LAPIC_TIMER_CCT, 0 },
	{ RD, LAPIC_TIMER_DCR, 0 }, { RD, LAPIC_EOI, 0 }, { PIC, 0, false },
	{ 0 },
};

static const struct step register_bits[] = {
	/* All ones leave what is writable; read-only registers stay. */
	{ ON }, { WR, LAPIC_ID, 0xffffffff }, { RD, LAPIC_ID, ID << 24 },
	{ WR, LAPIC_VERSION, 0 }, { RD, LAPIC_VERSION, 0x00050014 },
	{ WR, LAPIC_TPR, 0xffffffff }, { RD, LAPIC_TPR, 0xff },
	{ WR, LAPIC_PPR, 0 }, { RD, LAPIC_PPR, 0xff }, { WR, LAPIC_LDR, 0xffffffff },
	{ RD, LAPIC_LDR, 0xff000000 }, { WR, LAPIC_DFR, 0 }, { RD, LAPIC_DFR, 0x0fffffff },
	{ WR, LAPIC_SVR, 0xffffffff }, { RD, LAPIC_SVR, 0x3ff },
	{ WR, LAPIC_ISR, 0xffffffff }, { RD, LAPIC_ISR, 0 },
	{ WR, LAPIC_IRR + 0x70, 0xffffffff }, { RD, LAPIC_IRR + 0x70, 0 },
	{ WR, LAPIC_ICR_HIGH, 0xffffffff }, { RD, LAPIC_ICR_HIGH, 0xff000000 },
	{ WR, LAPIC_ICR_LOW, 0xffffffff }, { RD, LAPIC_ICR_LOW, 0x000ccfff }, { IPI_NONE },
	{ WR, LAPIC_LVT_TIMER, 0xffffffff }, { RD, LAPIC_LVT_TIMER, 0x700ff },
	{ WR, LAPIC_LVT_THERM, 0xffffffff }, { RD, LAPIC_LVT_THERM, 0x107ff },
	{ WR, LAPIC_LVT_PERF, 0xffffffff }, { RD, LAPIC_LVT_PERF, 0x107ff },
	{ WR, LAPIC_LVT_LINT0, 0xffffffff }, { RD, LAPIC_LVT_LINT0, 0x1a7ff },
	{ WR, LAPIC_LVT_LINT1, 0xffffffff }, { RD, LAPIC_LVT_LINT1, 0x1a7ff },
	{ WR, LAPIC_LVT_ERROR, 0xffffffff }, { RD, LAPIC_LVT_ERROR, 0x100ff },
	{ WR, LAPIC_TIMER_DCR, 0xffffffff }, { RD, LAPIC_TIMER_DCR, 0xb },
	{ WR, LAPIC_TIMER_CCT, 77 }, { RD, LAPIC_TIMER_CCT, 0 },
	{ 0 },
};

static const struct step access_sizes[] = {
	{ RDN, LAPIC_VERSION, 0x14, 1 }, { RDN, LAPIC_VERSION + 2, 0x05, 1 },
	{ RDN, LAPIC_VERSION + 2, 0x0005, 2 }, { RDN, LAPIC_VERSION, 0x00050014, 8 },
	{ RDN, LAPIC_VERSION + 1, 0x000500, 4 }, { RDN, LAPIC_VERSION + 4, 0, 4 },
	{ RDN, LAPIC_VERSION + 12, 0, 8 },
	/* Only whole, aligned 32-bit writes count. */
	{ WRN, LAPIC_TPR, 0x55, 1 }, { RD, LAPIC_TPR, 0 }, { WRN, LAPIC_TPR, 0x55, 2 },
	{ RD, LAPIC_TPR, 0 }, { WRN, LAPIC_TPR, 0x55, 8 }, { RD, LAPIC_TPR, 0 },
	{ WRN, LAPIC_TPR + 4, 0x55, 4 }, { RD, LAPIC_TPR, 0 },
	{ WRN, LAPIC_TPR, 0x55, 4 }, { RD, LAPIC_TPR, 0x55 },
	{ 0 },
};

static const struct step priority[] = {
	{ EDGE, 0x41 }, { PEND, 0, NONE }, /* software-disabled: not accepted */
	{ ON }, { EDGE, 0x41 }, { RD, LAPIC_IRR + 0x20, 2 }, { PEND, 0, 0x41 },
	/* TPR of the same class holds it back, of a lower class does not. */
	{ WR, LAPIC_TPR, 0x40 }, { PEND, 0, NONE }, { THRESHOLD, 0, 4 },
	{ WR, LAPIC_TPR, 0x3f }, { RD, LAPIC_PPR, 0x3f }, { PEND, 0, 0x41 }, { THRESHOLD, 0, 0 },
	{ ACK, 0x41 }, { RD, LAPIC_IRR + 0x20, 0 }, { RD, LAPIC_ISR + 0x20, 2 },
	{ RD, LAPIC_PPR, 0x40 },
	/* In service: same class waits, TPR does not matter then. */
	{ EDGE, 0x4f }, { PEND, 0, NONE }, { THRESHOLD, 0, 0 },
	{ WR, LAPIC_TPR, 0x70 }, { THRESHOLD, 0, 0 }, { WR, LAPIC_TPR, 0 },
	{ EDGE, 0x50 }, { ACK, 0x50 }, { RD, LAPIC_PPR, 0x50 },
	/* TPR of the ISR's class: PPR is the whole TPR. */
	{ WR, LAPIC_TPR, 0x57 }, { RD, LAPIC_PPR, 0x57 }, { WR, LAPIC_TPR, 0x61 },
	{ RD, LAPIC_PPR, 0x61 }, { WR, LAPIC_TPR, 0 }, { EOI }, { RD, LAPIC_PPR, 0x40 },
	{ RD, LAPIC_ISR + 0x20, 2 }, { PEND, 0, NONE }, { EOI }, { RD, LAPIC_PPR, 0 },
	{ PEND, 0, 0x4f }, { EOI },
	/* That EOI found nothing in service. */
	{ PEND, 0, 0x4f },
	/* The same vector once in service and once waiting. */
	{ ACK, 0x4f }, { EDGE, 0x4f }, { EDGE, 0x4f }, { PEND, 0, NONE },
	{ EOI }, { ACK, 0x4f }, { EOI }, { PEND, 0, NONE },
	/* Highest vector of all first, lowest legal last. */
	{ EDGE, 0x10 }, { EDGE, 0xff }, { EDGE, 0x80 }, { ACK, 0xff }, { EOI }, { ACK, 0x80 },
	{ EOI }, { ACK, 0x10 }, { EOI }, { EOIS, 0, 0 },
	{ 0 },
};

static const struct step cr8[] = {
	{ ON }, { CR8, 0, 9 }, { RD, LAPIC_TPR, 0x90 }, { RD, LAPIC_PPR, 0x90 }, { CR8_GP, 0, 16 },
	{ CR8_GP, 0, 1ull << 63 }, { RD, LAPIC_TPR, 0x90 },
	{ EDGE, 0x95 }, { PEND, 0, NONE }, { THRESHOLD, 0, 9 },
	{ CR8, 0, 8 }, { PEND, 0, 0x95 }, { CR8, 0, 15 }, { PEND, 0, NONE },
	{ 0 },
};

static const struct step arbitration[] = {
	{ ON }, { WR, LAPIC_TPR, 0x35 }, { RD, LAPIC_APR, 0x35 },
	{ EDGE, 0x52 }, { RD, LAPIC_APR, 0x50 }, { WR, LAPIC_TPR, 0x61 }, { RD, LAPIC_APR, 0x61 },
	{ 0 },
};

static const struct step software_disable[] = {
	{ ON }, { WR, LAPIC_LVT_LINT0, 0x700 }, { PIC, 0, true },
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { EDGE, 0x60 },
	/* Disabling masks every entry, keeps what is pending and takes nothing new. */
	{ WR, LAPIC_SVR, 0xff }, { RD, LAPIC_LVT_LINT0, 0x10700 }, { RD, LAPIC_LVT_TIMER, 0x10040 },
	{ RD, LAPIC_LVT_ERROR, 0x10000 }, { PIC, 0, false },
	{ EDGE, 0x70 }, { PEND, 0, 0x60 }, { WR, LAPIC_LVT_LINT0, 0x700 },
	{ RD, LAPIC_LVT_LINT0, 0x10700 }, { WR, LAPIC_LVT_TIMER, 0x41 },
	{ RD, LAPIC_LVT_TIMER, 0x10041 },
	/* Enabling does not unmask. */
	{ ON }, { RD, LAPIC_LVT_LINT0, 0x10700 },
	{ 0 },
};

static const struct step icr_xapic[] = {
	{ ON }, { WR, LAPIC_ICR_HIGH, 0x05000000 }, { IPI_NONE },
	{ WR, LAPIC_ICR_LOW, 0x040fd }, { IPI, 5, 0xfd }, { RD, LAPIC_ICR_LOW, 0x040fd },
	{ WR, LAPIC_ICR_LOW, 0x0c0fd }, { IPI, 5, 0xfd }, /* level-triggered: sent as edge */
	{ WR, LAPIC_ICR_LOW, 0x049fd }, { IPI, 5, 0x9fd }, /* lowest priority, logical */
	{ WR, LAPIC_ICR_LOW, 0x04200 }, { IPI, 5, 0x200 }, /* SMI */
	{ WR, LAPIC_ICR_LOW, 0x04400 }, { IPI, 5, 0x400 }, /* NMI */
	{ WR, LAPIC_ICR_LOW, 0x0c500 }, { IPI, 5, 0x500 }, /* INIT */
	{ WR, LAPIC_ICR_LOW, 0x00500 }, { IPI, 5, 0x500 }, { WR, LAPIC_ICR_LOW, 0x08500 },
	{ IPI_NONE }, /* INIT level de-assert */
	{ WR, LAPIC_ICR_LOW, 0x04608 }, { IPI, 5, 0x608 }, /* start-up, any vector */
	{ WR, LAPIC_ICR_LOW, 0x04340 }, { IPI_NONE }, /* reserved */
	{ WR, LAPIC_ICR_LOW, 0x04740 }, { IPI_NONE }, /* ExtINT */
	/* Shorthands */
	{ WR, LAPIC_ICR_LOW, 0x440fd }, { IPI_NONE }, { PEND, 0, 0xfd },
	{ ACK, 0xfd }, { EOI }, { WR, LAPIC_ICR_LOW, 0x44400 }, { IPI, 5, 0x40400 },
	{ WR, LAPIC_ICR_LOW, 0x44500 }, { IPI_NONE }, { WR, LAPIC_ICR_LOW, 0x44608 }, { IPI_NONE },
	{ WR, LAPIC_ICR_LOW, 0x840fd }, { IPI, 5, 0x800fd },
	{ WR, LAPIC_ICR_LOW, 0x84400 }, { IPI, 5, 0x80400 },
	{ WR, LAPIC_ICR_LOW, 0x84500 }, { IPI_NONE }, { WR, LAPIC_ICR_LOW, 0x841fd }, { IPI_NONE },
	{ WR, LAPIC_ICR_LOW, 0xc40fd }, { IPI, 5, 0xc00fd },
	{ WR, LAPIC_ICR_LOW, 0xc4500 }, { IPI, 5, 0xc0500 },
	{ WR, LAPIC_ICR_LOW, 0xc4608 }, { IPI, 5, 0xc0608 },
	{ 0 },
};

static const struct step icr_x2apic[] = {
	{ GO_X2APIC }, { WM, LAPIC_SVR, 0x1ff }, { WM, LAPIC_ICR_LOW, 0x12345678000040fd },
	{ IPI, 0x12345678, 0xfd | WIDE }, { RM, LAPIC_ICR_LOW, 0x12345678000040fd },
	{ WM, LAPIC_ICR_LOW, 0x00020001000048fd }, { IPI, 0x00020001, 0x8fd | WIDE },
	{ WM, LAPIC_ICR_LOW, 0x00000001000c4500 }, { IPI, 1, 0xc0500 | WIDE },
	{ WM_GP, LAPIC_ICR_LOW, 0x1040fd }, { WM_GP, LAPIC_ICR_LOW, 0x800040fd },
	{ WM_GP, LAPIC_ICR_LOW, 0x60fd }, { WM_GP, LAPIC_ICR_LOW, 0x50fd },
	{ WM_GP, LAPIC_ICR_LOW, 0x240fd }, { IPI_NONE }, { WM, LAPIC_SELF_IPI, 0x33 }, { IPI_NONE },
	{ PEND, 0, 0x33 }, { RM, LAPIC_ICR_LOW, 0x00000001000c4500 },
	{ WM_GP, LAPIC_SELF_IPI, 0x133 }, { RM_GP, LAPIC_SELF_IPI },
	{ 0 },
};

static const struct step x2apic_registers[] = {
	/* No MSR before the mode is on, no page after. */
	{ RM_GP, LAPIC_ID }, { WM_GP, LAPIC_TPR, 0 }, { ON }, { WR, LAPIC_LDR, 0x01000000 },
	{ WR, LAPIC_TPR, 0x22 }, { WR, LAPIC_ICR_HIGH, 0x05000000 }, { GO_X2APIC },
	{ RD, LAPIC_VERSION, 0xffffffff }, { RDN, LAPIC_VERSION, 0xff, 1 },
	{ RDN, 0, UINT64_MAX, 8 }, { WR, LAPIC_TPR, 0x99 },
	/* State carries over, identity changes. */
	{ RM, LAPIC_TPR, 0x22 }, { RM, LAPIC_SVR, 0x1ff }, { RM, LAPIC_ID, 0x123 },
	{ RM, LAPIC_LDR, 0x00120008 }, { RM, LAPIC_ICR_LOW, 0 }, { RM, LAPIC_VERSION, 0x00050014 },
	{ RM, LAPIC_PPR, 0x22 }, { RM, LAPIC_ISR + 0x70, 0 }, { RM, LAPIC_TMR, 0 },
	{ RM, LAPIC_IRR, 0 },
	/* Not there, or not for this direction. */
	{ RM_GP, 0 }, { RM_GP, 0x10 }, { RM_GP, 0x40 }, { RM_GP, LAPIC_APR }, { RM_GP, LAPIC_RRD },
	{ RM_GP, LAPIC_DFR }, { RM_GP, LAPIC_EOI }, { RM_GP, LAPIC_ICR_HIGH }, { RM_GP, 0x2f0 },
	{ RM_GP, 0x3a0 }, { RM_GP, 0x400 }, { RM_GP, 0xff0 }, { RM_GP, 0xffff0000 },
	{ WM_GP, LAPIC_ID, 0 }, { WM_GP, LAPIC_VERSION, 0 }, { WM_GP, LAPIC_PPR, 0 },
	{ WM_GP, LAPIC_LDR, 0 }, { WM_GP, LAPIC_ISR, 0 }, { WM_GP, LAPIC_TMR, 0 },
	{ WM_GP, LAPIC_IRR, 0 }, { WM_GP, LAPIC_TIMER_CCT, 0 }, { WM_GP, LAPIC_ICR_HIGH, 0 },
	{ WM_GP, 0x2f0, 0 },
	/* Reserved bits */
	{ WM, LAPIC_TPR, 0xff }, { WM_GP, LAPIC_TPR, 0x100 }, { WM_GP, LAPIC_TPR, 1ull << 32 },
	{ WM, LAPIC_EOI, 0 }, { WM_GP, LAPIC_EOI, 1 }, { WM, LAPIC_ESR, 0 },
	{ WM_GP, LAPIC_ESR, 1 }, { WM_GP, LAPIC_SVR, 0x11ff }, { WM_GP, LAPIC_SVR, 0x5ff },
	{ WM, LAPIC_LVT_TIMER, 0x400ff }, { WM_GP, LAPIC_LVT_TIMER, 0x600ff },
	{ WM_GP, LAPIC_LVT_TIMER, 0x800ff }, { WM, LAPIC_LVT_TIMER, 0x110fe },
	{ RM, LAPIC_LVT_TIMER, 0x100fe }, /* delivery status: ignored */
	{ WM, LAPIC_LVT_LINT0, 0x1f7ff }, { RM, LAPIC_LVT_LINT0, 0x1a7ff },
	{ WM_GP, LAPIC_LVT_LINT1, 0x800 }, { WM_GP, LAPIC_LVT_THERM, 0x2000 },
	{ WM_GP, LAPIC_LVT_PERF, 0x8000 }, { WM_GP, LAPIC_LVT_ERROR, 0x100 },
	{ WM, LAPIC_TIMER_DCR, 0xb }, { WM_GP, LAPIC_TIMER_DCR, 4 },
	{ WM_GP, LAPIC_TIMER_DCR, 0x10 }, { WM, LAPIC_TIMER_ICT, 0xffffffff },
	{ WM_GP, LAPIC_TIMER_ICT, 1ull << 32 },
	{ 0 },
};

static const struct step apic_base[] = {
	{ BASE, 0, 0xfee00900 }, { BASE, 0, 0xfee00800 }, /* the BSP bit is not the guest's */
	{ BASE_GP, 0, 0xfee00801 }, { BASE_GP, 0, 0xfee00a00 }, { BASE_GP, 0, 0x10000000800 },
	{ BASE_GP, 0, 1ull << 63 | 0x800 }, { BASE_GP, 0, 0xfee00400 }, /* EXTD without EN */
	{ ON }, { EDGE, 0x40 }, { WR, LAPIC_LVT_LINT0, 0x10700 },
	/* Disabled: nothing there, PIC and NMI pins go straight to the CPU, state is lost. */
	{ BASE, 0, 0xfee00000 }, { PEND, 0, NONE }, { PIC, 0, true },
	{ RD, LAPIC_VERSION, 0xffffffff }, { RM_GP, LAPIC_VERSION },
	{ LINT, 1, true }, { EVENT, LAPIC_DM_NMI }, { LINT, 1, true }, { EVENT_NONE },
	{ LINT, 1, false }, { LINT, 0, true }, { EVENT_NONE },
	{ LINT, 0, false }, { EDGE, 0x41 }, { PEND, 0, NONE },
	{ BASE, 0, 0xfee00000 }, { BASE_GP, 0, 0xfee00c00 }, /* not directly to x2APIC */
	{ BASE_GP, 0, 0xfee00400 }, { BASE, 0, 0xfee00800 }, { RD, LAPIC_SVR, 0xff },
	{ PIC, 0, false },
	/* Relocated */
	{ BASE, 0, 0xffffe00800 }, { RD, LAPIC_VERSION, 0x50014 },
	{ BASE, 0, 0xfee00c00 }, { BASE, 0, 0xfee00c00 }, { RM, LAPIC_ID, ID },
	{ BASE_GP, 0, 0xfee00800 }, /* not back to xAPIC */
	{ BASE_GP, 0, 0xfee00400 }, { RM, LAPIC_ID, ID }, { WM, LAPIC_SVR, 0x1ff },
	{ WM, LAPIC_TPR, 0x20 }, { EDGE, 0x30 },
	/* INIT keeps the mode, power-up does not. */
	{ INIT }, { RM, LAPIC_ID, ID }, { RM, LAPIC_LDR, 1 << ID }, { RM, LAPIC_SVR, 0xff },
	{ RM, LAPIC_TPR, 0 }, { PEND, 0, NONE }, { BASE, 0, 0xfee00000 }, { RM_GP, LAPIC_ID },
	{ BASE, 0, 0xfee00800 }, { RD, LAPIC_ID, ID << 24 }, { RD, LAPIC_LDR, 0 },
	{ BASE, 0, 0xfee00c00 }, { POWER }, { RM_GP, LAPIC_ID }, { RD, LAPIC_ID, ID << 24 },
	{ 0 },
};

static const struct step errors[] = {
	{ ON },
	/* Reading without a write shows the last latch. */
	{ WR, LAPIC_ICR_LOW, 0x0400f }, { IPI_NONE }, { RD, LAPIC_ESR, 0 },
	{ WR, LAPIC_ESR, 0xffff }, { RD, LAPIC_ESR, 0x20 }, { RD, LAPIC_ESR, 0x20 },
	{ WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0 }, { EDGE, 15 }, { PEND, 0, NONE },
	{ WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x40 },
	/*
	 * Register addresses that do not exist, read and written, beyond the map and x2APIC's own.
	 */
	{ WR, LAPIC_ESR, 0 }, { RD, 0x000, 0 }, { WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x80 },
	{ WR, LAPIC_ESR, 0 }, { WR, 0x2f0, 1 }, { WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x80 },
	{ WR, LAPIC_ESR, 0 }, { RD, 0xffc, 0 }, { WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x80 },
	{ WR, LAPIC_ESR, 0 }, { WR, LAPIC_SELF_IPI, 0x40 }, { PEND, 0, NONE },
	{ WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x80 }, { WR, LAPIC_ESR, 0 },
	{ RD, LAPIC_VERSION + 4, 0 }, { WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0 },
	/* Two kinds at once; self IPI with an illegal vector is a sending error. */
	{ EDGE, 0 }, { WR, LAPIC_ICR_LOW, 0x44000 }, { WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0x60 },
	/* The interrupt, once per write to ESR. */
	{ WR, LAPIC_ESR, 0 }, { WR, LAPIC_LVT_ERROR, 0x31 }, { EDGE, 1 }, { ACK, 0x31 }, { EOI },
	{ EDGE, 1 }, { PEND, 0, NONE }, { WR, LAPIC_ESR, 0 }, { EDGE, 1 }, { ACK, 0x31 }, { EOI },
	/* An illegal vector in the error entry itself */
	{ WR, LAPIC_ESR, 0 }, { WR, LAPIC_LVT_ERROR, 0x05 }, { RD, 0x000, 0 }, { PEND, 0, NONE },
	{ WR, LAPIC_ESR, 0 }, { RD, LAPIC_ESR, 0xc0 },
	/* A local source with an illegal vector */
	{ WR, LAPIC_LVT_LINT1, 0x0f }, { LINT, 1, true }, { WR, LAPIC_ESR, 0 },
	{ RD, LAPIC_ESR, 0x40 },
	{ 0 },
};

static const struct step level_eoi[] = {
	{ ON }, { LEVEL, 0x62 }, { EDGE, 0x51 }, { RD, LAPIC_TMR + 0x30, 4 },
	{ ACK, 0x62 }, { EOIS, 0, 0 }, { EOI }, { EOIS, 0x62, 1 },
	{ ACK, 0x51 }, { EOI }, { EOIS, 0, 0 },
	/* TMR follows the last acceptance. */
	{ EDGE, 0x62 }, { RD, LAPIC_TMR + 0x30, 0 }, { ACK, 0x62 }, { EOI }, { EOIS, 0, 0 },
	/* Nested: EOI ends the highest. */
	{ LEVEL, 0x40 }, { ACK, 0x40 }, { LEVEL, 0x90 }, { ACK, 0x90 }, { EOI }, { EOIS, 0x90, 1 },
	{ EOI }, { EOIS, 0x40, 1 }, { EOI }, { EOIS, 0, 0 },
	{ 0 },
};

static const struct step lint_pins[] = {
	{ LINT, 1, true }, { EVENT_NONE }, { LINT, 1, false }, /* masked */
	{ ON }, { WR, LAPIC_LVT_LINT1, 0x400 }, { LINT, 1, true }, { EVENT, LAPIC_DM_NMI },
	{ LINT, 1, true }, { EVENT_NONE }, { LINT, 1, false }, { LINT, 1, true },
	{ EVENT, LAPIC_DM_NMI }, { LINT, 1, false }, { WR, LAPIC_LVT_LINT1, 0x200 },
	{ LINT, 1, true }, { EVENT, LAPIC_DM_SMI }, { LINT, 1, false },
	{ WR, LAPIC_LVT_LINT1, 0x500 }, { LINT, 1, true }, { EVENT, LAPIC_DM_INIT },
	{ LINT, 1, false }, { WR, LAPIC_LVT_LINT1, 0x10400 }, { LINT, 1, true }, { EVENT_NONE },
	/* LINT1 is edge-triggered even when programmed otherwise. */
	{ LINT, 1, false }, { WR, LAPIC_LVT_LINT1, 0x8044 }, { LINT, 1, true }, { ACK, 0x44 },
	{ EOI }, { PEND, 0, NONE }, { EOIS, 0, 0 },
	/* LINT0 as ExtINT: the PIC's. */
	{ WR, LAPIC_LVT_LINT0, 0x700 }, { PIC, 0, true }, { LINT, 0, true }, { EVENT_NONE },
	{ PEND, 0, NONE }, { LINT, 0, false }, { WR, LAPIC_LVT_LINT0, 0x400 }, { PIC, 0, false },
	{ LINT, 0, true }, { EVENT, LAPIC_DM_NMI },
	/*
	 * LINT0 fixed, level: unmasking an asserted pin delivers, EOI delivers again until
	 * released.
	 */
	{ WR, LAPIC_LVT_LINT0, 0x18055 }, { PEND, 0, NONE },
	{ WR, LAPIC_LVT_LINT0, 0x8055 }, { RD, LAPIC_LVT_LINT0, 0xc055 },
	{ ACK, 0x55 }, { PEND, 0, NONE }, { EOI }, { RD, LAPIC_LVT_LINT0, 0xc055 },
	{ ACK, 0x55 }, { LINT, 0, false }, { EOI }, { RD, LAPIC_LVT_LINT0, 0x8055 },
	{ PEND, 0, NONE }, { LINT, 0, true }, { ACK, 0x55 }, { LINT, 0, false }, { LINT, 0, true },
	{ PEND, 0, NONE },
	/* Edge mode forgets remote IRR. */
	{ WR, LAPIC_LVT_LINT0, 0x55 }, { RD, LAPIC_LVT_LINT0, 0x55 },
	{ EOI }, { PEND, 0, NONE }, { LINT, 2, true }, { LINT, 0xffffffff, true },
	{ 0 },
};

/* TSC / 4 / divisor; the fixture starts at 1000. */
static const struct step timer_one_shot[] = {
	{ ON }, { DUE, 0, UINT64_MAX }, { WR, LAPIC_TIMER_DCR, 0xb }, /* 1 */
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { DUE, 0, UINT64_MAX },
	{ WR, LAPIC_TIMER_ICT, 100 }, { DUE, 0, 1400 }, { RD, LAPIC_TIMER_CCT, 100 },
	{ AT, 0, 1003 }, { RD, LAPIC_TIMER_CCT, 100 }, { AT, 0, 1004 }, { RD, LAPIC_TIMER_CCT, 99 },
	{ AT, 0, 1396 }, { RD, LAPIC_TIMER_CCT, 1 }, { TICK, 0, 1399 }, { PEND, 0, NONE },
	{ DUE, 0, 1400 }, { RD, LAPIC_TIMER_CCT, 1 }, { TICK, 0, 1400 }, { ACK, 0x40 }, { EOI },
	{ DUE, 0, UINT64_MAX }, { RD, LAPIC_TIMER_CCT, 0 },
	{ TICK, 0, 9000 }, { PEND, 0, NONE }, { RD, LAPIC_TIMER_ICT, 100 },
	/* Restarted before the end; stopped by 0. */
	{ WR, LAPIC_TIMER_ICT, 100 }, { AT, 0, 9200 }, { WR, LAPIC_TIMER_ICT, 50 },
	{ DUE, 0, 9400 }, { WR, LAPIC_TIMER_ICT, 0 }, { DUE, 0, UINT64_MAX },
	{ TICK, 0, 10000 }, { PEND, 0, NONE },
	/* Reading after the end, before the tick: the interrupt is there. */
	{ WR, LAPIC_TIMER_ICT, 10 }, { AT, 0, 20000 }, { RD, LAPIC_TIMER_CCT, 0 },
	{ PEND, 0, 0x40 }, { ACK, 0x40 }, { EOI },
	/* Masked: counts, no deadline to wait for, expiry lost. */
	{ WR, LAPIC_LVT_TIMER, 0x10040 }, { WR, LAPIC_TIMER_ICT, 100 }, { DUE, 0, UINT64_MAX },
	{ AT, 0, 20200 }, { RD, LAPIC_TIMER_CCT, 50 }, { AT, 0, 20500 },
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { PEND, 0, NONE }, { DUE, 0, UINT64_MAX },
	/* Unmasked in time */
	{ WR, LAPIC_LVT_TIMER, 0x10040 }, { WR, LAPIC_TIMER_ICT, 100 }, { AT, 0, 20600 },
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { DUE, 0, 20900 }, { TICK, 0, 20900 }, { PEND, 0, 0x40 },
	{ ACK, 0x40 }, { EOI },
	/* Masked after expiry but before the tick: it had fired already. */
	{ WR, LAPIC_TIMER_ICT, 10 }, { AT, 0, 30000 }, { WR, LAPIC_LVT_TIMER, 0x10040 },
	{ PEND, 0, 0x40 }, { ACK, 0x40 }, { EOI }, { WR, LAPIC_LVT_TIMER, 0x40 },
	{ WR, LAPIC_TIMER_ICT, 10 }, { AT, 0, 31000 }, { WR, LAPIC_SVR, 0xff }, { PEND, 0, 0x40 },
	/* Reset stops it. */
	{ ON }, { WR, LAPIC_LVT_TIMER, 0x41 }, { WR, LAPIC_TIMER_ICT, 10 }, { INIT },
	{ DUE, 0, UINT64_MAX },
	{ 0 },
};

static const struct step timer_divide[] = {
	{ ON }, { WR, LAPIC_LVT_TIMER, 0x40 }, { WR, LAPIC_TIMER_DCR, 0x0 },
	{ WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 2 },
	{ WR, LAPIC_TIMER_DCR, 0x1 }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 4 },
	{ WR, LAPIC_TIMER_DCR, 0x2 }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 8 },
	{ WR, LAPIC_TIMER_DCR, 0x3 }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 16 },
	{ WR, LAPIC_TIMER_DCR, 0x8 }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 32 },
	{ WR, LAPIC_TIMER_DCR, 0x9 }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 64 },
	{ WR, LAPIC_TIMER_DCR, 0xa }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 * 128 },
	{ WR, LAPIC_TIMER_DCR, 0xb }, { WR, LAPIC_TIMER_ICT, 10 }, { DUE, 0, 1000 + 40 },
	/* Changed on the way: the remaining count stays, its rate changes. */
	{ AT, 0, 1020 }, { RD, LAPIC_TIMER_CCT, 5 }, { WR, LAPIC_TIMER_DCR, 0x0 },
	{ RD, LAPIC_TIMER_CCT, 5 }, { DUE, 0, 1060 },
	/* The largest count at the slowest rate, and past the end of time */
	{ WR, LAPIC_TIMER_DCR, 0xa }, { WR, LAPIC_TIMER_ICT, 0xffffffff },
	{ DUE, 0, 1020 + 0xffffffffull * 512 }, { RD, LAPIC_TIMER_CCT, 0xffffffff },
	{ AT, 0, UINT64_MAX - 5 }, { RD, LAPIC_TIMER_CCT, 0 },
	{ WR, LAPIC_TIMER_ICT, 0xffffffff }, { DUE, 0, UINT64_MAX },
	{ TICK, 0, UINT64_MAX - 1 }, { RD, LAPIC_TIMER_CCT, 1 },
	{ 0 },
};

static const struct step timer_periodic[] = {
	{ ON }, { WR, LAPIC_TIMER_DCR, 0xb }, { WR, LAPIC_LVT_TIMER, 0x20040 },
	{ WR, LAPIC_TIMER_ICT, 100 }, { DUE, 0, 1400 }, { TICK, 0, 1401 }, { ACK, 0x40 }, { EOI },
	{ DUE, 0, 1800 }, { RD, LAPIC_TIMER_CCT, 100 }, { AT, 0, 1600 },
	{ RD, LAPIC_TIMER_CCT, 50 },
	/* Late by many periods: one interrupt, phase kept. */
	{ TICK, 0, 1400 + 400 * 1000 + 8 }, { DUE, 0, 1400 + 400 * 1001 },
	{ RD, LAPIC_TIMER_CCT, 98 }, { ACK, 0x40 }, { PEND, 0, NONE },
	{ EOI }, { PEND, 0, NONE }, { TICK, 0, 1400 + 400 * 1001 - 1 }, { PEND, 0, NONE },
	{ TICK, 0, 1400 + 400 * 1001 }, { ACK, 0x40 }, { EOI }, { DUE, 0, 1400 + 400 * 1002 },
	/* Masked for a while: in phase afterwards. */
	{ WR, LAPIC_LVT_TIMER, 0x30040 }, { DUE, 0, UINT64_MAX },
	{ AT, 0, 1400 + 400 * 1100 + 4 }, { WR, LAPIC_LVT_TIMER, 0x20040 }, { PEND, 0, NONE },
	{ DUE, 0, 1400 + 400 * 1101 },
	/* One-shot from here on: ends once. */
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { DUE, 0, 1400 + 400 * 1101 },
	{ TICK, 0, 1400 + 400 * 1101 }, { PEND, 0, 0x40 }, { DUE, 0, UINT64_MAX },
	/* The guest moves its TSC: the count does not notice. */
	{ AT, 0, 500000 }, { WR, LAPIC_LVT_TIMER, 0x20040 }, { WR, LAPIC_TIMER_ICT, 100 },
	{ MOVED, 0, (uint64_t)-400000 }, { DUE, 0, 100400 }, { RD, LAPIC_TIMER_CCT, 100 },
	{ 0 },
};

static const struct step timer_deadline[] = {
	/* not in this mode */
	{ ON }, { DEADLINE, 0, 5000 }, { DEADLINE_IS, 0, 0 }, { DUE, 0, UINT64_MAX },
	{ WR, LAPIC_LVT_TIMER, 0x40040 }, { DEADLINE, 0, 5000 }, { DEADLINE_IS, 0, 5000 },
	{ DUE, 0, 5000 }, { RD, LAPIC_TIMER_CCT, 0 }, { WR, LAPIC_TIMER_ICT, 77 },
	{ RD, LAPIC_TIMER_ICT, 0 }, { DUE, 0, 5000 }, { MOVED, 0, 500 }, { DUE, 0, 5000 },
	{ TICK, 0, 4999 }, { PEND, 0, NONE }, { TICK, 0, 5000 }, { ACK, 0x40 }, { EOI },
	{ DEADLINE_IS, 0, 0 }, { DUE, 0, UINT64_MAX }, { DEADLINE, 0, 1 }, { DEADLINE_IS, 0, 0 },
	{ ACK, 0x40 }, { EOI }, /* in the past: at once */
	{ DEADLINE, 0, 6000 }, { DEADLINE, 0, 0 }, { DUE, 0, UINT64_MAX },
	{ TICK, 0, 7000 }, { PEND, 0, NONE }, { DEADLINE, 0, UINT64_MAX },
	{ DEADLINE_IS, 0, UINT64_MAX },
	/* Masked: passes without an interrupt. */
	{ WR, LAPIC_LVT_TIMER, 0x50040 }, { DEADLINE, 0, 8000 }, { DEADLINE_IS, 0, 8000 },
	{ DUE, 0, UINT64_MAX }, { AT, 0, 8000 }, { DEADLINE_IS, 0, 0 },
	{ WR, LAPIC_LVT_TIMER, 0x40040 }, { PEND, 0, NONE },
	/* Overdue at the next write: both count. */
	{ DEADLINE, 0, 8100 }, { AT, 0, 8200 }, { DEADLINE, 0, 9000 }, { ACK, 0x40 }, { EOI },
	{ DUE, 0, 9000 },
	/* Leaving the mode disarms, in both directions; other mode bits do not. */
	{ WR, LAPIC_LVT_TIMER, 0x40 }, { DUE, 0, UINT64_MAX }, { DEADLINE_IS, 0, 0 },
	{ WR, LAPIC_TIMER_ICT, 1000 }, { WR, LAPIC_LVT_TIMER, 0x20041 }, { DUE, 0, 8200 + 8000 },
	{ WR, LAPIC_LVT_TIMER, 0x40040 }, { DUE, 0, UINT64_MAX },
	/* The reserved mode runs nothing. */
	{ DEADLINE, 0, 9000 }, { WR, LAPIC_LVT_TIMER, 0x60040 }, { DUE, 0, UINT64_MAX },
	{ WR, LAPIC_TIMER_ICT, 10 }, { DEADLINE, 0, 9000 }, { DUE, 0, UINT64_MAX },
	{ TICK, 0, 99999 }, { PEND, 0, NONE },
	{ 0 },
};
/* clang-format on */

#define TABLE_TEST(name, id)                                                                       \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(#name, name, id);                                                              \
	}

TABLE_TEST(reset_values, ID)
TABLE_TEST(register_bits, ID)
TABLE_TEST(access_sizes, ID)
TABLE_TEST(priority, ID)
TABLE_TEST(cr8, ID)
TABLE_TEST(arbitration, ID)
TABLE_TEST(software_disable, ID)
TABLE_TEST(icr_xapic, ID)
TABLE_TEST(icr_x2apic, ID)
TABLE_TEST(x2apic_registers, 0x123)
TABLE_TEST(apic_base, ID)
TABLE_TEST(errors, ID)
TABLE_TEST(level_eoi, ID)
TABLE_TEST(lint_pins, ID)
TABLE_TEST(timer_one_shot, ID)
TABLE_TEST(timer_divide, ID)
TABLE_TEST(timer_periodic, ID)
TABLE_TEST(timer_deadline, ID)

static void test_base_value(void **state)
{
	static struct fixture f;

	(void)state;
	setup(&f, ID);
	assert_int_equal(f.l.apic_base, 0xfee00900);
	assert_int_equal(lapic_apic_base_write(&f.l, 0xd0000800, 36), 0);
	assert_int_equal(f.l.apic_base, 0xd0000900);
	assert_int_equal(lapic_apic_base_write(&f.l, 0x1fee00800, 32), E_INVAL);
	assert_int_equal(lapic_apic_base_write(&f.l, 1ull << 52 | 0x800, 200), E_INVAL);
	assert_int_equal(f.l.apic_base, 0xd0000900);
	lapic_reset_init(&f.l);
	assert_int_equal(f.l.apic_base, 0xd0000900);
	lapic_reset_power_up(&f.l);
	assert_int_equal(f.l.apic_base, 0xfee00900);
}

/* Hardware APIC virtualisation, or the owner, changed the page. */
static void test_rescan(void **state)
{
	static struct fixture f;

	(void)state;
	setup(&f, ID);
	f.page[(LAPIC_IRR + 0x50) / 4] = 1u << 7;
	f.page[(LAPIC_ISR + 0x10) / 4] = 1u << 31;
	f.page[LAPIC_TPR / 4] = 0x10;
	lapic_rescan(&f.l);
	check_invariants(&f);
	assert_int_equal(lapic_pending(&f.l), 0xa7);
	/* A vector that is not pending is not taken. */
	lapic_ack(&f.l, 0xa6);
	check_invariants(&f);
	assert_int_equal(lapic_pending(&f.l), 0xa7);
}

/* id and mode of the target, its LDR (xAPIC) and DFR, the message, and whether it is meant. */
struct match_case {
	uint32_t id, mode, ldr, dfr;
	uint32_t dest, delivery, shorthand, sender;
	bool logical, wide, expected;
};

#define X       LAPIC_XAPIC
#define X2      LAPIC_X2APIC
#define FLAT    0xffffffffu
#define CLUSTER 0x0fffffffu

static const struct match_case match_cases[] = {
	/* physical */
	{3, X, 0, FLAT, 3, 0, 0, 9, false, false, true},
	{3, X, 0, FLAT, 4, 0, 0, 9, false, false, false},
	{3, X, 0, FLAT, 0xff, 0, 0, 9, false, false, true},
	{3, X, 0, FLAT, 0xff, 5, 0, 3, false, false, true},
	{3, X2, 0, 0, 3, 0, 0, 9, false, true, true},
	{3, X2, 0, 0, 0x103, 0, 0, 9, false, true, false},
	{0x103, X2, 0, 0, 0x103, 0, 0, 9, false, true, true},
	{0x103, X2, 0, 0, 3, 0, 0, 9, false, false, false},
	{3, X2, 0, 0, 0xff, 0, 0, 9, false, true, false},
	{0xff, X2, 0, 0, 0xff, 0, 0, 9, false, true, true},
	{3, X2, 0, 0, 0xff, 0, 0, 9, false, false, true}, /* an MSI's broadcast */
	{3, X2, 0, 0, 0xffffffff, 0, 0, 9, false, true, true},
	{3, X, 0, FLAT, 0xffffffff, 0, 0, 9, false, true, true},
	/* flat */
	{3, X, 0x08000000, FLAT, 0x08, 0, 0, 9, true, false, true},
	{3, X, 0x08000000, FLAT, 0x0c, 1, 0, 9, true, false, true},
	{3, X, 0x08000000, FLAT, 0xf7, 0, 0, 9, true, false, false},
	{3, X, 0x08000000, FLAT, 0x00, 0, 0, 9, true, false, false},
	{3, X, 0x00000000, FLAT, 0xff, 0, 0, 9, true, false, true},
	{3, X, 0x00000000, FLAT, 0x7f, 0, 0, 9, true, false, false},
	{3, X, 0x08000000, FLAT, 0x108, 0, 0, 9, true, true, false},
	/* cluster */
	{3, X, 0x24000000, CLUSTER, 0x24, 0, 0, 9, true, false, true},
	{3, X, 0x24000000, CLUSTER, 0x2f, 0, 0, 9, true, false, true},
	{3, X, 0x24000000, CLUSTER, 0x2b, 0, 0, 9, true, false, false},
	{3, X, 0x24000000, CLUSTER, 0x34, 0, 0, 9, true, false, false},
	{3, X, 0x24000000, CLUSTER, 0xff, 0, 0, 9, true, false, true},
	{3, X, 0x24000000, 0x5fffffff, 0x24, 0, 0, 9, true, false, false}, /* no such model */
	/* x2APIC cluster: ID 12h is cluster 1, bit 2 */
	{0x12, X2, 0, 0, 0x00010004, 0, 0, 9, true, true, true},
	{0x12, X2, 0, 0, 0x0001ffff, 0, 0, 9, true, true, true},
	{0x12, X2, 0, 0, 0x0001fffb, 0, 0, 9, true, true, false},
	{0x12, X2, 0, 0, 0x00020004, 0, 0, 9, true, true, false},
	{0x12, X2, 0, 0, 0x00000004, 0, 0, 9, true, true, false},
	{0x12, X2, 0, 0, 0xffffffff, 0, 0, 9, true, true, true},
	{2, X2, 0, 0, 0x04, 0, 0, 9, true, false, true}, /* from an IOAPIC: cluster 0 */
	/* shorthands do not look at dest */
	{3, X, 0, FLAT, 7, 4, LAPIC_SH_SELF, 3, false, false, true},
	{3, X, 0, FLAT, 3, 4, LAPIC_SH_SELF, 4, false, false, false},
	{3, X, 0, FLAT, 7, 0, LAPIC_SH_ALL, 3, false, false, true},
	{3, X, 0, FLAT, 7, 0, LAPIC_SH_ALL, 4, true, false, true},
	{3, X, 0, FLAT, 3, 0, LAPIC_SH_OTHERS, 3, false, false, false},
	{3, X, 0, FLAT, 3, 0, LAPIC_SH_OTHERS, 4, false, false, true},
	/* disabled: by hardware nothing, see test_match_disabled for software */
	{3, LAPIC_DISABLED, 0, FLAT, 3, 5, 0, 9, false, false, false},
	{3, LAPIC_DISABLED, 0, FLAT, 3, 5, LAPIC_SH_OTHERS, 9, false, false, false},
};

static void enter_mode(struct fixture *f, uint32_t mode)
{
	if (mode == LAPIC_DISABLED)
		assert_int_equal(lapic_apic_base_write(&f->l, 0xfee00000, 40), 0);
	else if (mode == LAPIC_X2APIC)
		assert_int_equal(lapic_apic_base_write(&f->l, 0xfee00c00, 40), 0);
}

static void test_match(void **state)
{
	static struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(match_cases); i++) {
		const struct match_case *c = &match_cases[i];
		struct lapic_ipi ipi = {
			.dest = c->dest,
			.sender = c->sender,
			.vector = 0x40,
			.delivery = (uint8_t)c->delivery,
			.shorthand = (uint8_t)c->shorthand,
			.logical = c->logical,
			.wide = c->wide,
		};

		setup(&f, c->id);
		lapic_mmio_write(&f.l, LAPIC_SVR, 4, 0x1ff, 0);
		lapic_mmio_write(&f.l, LAPIC_LDR, 4, c->ldr, 0);
		lapic_mmio_write(&f.l, LAPIC_DFR, 4, c->dfr, 0);
		enter_mode(&f, c->mode);
		running = "match_cases";
		running_step = (unsigned)i;
		assert_int_equal(lapic_matches(&f.l, &ipi), c->expected);
		running = NULL;
	}
}

static void test_match_disabled(void **state)
{
	static const bool taken[] = {
		[LAPIC_DM_FIXED] = false,
		[LAPIC_DM_LOWEST] = false,
		[LAPIC_DM_SMI] = true,
		[LAPIC_DM_NMI] = true,
		[LAPIC_DM_INIT] = true,
		[LAPIC_DM_STARTUP] = true,
	};
	static struct fixture f;

	(void)state;
	setup(&f, ID);
	for (unsigned delivery = 0; delivery < ARRAY_SIZE(taken); delivery++) {
		struct lapic_ipi ipi = {.dest = ID, .delivery = (uint8_t)delivery};

		if (delivery != LAPIC_DM_RESERVED)
			assert_int_equal(lapic_matches(&f.l, &ipi), taken[delivery]);
	}
}

static void test_msi(void **state)
{
	struct lapic_ipi ipi;

	(void)state;
	assert_false(lapic_ipi_from_msi(0xfed00000, 0x40, &ipi));
	assert_false(lapic_ipi_from_msi(0xfef00000, 0x40, &ipi));
	assert_false(lapic_ipi_from_msi(0x1fee00000, 0x40, &ipi));
	assert_true(lapic_ipi_from_msi(0xfee05000, 0x4041, &ipi));
	assert_int_equal(ipi.dest, 5);
	assert_int_equal(ipi.vector, 0x41);
	assert_int_equal(ipi.delivery, LAPIC_DM_FIXED);
	assert_int_equal(ipi.shorthand, LAPIC_SH_NONE);
	assert_false(ipi.logical || ipi.wide || ipi.level);
	assert_true(lapic_ipi_from_msi(0xfeeff00c, 0xc1fe, &ipi));
	assert_int_equal(ipi.dest, 0xff);
	assert_int_equal(ipi.delivery, LAPIC_DM_LOWEST);
	assert_true(ipi.logical && ipi.level);
}

#define T(name) cmocka_unit_test_teardown(test_##name, say_where)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_values),
		T(register_bits),
		T(access_sizes),
		T(priority),
		T(cr8),
		T(arbitration),
		T(software_disable),
		T(icr_xapic),
		T(icr_x2apic),
		T(x2apic_registers),
		T(apic_base),
		T(errors),
		T(level_eoi),
		T(lint_pins),
		T(timer_one_shot),
		T(timer_divide),
		T(timer_periodic),
		T(timer_deadline),
		T(base_value),
		T(rescan),
		T(match),
		T(match_disabled),
		T(msi),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
