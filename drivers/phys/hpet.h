/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HPET's main counter as a reference clock: no timers, no interrupts. Registers are reached
 * through a mapping the caller made. No lock: bring-up only.
 */
#ifndef DRIVERS_PHYS_HPET_H
#define DRIVERS_PHYS_HPET_H

#include "hv/lib/types.h"

#define HPET_DEFAULT_BASE 0xfed00000ull
#define HPET_SIZE         0x400u

struct hpet_clock {
	volatile uint8_t *regs;
	uint64_t period_fs; /* femtoseconds per count */
	uint32_t saved_config;
};

/* E_NOENT if what answers at regs is no counting HPET. Turns the counter on. */
int hpet_clock_start(struct hpet_clock *hpet, volatile void *regs) MUST_CHECK;
uint32_t hpet_clock_read(const struct hpet_clock *hpet);
/* Put the configuration back as it was. */
void hpet_clock_stop(const struct hpet_clock *hpet);

#endif
