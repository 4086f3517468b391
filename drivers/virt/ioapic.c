/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IOAPIC model, see ioapic.h for what it is, what it must not know and its locking rule. An edge is
 * delivered at once or, while masked, lost (82093AA datasheet, "Interrupt Mask"), so there is no
 * edge latch.
 */
#include "drivers/virt/ioapic.h"

#include "hv/lib/string.h"

#define VERSION_VALUE     (0x11u | (IOAPIC_PINS - 1) << 16)
#define RTE_LOW_WRITABLE  0x0001afffull
#define RTE_HIGH_WRITABLE 0xff000000ull
#define ID_WRITABLE       0x0f000000ull
#define DM_LOWEST         1u

/*
 * Fixed and lowest priority only: the other delivery modes know no level (same datasheet, "Delivery
 * Mode").
 */
static bool is_level(uint64_t rte)
{
	return (rte & IOAPIC_RTE_LEVEL) && (rte >> 8 & 7) <= DM_LOWEST;
}

static void deliver(struct ioapic *io, unsigned pin)
{
	uint64_t rte = io->rte[pin];
	struct ioapic_msg msg = {
		.dest = (uint8_t)(rte >> 56),
		.vector = (uint8_t)rte,
		.delivery = rte >> 8 & 7,
		.logical = rte & IOAPIC_RTE_LOGICAL,
		.level = is_level(rte),
	};

	io->deliver(io->ctx, &msg);
}

static void sample_level(struct ioapic *io, unsigned pin)
{
	uint64_t rte = io->rte[pin];

	if (!is_level(rte) || !(io->wires >> pin & 1) ||
		(rte & (IOAPIC_RTE_MASKED | IOAPIC_RTE_REMOTE_IRR)))
		return;
	io->rte[pin] |= IOAPIC_RTE_REMOTE_IRR;
	deliver(io, pin);
}

void ioapic_reset(struct ioapic *io)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->rte[pin] = IOAPIC_RTE_MASKED;
	io->select = 0;
	io->id = 0;
	io->arb = 0;
}

void ioapic_init(
	struct ioapic *io, void (*deliver_msg)(void *ctx, const struct ioapic_msg *msg), void *ctx)
{
	memset(io, 0, sizeof(*io));
	io->deliver = deliver_msg;
	io->ctx = ctx;
	ioapic_reset(io);
}

void ioapic_set_irq(struct ioapic *io, unsigned pin, bool level)
{
	uint32_t bit;
	bool rising;

	if (pin >= IOAPIC_PINS)
		return;
	bit = 1u << pin;
	rising = level && !(io->wires & bit);
	io->wires = level ? io->wires | bit : io->wires & ~bit;
	if (!rising)
		return;
	if (is_level(io->rte[pin]))
		sample_level(io, pin);
	else if (!(io->rte[pin] & IOAPIC_RTE_MASKED))
		deliver(io, pin);
}

void ioapic_eoi(struct ioapic *io, uint8_t vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t rte = io->rte[pin];

		if (!(rte & IOAPIC_RTE_REMOTE_IRR) || (uint8_t)rte != vector)
			continue;
		io->rte[pin] &= ~IOAPIC_RTE_REMOTE_IRR;
		sample_level(io, pin);
	}
}

static uint32_t read_reg(const struct ioapic *io, unsigned index)
{
	unsigned half = index - IOAPIC_REG_REDIR;

	switch (index) {
	case IOAPIC_REG_ID: return (uint32_t)io->id << 24;
	case IOAPIC_REG_VER: return VERSION_VALUE;
	case IOAPIC_REG_ARB: return (uint32_t)io->arb << 24;
	default:
		if (half >= 2 * IOAPIC_PINS)
			return UINT32_MAX;
		return (uint32_t)(io->rte[half / 2] >> (half % 2 * 32));
	}
}

static void write_rte(struct ioapic *io, unsigned half, uint32_t value)
{
	unsigned pin = half / 2;
	uint64_t *rte = &io->rte[pin];

	if (half % 2) {
		*rte = (*rte & UINT32_MAX) | (value & RTE_HIGH_WRITABLE) << 32;
		return;
	}
	*rte = (*rte & ~RTE_LOW_WRITABLE) | (value & RTE_LOW_WRITABLE);
	/* Guests of version 11h chips clear a stuck remote IRR by a detour over edge mode. */
	if (!is_level(*rte))
		*rte &= ~IOAPIC_RTE_REMOTE_IRR;
	sample_level(io, pin);
}

static void write_reg(struct ioapic *io, unsigned index, uint32_t value)
{
	if (index == IOAPIC_REG_ID) {
		/* 82093AA, "IOAPIC Arbitration Register": loaded whenever the ID is written. */
		io->id = (uint8_t)((value & ID_WRITABLE) >> 24);
		io->arb = io->id;
	} else if (index >= IOAPIC_REG_REDIR && index < IOAPIC_REG_REDIR + 2 * IOAPIC_PINS) {
		write_rte(io, index - IOAPIC_REG_REDIR, value);
	}
}

/* Parts of a register may be read; bytes that belong to none read as ones. */
uint64_t ioapic_mmio_read(const struct ioapic *io, uint32_t offset, unsigned size)
{
	uint64_t value;

	if ((offset & 3) + size > 4)
		return mask_bytes(size);
	switch (offset & ~3u) {
	case IOAPIC_IOREGSEL: value = io->select; break;
	case IOAPIC_IOWIN: value = read_reg(io, io->select); break;
	default: return mask_bytes(size);
	}
	return value >> ((offset & 3) * 8) & mask_bytes(size);
}

/* IOREGSEL is one byte and takes any width; IOWIN takes whole 32-bit words only. */
void ioapic_mmio_write(struct ioapic *io, uint32_t offset, unsigned size, uint64_t value)
{
	if (offset == IOAPIC_IOREGSEL)
		io->select = (uint8_t)value;
	else if (offset == IOAPIC_IOWIN && size == 4)
		write_reg(io, io->select, (uint32_t)value);
}
