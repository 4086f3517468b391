/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte ring between one producer CPU and one consumer CPU, without locks. `size` is a power of
 * two; indices run freely and wrap at 2^32.
 */
#ifndef HV_LIB_RING_H
#define HV_LIB_RING_H

#include "hv/lib/types.h"

struct ring {
	uint8_t *data;
	uint32_t size;
	uint32_t head; /* written by the producer only */
	uint32_t tail; /* written by the consumer only */
};

static inline void ring_init(struct ring *r, void *data, uint32_t size)
{
	r->data = data;
	r->size = size;
	r->head = r->tail = 0;
}

/* Bytes that can be read; exact for the consumer, a lower bound grows for the producer. */
static inline uint32_t ring_used(const struct ring *r)
{
	return __atomic_load_n(&r->head, __ATOMIC_ACQUIRE) -
	       __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
}

static inline uint32_t ring_room(const struct ring *r)
{
	return r->size - ring_used(r);
}

/* False when full. */
static inline bool ring_put(struct ring *r, uint8_t byte)
{
	uint32_t head = r->head;

	if (ring_room(r) == 0)
		return false;
	r->data[head & (r->size - 1)] = byte;
	__atomic_store_n(&r->head, head + 1, __ATOMIC_RELEASE);
	return true;
}

/* False when empty. */
static inline bool ring_get(struct ring *r, uint8_t *byte)
{
	uint32_t tail = r->tail;

	if (ring_used(r) == 0)
		return false;
	*byte = r->data[tail & (r->size - 1)];
	__atomic_store_n(&r->tail, tail + 1, __ATOMIC_RELEASE);
	return true;
}

#endif
