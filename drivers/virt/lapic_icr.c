/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC model: interrupt messages. Decodes what the guest writes to the ICR or as an MSI, and
 * decides whether an APIC is among a message's destinations. Knows no list of APICs: the owner has
 * it. Locking rule: see lapic.h.
 */
#include "drivers/virt/lapic_priv.h"

#define ICR_ASSERT        (1u << 14)
#define ICR_LEVEL_TRIGGER (1u << 15)
#define DEST_ALL_NARROW   0xffu
#define DEST_ALL_WIDE     0xffffffffu

#define DM_BIT(delivery) (1u << LAPIC_DM_##delivery)

static bool is_vectored(uint8_t delivery)
{
	return delivery == LAPIC_DM_FIXED || delivery == LAPIC_DM_LOWEST;
}

/*
 * SDM vol. 3, "Interrupt Command Register", valid combinations. Self and all-including-self promise
 * only Fixed; NMI and SMI are let through because they have one obvious meaning.
 */
static bool combination_valid(const struct lapic_ipi *ipi)
{
	static const uint8_t deliveries[4] = {
		[LAPIC_SH_NONE] = DM_BIT(FIXED) | DM_BIT(LOWEST) | DM_BIT(SMI) | DM_BIT(NMI) |
				  DM_BIT(INIT) | DM_BIT(STARTUP),
		[LAPIC_SH_SELF] = DM_BIT(FIXED) | DM_BIT(SMI) | DM_BIT(NMI),
		[LAPIC_SH_ALL] = DM_BIT(FIXED) | DM_BIT(SMI) | DM_BIT(NMI),
		[LAPIC_SH_OTHERS] = DM_BIT(FIXED) | DM_BIT(LOWEST) | DM_BIT(SMI) | DM_BIT(NMI) |
				    DM_BIT(INIT) | DM_BIT(STARTUP),
	};

	return deliveries[ipi->shorthand] >> ipi->delivery & 1;
}

void lapic_icr_send(struct lapic *l, uint32_t low, uint32_t dest)
{
	struct lapic_ipi ipi = {
		.dest = dest,
		.sender = l->id,
		.vector = (uint8_t)low,
		.delivery = low >> 8 & 7,
		.logical = low >> 11 & 1,
		.shorthand = low >> 18 & 3,
		.wide = l->mode == LAPIC_X2APIC,
	};

	if (!combination_valid(&ipi))
		return;
	/* INIT level de-assert synchronised arbitration IDs on processors long gone. */
	if (ipi.delivery == LAPIC_DM_INIT &&
		(low & (ICR_LEVEL_TRIGGER | ICR_ASSERT)) == ICR_LEVEL_TRIGGER)
		return;
	if (is_vectored(ipi.delivery) && ipi.vector < LAPIC_FIRST_LEGAL_VECTOR) {
		lapic_error(l, LAPIC_ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	if (ipi.shorthand == LAPIC_SH_SELF && ipi.delivery == LAPIC_DM_FIXED)
		lapic_accept(l, ipi.vector, false);
	else
		l->env.send_ipi(l->env.ctx, &ipi);
}

/* SDM vol. 3, "Logical Destination Mode" and "Logical Destination Mode in x2APIC Mode". */
static bool matches_logical(const struct lapic *target, enum lapic_mode mode, uint32_t dest)
{
	uint32_t ldr = lapic_reg(target, LAPIC_LDR);
	uint32_t logical_id = ldr >> 24;

	if (mode == LAPIC_X2APIC)
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	if (dest > 0xff)
		return false;
	switch (lapic_reg(target, LAPIC_DFR) >> 28) {
	case 0xf: /* flat */ return dest & logical_id;
	case 0x0: /* cluster */ return dest >> 4 == logical_id >> 4 && (dest & logical_id & 0xf);
	default: return false;
	}
}

static bool matches_destination(
	const struct lapic *target, enum lapic_mode mode, const struct lapic_ipi *ipi)
{
	if (ipi->dest == (ipi->wide ? DEST_ALL_WIDE : DEST_ALL_NARROW))
		return true;
	if (ipi->logical)
		return matches_logical(target, mode, ipi->dest);
	return ipi->dest == target->id;
}

bool lapic_matches(const struct lapic *target, const struct lapic_ipi *ipi)
{
	enum lapic_mode mode = __atomic_load_n(&target->mode, __ATOMIC_RELAXED);

	if (mode == LAPIC_DISABLED)
		return false;
	/* Disabled by software an APIC still takes NMI, SMI, INIT and start-up. */
	if (is_vectored(ipi->delivery) && !(lapic_reg(target, LAPIC_SVR) & LAPIC_SVR_ENABLE))
		return false;
	switch (ipi->shorthand) {
	case LAPIC_SH_SELF: return target->id == ipi->sender;
	case LAPIC_SH_ALL: return true;
	case LAPIC_SH_OTHERS: return target->id != ipi->sender;
	default: return matches_destination(target, mode, ipi);
	}
}

/* SDM vol. 3, "Message Signalled Interrupts". */
bool lapic_ipi_from_msi(uint64_t address, uint32_t data, struct lapic_ipi *ipi)
{
	if (address >> 20 != LAPIC_BASE_DEFAULT >> 20)
		return false;
	*ipi = (struct lapic_ipi){
		.dest = address >> 12 & 0xff,
		.logical = address >> 2 & 1,
		.vector = (uint8_t)data,
		.delivery = data >> 8 & 7,
		.shorthand = LAPIC_SH_NONE,
		.level = data >> 15 & 1,
	};
	return true;
}
