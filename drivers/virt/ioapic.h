/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOAPIC with 24 pins as in the 82093AA (version 11h: no EOI register, remote IRR is cleared by the
 * local APICs' EOI broadcast). Knows neither local APICs nor who drives its pins; wires carry
 * logical levels (true = asserted), so the programmed polarity is stored and has no effect.
 *
 * Locking: the owner serialises all calls; `deliver` must not call back into the same model.
 */
#ifndef DRIVERS_VIRT_IOAPIC_H
#define DRIVERS_VIRT_IOAPIC_H

#include "hv/lib/types.h"

#define IOAPIC_BASE_DEFAULT 0xfec00000ull
#define IOAPIC_SIZE         0x1000u
#define IOAPIC_PINS         24

/* Memory-mapped registers */
#define IOAPIC_IOREGSEL 0x00u
#define IOAPIC_IOWIN    0x10u

/* Indices for IOREGSEL */
#define IOAPIC_REG_ID    0x00u
#define IOAPIC_REG_VER   0x01u
#define IOAPIC_REG_ARB   0x02u
#define IOAPIC_REG_REDIR 0x10u

/* Redirection table entry */
#define IOAPIC_RTE_LOGICAL    BIT(11)
#define IOAPIC_RTE_REMOTE_IRR BIT(14)
#define IOAPIC_RTE_LEVEL      BIT(15)
#define IOAPIC_RTE_MASKED     BIT(16)

struct ioapic_msg {
	uint8_t dest;
	uint8_t vector;
	uint8_t delivery; /* as enum lapic_delivery; EXTINT: the vector comes from the PIC */
	bool logical;
	bool level;
};

struct ioapic {
	uint64_t rte[IOAPIC_PINS];
	uint32_t wires; /* asserted pins */
	uint8_t select;
	uint8_t id;
	uint8_t arb;
	void (*deliver)(void *ctx, const struct ioapic_msg *msg);
	void *ctx;
};

void ioapic_init(
	struct ioapic *io, void (*deliver)(void *ctx, const struct ioapic_msg *msg), void *ctx);

/* Back to reset values: all pins masked. Wires keep their levels. */
void ioapic_reset(struct ioapic *io);

uint64_t ioapic_mmio_read(const struct ioapic *io, uint32_t offset, unsigned size);
void ioapic_mmio_write(struct ioapic *io, uint32_t offset, unsigned size, uint64_t value);

void ioapic_set_irq(struct ioapic *io, unsigned pin, bool level);

/* A local APIC broadcast the end of a level-triggered interrupt. */
void ioapic_eoi(struct ioapic *io, uint8_t vector);

#endif
