/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a guest's CPUID that only AMD's CPUs have (APM vol. 3, appendix E). The rule is that
 * of cpuid.c: a bit is shown if everything behind it works in a guest, and nothing else is. What is
 * shown and why is in docs/cpu.md.
 */
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/policy/cpuid_priv.h"

#define CACHES_MAX          8u
#define CACHE_TYPE_MASK     0x1fu
#define CACHE_LEVEL(eax)    (((eax) >> 5) & 7)
#define CACHE_SHARING_SHIFT 14
#define CACHE_SHARING_MASK  (0xfffu << CACHE_SHARING_SHIFT)
#define COUNT_1_SHIFT       16 /* leaf 1 EBX: logical processors of the package */
#define COUNT_1_MASK        (0xffu << COUNT_1_SHIFT)

/*
 * 8000_0008h EBX. CLZERO and WBNOINVD are instructions (the second exits like WBINVD); the others
 * tell how the CPU behaves. Hidden is what needs an MSR that a guest has not got (IRPERF, IBPB,
 * IBRS, STIBP, SSBD, PPIN, CPPC), or a switch in the VMCB or EFER (INVLPGB, MCOMMIT), or what
 * reads the machine's own counters (RDPRU).
 */
#define EXT8_EBX_PASSED                                                                            \
	(CPUID_EXT8_EBX_CLZERO | CPUID_EXT8_EBX_XSAVEERPTR | CPUID_EXT8_EBX_WBNOINVD |             \
		CPUID_EXT8_EBX_SSB_NO | CPUID_EXT8_EBX_BTC_NO)

/* 8000_0021h EAX: how the CPU behaves. Hidden: switches in EFER (UAI, AIBRS), MSRs, SMM. */
#define EXT21_EAX_PASSED                                                                           \
	(CPUID_EXT21_EAX_NO_NESTED_DATA_BP | CPUID_EXT21_EAX_BASE_WRITE_NS |                       \
		CPUID_EXT21_EAX_LFENCE_SERIALIZES | CPUID_EXT21_EAX_VERW_CLEAR |                   \
		CPUID_EXT21_EAX_NULL_CLEARS_BASE | CPUID_EXT21_EAX_FSRS | CPUID_EXT21_EAX_FSRC |   \
		CPUID_EXT21_EAX_SRSO_NO | CPUID_EXT21_EAX_SRSO_UK_NO)

/* One thread per core, all cores in one package; the first vCPU's ID is 0. */
static void build_counts(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs *f = &t->basic[CPUID_LEAF_FEATURES], *a = &t->extended[8];

	f->ebx = (f->ebx & ~COUNT_1_MASK) | p->vcpu_count << COUNT_1_SHIFT;
	/* With HTT it says: these are cores, not threads. */
	if (p->vcpu_count > 1)
		t->extended[1].ecx |= CPUID_EXT1_ECX_CMP_LEGACY;
	a->ecx = ((p->vcpu_count - 1) & CPUID_EXT8_ECX_COUNT_MASK) |
		 cpuid_bits_for(p->vcpu_count) << CPUID_EXT8_ECX_BITS_SHIFT;
}

static void build_features(struct cpuid_table *t, const struct cpuid_params *p)
{
	struct cpuid_regs host = p->host(p->ctx, CPUID_LEAF_EXT_FEAT, 0);
	struct cpuid_regs *e = &t->extended[1];

	/* Both are bits of EFER, which the guest's own EFER holds. */
	e->ecx |= host.ecx & CPUID_EXT1_ECX_TCE;
	e->edx |= host.edx & CPUID_EXT1_EDX_FFXSR;
	e->edx = (e->edx & ~CPUID_EXT1_EDX_ALIASES) |
		 (t->basic[CPUID_LEAF_FEATURES].edx & CPUID_EXT1_EDX_ALIASES);
	host = p->host(p->ctx, CPUID_LEAF_ADDRESS, 0);
	t->extended[8].ebx = (host.ebx & EXT8_EBX_PASSED) | CPUID_EXT8_EBX_NO_LMSLE;
	if (t->extended_max >= CPUID_LEAF_AMD_PERF) {
		host = p->host(p->ctx, CPUID_LEAF_AMD_PERF, 0);
		t->extended[CPUID_LEAF_AMD_PERF & 0xff].eax = host.eax;
	}
	if (t->extended_max >= CPUID_LEAF_AMD_EXT2) {
		host = p->host(p->ctx, CPUID_LEAF_AMD_EXT2, 0);
		t->extended[CPUID_LEAF_AMD_EXT2 & 0xff].eax = host.eax & EXT21_EAX_PASSED;
	}
}

/* 8000_001Dh as the hardware's, but its own caches for each core and one last level for all. */
static void build_caches(struct cpuid_table *t, const struct cpuid_params *p)
{
	for (uint32_t i = 0; i < CACHES_MAX; i++) {
		struct cpuid_regs r = p->host(p->ctx, CPUID_LEAF_AMD_CACHE, i);
		uint32_t others = CACHE_LEVEL(r.eax) >= 3 ? p->vcpu_count - 1 : 0;

		if ((r.eax & CACHE_TYPE_MASK) == 0)
			break;
		r.eax = (r.eax & ~CACHE_SHARING_MASK) | others << CACHE_SHARING_SHIFT;
		*cpuid_add_subleaf(t, &t->amd_cache_first, &t->amd_cache_count) = r;
	}
}

/* TOPOEXT: 8000_001Dh and 8000_001Eh. Core ID = APIC ID, no second thread, one node of one. */
static void build_topology(struct cpuid_table *t, const struct cpuid_params *p)
{
	if (t->extended_max < CPUID_LEAF_AMD_TOPOLOGY ||
		!(p->host(p->ctx, CPUID_LEAF_EXT_FEAT, 0).ecx & CPUID_EXT1_ECX_TOPOEXT))
		return;
	t->extended[1].ecx |= CPUID_EXT1_ECX_TOPOEXT;
	t->extended[CPUID_LEAF_AMD_TOPOLOGY & 0xff] = (struct cpuid_regs){
		.eax = p->apic_id, .ebx = p->apic_id & 0xff};
	build_caches(t, p);
}

void cpuid_amd_build(struct cpuid_table *t, const struct cpuid_params *p)
{
	build_features(t, p);
	build_counts(t, p);
	build_topology(t, p);
}
