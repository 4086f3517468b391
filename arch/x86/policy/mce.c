/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/policy/mce.h"
#include "arch/x86/defs/msr.h"

/* The four registers of a bank: CTL, STATUS, ADDR, MISC. */
#define BANK_REGISTERS 4u
enum { BANK_CTL, BANK_STATUS };

#define ALL        UINT64_MAX
/*
 * Kernels clear one of these in a bank's CTL for the sake of old chipsets (bit 10 of the fifth, bit
 * 0 of the first or second), and expect the rest to be all or nothing.
 */
#define CTL_QUIRKS (BIT(10) | BIT(0))

void mce_reset(struct mce *m)
{
	*m = (struct mce){.ctl = ALL};
	for (unsigned i = 0; i < MCE_BANKS; i++)
		m->bank[i][BANK_CTL] = ALL;
}

bool mce_read(const struct mce *m, uint32_t msr, uint64_t *value)
{
	uint32_t n = msr - MSR_IA32_MC0_CTL;

	switch (msr) {
	case MSR_IA32_MCG_CAP: *value = MCE_BANKS | MCG_CAP_CTL_P; return true;
	case MSR_IA32_MCG_STATUS: *value = m->status; return true;
	case MSR_IA32_MCG_CTL: *value = m->ctl; return true;
	default: break;
	}
	if (n >= MCE_BANKS * BANK_REGISTERS)
		return false;
	*value = m->bank[n / BANK_REGISTERS][n % BANK_REGISTERS];
	return true;
}

bool mce_write(struct mce *m, uint32_t msr, uint64_t value)
{
	uint32_t n = msr - MSR_IA32_MC0_CTL;

	if (msr == MSR_IA32_MCG_STATUS) {
		if (value & ~(uint64_t)MCG_STATUS_BITS)
			return false;
		m->status = value;
		return true;
	}
	if (msr == MSR_IA32_MCG_CTL) {
		if (value != 0 && value != ALL)
			return false;
		m->ctl = value;
		return true;
	}
	if (n >= MCE_BANKS * BANK_REGISTERS) /* MCG_CAP among others */
		return false;
	/* What was reported can be cleared. ADDR and MISC belong to a report, and just hold. */
	if (n % BANK_REGISTERS == BANK_STATUS && value != 0)
		return false;
	if (n % BANK_REGISTERS == BANK_CTL && value != 0 && (value | CTL_QUIRKS) != ALL)
		return false;
	m->bank[n / BANK_REGISTERS][n % BANK_REGISTERS] = value;
	return true;
}
