/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/sched/timer.h"

void timer_init(struct timer *t, void (*fire)(struct timer *t, uint64_t now))
{
	t->deadline = TIMER_NEVER;
	t->fire = fire;
	t->next = NULL;
	t->round = 0;
}

uint64_t timer_queue_next(const struct timer_queue *q)
{
	return q->first ? q->first->deadline : TIMER_NEVER;
}

static void unlink_timer(struct timer_queue *q, struct timer *t)
{
	struct timer **at = &q->first;

	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->next = NULL;
	t->deadline = TIMER_NEVER;
}

bool timer_arm(struct timer_queue *q, struct timer *t, uint64_t deadline)
{
	uint64_t before = timer_queue_next(q);
	struct timer **at = &q->first;

	if (t->deadline != TIMER_NEVER)
		unlink_timer(q, t);
	if (deadline != TIMER_NEVER) {
		while (*at && (*at)->deadline <= deadline)
			at = &(*at)->next;
		t->deadline = deadline;
		t->next = *at;
		*at = t;
	}
	return timer_queue_next(q) != before;
}

/* The first timer that is due and has not fired in this round: fire() may rearrange the queue. */
static struct timer *next_due(const struct timer_queue *q, uint64_t now)
{
	for (struct timer *t = q->first; t && t->deadline <= now; t = t->next) {
		if (t->round != q->round)
			return t;
	}
	return NULL;
}

void timer_queue_run(struct timer_queue *q, uint64_t now)
{
	struct timer *t;

	q->round++;
	while ((t = next_due(q, now))) {
		unlink_timer(q, t);
		t->round = q->round;
		t->fire(t, now);
	}
}
