/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's 8254 timer and port 61h (NMI_SC). Counters are computed from `now` when they are looked
 * at; only channel 0's output is an event. Knows no interrupt controller. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_PIT8254_H
#define DRIVERS_VIRT_PIT8254_H

#include "drivers/virt/model.h"

/* Offsets 0-2: counters (ports 40h-42h), 3: control word (43h), 4: port 61h. */
#define PIT8254_CONTROL 3
#define PIT8254_PORT61  4
#define PIT8254_REGS    5

#define PIT8254_HZ 1193182u

struct pit8254_channel {
	uint8_t mode;   /* 0-5 */
	uint8_t access; /* RW bits of the control word: 1 LSB, 2 MSB, 3 LSB then MSB */
	bool bcd;
	bool gate;
	bool armed;       /* the counting element holds a count and was triggered */
	bool stopped;     /* not counting at present: `elapsed` holds how far it came */
	bool null_count;  /* a count was written and is not yet in the counting element */
	bool count_valid; /* CR was written since the mode was set */
	bool out_initial; /* OUT while not armed */
	bool write_msb;   /* the next write is the MSB */
	bool read_msb;    /* the next read is the MSB */
	bool status_latched;
	uint8_t status;
	uint8_t latch_bytes; /* bytes of `latch` not yet read */
	uint16_t latch;
	uint16_t count_reg; /* CR */
	uint8_t count_lsb;  /* LSB waiting for its MSB */
	uint32_t period;    /* count in the counting element, 1-65536 */
	uint64_t start;     /* tick at which it was loaded */
	uint64_t elapsed;   /* ticks counted, while stopped */
	uint64_t reload_at; /* tick at which CR is taken over (modes 2 and 3), or UINT64_MAX */
	uint64_t synced;    /* tick up to which edges of OUT have been delivered */
};

struct pit8254 {
	struct pit8254_channel channel[3];
	struct irq_line irq; /* channel 0's OUT */
	uint8_t port61;      /* bits 3:0 */
};

void pit8254_init(struct pit8254 *p, struct irq_line irq);
void pit8254_reset(struct pit8254 *p, ns_t now);
uint32_t pit8254_read(struct pit8254 *p, unsigned offset, unsigned size, ns_t now);
void pit8254_write(struct pit8254 *p, unsigned offset, unsigned size, uint32_t value, ns_t now);
/* The next rising edge of channel 0's OUT. Edges missed by a late tick become one. */
ns_t pit8254_deadline(const struct pit8254 *p);
void pit8254_tick(struct pit8254 *p, ns_t now);

#endif
