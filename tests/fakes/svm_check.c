/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMRUN's consistency checks (APM vol. 2, "Canonicalization and Consistency Checks", "Event
 * Injection") and more: what a guest must never run without. Which fields each clean bit covers
 * (APM vol. 2, "VMCB Clean Field").
 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/svm/svm.h"
#include "arch/x86/virt/virt.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"
#include "tests/fakes/svm_fake_priv.h"

#define ATTR_L  (SEG_ATTR_L >> 4)
#define ATTR_DB (SEG_ATTR_DB >> 4)

#define CR4_VALID                                                                                  \
	(0x7ffull | CR4_UMIP | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP |      \
		CR4_PKE)

struct rule {
	bool broken;
	const char *text;
};

static const char *first_broken(const struct rule *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (rules[i].broken)
			return rules[i].text;
	}
	return NULL;
}

static bool beyond_memory(uint64_t pa)
{
	return pa >> (fake_cpuid_host(NULL, CPUID_LEAF_ADDRESS, 0).eax & 0xff);
}

static const char *check_registers(const struct vmcb *b)
{
	bool pg = b->cr0 & CR0_PG, pae = b->cr4 & CR4_PAE, lme = b->efer & EFER_LME;
	bool lma = b->efer & EFER_LMA;
	uint16_t cs = b->seg[SEG_CS].attr;
	const struct rule rules[] = {
		{!(b->efer & EFER_SVME), "EFER.SVME is zero"},
		{(b->cr0 & CR0_NW) && !(b->cr0 & CR0_CD), "CR0.NW without CD"},
		{b->cr0 >> 32, "CR0[63:32]"},
		{pg && !(b->cr0 & CR0_PE), "CR0.PG without PE"},
		{b->cr3 & ~(CR3_ADDR_MASK | 0xfff) || (lma && beyond_memory(b->cr3)), "CR3"},
		{b->cr4 & ~CR4_VALID, "CR4 reserved bits"},
		{b->dr6 >> 32, "DR6[63:32]"},
		{b->dr7 >> 32, "DR7[63:32]"},
		{b->efer & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | EFER_FFXSR),
			"EFER reserved bits"},
		{lme && pg && !pae, "long mode without CR4.PAE"},
		{lma != (lme && pg), "EFER.LMA is not LME and CR0.PG"},
		{lma && pae && (cs & ATTR_L) && (cs & ATTR_DB), "CS has both L and D"},
		{!(b->cr4 & CR4_MCE), "a machine check would shut the machine down"},
		{!(b->rflags & RFLAGS_RESERVED), "RFLAGS bit 1"},
		{b->rflags & 0xffffffffffc08028ull, "RFLAGS reserved bits"},
		{(b->rflags & RFLAGS_VM) && lma, "RFLAGS.VM in long mode"},
		{!(lma && (cs & ATTR_L)) && b->rip >> 32, "RIP above 4 GiB outside 64-bit code"},
		{!fake_canonical(b->rip), "RIP not canonical"},
		{!(cs & SEG_ATTR_P), "CS not present"},
		{b->cpl > 3, "CPL"},
		{!fake_pat_valid(b->g_pat), "guest PAT"},
		{b->gdtr.limit >> 16 || b->idtr.limit >> 16, "GDTR or IDTR limit"},
	};
	return first_broken(rules, ARRAY_SIZE(rules));
}

/* EVENTINJ; what VMRUN would deliver although a CPU would not is refused as well. */
static const char *check_event(const struct vmcb *b)
{
	uint64_t info = b->event_inj;
	unsigned vector = info & SVM_EVENT_VECTOR;
	unsigned type = info >> SVM_EVENT_TYPE_SHIFT & SVM_EVENT_TYPE_MASK;
	bool error = info & SVM_EVENT_ERROR_VALID, shadow = b->int_shadow & SVM_INT_SHADOW;
	bool has_error = type == SVM_TYPE_EXCEPTION && (b->cr0 & CR0_PE) &&
			 (EXC_HAS_ERROR_MASK >> (vector & 31) & 1);
	const struct rule rules[] = {
		{type != SVM_TYPE_INTR && type != SVM_TYPE_NMI && type != SVM_TYPE_EXCEPTION &&
				type != SVM_TYPE_SOFT,
			"EVENTINJ: reserved type"},
		{info & 0x7ffff000, "EVENTINJ: reserved bits"},
		{type == SVM_TYPE_NMI && vector != EXC_NMI, "EVENTINJ: NMI with another vector"},
		{type == SVM_TYPE_EXCEPTION && (vector == EXC_NMI || vector > 31),
			"EVENTINJ: no exception's vector"},
		{error != has_error, "EVENTINJ: error code"},
		{!error && info >> SVM_EVENT_ERROR_SHIFT, "EVENTINJ: error code not valid"},
		{type == SVM_TYPE_INTR && vector < 16, "EVENTINJ: interrupt below vector 16"},
		{type == SVM_TYPE_INTR && !(b->rflags & RFLAGS_IF),
			"interrupt injected with IF clear"},
		{(type == SVM_TYPE_INTR || type == SVM_TYPE_NMI) && shadow,
			"event injected in the shadow of STI or MOV SS"},
	};

	if (!(info & SVM_EVENT_VALID))
		return NULL;
	return first_broken(rules, ARRAY_SIZE(rules));
}

