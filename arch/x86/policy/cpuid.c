/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/policy/cpuid.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/cpuid_priv.h"
#include "hv/lib/string.h"

#define LEAF_OWN   0x40000100u
#define LEAF_LIMIT 2u

/* XCR0 components a guest may use: x87, SSE, AVX, AVX-512 (three), PKRU. */
#define XCR0_ALLOWED ((uint64_t)0x2e7)

/* Feature bits that may pass from the hardware to a guest; everything not named is hidden. */
static const struct feature_mask {
	uint32_t leaf, subleaf;
	uint32_t eax, ebx, ecx, edx;
} masks[] = {
	{CPUID_LEAF_FEATURES, 0, ~0u, ~0u,
		CPUID_1_ECX_SSE3 | CPUID_1_ECX_PCLMULQDQ | CPUID_1_ECX_SSSE3 | CPUID_1_ECX_FMA |
			CPUID_1_ECX_CMPXCHG16B | CPUID_1_ECX_PCID | CPUID_1_ECX_SSE4_1 |
			CPUID_1_ECX_SSE4_2 | CPUID_1_ECX_MOVBE | CPUID_1_ECX_POPCNT |
			CPUID_1_ECX_AES | CPUID_1_ECX_XSAVE | CPUID_1_ECX_AVX | CPUID_1_ECX_F16C |
			CPUID_1_ECX_RDRAND,
		CPUID_1_EDX_FPU | CPUID_1_EDX_VME | CPUID_1_EDX_DE | CPUID_1_EDX_PSE |
			CPUID_1_EDX_TSC | CPUID_1_EDX_MSR | CPUID_1_EDX_PAE | CPUID_1_EDX_MCE |
			CPUID_1_EDX_CX8 | CPUID_1_EDX_SEP | CPUID_1_EDX_MTRR | CPUID_1_EDX_PGE |
			CPUID_1_EDX_MCA | CPUID_1_EDX_CMOV | CPUID_1_EDX_PAT | CPUID_1_EDX_PSE36 |
			CPUID_1_EDX_CLFSH | CPUID_1_EDX_MMX | CPUID_1_EDX_FXSR | CPUID_1_EDX_SSE |
			CPUID_1_EDX_SSE2 | CPUID_1_EDX_SS},
	/*
	 * ecx: AVX512_VBMI, UMIP, PKU, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ,
	 * LA57, RDPID, PKS
	 */
	{CPUID_LEAF_EXTENDED, 0, 0,
		CPUID_7_EBX_FSGSBASE | CPUID_7_EBX_TSC_ADJUST | CPUID_7_EBX_BMI1 |
			CPUID_7_EBX_AVX2 | CPUID_7_EBX_FDP_EXCPTN | CPUID_7_EBX_SMEP |
			CPUID_7_EBX_BMI2 | CPUID_7_EBX_ERMS | CPUID_7_EBX_INVPCID |
			CPUID_7_EBX_FPU_CS_DS | CPUID_7_EBX_AVX512F | CPUID_7_EBX_AVX512DQ |
			CPUID_7_EBX_RDSEED | CPUID_7_EBX_ADX | CPUID_7_EBX_SMAP | 3u << 21 |
			CPUID_7_EBX_CLFLUSHOPT | CPUID_7_EBX_CLWB | CPUID_7_EBX_AVX512CD |
			CPUID_7_EBX_SHA | CPUID_7_EBX_AVX512BW | CPUID_7_EBX_AVX512VL,
		1u << 1 | CPUID_7_ECX_UMIP | CPUID_7_ECX_PKU | 1u << 6 | 1u << 8 | 1u << 9 |
			1u << 10 | 1u << 11 | 1u << 12 | 1u << 14 | CPUID_7_ECX_LA57 |
			CPUID_7_ECX_RDPID | CPUID_7_ECX_PKS,
		/* FSRM, MD_CLEAR */
		1u << 4 | CPUID_7_EDX_MD_CLEAR},
	/* ebx is ours; ecx and edx: IA32_XSS has no bit that can be set. */
	{CPUID_LEAF_XSAVE, 1,
		CPUID_D_1_EAX_XSAVEOPT | CPUID_D_1_EAX_XSAVEC | CPUID_D_1_EAX_XGETBV1 |
			CPUID_D_1_EAX_XSAVES,
		0, 0, 0},
	/* ecx: LAHF, CR8 alias, LZCNT, SSE4A, MISALIGNSSE, PREFETCHW, XOP, FMA4, TBM */
	{CPUID_LEAF_EXT_FEAT, 0, ~0u, ~0u,
		CPUID_EXT1_ECX_LAHF | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 | 1u << 11 |
			1u << 16 | 1u << 21,
		/* edx: bit 22 is MMXEXT */
		CPUID_EXT1_EDX_ALIASES | CPUID_EXT1_EDX_SYSCALL | CPUID_EXT1_EDX_NX | 1u << 22 |
			CPUID_EXT1_EDX_PAGE1GB | CPUID_EXT1_EDX_RDTSCP | CPUID_EXT1_EDX_LM},
};

