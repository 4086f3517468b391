/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IA-PC HPET: a 100 MHz 64-bit counter and three timers, timer 0 periodic. Knows no interrupt
 * controller: outputs are GSIs. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_HPET_H
#define DRIVERS_VIRT_HPET_H

#include "drivers/virt/model.h"

#define HPET_REGION_SIZE 1024
#define HPET_TIMERS      3

/* What LegacyReplacement routes to, as GSIs; the owner knows that GSI 2 is also the PIC's IRQ0. */
#define HPET_LEGACY_GSI_TIMER0 2
#define HPET_LEGACY_GSI_TIMER1 8

/*
 * An output: an edge-triggered timer pulses (true, false), a level-triggered one follows its
 * status.
 */
struct hpet_env {
	void (*set)(void *ctx, unsigned gsi, bool level);
	void *ctx;
};

struct hpet_timer {
	uint64_t conf; /* writable bits only */
	uint64_t comparator;
	uint64_t period;
	uint64_t match; /* counter clock (now / 10 ns) of the next match, UINT64_MAX if none */
	bool asserted;  /* the level driven at `gsi` */
	uint8_t gsi;
};

struct hpet {
	struct hpet_env env;
	uint32_t route_cap; /* GSIs every timer may be routed to */
	uint64_t conf;
	uint64_t status;
	uint64_t counter; /* its value while halted; while running, what is added to now / 10 ns */
	struct hpet_timer timer[HPET_TIMERS];
};

/* route_cap: a set of GSIs, 0 for the ICH9's (20-23). */
void hpet_init(struct hpet *h, const struct hpet_env *env, uint32_t route_cap);
void hpet_reset(struct hpet *h, ns_t now);
/* Sizes 4 and 8, naturally aligned; anything else reads all ones and writes nothing. */
uint64_t hpet_read(struct hpet *h, unsigned offset, unsigned size, ns_t now);
void hpet_write(struct hpet *h, unsigned offset, unsigned size, uint64_t value, ns_t now);
ns_t hpet_deadline(const struct hpet *h);
void hpet_tick(struct hpet *h, ns_t now);

/* True while LegacyReplacement is on: the PIT's IRQ0 and the RTC's IRQ8 are then disconnected. */
bool hpet_legacy(const struct hpet *h);

#endif
