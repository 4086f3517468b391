/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC model: life cycle, IA32_APIC_BASE, acceptance, priority, EOI and local pins. Registers
 * as the guest addresses them are in lapic_regs.c, the ICR in lapic_icr.c, the timer in
 * lapic_timer.c. Locking rule: see lapic.h.
 */
#include "drivers/virt/lapic_priv.h"

#include "hv/lib/string.h"

/* Integrated APIC, six LVT entries, no EOI-broadcast suppression. */
#define VERSION_VALUE   0x00050014u
#define MAX_TIMER_SHIFT 16u

static uint32_t *vector_word(struct lapic *l, uint32_t array, uint8_t vector)
{
	return &l->page[(array + (vector >> 5) * 0x10u) / 4];
}

static uint32_t vector_bit(uint8_t vector)
{
	return 1u << (vector & 31);
}

static int highest_vector(const struct lapic *l, uint32_t array)
{
	for (int i = 7; i >= 0; i--) {
		uint32_t word = lapic_reg(l, array + (unsigned)i * 0x10u);

		if (word)
			return i * 32 + 31 - __builtin_clz(word);
	}
	return -1;
}

/* SDM vol. 3, "Task and Processor Priorities", in the form APIC virtualisation uses. */
static uint32_t ppr(const struct lapic *l, int isr_max)
{
	uint32_t tpr = lapic_reg(l, LAPIC_TPR) & 0xff;
	uint32_t isr = isr_max < 0 ? 0 : (uint32_t)isr_max;

	return (tpr >> 4) >= (isr >> 4) ? tpr : isr & 0xf0;
}

void lapic_update_ppr(struct lapic *l)
{
	lapic_set_reg(l, LAPIC_PPR, ppr(l, l->isr_max));
}

uint32_t lapic_priority(const struct lapic *l)
{
	return ppr(l, highest_vector(l, LAPIC_ISR));
}

void lapic_rescan(struct lapic *l)
{
	l->irr_max = highest_vector(l, LAPIC_IRR);
	l->isr_max = highest_vector(l, LAPIC_ISR);
	lapic_update_ppr(l);
}

/* What depends on the mode: the ID's place, and the logical ID that x2APIC derives from it. */
static void set_identity(struct lapic *l)
{
	if (l->mode == LAPIC_X2APIC) {
		lapic_set_reg(l, LAPIC_ID, l->id);
		lapic_set_reg(l, LAPIC_LDR, (l->id >> 4) << 16 | 1u << (l->id & 15));
	} else {
		lapic_set_reg(l, LAPIC_ID, l->id << 24);
		lapic_set_reg(l, LAPIC_LDR, 0);
	}
}

void lapic_reset_init(struct lapic *l)
{
	static const uint16_t lvts[] = {
		LAPIC_LVT_TIMER,
		LAPIC_LVT_THERM,
		LAPIC_LVT_PERF,
		LAPIC_LVT_LINT0,
		LAPIC_LVT_LINT1,
		LAPIC_LVT_ERROR,
	};

	memset(l->page, 0, PAGE_SIZE);
	memset(l->kept, 0, sizeof(l->kept));
	lapic_set_reg(l, LAPIC_VERSION, VERSION_VALUE);
	lapic_set_reg(l, LAPIC_DFR, UINT32_MAX);
	lapic_set_reg(l, LAPIC_SVR, 0xff);
	for (unsigned i = 0; i < ARRAY_SIZE(lvts); i++)
		lapic_set_reg(l, lvts[i], LAPIC_LVT_MASKED);
	set_identity(l);
	l->errors = 0;
	l->timer.armed = false;
	lapic_rescan(l);
}

void lapic_reset_power_up(struct lapic *l)
{
	l->apic_base = LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | (l->apic_base & LAPIC_BASE_BSP);
	l->mode = LAPIC_XAPIC;
	lapic_reset_init(l);
}

void lapic_init(struct lapic *l, void *page, uint32_t id, bool bsp, unsigned timer_shift,
	const struct lapic_env *env)
{
	memset(l, 0, sizeof(*l));
	l->page = page;
	l->id = id;
	l->apic_base = bsp ? LAPIC_BASE_BSP : 0;
	l->timer.shift = MIN(timer_shift, MAX_TIMER_SHIFT);
	l->env = *env;
	lapic_reset_power_up(l);
}

static bool base_has_reserved_bits(uint64_t value, unsigned maxphyaddr)
{
	uint64_t addresses = LAPIC_BASE_ADDR(BIT(MIN(maxphyaddr, 52u)) - 1);

	return value & ~(addresses | LAPIC_BASE_BSP | LAPIC_BASE_EXTD | LAPIC_BASE_EN);
}

