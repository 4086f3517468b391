/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC model: the timer, in guest TSC ticks. State is one deadline; counts are computed from
 * it, so nothing runs between two events. Locking rule: see lapic.h.
 */
#include "drivers/virt/lapic_priv.h"

static uint32_t timer_mode(const struct lapic *l)
{
	return lapic_reg(l, LAPIC_LVT_TIMER) & LAPIC_TIMER_MODE;
}

static bool counts(const struct lapic *l)
{
	return timer_mode(l) == LAPIC_TIMER_ONE_SHOT || timer_mode(l) == LAPIC_TIMER_PERIODIC;
}

/* TSC ticks per count as a power of two; DCR bits 3, 1, 0: 000b is 2, 110b is 128, 111b is 1. */
static unsigned count_shift(const struct lapic *l)
{
	uint32_t dcr = lapic_reg(l, LAPIC_TIMER_DCR);

	return l->timer.shift + (((dcr & 3) | (dcr >> 1 & 4)) + 1) % 8;
}

/* A deadline past the end of the counter is as good as none. */
static void arm(struct lapic *l, uint64_t tsc, uint64_t ticks)
{
	l->timer.armed = ticks != 0;
	if (__builtin_add_overflow(tsc, ticks, &l->timer.deadline))
		l->timer.deadline = UINT64_MAX;
}

void lapic_timer_tick(struct lapic *l, uint64_t tsc)
{
	if (!l->timer.armed || tsc < l->timer.deadline)
		return;
	if (timer_mode(l) == LAPIC_TIMER_PERIODIC) {
		uint64_t period = (uint64_t)lapic_reg(l, LAPIC_TIMER_ICT) << count_shift(l);

		arm(l, tsc, period ? period - (tsc - l->timer.deadline) % period : 0);
	} else {
		l->timer.armed = false;
	}
	lapic_lvt_fire(l, LAPIC_LVT_TIMER);
}

/*
 * A masked expiry is lost, so it needs no call: whoever touches the timer next brings it up to
 * date.
 */
uint64_t lapic_timer_deadline(const struct lapic *l)
{
	if (!l->timer.armed || (lapic_reg(l, LAPIC_LVT_TIMER) & LAPIC_LVT_MASKED))
		return UINT64_MAX;
	return l->timer.deadline;
}

/*
 * Rounded up: the count stays at its initial value for a whole count and is 0 when the interrupt
 * comes.
 */
uint32_t lapic_timer_count(const struct lapic *l, uint64_t tsc)
{
	uint64_t left = l->timer.deadline - tsc, count;
	unsigned shift = count_shift(l);

	if (!l->timer.armed || !counts(l) || tsc >= l->timer.deadline)
		return 0;
	count = (left >> shift) + ((left & (BIT(shift) - 1)) != 0);
	return (uint32_t)MIN(count, (uint64_t)UINT32_MAX);
}

void lapic_timer_write_count(struct lapic *l, uint32_t value, uint64_t tsc)
{
	if (!counts(l))
		return;
	lapic_set_reg(l, LAPIC_TIMER_ICT, value);
	arm(l, tsc, (uint64_t)value << count_shift(l));
}

/* The count reached so far goes on at the new rate. */
void lapic_timer_write_divide(struct lapic *l, uint32_t value, uint64_t tsc)
{
	uint64_t count = lapic_timer_count(l, tsc);

	lapic_set_reg(l, LAPIC_TIMER_DCR, value);
	if (l->timer.armed && counts(l))
		arm(l, tsc, count << count_shift(l));
}

/* SDM vol. 3, "TSC-Deadline Mode": entering or leaving it disarms the timer. */
void lapic_timer_write_lvt(struct lapic *l, uint32_t value)
{
	uint32_t old = timer_mode(l), new = value &LAPIC_TIMER_MODE;

	if (old != new && ((old | new) & LAPIC_TIMER_TSC_DEADLINE))
		l->timer.armed = false;
	lapic_set_reg(l, LAPIC_LVT_TIMER, value);
}

void lapic_timer_tsc_moved(struct lapic *l, uint64_t delta)
{
	if (l->timer.armed && counts(l))
		l->timer.deadline += delta;
}

uint64_t lapic_tsc_deadline_read(struct lapic *l, uint64_t tsc)
{
	lapic_timer_tick(l, tsc);
	if (!l->timer.armed || timer_mode(l) != LAPIC_TIMER_TSC_DEADLINE)
		return 0;
	return l->timer.deadline;
}

void lapic_tsc_deadline_write(struct lapic *l, uint64_t value, uint64_t tsc)
{
	if (timer_mode(l) != LAPIC_TIMER_TSC_DEADLINE)
		return;
	/* An older deadline that has passed meanwhile still counts. */
	lapic_timer_tick(l, tsc);
	l->timer.armed = value != 0;
	l->timer.deadline = value;
	lapic_timer_tick(l, tsc);
}
