/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spin locks and the few atomic operations the hypervisor uses. Host interrupts are always off
 * while hypervisor code runs outside its idle windows, so a lock holder is never interrupted for
 * long.
 */
#ifndef HV_LIB_LOCK_H
#define HV_LIB_LOCK_H

#include "hv/lib/types.h"

struct spinlock {
	uint32_t next, serving; /* ticket lock: fair between CPUs */
};

static inline void spin_pause(void)
{
	__asm__ volatile("pause" : : : "memory");
}

static inline void spin_lock(struct spinlock *lock)
{
	uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
		spin_pause();
}

/*
 * For work that can wait: takes no place in the queue, but the lock when nobody else wants it. In a
 * virtual machine a CPU may stand still at any time; with a place in the queue it holds up all
 * behind it.
 */
static inline void spin_lock_last(struct spinlock *lock)
{
	uint32_t ticket = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);

	/* Nobody has it or waits if the next ticket is the one being served. */
	while (!__atomic_compare_exchange_n(
		&lock->next, &ticket, ticket + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		spin_pause();
		ticket = __atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE);
	}
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

#endif
