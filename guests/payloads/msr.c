/* SPDX-License-Identifier: Apache-2.0 */
/* Model-specific registers: what exists reads as expected, everything else raises #GP. */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("msr");

#define NON_CANONICAL 0x8000000000000000ull
#define BANKS         6u

/* What a guest of Bulkhead finds at its start. */
struct found {
	uint32_t msr;
	uint64_t mask, value;
};

static const struct found initial[] = {
	{MSR_IA32_P5_MC_ADDR, ~0ull, 0},
	{MSR_IA32_APIC_BASE, ~0ull, APIC_DEFAULT_BASE | APIC_BASE_EN | APIC_BASE_BSP},
	{MSR_IA32_TSC_ADJUST, ~0ull, 0},
	{MSR_IA32_BIOS_SIGN_ID, ~0ull, 0},
	{MSR_IA32_MTRRCAP, MTRRCAP_VCNT_MASK | MTRRCAP_FIX, 8 | MTRRCAP_FIX},
	{MSR_IA32_MCG_CAP, ~0ull, MCG_CAP_CTL_P | BANKS},
	{MSR_IA32_MCG_STATUS, ~0ull, 0},
	{MSR_IA32_MISC_ENABLE, MISC_ENABLE_FAST_STRINGS, MISC_ENABLE_FAST_STRINGS},
	{MSR_IA32_PAT, ~0ull, PAT_RESET_VALUE},
	{MSR_IA32_MTRR_DEF_TYPE, MTRR_DEF_TYPE_E, MTRR_DEF_TYPE_E},
	{MSR_IA32_EFER, ~0ull, EFER_LME | EFER_LMA},
	{MSR_IA32_SYSENTER_CS, ~0ull, 0},
	{MSR_IA32_STAR, ~0ull, 0},
	{MSR_IA32_LSTAR, ~0ull, 0},
	{MSR_IA32_KERNEL_GS_BASE, ~0ull, 0},
};

static const struct found initial_intel[] = {
	{MSR_IA32_PLATFORM_ID, ~0ull, 0},
	{MSR_IA32_FEATURE_CONTROL, ~0ull, FEATURE_CONTROL_LOCK},
};

static const struct found initial_amd[] = {
	{MSR_PERF_EVT_SEL0, ~0ull, 0},
	{MSR_SYSCFG, ~0ull, 0},
	{MSR_HWCR, ~0ull, HWCR_TSC_FREQ_SEL},
	{MSR_F15H_PERF_CTL0, ~0ull, 0},
	{MSR_INT_PENDING, ~0ull, 0},
	{0xc0010114, ~0ull, 0x18}, /* VM_CR: SVM disabled and locked */
	{MSR_AMD_DE_CFG, ~0ull, DE_CFG_LFENCE_SERIALIZES},
};

/* Reading and writing these is #GP. Ranges. */
struct range {
	uint32_t first, last;
};

static const struct range forbidden[] = {
	{0x34, 0x34},   /* SMI count */
	{0x79, 0x79},   /* microcode update */
	{0xce, 0xce},   /* platform information */
	{0xe2, 0xe2},   /* C-state control */
	{0x122, 0x122}, /* TSX control */
	{0x150, 0x150}, /* overclocking mailbox */
	{0x186, 0x189}, /* performance counters */
	{0x198, 0x19c}, /* frequency, thermal */
	{0x1a2, 0x1ad}, /* temperature target, turbo */
	{0x1b0, 0x1b1}, /* energy bias */
	{0x1f2, 0x1f3}, /* SMRR */
	{0x345, 0x345}, /* performance capabilities */
	{0x280, 0x285}, /* corrected machine checks */
	{0x38d, 0x390}, /* fixed counters */
	{0x418, 0x42f}, /* more banks than there are */
	{0x480, 0x491}, /* VMX capabilities */
	{0x570, 0x572}, /* processor trace */
	{0x606, 0x61e}, /* power */
	{0xc81, 0xc82}, /* cache allocation */
	{0xc90, 0xc91},
	{0x40000000, 0x40000003}, /* another hypervisor's */
	{0x4b564d00, 0x4b564d06}, /* KVM's */
	{0xc0000104, 0xc0000104}, /* TSC ratio */
	{0xc0010117, 0xc0010118}, /* SVM */
	{0xdeadbeef, 0xdeadbeef},
	{0xffffffff, 0xffffffff},
};

