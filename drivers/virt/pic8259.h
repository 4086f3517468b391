/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PC's pair of 8259A interrupt controllers, slave on IR2, with the ICH's ELCR registers. Knows
 * no CPU: its owner connects INTR and calls pic8259_ack() for the INTA cycle. Serialised by its
 * owner.
 */
#ifndef DRIVERS_VIRT_PIC8259_H
#define DRIVERS_VIRT_PIC8259_H

#include "drivers/virt/model.h"

/* Offsets: two bytes each. Ports 20h-21h, A0h-A1h, 4D0h-4D1h. */
#define PIC8259_MASTER 0
#define PIC8259_SLAVE  2
#define PIC8259_ELCR   4
#define PIC8259_REGS   6

#define PIC8259_PINS 16

struct pic8259_chip {
	uint8_t lines; /* the IR inputs as they are */
	uint8_t irr;
	uint8_t isr;
	uint8_t imr;
	uint8_t elcr;
	uint8_t vector_base; /* ICW2 bits 7:3 */
	uint8_t lowest;      /* the IR with the lowest priority */
	uint8_t icw1;
	uint8_t icw_next; /* the ICW expected at the odd address, 0 when initialised */
	bool auto_eoi;
	bool rotate_auto_eoi;
	bool special_mask;
	bool special_nested;
	bool read_isr;
	bool poll;
};

struct pic8259 {
	struct pic8259_chip chip[2];
	struct irq_line intr;
};

void pic8259_init(struct pic8259 *p, struct irq_line intr);
void pic8259_reset(struct pic8259 *p, ns_t now);
uint32_t pic8259_read(struct pic8259 *p, unsigned offset, unsigned size, ns_t now);
void pic8259_write(struct pic8259 *p, unsigned offset, unsigned size, uint32_t value, ns_t now);

/*
 * Level of IRQ `pin` (0-15 except 2). A low-to-high edge stays latched, as a pulse would otherwise
 * be lost.
 */
void pic8259_set_irq(struct pic8259 *p, unsigned pin, bool level);
/* The INTR output. */
bool pic8259_pending(const struct pic8259 *p);
/* INTA: the vector, 0-255. With nothing to acknowledge it is the spurious one (IR7). */
int pic8259_ack(struct pic8259 *p);

#endif
