/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the local APIC model share among themselves; nobody else includes this.
 */
#ifndef DRIVERS_VIRT_LAPIC_PRIV_H
#define DRIVERS_VIRT_LAPIC_PRIV_H

#include "drivers/virt/lapic.h"

#define LAPIC_FIRST_LEGAL_VECTOR 16

static inline uint32_t lapic_reg(const struct lapic *l, uint32_t offset)
{
	return __atomic_load_n(&l->page[offset / 4], __ATOMIC_RELAXED);
}

static inline void lapic_set_reg(struct lapic *l, uint32_t offset, uint32_t value)
{
	l->kept[offset / 16] = value;
	__atomic_store_n(&l->page[offset / 4], value, __ATOMIC_RELAXED);
}

/* Logs an ESR bit and raises the error interrupt. */
void lapic_error(struct lapic *l, uint32_t esr_bit);

/* The source behind a local vector table entry became active. */
void lapic_lvt_fire(struct lapic *l, uint32_t lvt);

/* A level-triggered LINT0 may have become deliverable. */
void lapic_lint0_sample(struct lapic *l);

/* The guest wrote the ICR's low half; dest has the width of the sender's mode. */
void lapic_icr_send(struct lapic *l, uint32_t low, uint32_t dest);

/* Guest writes to the timer's registers; the timer is up to date at tsc. */
void lapic_timer_write_lvt(struct lapic *l, uint32_t value);
void lapic_timer_write_count(struct lapic *l, uint32_t value, uint64_t tsc);
void lapic_timer_write_divide(struct lapic *l, uint32_t value, uint64_t tsc);
uint32_t lapic_timer_count(const struct lapic *l, uint64_t tsc);

#endif