/* Leaves that say the same in a guest: cache descriptors, brand string, cache and TLB sizes. */
static const uint32_t passed[] = {
	0x2,
	CPUID_LEAF_BRAND,
	CPUID_LEAF_BRAND + 1,
	CPUID_LEAF_BRAND + 2,
	0x80000005,
	0x80000006,
	0x80000019,
};

/* CR4 bits and the feature without which setting one is #GP. */
static const struct cr4_rule {
	uint64_t bits;
	uint32_t leaf;
	uint8_t reg; /* 1 ebx, 2 ecx, 3 edx */
	uint32_t feature;
} cr4_rules[] = {
	{CR4_VME | CR4_PVI, 1, 3, CPUID_1_EDX_VME},
	{CR4_TSD, 1, 3, CPUID_1_EDX_TSC},
	{CR4_DE, 1, 3, CPUID_1_EDX_DE},
	{CR4_PSE, 1, 3, CPUID_1_EDX_PSE},
	{CR4_PAE, 1, 3, CPUID_1_EDX_PAE},
	{CR4_MCE, 1, 3, CPUID_1_EDX_MCE},
	{CR4_PGE, 1, 3, CPUID_1_EDX_PGE},
	{CR4_PCE, 1, 3, CPUID_1_EDX_MSR},
	{CR4_OSFXSR, 1, 3, CPUID_1_EDX_FXSR},
	{CR4_OSXMMEXCPT, 1, 3, CPUID_1_EDX_SSE},
	{CR4_PCIDE, 1, 2, CPUID_1_ECX_PCID},
	{CR4_OSXSAVE, 1, 2, CPUID_1_ECX_XSAVE},
	{CR4_FSGSBASE, 7, 1, CPUID_7_EBX_FSGSBASE},
	{CR4_SMEP, 7, 1, CPUID_7_EBX_SMEP},
	{CR4_SMAP, 7, 1, CPUID_7_EBX_SMAP},
	{CR4_UMIP, 7, 2, CPUID_7_ECX_UMIP},
	{CR4_PKE, 7, 2, CPUID_7_ECX_PKU},
	{CR4_LA57, 7, 2, CPUID_7_ECX_LA57},
	{CR4_PKS, 7, 2, CPUID_7_ECX_PKS},
};

unsigned cpuid_timer_shift(uint64_t tsc_hz)
{
	return tsc_hz > UINT32_MAX ? 1 : 0;
}

struct cpuid_regs *cpuid_add_subleaf(struct cpuid_table *t, uint8_t *first, uint8_t *count)
{
	if (t->sub_used >= CPUID_SUBLEAVES)
		return &t->sub[CPUID_SUBLEAVES - 1];
	if ((*count)++ == 0)
		*first = t->sub_used;
	return &t->sub[t->sub_used++];
}

static struct cpuid_regs *add_subleaf(struct cpuid_table *t, uint32_t leaf)
{
	return cpuid_add_subleaf(t, &t->first[leaf], &t->count[leaf]);
}

static struct cpuid_regs *leaf_entry(struct cpuid_table *t, uint32_t leaf)
{
	if (leaf >= CPUID_LEAF_EXT_MAX)
		return &t->extended[(leaf - CPUID_LEAF_EXT_MAX) % CPUID_EXTENDED_LEAVES];
	return &t->basic[leaf % CPUID_BASIC_LEAVES];
}

