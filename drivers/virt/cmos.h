/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MC146818 real-time clock with 128 bytes of CMOS RAM, index at offset 0 (port 70h), data at offset
 * 1 (71h), and the ICH's second bank of 128 bytes of RAM at offsets 2 and 3. Time is computed from
 * `now` when it is looked at. Knows no host clock. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_CMOS_H
#define DRIVERS_VIRT_CMOS_H

#include "drivers/virt/model.h"

#define CMOS_REGS     4
#define CMOS_RAM_SIZE 128 /* of each bank */

#define CMOS_CENTURY 0x32 /* the FADT's century index */

struct cmos_config {
	uint64_t unix_time;      /* UTC seconds at now = 0 */
	uint64_t mem_low_bytes;  /* RAM below 4 GiB, from address 0 */
	uint64_t mem_high_bytes; /* RAM above 4 GiB */
};

struct cmos {
	struct irq_line irq;
	uint8_t index; /* as written, with the NMI mask in bit 7 */
	uint8_t upper_index, upper[CMOS_RAM_SIZE];
	uint8_t ram
		/* registers A, B and alarms live here; time only while not running */
		[CMOS_RAM_SIZE];
	uint8_t flags;         /* register C without IRQF */
	bool dividing;         /* the divider counts (DV = 010) */
	bool running;          /* and the time is updated (SET = 0) */
	uint8_t weekday_shift; /* what the guest's day of week is ahead of the calendar's, 0-6 */
	ns_t divider_start;    /* when the divider was at 0, modulo 2^64 */
	uint64_t clock_base;   /* clock value (cmos.c) at divider_start, modulo 2^64 */
	uint64_t updates_seen; /* clock value up to which updates have been accounted */
	uint64_t alarm_at;     /* clock value of the next alarm, UINT64_MAX if none */
	uint64_t periods_seen; /* periodic intervals accounted */
};

void cmos_init(struct cmos *c, const struct cmos_config *config, struct irq_line irq, ns_t now);
/* RESET# as the MC146818 has it: interrupts off and flags cleared; time and RAM stay. */
void cmos_reset(struct cmos *c, ns_t now);
uint32_t cmos_read(struct cmos *c, unsigned offset, unsigned size, ns_t now);
void cmos_write(struct cmos *c, unsigned offset, unsigned size, uint32_t value, ns_t now);
ns_t cmos_deadline(const struct cmos *c);
void cmos_tick(struct cmos *c, ns_t now);

#endif
