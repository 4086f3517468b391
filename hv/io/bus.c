/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/io/bus.h"

int bus_add(struct bus *b, const struct bus_range *range)
{
	unsigned at = 0;

	if (b->sealed)
		return E_BUSY;
	if (range->size == 0 || range->base + range->size - 1 < range->base)
		return E_INVAL;
	if (b->count == BUS_RANGES_MAX)
		return E_NOMEM;
	while (at < b->count && b->range[at].base < range->base)
		at++;
	if (at > 0 && b->range[at - 1].base + (b->range[at - 1].size - 1) >= range->base)
		return E_BUSY;
	if (at < b->count && range->base + (range->size - 1) >= b->range[at].base)
		return E_BUSY;
	for (unsigned i = b->count; i > at; i--)
		b->range[i] = b->range[i - 1];
	b->range[at] = *range;
	b->last = NULL;
	b->count++;
	return OK;
}

void bus_seal(struct bus *b)
{
	b->sealed = true;
}

static const struct bus_range *search(const struct bus *b, uint64_t address, unsigned size)
{
	unsigned low = 0, high = b->count;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		const struct bus_range *r = &b->range[mid];

		if (address < r->base)
			high = mid;
		else if (address - r->base >= r->size)
			low = mid + 1;
		else if (!range_within(address - r->base, size, r->size))
			return NULL;
		else
			return r;
	}
	return NULL;
}

const struct bus_range *bus_search(struct bus *b, uint64_t address, unsigned size)
{
	const struct bus_range *r = search(b, address, size);

	if (r)
		__atomic_store_n(&b->last, r, __ATOMIC_RELAXED);
	return r;
}

bool bus_read_searching(struct bus *b, uint64_t address, unsigned size, uint64_t *value)
{
	const struct bus_range *r = bus_find(b, address, size);

	*value = mask_bytes(size);
	if (!r)
		return false;
	if (r->lock)
		spin_lock(r->lock);
	*value &= r->read(r->ctx, address - r->base, size);
	if (r->lock)
		spin_unlock(r->lock);
	return true;
}

bool bus_write_searching(struct bus *b, uint64_t address, unsigned size, uint64_t value)
{
	const struct bus_range *r = bus_find(b, address, size);

	if (!r)
		return false;
	if (r->lock)
		spin_lock(r->lock);
	r->write(r->ctx, address - r->base, size, value & mask_bytes(size));
	if (r->lock)
		spin_unlock(r->lock);
	return true;
}
