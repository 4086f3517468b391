/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID that a guest sees, as a table per vCPU: what the hardware says, cut down to what works
 * in a guest, with the vCPU's own numbers filled in. Bits that follow guest state (OSXSAVE, OSPKE,
 * APIC, leaf Dh sizes) are patched when that state changes, never at the exit. Pure: the host's
 * CPUID comes through a callback. Locking: a table belongs to its vCPU.
 */
#ifndef ARCH_X86_POLICY_CPUID_H
#define ARCH_X86_POLICY_CPUID_H

#include "arch/x86/defs/cpuid_regs.h"
#include "hv/lib/types.h"

#define CPUID_BASIC_LEAVES    0x20u
#define CPUID_EXTENDED_LEAVES 0x22u
#define CPUID_SUBLEAVES       40u

/* Whose rules a guest's CPUID and MSRs follow: the CPU's. HygonGenuine counts as AMD. */
enum cpuid_vendor { CPUID_VENDOR_OTHER, CPUID_VENDOR_INTEL, CPUID_VENDOR_AMD };

struct cpuid_table {
	enum cpuid_vendor vendor;
	uint32_t basic_max, extended_max;
	struct cpuid_regs basic[CPUID_BASIC_LEAVES];
	struct cpuid_regs extended[CPUID_EXTENDED_LEAVES];
	/* Leaves 4, 7, Bh, Dh, 1Fh have subleaves: `first` and `count` into sub. */
	uint8_t first[CPUID_BASIC_LEAVES], count[CPUID_BASIC_LEAVES];
	struct cpuid_regs sub[CPUID_SUBLEAVES];
	uint8_t sub_used;
	uint8_t amd_cache_first, amd_cache_count;  /* the same for leaf 8000_001Dh */
	struct cpuid_regs hypervisor[2], own;      /* 4000_0000h, 4000_0001h; 4000_0100h */
	uint32_t xsave_size[64], xsave_offset[64]; /* leaf Dh, component by component */
	uint64_t xsave_aligned; /* components that the compacted form aligns to 64 bytes */
	bool has_xsaves;        /* and with it IA32_XSS, which holds 0 */
	uint64_t xcr0_allowed;
	uint64_t cr4_allowed; /* CR4 bits that these features bring with them */
	uint64_t efer_allowed;
	bool has_nx; /* unless it is switched off, as below */
	unsigned phys_bits;
};

struct cpuid_params {
	struct cpuid_regs (*host)(void *ctx, uint32_t leaf, uint32_t subleaf);
	void *ctx;
	uint32_t apic_id, vcpu_count;
	uint64_t tsc_hz;
	bool rdtscp, invpcid; /* the vendor extension lets a guest use them */
	bool xsavec, xsaves;
	uint64_t host_cr4; /* CR4 bits this CPU can hold */
};

void cpuid_table_build(struct cpuid_table *t, const struct cpuid_params *p);

/*
 * What CPUID returns for EAX = leaf, ECX = subleaf; never NULL. Leaves out of range read as the SDM
 * says.
 */
const struct cpuid_regs *cpuid_table_find(
	const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf);

/* The same for the most frequent leaves, basic ones without subleaves; NULL: another one. */
static inline const struct cpuid_regs *cpuid_table_find_basic(
	const struct cpuid_table *t, uint32_t leaf)
{
	return leaf <= t->basic_max && t->count[leaf] == 0 ? &t->basic[leaf] : NULL;
}

/* The guest changed CR4, XCR0 or its APIC's enable bit. */
void cpuid_table_update(struct cpuid_table *t, uint64_t cr4, uint64_t xcr0, bool apic_enabled);

/* IA32_MISC_ENABLE: the largest basic leaf is told as 2; there is no NX. */
void cpuid_table_restrict(struct cpuid_table *t, bool limit, bool no_nx);

/* The clock of the guest's LAPIC timer is its TSC >> this; leaf 15h says the same. */
unsigned cpuid_timer_shift(uint64_t tsc_hz);

#endif
