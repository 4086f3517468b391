/* SPDX-License-Identifier: Apache-2.0 */
/* Spin locks: one holder at a time, whichever way it came; who comes last takes no place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>
#include "hv/lib/lock.h"

#define ROUNDS 20000u

static struct spinlock lock;
static unsigned counter;
static uint32_t got;

static void *count_in_turn(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		spin_lock(&lock);
		counter++;
		spin_unlock(&lock);
	}
	return arg;
}

static void *count_last(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		spin_lock_last(&lock);
		counter++;
		spin_unlock(&lock);
	}
	return arg;
}

static void *take_last(void *arg)
{
	spin_lock_last(&lock);
	__atomic_store_n(&got, 1, __ATOMIC_RELEASE);
	return arg;
}

static void nothing_is_lost(void **state)
{
	pthread_t turn, last;

	(void)state;
	assert_int_equal(pthread_create(&turn, NULL, count_in_turn, NULL), 0);
	assert_int_equal(pthread_create(&last, NULL, count_last, NULL), 0);
	pthread_join(turn, NULL);
	pthread_join(last, NULL);
	assert_int_equal(counter, 2 * ROUNDS);
}

static void the_last_one_waits_outside(void **state)
{
	pthread_t last;

	(void)state;
	lock = (struct spinlock){UINT32_MAX, UINT32_MAX}; /* tickets wrap */
	spin_lock(&lock);
	assert_int_equal(pthread_create(&last, NULL, take_last, NULL), 0);
	usleep(20000);
	assert_int_equal(__atomic_load_n(&got, __ATOMIC_ACQUIRE), 0);
	assert_int_equal(lock.next, 0); /* whoever comes now is the next */
	spin_unlock(&lock);
	pthread_join(last, NULL);
	assert_int_equal(got, 1);
	assert_int_equal(lock.next, 1);
	spin_unlock(&lock);
	assert_int_equal(lock.serving, lock.next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(the_last_one_waits_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