static const struct range forbidden_intel[] = {
	{0xc0010000, 0xc0010007}, /* AMD: performance counters */
	{0xc0010010, 0xc0010010}, /* AMD: SYSCFG */
	{0xc0010015, 0xc0010015}, /* AMD: HWCR */
	{0xc0010112, 0xc0010116}, /* AMD: SMM, SVM */
};

static const struct range forbidden_amd[] = {
	{MSR_IA32_PLATFORM_ID, MSR_IA32_PLATFORM_ID},
	{MSR_IA32_FEATURE_CONTROL, MSR_IA32_FEATURE_CONTROL},
	{0xc0000408, 0xc0000408}, /* machine check */
	{0xc0010130, 0xc0010131}, /* memory encryption */
	{0xc0011004, 0xc0011005}, /* CPUID overrides */
	{0xc0011020, 0xc0011021}, /* speculative stores, instruction cache */
};

/* Writes that are #GP on every CPU. */
static const struct {
	uint32_t msr;
	uint64_t value;
} refused[] = {
	{MSR_IA32_LSTAR, NON_CANONICAL},
	{MSR_IA32_CSTAR, NON_CANONICAL},
	{MSR_IA32_FS_BASE, NON_CANONICAL},
	{MSR_IA32_GS_BASE, NON_CANONICAL},
	{MSR_IA32_KERNEL_GS_BASE, NON_CANONICAL},
	{MSR_IA32_SYSENTER_EIP, NON_CANONICAL},
	{MSR_IA32_SYSENTER_ESP, NON_CANONICAL},
	{MSR_IA32_PAT, 2},
	{MSR_IA32_PAT, 0x0300000000000000},
	{MSR_IA32_MTRR_DEF_TYPE, 2},
	{MSR_IA32_MTRR_DEF_TYPE, 1ull << 40},
	{MSR_IA32_MTRRCAP, 0},
	{MSR_IA32_MTRR_PHYSBASE0, 2},
	{MSR_IA32_MTRR_PHYSBASE0, 1ull << 60},
	{MSR_IA32_MTRR_PHYSMASK0, 1},
	{MSR_IA32_MTRR_FIX64K_00000, 2},
	{MSR_IA32_APIC_BASE, APIC_DEFAULT_BASE | APIC_BASE_EN | 1},
	{MSR_IA32_APIC_BASE, 1ull << 60 | APIC_BASE_EN},
	{MSR_IA32_APIC_BASE, APIC_DEFAULT_BASE | APIC_BASE_EXTD},
	{MSR_IA32_EFER, EFER_LME | EFER_LMA | 1 << 1},
	{MSR_IA32_EFER, EFER_LME | EFER_LMA | EFER_SVME},
	{MSR_IA32_EFER, EFER_LMA}, /* LME cannot change while paging is on */
	{MSR_IA32_EFER, EFER_LME | EFER_LMA | 1ull << 63},
	{MSR_IA32_FEATURE_CONTROL, 5},
	{MSR_IA32_MCG_CAP, MCG_CAP_CTL_P | BANKS},
	{MSR_IA32_MCG_STATUS, 8},
	{MSR_IA32_MCG_CTL, 1},
	{MSR_IA32_MC0_CTL, 2},
	{MSR_IA32_MC0_CTL + 1, 1},
	{MSR_IA32_DEBUGCTL, 2},
	{MSR_IA32_MISC_ENABLE, 1ull << 40},
	{MSR_IA32_XSS, 1ull << 8},
	{MSR_IA32_TSC_AUX, 1ull << 32},
};

static bool is_amd(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_VENDOR, 0);

	return r.ecx == CPUID_VENDOR_AMD_ECX || r.ecx == CPUID_VENDOR_HYGON_ECX;
}

static void test_found(const struct found *rows, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t value;
		int status = rdmsr_safe(rows[i].msr, &value);

		check(status == OK, "MSR %xh cannot be read", rows[i].msr);
		check((value & rows[i].mask) == rows[i].value, "MSR %xh is 0x%lx, not 0x%lx",
			rows[i].msr, value, rows[i].value);
	}
}