/*
 * SDM vol. 3, "x2APIC State Transitions": there is no way back from x2APIC to xAPIC but through
 * disabled.
 */
static bool mode_change_legal(enum lapic_mode from, enum lapic_mode to)
{
	static const bool legal[3][3] = {
		[LAPIC_DISABLED] = {[LAPIC_DISABLED] = true, [LAPIC_XAPIC] = true},
		[LAPIC_XAPIC] =
			{[LAPIC_DISABLED] = true, [LAPIC_XAPIC] = true, [LAPIC_X2APIC] = true},
		[LAPIC_X2APIC] = {[LAPIC_DISABLED] = true, [LAPIC_X2APIC] = true},
	};

	return legal[from][to];
}

static enum lapic_mode mode_of(uint64_t base)
{
	if (!(base & LAPIC_BASE_EN))
		return LAPIC_DISABLED;
	return base & LAPIC_BASE_EXTD ? LAPIC_X2APIC : LAPIC_XAPIC;
}

bool lapic_apic_base_valid(const struct lapic *l, uint64_t value, unsigned maxphyaddr)
{
	return !base_has_reserved_bits(value, maxphyaddr) &&
	       (value & (LAPIC_BASE_EN | LAPIC_BASE_EXTD)) != LAPIC_BASE_EXTD &&
	       mode_change_legal(l->mode, mode_of(value));
}

int lapic_apic_base_write(struct lapic *l, uint64_t value, unsigned maxphyaddr)
{
	enum lapic_mode next = mode_of(value), previous = l->mode;

	if (!lapic_apic_base_valid(l, value, maxphyaddr))
		return E_INVAL;
	l->apic_base = (value & ~LAPIC_BASE_BSP) | (l->apic_base & LAPIC_BASE_BSP);
	if (next == previous)
		return 0;
	__atomic_store_n(&l->mode, next, __ATOMIC_RELAXED);
	if (next == LAPIC_X2APIC) {
		lapic_set_reg(l, LAPIC_ICR_HIGH, 0);
		set_identity(l);
	} else {
		/* A disabled APIC forgets everything; it comes back as after power-up. */
		lapic_reset_init(l);
	}
	return 0;
}

static void raise_irr(struct lapic *l, uint8_t vector, bool level)
{
	uint32_t *tmr = vector_word(l, LAPIC_TMR, vector);

	*vector_word(l, LAPIC_IRR, vector) |= vector_bit(vector);
	if (level)
		*tmr |= vector_bit(vector);
	else
		*tmr &= ~vector_bit(vector);
	l->irr_max = MAX(l->irr_max, (int)vector);
}

/*
 * One interrupt until the next write to ESR re-arms it. Raises IRR itself: an illegal vector in the
 * error entry is one more error, not another round.
 */
void lapic_error(struct lapic *l, uint32_t esr_bit)
{
	uint32_t lvt = lapic_reg(l, LAPIC_LVT_ERROR);
	bool armed = l->errors == 0;

	l->errors |= esr_bit;
	if (!armed || (lvt & LAPIC_LVT_MASKED))
		return;
	if ((lvt & 0xff) < LAPIC_FIRST_LEGAL_VECTOR)
		l->errors |= LAPIC_ESR_RECV_ILLEGAL_VECTOR;
	else
		raise_irr(l, (uint8_t)lvt, false);
}

void lapic_accept(struct lapic *l, uint8_t vector, bool level)
{
	if (l->mode == LAPIC_DISABLED || !(lapic_reg(l, LAPIC_SVR) & LAPIC_SVR_ENABLE))
		return;
	if (vector < LAPIC_FIRST_LEGAL_VECTOR)
		lapic_error(l, LAPIC_ESR_RECV_ILLEGAL_VECTOR);
	else
		raise_irr(l, vector, level);
}

void lapic_ack(struct lapic *l, uint8_t vector)
{
	uint32_t *irr = vector_word(l, LAPIC_IRR, vector);

	if (!(*irr & vector_bit(vector)))
		return;
	*irr &= ~vector_bit(vector);
	l->irr_max = highest_vector(l, LAPIC_IRR);
	*vector_word(l, LAPIC_ISR, vector) |= vector_bit(vector);
	l->isr_max = MAX(l->isr_max, (int)vector);
	lapic_update_ppr(l);
}

