/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See debug_mmio.h for what it is. Must not know what it is wired to. The owner serialises calls.
 */
#include "drivers/virt/debug_mmio.h"
#include "hv/lib/string.h"

/* The bytes behind an offset, `size` of them, or NULL where there is no storage. */
static uint8_t *storage(struct debug_mmio *d, unsigned offset, unsigned size)
{
	if (size > 8)
		return NULL;
	if (range_within(offset, size, DEBUG_MMIO_SIZE))
		return d->buffer + offset;
	if (offset >= DEBUG_MMIO_OFFSET_LATCH &&
		range_within(offset - DEBUG_MMIO_OFFSET_LATCH, size, DEBUG_MMIO_LATCH))
		return d->latch + (offset - DEBUG_MMIO_OFFSET_LATCH);
	if (offset >= DEBUG_MMIO_OFFSET_BYTES &&
		range_within(offset - DEBUG_MMIO_OFFSET_BYTES, size, DEBUG_MMIO_LATCH))
		return d->latch + (offset - DEBUG_MMIO_OFFSET_BYTES);
	return NULL;
}

void debug_mmio_init(struct debug_mmio *d, uint8_t buffer[DEBUG_MMIO_SIZE], struct irq_line lines)
{
	memset(d, 0, sizeof(*d));
	memset(buffer, 0, DEBUG_MMIO_SIZE);
	d->buffer = buffer;
	d->lines = lines;
}

uint64_t debug_mmio_read(struct debug_mmio *d, unsigned offset, unsigned size, ns_t now UNUSED)
{
	const uint8_t *from = storage(d, offset, size);
	uint64_t value = 0;

	if (!from)
		return mask_bytes(size);
	memcpy(&value, from, size);
	return value;
}

void debug_mmio_write(
	struct debug_mmio *d, unsigned offset, unsigned size, uint64_t value, ns_t now UNUSED)
{
	uint8_t *to = storage(d, offset, size);

	if (to)
		memcpy(to, &value, size);
	else if (offset >= DEBUG_MMIO_OFFSET_LINES && offset < DEBUG_MMIO_END)
		d->lines.set(d->lines.ctx, offset - DEBUG_MMIO_OFFSET_LINES, value != 0);
}