static void test_initial(void)
{
	test_found(initial, ARRAY_SIZE(initial));
	if (is_amd())
		test_found(initial_amd, ARRAY_SIZE(initial_amd));
	else
		test_found(initial_intel, ARRAY_SIZE(initial_intel));
}

static void test_ranges(const struct range *rows, unsigned count)
{
	uint64_t value;

	for (unsigned i = 0; i < count; i++) {
		for (uint64_t m = rows[i].first; m <= rows[i].last; m++) {
			int status = rdmsr_safe((uint32_t)m, &value);

			check(status != OK, "MSR %lxh reads 0x%lx", m, value);
			check(wrmsr_safe((uint32_t)m, 0) != OK, "MSR %lxh can be written", m);
			check(trap_last.vector == EXC_GP && trap_last.error == 0,
				"MSR %lxh: exception %lu", m, trap_last.vector);
		}
	}
}

static void test_forbidden(void)
{
	test_ranges(forbidden, ARRAY_SIZE(forbidden));
	if (is_amd())
		test_ranges(forbidden_amd, ARRAY_SIZE(forbidden_amd));
	else
		test_ranges(forbidden_intel, ARRAY_SIZE(forbidden_intel));
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		/* These belong to the guest and go to the CPU, and QEMU's takes anything. */
		if (refused[i].value == NON_CANONICAL && on_qemu_cpu())
			continue;
		check(wrmsr_safe(refused[i].msr, refused[i].value) != OK, "MSR %xh takes 0x%lx",
			refused[i].msr, refused[i].value);
	}
}

static const uint32_t plain[] = {MSR_IA32_LSTAR, MSR_IA32_CSTAR, MSR_IA32_FS_BASE, MSR_IA32_GS_BASE,
	MSR_IA32_KERNEL_GS_BASE, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP};

/* Registers that hold any canonical address, across exits too. */
static void test_plain(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
		wrmsr(plain[i], 0xffff800012345000ull + i);
	cpuid(0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
		check(rdmsr(plain[i]) == 0xffff800012345000ull + i, "MSR %xh is 0x%lx", plain[i],
			rdmsr(plain[i]));
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++)
		wrmsr(plain[i], 0);
	wrmsr(MSR_IA32_STAR, 0x0023001000000000ull);
	check(rdmsr(MSR_IA32_STAR) == 0x0023001000000000ull, "STAR");
	wrmsr(MSR_IA32_FMASK, 0x47700);
	check(rdmsr(MSR_IA32_FMASK) == 0x47700, "FMASK");
}

static void test_tsc(void)
{
	uint64_t slack = time_us_to_tsc(100000), old = rdmsr(MSR_IA32_TSC_ADJUST), tsc,
		 delta = 1ull << 40;

	check(rdmsr(MSR_IA32_TSC) - rdtsc() + slack < 2 * slack, "RDMSR TSC differs from RDTSC");
	tsc = rdtsc();
	wrmsr(MSR_IA32_TSC, tsc + delta);
	check(rdtsc() - tsc - delta < slack, "a write to the TSC has no effect");
	check(rdmsr(MSR_IA32_TSC_ADJUST) - old - delta + slack < 2 * slack,
		"TSC_ADJUST did not follow the TSC: 0x%lx", rdmsr(MSR_IA32_TSC_ADJUST));
	tsc = rdtsc();
	wrmsr(MSR_IA32_TSC_ADJUST, rdmsr(MSR_IA32_TSC_ADJUST) - delta);
	check(rdtsc() - tsc + delta < slack, "a write to TSC_ADJUST has no effect");
	wrmsr(MSR_IA32_TSC_ADJUST, old);
}