static struct cpuid_regs masked(const struct cpuid_params *p, const struct feature_mask *m)
{
	struct cpuid_regs r = p->host(p->ctx, m->leaf, m->subleaf);

	r.eax &= m->eax;
	r.ebx &= m->ebx;
	r.ecx &= m->ecx;
	r.edx &= m->edx;
	return r;
}

unsigned cpuid_bits_for(uint32_t count)
{
	unsigned bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

static void build_features(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs *f = &t->basic[CPUID_LEAF_FEATURES];
	struct cpuid_regs *e = &t->extended[1];

	f->ebx = (f->ebx & 0xff00) | p->apic_id << 24 | 1u << (cpuid_bits_for(p->vcpu_count) + 16);
	f->ecx |= CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE;
	f->edx |= CPUID_1_EDX_APIC | (p->vcpu_count > 1 ? CPUID_1_EDX_HTT : 0);
	if (!p->rdtscp) {
		e->edx &= ~CPUID_EXT1_EDX_RDTSCP;
		t->basic[CPUID_LEAF_EXTENDED].ecx &= ~CPUID_7_ECX_RDPID;
	}
	if (!p->invpcid)
		t->basic[CPUID_LEAF_EXTENDED].ebx &= ~CPUID_7_EBX_INVPCID;
	t->basic[CPUID_LEAF_EXTENDED].ebx |= CPUID_7_EBX_TSC_ADJUST;
	if (!(p->host_cr4 & CR4_LA57))
		t->basic[CPUID_LEAF_EXTENDED].ecx &= ~CPUID_7_ECX_LA57;
	if (!(p->host_cr4 & CR4_PKS))
		t->basic[CPUID_LEAF_EXTENDED].ecx &= ~CPUID_7_ECX_PKS;
	*add_subleaf(t, CPUID_LEAF_EXTENDED) = t->basic[CPUID_LEAF_EXTENDED];
	t->basic[CPUID_LEAF_THERMAL].eax = 1u << 2; /* ARAT: the LAPIC timer never stops */
}

/* Leaf 4: as the hardware, but one thread per core and vcpu_count cores share the last level. */
static void build_caches(struct cpuid_table *t, const struct cpuid_params *p)
{
	uint32_t ids = 1u << cpuid_bits_for(p->vcpu_count);

	for (uint32_t i = 0; i < 8; i++) {
		struct cpuid_regs r = p->host(p->ctx, CPUID_LEAF_CACHE, i);
		uint32_t sharing = ((r.eax >> 5) & 7) >= 3 ? ids - 1 : 0;

		if ((r.eax & 31) == 0)
			break;
		r.eax = (r.eax & 0x3fff) | sharing << 14 | (ids - 1) << 26;
		*add_subleaf(t, CPUID_LEAF_CACHE) = r;
	}
}

/* Leaf Bh (and 1Fh): one thread per core, all cores in one package. */
static void build_topology(struct cpuid_table *t, const struct cpuid_params *p, uint32_t leaf)
{
	*add_subleaf(t, leaf) = (struct cpuid_regs){0, 1, 0x100, p->apic_id};
	*add_subleaf(t, leaf) = (struct cpuid_regs){
		cpuid_bits_for(p->vcpu_count), p->vcpu_count, 0x201, p->apic_id};
	*add_subleaf(t, leaf) = (struct cpuid_regs){0, 0, 2, p->apic_id};
}

static void build_xsave(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs r;

	if (!(t->basic[CPUID_LEAF_FEATURES].ecx & CPUID_1_ECX_XSAVE) ||
		t->basic_max < CPUID_LEAF_XSAVE)
		return;
	r = p->host(p->ctx, CPUID_LEAF_XSAVE, 0);
	t->xcr0_allowed = ((uint64_t)r.edx << 32 | r.eax) & XCR0_ALLOWED;
	*add_subleaf(t, CPUID_LEAF_XSAVE) = (struct cpuid_regs){
		(uint32_t)t->xcr0_allowed, 0, 576, (uint32_t)(t->xcr0_allowed >> 32)};
	*add_subleaf(t, CPUID_LEAF_XSAVE) = (struct cpuid_regs){0};
	for (unsigned i = 2; i < 10; i++) {
		struct cpuid_regs *s = add_subleaf(t, CPUID_LEAF_XSAVE);

		*s = (struct cpuid_regs){0};
		if (!(t->xcr0_allowed & BIT(i)))
			continue;
		*s = p->host(p->ctx, CPUID_LEAF_XSAVE, i);
		s->ecx &= CPUID_D_N_ECX_ALIGNED; /* a user component */
		if (s->ecx)
			t->xsave_aligned |= BIT(i);
		s->edx = 0;
		t->xsave_size[i] = s->eax;
		t->xsave_offset[i] = s->ebx;
		t->sub[t->first[CPUID_LEAF_XSAVE]].ecx = MAX(
			t->sub[t->first[CPUID_LEAF_XSAVE]].ecx, s->eax + s->ebx);
	}
}

/* XSAVES only with XSAVEC, which kernels expect where it is. */
static void build_xsave_forms(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs *r = &t->sub[t->first[CPUID_LEAF_XSAVE] + 1];

	*r = masked(p, &masks[2]);
	if (!p->xsavec)
		r->eax &= ~(CPUID_D_1_EAX_XSAVEC | CPUID_D_1_EAX_XSAVES);
	if (!p->xsaves || !(r->eax & CPUID_D_1_EAX_XSAVEC))
		r->eax &= ~CPUID_D_1_EAX_XSAVES;
	t->has_xsaves = r->eax & CPUID_D_1_EAX_XSAVES;
}

/* Intel only: other vendors' guests do not look, and calibrate against the PM timer. */
static void build_tsc(struct cpuid_table *t, const struct cpuid_params *p)
{
	unsigned shift = cpuid_timer_shift(p->tsc_hz);
	uint32_t mhz = (uint32_t)(p->tsc_hz / 1000000);

	t->basic[CPUID_LEAF_TSC] = (struct cpuid_regs){
		1, 1u << shift, (uint32_t)(p->tsc_hz >> shift), 0};
	t->basic[CPUID_LEAF_FREQUENCY] = (struct cpuid_regs){mhz, mhz, 100, 0};
}

static void set_text(struct cpuid_regs *r, const char text[12])
{
	memcpy(&r->ebx, text, 4);
	memcpy(&r->ecx, text + 4, 4);
	memcpy(&r->edx, text + 8, 4);
}

/*
 * KVM's signature with an empty feature word: Linux then trusts x2APIC without interrupt remapping,
 * and asks for nothing. Who looks further finds us at 4000_0100h.
 */
static void build_hypervisor(struct cpuid_table *t)
{
	t->hypervisor[0].eax = CPUID_LEAF_HYPERVISOR + 1;
	set_text(&t->hypervisor[0], "KVMKVMKVM\0\0");
	t->own.eax = LEAF_OWN;
	set_text(&t->own, "BulkheadBulk");
}

/* EFER bits and the feature of leaf 8000_0001h without which setting one is #GP. */
static const struct efer_rule {
	uint64_t bits;
	uint32_t ecx, edx;
} efer_rules[] = {
	{EFER_SCE, 0, CPUID_EXT1_EDX_SYSCALL},
	{EFER_NXE, 0, CPUID_EXT1_EDX_NX},
	{EFER_LME | EFER_LMA, 0, CPUID_EXT1_EDX_LM},
	{EFER_FFXSR, 0, CPUID_EXT1_EDX_FFXSR},
	{EFER_TCE, CPUID_EXT1_ECX_TCE, 0},
};

static void compute_allowed(struct cpuid_table *t, const struct cpuid_params *p)
{
	const struct cpuid_regs *e = &t->extended[1];

	for (unsigned i = 0; i < ARRAY_SIZE(cr4_rules); i++) {
		const struct cr4_rule *rule = &cr4_rules[i];
		const struct cpuid_regs *r = &t->basic[rule->leaf];
		uint32_t value = rule->reg == 1 ? r->ebx : rule->reg == 2 ? r->ecx : r->edx;

		if (value & rule->feature)
			t->cr4_allowed |= rule->bits;
	}
	t->cr4_allowed &= p->host_cr4;
	for (unsigned i = 0; i < ARRAY_SIZE(efer_rules); i++) {
		if ((e->ecx & efer_rules[i].ecx) || (e->edx & efer_rules[i].edx))
			t->efer_allowed |= efer_rules[i].bits;
	}
}

static enum cpuid_vendor vendor_of(const struct cpuid_regs *r)
{
	if (r->ecx == CPUID_VENDOR_INTEL_ECX)
		return CPUID_VENDOR_INTEL;
	if (r->ecx == CPUID_VENDOR_AMD_ECX ||
		(r->ebx == CPUID_VENDOR_HYGON_EBX && r->ecx == CPUID_VENDOR_HYGON_ECX))
		return CPUID_VENDOR_AMD;
	return CPUID_VENDOR_OTHER;
}

/* How far the leaves go. `host` and `host_extended`: how far the CPU's do. */
static void set_limits(struct cpuid_table *t, uint32_t host, uint32_t host_extended)
{
	switch (t->vendor) {
	case CPUID_VENDOR_INTEL:
		/* The rate is ours to tell even where the part is too old to have the leaf. */
		t->basic_max = CPUID_LEAF_FREQUENCY;
		t->extended_max = MIN(host_extended, CPUID_LEAF_ADDRESS);
		break;
	case CPUID_VENDOR_AMD:
		/* TSC_ADJUST and x2APIC are ours too, and with them the leaves that tell them. */
		t->basic_max = MAX(MIN(host, CPUID_LEAF_XSAVE), CPUID_LEAF_TOPOLOGY);
		t->extended_max = MIN(host_extended, CPUID_LEAF_AMD_EXT2);
		break;
	case CPUID_VENDOR_OTHER:
		t->basic_max = MIN(host, CPUID_LEAF_XSAVE);
		t->extended_max = MIN(host_extended, CPUID_LEAF_AMD_TLB1G);
		break;
	}
}

static void copy_leaves(struct cpuid_table *t, const struct cpuid_params *p, uint32_t basic_max,
	uint32_t extended_max)
{
	for (unsigned i = 0; i < ARRAY_SIZE(masks); i++) {
		bool there = masks[i].leaf <= basic_max ||
			     (masks[i].leaf >= CPUID_LEAF_EXT_MAX && masks[i].leaf <= extended_max);

		if (there && masks[i].subleaf == 0)
			*leaf_entry(t, masks[i].leaf) = masked(p, &masks[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(passed); i++) {
		if (passed[i] <= (passed[i] >= CPUID_LEAF_EXT_MAX ? extended_max : basic_max))
			*leaf_entry(t, passed[i]) = p->host(p->ctx, passed[i], 0);
	}
}

void cpuid_table_build(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs vendor = p->host(p->ctx, 0, 0);
	uint32_t extended = p->host(p->ctx, CPUID_LEAF_EXT_MAX, 0).eax;

	memset(t, 0, sizeof(*t));
	t->vendor = vendor_of(&vendor);
	set_limits(t, vendor.eax, extended);
	copy_leaves(t, p, vendor.eax, extended);
	t->basic[0] = vendor;
	t->basic[0].eax = t->basic_max;
	t->extended[0] = (struct cpuid_regs){t->extended_max, vendor.ebx, vendor.ecx, vendor.edx};
	t->extended[8].eax = p->host(p->ctx, CPUID_LEAF_ADDRESS, 0).eax & 0xffff;
	t->phys_bits = t->extended[8].eax & 0xff;
	/*
	 * All of a guest's clocks are the TSC's: beside them it does not change its rate. Without
	 * the bit a kernel with several CPUs does not use it.
	 */
	t->extended[7].edx = CPUID_EXT7_EDX_INVARIANT_TSC;
	build_features(t, p);
	build_caches(t, p);
	build_topology(t, p, CPUID_LEAF_TOPOLOGY);
	build_xsave(t, p);
	if (t->count[CPUID_LEAF_XSAVE])
		build_xsave_forms(t, p);
	else
		t->basic[CPUID_LEAF_FEATURES].ecx &= ~CPUID_1_ECX_XSAVE;
	if (t->vendor == CPUID_VENDOR_INTEL)
		build_tsc(t, p);
	if (t->vendor == CPUID_VENDOR_AMD)
		cpuid_amd_build(t, p);
	build_hypervisor(t);
	compute_allowed(t, p);
	t->has_nx = t->efer_allowed & EFER_NXE;
	cpuid_table_update(t, 0, 1, true);
}

static void set_bit(uint32_t *word, uint32_t bit, bool on)
{
	*word = on ? *word | bit : *word & ~bit;
}

void cpuid_table_update(struct cpuid_table *t, uint64_t cr4, uint64_t xcr0, bool apic_enabled)
{
	uint32_t standard = 576, compacted = 576;
	struct cpuid_regs *d = &t->sub[t->first[CPUID_LEAF_XSAVE]];

	set_bit(&t->basic[CPUID_LEAF_FEATURES].ecx, CPUID_1_ECX_OSXSAVE, cr4 & CR4_OSXSAVE);
	set_bit(&t->basic[CPUID_LEAF_FEATURES].edx, CPUID_1_EDX_APIC, apic_enabled);
	if (t->vendor == CPUID_VENDOR_AMD) /* which repeats it */
		set_bit(&t->extended[1].edx, CPUID_1_EDX_APIC, apic_enabled);
	if (t->count[CPUID_LEAF_EXTENDED])
		set_bit(&t->sub[t->first[CPUID_LEAF_EXTENDED]].ecx, CPUID_7_ECX_OSPKE,
			cr4 & CR4_PKE);
	if (!t->count[CPUID_LEAF_XSAVE])
		return;
	for (unsigned i = 2; i < 64; i++) {
		if (!(xcr0 & BIT(i)))
			continue;
		standard = MAX(standard, t->xsave_offset[i] + t->xsave_size[i]);
		if (t->xsave_aligned & BIT(i))
			compacted = (uint32_t)align_up(compacted, 64);
		compacted += t->xsave_size[i];
	}
	d[0].ebx = standard;
	d[1].ebx = d[1].eax & CPUID_D_1_EAX_XSAVEC ? compacted : 0;
}

/* SDM vol. 4, "IA32_MISC_ENABLE". */
void cpuid_table_restrict(struct cpuid_table *t, bool limit, bool no_nx)
{
	bool nx = t->has_nx && !no_nx;

	t->basic[0].eax = limit ? MIN(t->basic_max, LEAF_LIMIT) : t->basic_max;
	set_bit(&t->extended[1].edx, CPUID_EXT1_EDX_NX, nx);
	t->efer_allowed = (t->efer_allowed & ~(uint64_t)EFER_NXE) | (nx ? EFER_NXE : 0);
}

const struct cpuid_regs *cpuid_table_find(
	const struct cpuid_table *t, uint32_t leaf, uint32_t subleaf)
{
	static const struct cpuid_regs zero;

	if (leaf - CPUID_LEAF_HYPERVISOR < 0x10000000u) {
		if (leaf - CPUID_LEAF_HYPERVISOR < ARRAY_SIZE(t->hypervisor))
			return &t->hypervisor[leaf - CPUID_LEAF_HYPERVISOR];
		return leaf == LEAF_OWN ? &t->own : &zero;
	}
	if (leaf == CPUID_LEAF_AMD_CACHE && t->amd_cache_count)
		return subleaf < t->amd_cache_count ? &t->sub[t->amd_cache_first + subleaf] : &zero;
	if (leaf >= CPUID_LEAF_EXT_MAX && leaf <= t->extended_max)
		return &t->extended[(leaf - CPUID_LEAF_EXT_MAX) % CPUID_EXTENDED_LEAVES];
	/*
	 * Beyond the end Intel's CPUs answer as for the last basic leaf (SDM vol. 2, "CPUID"),
	 * AMD's zero.
	 */
	if (leaf > t->basic_max && t->vendor != CPUID_VENDOR_INTEL)
		return &zero;
	if (leaf > t->basic_max)
		leaf = t->basic_max;
	if (t->count[leaf] == 0)
		return &t->basic[leaf];
	if (subleaf < t->count[leaf])
		return &t->sub[t->first[leaf] + subleaf];
	/* Beyond the last topology level: the level asked for and the APIC ID stay meaningful. */
	return leaf == CPUID_LEAF_TOPOLOGY ? &t->sub[t->first[leaf] + t->count[leaf] - 1u] : &zero;
}
