/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test device for guests that exercise their machine, as QEMU's pc-testdev lays it out: 64 KiB at
 * FF000000h that behave like memory, access by access; a latch of four bytes at ports E0h and E8h;
 * the page to be flushed at E4h; an interrupt line per port from 2000h on. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_DEBUG_MMIO_H
#define DRIVERS_VIRT_DEBUG_MMIO_H

#include "drivers/virt/model.h"

#define DEBUG_MMIO_BASE  0xff000000u
#define DEBUG_MMIO_SIZE  0x10000u
#define DEBUG_MMIO_LATCH 4u
#define DEBUG_MMIO_LINES 24u

/* Ports: first port and count of each block. */
#define DEBUG_MMIO_PORT_LATCH 0xe0
#define DEBUG_MMIO_PORT_FLUSH 0xe4 /* writes are taken: nothing is cached here */
#define DEBUG_MMIO_PORT_BYTES 0xe8 /* the same latch, for bytes */
#define DEBUG_MMIO_PORT_LINES 0x2000

struct debug_mmio {
	uint8_t *buffer; /* DEBUG_MMIO_SIZE bytes, the owner's */
	uint8_t latch[DEBUG_MMIO_LATCH];
	struct irq_line lines; /* called with a line's number as pin */
};

/* Offsets of blocks for debug_mmio_read() and debug_mmio_write(): the buffer begins at 0. */
#define DEBUG_MMIO_OFFSET_LATCH DEBUG_MMIO_SIZE
#define DEBUG_MMIO_OFFSET_FLUSH (DEBUG_MMIO_OFFSET_LATCH + 4)
#define DEBUG_MMIO_OFFSET_BYTES (DEBUG_MMIO_OFFSET_LATCH + 8)
#define DEBUG_MMIO_OFFSET_LINES (DEBUG_MMIO_OFFSET_LATCH + 12)
#define DEBUG_MMIO_END          (DEBUG_MMIO_OFFSET_LINES + DEBUG_MMIO_LINES)

void debug_mmio_init(struct debug_mmio *d, uint8_t buffer[DEBUG_MMIO_SIZE], struct irq_line lines);
/* Sizes 1, 2, 4 and 8. What crosses the end of a block goes nowhere and reads as ones. */
uint64_t debug_mmio_read(struct debug_mmio *d, unsigned offset, unsigned size, ns_t now);
void debug_mmio_write(
	struct debug_mmio *d, unsigned offset, unsigned size, uint64_t value, ns_t now);

#endif
