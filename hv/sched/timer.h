/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One queue of timers per CPU, ordered by deadline in host TSC ticks. Pure: the owner programs the
 * hardware from timer_queue_next() and calls timer_queue_run() when it fires. Only the CPU that
 * owns the queue touches it, with interrupts off: no lock.
 */
#ifndef HV_SCHED_TIMER_H
#define HV_SCHED_TIMER_H

#include "hv/lib/types.h"

#define TIMER_NEVER UINT64_MAX

struct timer {
	uint64_t deadline; /* TIMER_NEVER: not queued */
	void (*fire)(struct timer *t, uint64_t now);
	struct timer *next;
	uint32_t round; /* the run in which it fired last */
};

struct timer_queue {
	struct timer *first;
	uint32_t round;
};

void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now));
/* (Re)arm; TIMER_NEVER takes it out. True when the queue's next deadline changed. */
bool timer_arm(struct timer_queue *q, struct timer *t, uint64_t deadline);
uint64_t timer_queue_next(const struct timer_queue *q);
/*
 * Fire what is due at `now`. A timer that its own fire() re-arms in the past waits for the next
 * call, so one call fires each timer at most once.
 */
void timer_queue_run(struct timer_queue *q, uint64_t now);

#endif
