/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/policy/msr_amd.h"
#include "arch/x86/defs/msr.h"

/* SVM's own: the backend's header has it for the host's sake. */
#define VM_CR        0xc0010114u
#define VM_CR_LOCK   BIT(3)
#define VM_CR_SVMDIS BIT(4)

#define ANYTHING   UINT64_MAX
#define WRITE_ONLY true

/* A write may change the bits in `ignored`, and nothing comes of it; any other change is #GP. */
struct constant_msr {
	uint32_t first, last;
	uint64_t value;   /* what they read */
	uint64_t ignored; /* bits that silicon lets software write */
	bool write_only;
};

/* Sorted by number. */
static const struct constant_msr constants[] = {
	/* Last branch and exception: DEBUGCTL.LBR cannot be set, so they stay as at reset. */
	{MSR_AMD_BR_FROM, MSR_AMD_INT_TO, 0, 0, false},
	/* The four old counters have no CPUID bit; a kernel tries them: none counts. */
	{MSR_PERF_EVT_SEL0, MSR_PERF_CTR3, 0, ANYTHING, false},
	/* No TOM2, no encryption, no DRAM bits in fixed MTRRs: they cannot be switched on. */
	{MSR_SYSCFG, MSR_SYSCFG, 0, 0, false},
	/*
	 * The TSC counts at P0's rate. INVD never loses data here, there is no FERR pin, no bank
	 * to write a status of; boost and TLB caching are the machine's. The rest (Wrap32Dis,
	 * IRPerfEn, MONITOR and CPUID for users) would have to take effect.
	 */
	{MSR_HWCR, MSR_HWCR, HWCR_TSC_FREQ_SEL,
		HWCR_TLB_CACHE_DIS | HWCR_INVD_WBINVD | HWCR_FF_DIS | HWCR_IGNNE_EM |
			HWCR_MC_STATUS_WR_EN | HWCR_TSC_FREQ_SEL | HWCR_CPB_DIS,
		false},
	/* I/O ranges over RAM: none is valid. */
	{MSR_IORR_BASE0, MSR_IORR_MASK1, 0, 0, false},
	/* Linux switches extended CF8h cycles on here, on every AMD CPU, whatever the bridge is. */
	{MSR_NB_CFG, MSR_NB_CFG, 0, ANYTHING, false},
	/* A microcode patch that does not suit is dropped in silence; PATCH_LEVEL tells. */
	{MSR_PATCH_LOADER, MSR_PATCH_LOADER, 0, ANYTHING, WRITE_ONLY},
	/* C1E is off: the LAPIC timer does not stop in HLT. */
	{MSR_INT_PENDING, MSR_INT_PENDING, 0, 0, false},
	/* The CPU itself decodes no ECAM; the bridge does. */
	{MSR_MMIO_CONF_BASE, MSR_MMIO_CONF_BASE, 0, 0, false},
	/* P-states: at P0, no other is defined. */
	{MSR_PSTATE_CUR_LIMIT, MSR_PSTATE_DEF7, 0, 0, false},
	/* TSEG: disabled. */
	{MSR_SMM_ADDR, MSR_SMM_MASK, 0, 0, false},
	/* SVM is off and locked, as by a firmware's setup: then both bits ignore writes. */
	{VM_CR, VM_CR, VM_CR_LOCK | VM_CR_SVMDIS, VM_CR_LOCK | VM_CR_SVMDIS, false},
	/*
	 * The six core counters are hidden too (PERFCTR_CORE), but on these families the first four
	 * are the old ones by other numbers.
	 */
	{MSR_F15H_PERF_CTL0, MSR_F15H_PERF_CTR5, 0, ANYTHING, false},
	/* Switches for errata, which kernels set by their lists: the machine's, not a guest's. */
	{MSR_AMD_DC_CFG, MSR_AMD_TW_CFG, 0, ANYTHING, false},
	/*
	 * LFENCE serializes, and keeps doing so. Any other bit is #GP, so that nobody believes a
	 * mitigation to be on that is not.
	 */
	{MSR_AMD_DE_CFG, MSR_AMD_DE_CFG, DE_CFG_LFENCE_SERIALIZES, DE_CFG_LFENCE_SERIALIZES, false},
	{MSR_AMD_BU_CFG2, MSR_AMD_BU_CFG2, 0, ANYTHING, false},
	{MSR_AMD_EX_CFG, MSR_AMD_EX_CFG, 0, ANYTHING, false},
};

static const struct constant_msr *find(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(constants); i++) {
		if (msr >= constants[i].first && msr <= constants[i].last)
			return &constants[i];
	}
	return NULL;
}

bool msr_amd_read(uint32_t msr, uint64_t *value)
{
	const struct constant_msr *c = find(msr);

	if (!c || c->write_only)
		return false;
	*value = c->value;
	return true;
}

bool msr_amd_write(uint32_t msr, uint64_t value)
{
	const struct constant_msr *c = find(msr);

	return c && !((value ^ c->value) & ~c->ignored);
}
