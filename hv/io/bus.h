/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of trapped ranges: one for a guest's ports, one for its memory. Ranges are added
 * while the guest is built, overlap is refused, and bus_seal() ends that: lookups then need no
 * lock. A device's own lock is taken here, before its first register is touched.
 */
#ifndef HV_IO_BUS_H
#define HV_IO_BUS_H

#include "hv/lib/lock.h"
#include "hv/lib/types.h"

#define BUS_RANGES_MAX 32

struct bus_range {
	uint64_t base, size;
	/* offset is from base; the access lies inside the range. */
	uint64_t (*read)(void *ctx, uint64_t offset, unsigned size);
	void (*write)(void *ctx, uint64_t offset, unsigned size, uint64_t value);
	void *ctx;
	struct spinlock *lock; /* may be NULL: only the vCPU's own CPU reaches the device */
};

struct bus {
	struct bus_range range[BUS_RANGES_MAX]; /* sorted by base */
	unsigned count;
	bool sealed;
	const struct bus_range
		*last; /* atomic hint: the range found last is likely to be the next */
};

/* E_BUSY: overlaps or sealed; E_NOMEM: too many; E_INVAL: empty, or wraps. */
int bus_add(struct bus *b, const struct bus_range *range) MUST_CHECK;
void bus_seal(struct bus *b);

/* bus_find() past the hint. */
const struct bus_range *bus_search(struct bus *b, uint64_t address, unsigned size);

/* The range that holds all of [address, address + size), or NULL. */
static inline const struct bus_range *bus_find(struct bus *b, uint64_t address, unsigned size)
{
	const struct bus_range *r = __atomic_load_n(&b->last, __ATOMIC_RELAXED);

	if (LIKELY(r && range_within(address - r->base, size, r->size)))
		return r;
	return bus_search(b, address, size);
}

/* bus_read() and bus_write() of ranges with a lock, or that the hint does not give. */
bool bus_read_searching(struct bus *b, uint64_t address, unsigned size, uint64_t *value);
bool bus_write_searching(struct bus *b, uint64_t address, unsigned size, uint64_t value);

/* The hinted range, if it holds the access and has no lock to take. */
static inline const struct bus_range *bus_hint(struct bus *b, uint64_t address, unsigned size)
{
	const struct bus_range *r = __atomic_load_n(&b->last, __ATOMIC_RELAXED);

	return r && !r->lock && range_within(address - r->base, size, r->size) ? r : NULL;
}

/* False: nobody is there; *value is all ones then, as an undriven bus reads. */
static inline bool bus_read(struct bus *b, uint64_t address, unsigned size, uint64_t *value)
{
	const struct bus_range *r = bus_hint(b, address, size);

	if (UNLIKELY(!r))
		return bus_read_searching(b, address, size, value);
	*value = r->read(r->ctx, address - r->base, size) & mask_bytes(size);
	return true;
}

static inline bool bus_write(struct bus *b, uint64_t address, unsigned size, uint64_t value)
{
	const struct bus_range *r = bus_hint(b, address, size);

	if (UNLIKELY(!r))
		return bus_write_searching(b, address, size, value);
	r->write(r->ctx, address - r->base, size, value & mask_bytes(size));
	return true;
}

#endif
