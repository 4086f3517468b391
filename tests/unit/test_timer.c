/* SPDX-License-Identifier: Apache-2.0 */
/* Timer queue: order, re-arming from fire(), and one call fires each timer at most once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "hv/sched/timer.h"

static struct timer_queue queue;
static struct timer timers[4];
static unsigned fired[16], fired_count;

static void record(struct timer *t, uint64_t now)
{
	(void)now;
	assert_true(fired_count < 16);
	fired[fired_count++] = (unsigned)(t - timers);
}

static void again_in_the_past(struct timer *t, uint64_t now)
{
	record(t, now);
	timer_arm(&queue, t, now - 1);
}

static void cancels_the_next(struct timer *t, uint64_t now)
{
	record(t, now);
	timer_arm(&queue, t + 1, TIMER_NEVER);
	timer_arm(&queue, t + 2, now);
}

static int setup(void **state)
{
	(void)state;
	queue = (struct timer_queue){0};
	fired_count = 0;
	for (unsigned i = 0; i < 4; i++)
		timer_init(&timers[i], record);
	return 0;
}

static void fires_in_order_of_deadline(void **state)
{
	(void)state;
	assert_int_equal(timer_queue_next(&queue), TIMER_NEVER);
	assert_true(timer_arm(&queue, &timers[0], 30));
	assert_true(timer_arm(&queue, &timers[1], 10));
	assert_false(timer_arm(&queue, &timers[2], 20));
	timer_queue_run(&queue, 20);
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[0], 1);
	assert_int_equal(fired[1], 2);
	assert_int_equal(timer_queue_next(&queue), 30);
	assert_true(timer_arm(&queue, &timers[0], 5)); /* moves, is not queued twice */
	timer_queue_run(&queue, 100);
	assert_int_equal(fired_count, 3);
	assert_int_equal(timer_queue_next(&queue), TIMER_NEVER);
}

static void a_timer_fires_once_per_run(void **state)
{
	(void)state;
	timers[0].fire = again_in_the_past;
	timer_arm(&queue, &timers[0], 1);
	timer_queue_run(&queue, 50);
	assert_int_equal(fired_count, 1);
	assert_int_equal(timer_queue_next(&queue), 49);
	timer_queue_run(&queue, 51);
	assert_int_equal(fired_count, 2);
}

static void fire_may_rearrange_the_queue(void **state)
{
	(void)state;
	timers[0].fire = cancels_the_next;
	timer_arm(&queue, &timers[0], 1);
	timer_arm(&queue, &timers[1], 2);
	timer_arm(&queue, &timers[2], 3);
	timer_arm(&queue, &timers[3], 4);
	timer_queue_run(&queue, 10);
	assert_int_equal(fired_count, 3);
	assert_int_equal(fired[1], 3);
	assert_int_equal(fired[2], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fires_in_order_of_deadline, setup),
		cmocka_unit_test_setup(a_timer_fires_once_per_run, setup),
		cmocka_unit_test_setup(fire_may_rearrange_the_queue, setup),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