static bool all_zero(const uint8_t *bytes, unsigned count)
{
	while (count-- > 0) {
		if (*bytes++)
			return false;
	}
	return true;
}

/* Words 3 and 4: what must always leave the guest. */
#define NEEDED_3                                                                                   \
	(SVM_3_INTR | SVM_3_NMI | SVM_3_INIT | SVM_3_CPUID | SVM_3_INVD | SVM_3_HLT |              \
		SVM_3_INVLPGA | SVM_3_IOIO | SVM_3_MSR | SVM_3_SHUTDOWN)
#define NEEDED_4                                                                                   \
	(SVM_4_VMRUN | SVM_4_VMMCALL | SVM_4_VMLOAD | SVM_4_VMSAVE | SVM_4_STGI | SVM_4_CLGI |     \
		SVM_4_SKINIT | SVM_4_WBINVD | SVM_4_MONITOR | SVM_4_MWAIT | SVM_4_XSETBV)
#define NEEDED_EXC (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)

static const char *check_intercepts(const struct vmcb *b)
{
	const struct rule rules[] = {
		{!(b->intercept[SVM_INTERCEPT_4] & SVM_4_VMRUN), "VMRUN is not intercepted"},
		{~b->intercept[SVM_INTERCEPT_3] & NEEDED_3 ||
				~b->intercept[SVM_INTERCEPT_4] & NEEDED_4,
			"an intercept is missing"},
		{~b->intercept[SVM_INTERCEPT_EXCEPTION] & NEEDED_EXC,
			"an exception would stay in the guest for ever"},
		{~b->intercept[SVM_INTERCEPT_CR] & (SVM_CR_READ(4) | SVM_CR_WRITE(4)),
			"CR4 is the guest's own: MCE"},
		{~b->intercept[SVM_INTERCEPT_CR] & (SVM_CR_READ(8) | SVM_CR_WRITE(8)),
			"CR8 is the guest's own"},
		{(b->intercept[SVM_INTERCEPT_3] & SVM_3_VINTR) && !(b->v_intr & SVM_V_IRQ),
			"V_IRQ's intercept without it"},
		{!(b->intercept[SVM_INTERCEPT_3] & SVM_3_VINTR) && (b->v_intr & SVM_V_IRQ) &&
				!svm_config.injects_twice,
			"a virtual interrupt instead of an injected one"},
	};
	return first_broken(rules, ARRAY_SIZE(rules));
}