static void test_apic_base(void)
{
	const uint64_t base = rdmsr(MSR_IA32_APIC_BASE) & ~(APIC_BASE_EN | APIC_BASE_EXTD);
	const uint64_t x2 = base | APIC_BASE_EN | APIC_BASE_EXTD, x1 = base | APIC_BASE_EN;
	uint64_t value;

	check(rdmsr_safe(0x802, &value) != OK, "x2APIC registers in xAPIC mode");
	check(wrmsr_safe(MSR_IA32_APIC_BASE, x2) == OK, "xAPIC to x2APIC refused");
	check(rdmsr_safe(0x802, &value) == OK && value == 0, "no x2APIC ID register");
	check(rdmsr_safe(0x80e, &value) != OK, "x2APIC has a DFR");
	check(wrmsr_safe(0x802, 0) != OK, "the x2APIC ID can be written");
	check(wrmsr_safe(0x80b, 1) != OK, "x2APIC EOI takes 1");
	check(wrmsr_safe(0x808, 0x100) != OK, "x2APIC TPR takes 100h");
	check(wrmsr_safe(MSR_IA32_APIC_BASE, x1) != OK, "x2APIC to xAPIC allowed");
	check(wrmsr_safe(MSR_IA32_APIC_BASE, base) == OK, "x2APIC to disabled refused");
	check(!(cpuid(1, 0).edx & CPUID_1_EDX_APIC), "CPUID shows the disabled APIC");
	check(wrmsr_safe(MSR_IA32_APIC_BASE, x2) != OK, "disabled to x2APIC allowed");
	check(wrmsr_safe(MSR_IA32_APIC_BASE, x1) == OK, "disabled to xAPIC refused");
	check(cpuid(1, 0).edx & CPUID_1_EDX_APIC, "CPUID does not show the APIC");
	apic_init();
}

/* MTRRs are stored; PAT takes effect and reads back. */
static void test_memory_types(void)
{
	const uint64_t fixed = 0x0606050504040100ull, pat = 0x0706050401000706ull;

	wrmsr(MSR_IA32_MTRR_FIX64K_00000, fixed);
	check(rdmsr(MSR_IA32_MTRR_FIX64K_00000) == fixed, "fixed MTRR");
	wrmsr(MSR_IA32_MTRR_FIX64K_00000, 0x0606060606060606ull);
	wrmsr(MSR_IA32_MTRR_PHYSBASE0 + 4, 0xc0000000 | MEMTYPE_UC);
	wrmsr(MSR_IA32_MTRR_PHYSBASE0 + 5, 0xc0000000 | MTRR_PHYSMASK_V);
	check(rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 4) == 0xc0000000, "variable MTRR base");
	check(rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 5) == (0xc0000000 | MTRR_PHYSMASK_V),
		"variable MTRR mask");
	wrmsr(MSR_IA32_MTRR_PHYSBASE0 + 5, 0);
	wrmsr(MSR_IA32_PAT, pat);
	cpuid(0, 0);
	check(rdmsr(MSR_IA32_PAT) == pat, "PAT is 0x%lx", rdmsr(MSR_IA32_PAT));
	wrmsr(MSR_IA32_PAT, PAT_RESET_VALUE);
}

static void test_efer(void)
{
	uint64_t efer = rdmsr(MSR_IA32_EFER);

	check(wrmsr_safe(MSR_IA32_EFER, efer | EFER_NXE | EFER_SCE) == OK,
		"EFER takes no NXE and SCE");
	check(rdmsr(MSR_IA32_EFER) == (efer | EFER_NXE | EFER_SCE), "EFER is 0x%lx",
		rdmsr(MSR_IA32_EFER));
	/* LMA is read-only: the written value does not matter. */
	check(wrmsr_safe(MSR_IA32_EFER, EFER_LME) == OK, "EFER takes no LME alone");
	check(rdmsr(MSR_IA32_EFER) == (EFER_LME | EFER_LMA), "EFER is 0x%lx", rdmsr(MSR_IA32_EFER));
	wrmsr(MSR_IA32_EFER, efer);
}

static void test_tsc_aux(void)
{
	uint32_t aux;

	if (!(cpuid(CPUID_LEAF_EXT_FEAT, 0).edx & CPUID_EXT1_EDX_RDTSCP))
		return;
	wrmsr(MSR_IA32_TSC_AUX, 0x12345678);
	rdtscp(&aux);
	check(aux == 0x12345678, "RDTSCP gives TSC_AUX 0x%x", aux);
	check(rdmsr(MSR_IA32_TSC_AUX) == 0x12345678, "TSC_AUX reads 0x%lx",
		rdmsr(MSR_IA32_TSC_AUX));
}