/* LINT0 as a level-triggered fixed interrupt has its own remote IRR, ended by the same EOI. */
static void end_lint0(struct lapic *l, uint8_t vector)
{
	uint32_t lvt = lapic_reg(l, LAPIC_LVT_LINT0);

	if (!(lvt & LAPIC_LVT_REMOTE_IRR) || (lvt & 0xff) != vector)
		return;
	lapic_set_reg(l, LAPIC_LVT_LINT0, lvt & ~LAPIC_LVT_REMOTE_IRR);
	lapic_lint0_sample(l);
}

void lapic_eoi(struct lapic *l)
{
	uint8_t vector = (uint8_t)l->isr_max;

	if (l->isr_max < 0)
		return;
	*vector_word(l, LAPIC_ISR, vector) &= ~vector_bit(vector);
	l->isr_max = highest_vector(l, LAPIC_ISR);
	lapic_update_ppr(l);
	lapic_eoi_done(l, vector);
}

void lapic_eoi_done(struct lapic *l, uint8_t vector)
{
	if (!(*vector_word(l, LAPIC_TMR, vector) & vector_bit(vector)))
		return;
	end_lint0(l, vector);
	l->env.eoi_broadcast(l->env.ctx, vector);
}

unsigned lapic_tpr_threshold(const struct lapic *l)
{
	int irr = l->irr_max >> 4, isr = l->isr_max < 0 ? 0 : l->isr_max >> 4;

	if (l->irr_max < 0 || irr <= isr || irr > (int)lapic_cr8(l))
		return 0;
	return (unsigned)irr;
}

int lapic_cr8_write(struct lapic *l, uint64_t value)
{
	if (value > 15)
		return E_INVAL;
	lapic_set_reg(l, LAPIC_TPR, (uint32_t)value << 4);
	lapic_update_ppr(l);
	return 0;
}

static enum lapic_delivery lvt_delivery(uint32_t lvt)
{
	return lvt >> 8 & 7;
}

bool lapic_accepts_pic(const struct lapic *l)
{
	uint32_t lvt = lapic_reg(l, LAPIC_LVT_LINT0);

	if (l->mode == LAPIC_DISABLED)
		return true;
	return !(lvt & LAPIC_LVT_MASKED) && lvt_delivery(lvt) == LAPIC_DM_EXTINT;
}

/* ExtINT needs nothing here: the owner asks lapic_accepts_pic() and then the PIC. */
void lapic_lvt_fire(struct lapic *l, uint32_t lvt_offset)
{
	uint32_t lvt = lapic_reg(l, lvt_offset);

	if (lvt & LAPIC_LVT_MASKED)
		return;
	switch (lvt_delivery(lvt)) {
	case LAPIC_DM_FIXED: lapic_accept(l, (uint8_t)lvt, false); break;
	case LAPIC_DM_SMI:
	case LAPIC_DM_NMI:
	case LAPIC_DM_INIT: l->env.lint_event(l->env.ctx, lvt_delivery(lvt)); break;
	default: break;
	}
}

static bool lint0_is_level(const struct lapic *l)
{
	uint32_t lvt = lapic_reg(l, LAPIC_LVT_LINT0);

	return (lvt & LAPIC_LVT_LEVEL) && lvt_delivery(lvt) == LAPIC_DM_FIXED;
}

void lapic_lint0_sample(struct lapic *l)
{
	uint32_t lvt = lapic_reg(l, LAPIC_LVT_LINT0);

	if (!l->lint[0] || !lint0_is_level(l) || (lvt & (LAPIC_LVT_MASKED | LAPIC_LVT_REMOTE_IRR)))
		return;
	if ((lvt & 0xff) >= LAPIC_FIRST_LEGAL_VECTOR)
		lapic_set_reg(l, LAPIC_LVT_LINT0, lvt | LAPIC_LVT_REMOTE_IRR);
	lapic_accept(l, (uint8_t)lvt, true);
}

/*
 * SDM vol. 3, "Local Vector Table": LINT1 is always edge-triggered, whatever its trigger bit says.
 */
void lapic_lint(struct lapic *l, unsigned pin, bool level)
{
	bool rising;

	if (pin > 1)
		return;
	rising = level && !l->lint[pin];
	l->lint[pin] = level;
	if (!rising)
		return;
	if (l->mode == LAPIC_DISABLED) {
		/* Without an APIC the pins are INTR and NMI. */
		if (pin == 1)
			l->env.lint_event(l->env.ctx, LAPIC_DM_NMI);
	} else if (pin == 0 && lint0_is_level(l)) {
		lapic_lint0_sample(l);
	} else {
		lapic_lvt_fire(l, pin ? LAPIC_LVT_LINT1 : LAPIC_LVT_LINT0);
	}
}