static const char *check_controls(const struct vmcb *b)
{
	uint32_t asids = fake_cpuid_host(NULL, CPUID_LEAF_SVM, 0).ebx;
	bool by_asid = svm_features() & CPUID_SVM_EDX_FLUSH_ASID;
	uint64_t gif = svm_features() & CPUID_SVM_EDX_VGIF ? SVM_V_GIF_ENABLE | SVM_V_GIF : 0;
	const struct rule rules[] = {
		{b->asid == 0, "ASID 0 is the host's"},
		{b->asid >= asids, "ASID beyond what the CPU has"},
		{b->iopm_base & (PAGE_SIZE - 1) ||
				beyond_memory(b->iopm_base + SVM_IOPM_FRAMES * PAGE_SIZE - 1),
			"IOPM address"},
		{b->msrpm_base & (PAGE_SIZE - 1) ||
				beyond_memory(b->msrpm_base + SVM_MSRPM_FRAMES * PAGE_SIZE - 1),
			"MSRPM address"},
		{b->np_control != SVM_NP_ENABLE, "no nested paging"},
		{b->ncr3 & ~CR3_ADDR_MASK || beyond_memory(b->ncr3), "nCR3"},
		{!(b->v_intr & SVM_V_INTR_MASKING), "the guest's IF would mask the host"},
		{b->v_intr & ~(SVM_V_TPR | SVM_V_IRQ | SVM_V_INTR_PRIO | SVM_V_IGN_TPR |
				     SVM_V_INTR_MASKING | 0xffull << SVM_V_VECTOR_SHIFT | gif),
			"v_intr: not used here"},
		{(b->v_intr & gif) != gif,
			"the guest shares the machine's GIF, or its own is clear"},
		{(b->v_intr & SVM_V_IRQ) && !(b->v_intr & SVM_V_IGN_TPR),
			"V_IRQ would wait for V_TPR"},
		{b->int_shadow & ~SVM_INT_SHADOW, "interrupt shadow: reserved bits"},
		{b->tlb_control != SVM_TLB_NOTHING && b->tlb_control != SVM_TLB_FLUSH_ALL &&
				!(b->tlb_control == SVM_TLB_FLUSH_ASID && by_asid),
			"TLB_CONTROL"},
		{b->clean & ~0x1fffu, "clean bits: reserved"},
		{b->lbr_control, "LBR virtualization"},
		{!all_zero(b->reserved_018, 0x3c - 0x18) ||
				!all_zero(b->reserved_0e0, sizeof(b->reserved_0e0)),
			"VMCB: reserved fields"},
	};
	return first_broken(rules, ARRAY_SIZE(rules));
}

const char *svm_check_vmcb(const struct vmcb *b)
{
	const char *broken = check_registers(b);

	if (!broken)
		broken = check_intercepts(b);
	if (!broken)
		broken = check_controls(b);
	return broken ? broken : check_event(b);
}

/* ---- Clean bits ---- */

#define FIELD(bit, member, name)                                                                   \
	{                                                                                          \
		bit, offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member), name       \
	}

static const struct {
	uint32_t bit;
	uint16_t offset, size;
	const char *name;
} cached_fields[] = {
	FIELD(SVM_CLEAN_I, intercept, "an intercept"),
	FIELD(SVM_CLEAN_I, tsc_offset, "the TSC offset"),
	FIELD(SVM_CLEAN_IOPM, iopm_base, "the IOPM address"),
	FIELD(SVM_CLEAN_IOPM, msrpm_base, "the MSRPM address"),
	FIELD(SVM_CLEAN_ASID, asid, "the ASID"),
	FIELD(SVM_CLEAN_TPR, v_intr, "V_IRQ or its neighbours"),
	FIELD(SVM_CLEAN_NP, np_control, "nested paging"),
	FIELD(SVM_CLEAN_NP, ncr3, "nCR3"),
	FIELD(SVM_CLEAN_NP, g_pat, "G_PAT"),
	FIELD(SVM_CLEAN_CRX, cr0, "CR0"),
	FIELD(SVM_CLEAN_CRX, cr3, "CR3"),
	FIELD(SVM_CLEAN_CRX, cr4, "CR4"),
	FIELD(SVM_CLEAN_CRX, efer, "EFER"),
	FIELD(SVM_CLEAN_DRX, dr6, "DR6"),
	FIELD(SVM_CLEAN_DRX, dr7, "DR7"),
	FIELD(SVM_CLEAN_DT, gdtr, "GDTR"),
	FIELD(SVM_CLEAN_DT, idtr, "IDTR"),
	FIELD(SVM_CLEAN_SEG, seg[SEG_ES], "ES"),
	FIELD(SVM_CLEAN_SEG, seg[SEG_CS], "CS"),
	FIELD(SVM_CLEAN_SEG, seg[SEG_SS], "SS"),
	FIELD(SVM_CLEAN_SEG, seg[SEG_DS], "DS"),
	FIELD(SVM_CLEAN_SEG, cpl, "CPL"),
	FIELD(SVM_CLEAN_CR2, cr2, "CR2"),
};

const char *svm_clean_group_differs(const struct vmcb *b, const struct vmcb *cached, uint32_t clean)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cached_fields); i++) {
		unsigned at = cached_fields[i].offset;

		if ((clean & cached_fields[i].bit) &&
			memcmp((const char *)b + at, (const char *)cached + at,
				cached_fields[i].size) != 0)
			return cached_fields[i].name;
	}
	return NULL;
}