/* What a kernel does with them at its start: everything on, nothing reported. */
static void test_machine_check(void)
{
	for (uint32_t i = 0; i < BANKS; i++) {
		uint32_t ctl = MSR_IA32_MC0_CTL + 4 * i;

		wrmsr(ctl, 0);
		check(rdmsr(ctl) == 0, "MC%u_CTL is 0x%lx", i, rdmsr(ctl));
		wrmsr(ctl, ~0ull);
		check(rdmsr(ctl) == ~0ull, "MC%u_CTL is 0x%lx", i, rdmsr(ctl));
		for (uint32_t n = 1; n < 4; n++) {
			wrmsr(ctl + n, 0);
			check(rdmsr(ctl + n) == 0, "bank %u reports 0x%lx", i, rdmsr(ctl + n));
		}
	}
	wrmsr(MSR_IA32_MCG_CTL, ~0ull);
	check(rdmsr(MSR_IA32_MCG_CTL) == ~0ull, "MCG_CTL is 0x%lx", rdmsr(MSR_IA32_MCG_CTL));
	wrmsr(MSR_IA32_MCG_STATUS, 0);
}

static void test_misc_enable(void)
{
	const uint64_t other = 0x400c51889ull;
	uint64_t old = rdmsr(MSR_IA32_MISC_ENABLE);

	wrmsr(MSR_IA32_MISC_ENABLE, other | (old & 0xf7f));
	check(rdmsr(MSR_IA32_MISC_ENABLE) == (other | (old & 0xf7f)), "MISC_ENABLE is 0x%lx",
		rdmsr(MSR_IA32_MISC_ENABLE));
	check(cpuid(0, 0).eax == 2, "leaf 0 tells 0x%x in spite of its limit", cpuid(0, 0).eax);
	check(!(cpuid(CPUID_LEAF_EXT_FEAT, 0).edx & CPUID_EXT1_EDX_NX), "NX in spite of XD off");
	wrmsr(MSR_IA32_MISC_ENABLE, old);
	check(cpuid(0, 0).eax > 2, "leaf 0 stays limited");
	check(cpuid(CPUID_LEAF_EXT_FEAT, 0).edx & CPUID_EXT1_EDX_NX, "NX stays off");
}

/* These follow a feature. */
static void test_features(void)
{
	bool xsaves = cpuid(0, 0).eax >= CPUID_LEAF_XSAVE &&
		      (cpuid(CPUID_LEAF_XSAVE, 1).eax & CPUID_D_1_EAX_XSAVES);
	bool pks = cpuid(0, 0).eax >= CPUID_LEAF_EXTENDED &&
		   (cpuid(CPUID_LEAF_EXTENDED, 0).ecx & CPUID_7_ECX_PKS);
	uint64_t value = 0;

	check((rdmsr_safe(MSR_IA32_XSS, &value) == OK) == xsaves && value == 0,
		"XSS reads 0x%lx, XSAVES %u", value, xsaves);
	check((wrmsr_safe(MSR_IA32_XSS, 0) == OK) == xsaves, "XSS, XSAVES %u", xsaves);
	value = 0;
	check((rdmsr_safe(MSR_IA32_PKRS, &value) == OK) == pks && value == 0,
		"PKRS reads 0x%lx, PKS %u", value, pks);
	if (!pks)
		return;
	wrmsr(MSR_IA32_PKRS, 0xdeadbeec);
	cpuid(0, 0);
	check(rdmsr(MSR_IA32_PKRS) == 0xdeadbeec, "PKRS is 0x%lx", rdmsr(MSR_IA32_PKRS));
	wrmsr(MSR_IA32_PKRS, 0);
}

void payload_run(void)
{
	if (on_bulkhead()) {
		test_initial();
		test_forbidden();
		test_tsc();
		test_apic_base();
		test_machine_check();
		test_misc_enable();
		test_features();
	}
	test_plain();
	test_memory_types();
	test_efer();
	test_tsc_aux();
}
