/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/virt/switch.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "hv/lib/string.h"

#define PRED_CMD_IBPB      1u
#define FLUSH_CMD_L1D      1u
#define MXCSR_RESET        0x1f80u
#define XSAVE_MXCSR_OFFSET 24
#define FXSAVE_FCW_OFFSET  0
#define FCW_RESET          0x37fu
#define XSAVE_HEADER_END   576 /* legacy area and header: an init image needs no more */

/* A leaf, or zeroes where the CPU has no such leaf. */
static struct cpuid_regs leaf_or_zero(uint32_t leaf)
{
	return leaf <= cpuid(leaf & CPUID_LEAF_EXT_MAX, 0).eax ? cpuid(leaf, 0)
							       : (struct cpuid_regs){0};
}

/*
 * XRSTOR with XSTATE_BV = 0 puts every requested component into its initial state (SDM vol. 1,
 * "Operation of XRSTOR"); MXCSR is still read from memory.
 */
static void reset_extended_state(uint64_t xcr0_allowed)
{
	uint8_t area[XSAVE_HEADER_END] ALIGNED(64);
	const uint32_t mxcsr = MXCSR_RESET;
	const uint16_t fcw = FCW_RESET;
	struct cpuid_regs d;
	uint64_t all;

	memset(area, 0, sizeof(area));
	memcpy(area + XSAVE_MXCSR_OFFSET, &mxcsr, sizeof(mxcsr));
	memcpy(area + FXSAVE_FCW_OFFSET, &fcw, sizeof(fcw));
	if (!xcr0_allowed) {
		(void)!fxrstor_safe(area);
		return;
	}
	/*
	 * All that the CPU has: where XSETBV does not exit (QEMU), the previous owner may have
	 * switched on what it was not shown.
	 */
	d = leaf_or_zero(CPUID_LEAF_XSAVE);
	all = (uint64_t)d.edx << 32 | d.eax;
	if (xsetbv_safe(0, all) == OK)
		(void)!xrstor_safe(area, all);
	(void)!xsetbv_safe(0, XCR0_X87);
}

void switch_debug_reset(void)
{
	write_dr7(DR7_RESET);
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	write_dr6(DR6_RESET);
}

/* What flushes is told in leaf 7 by Intel's CPUs, in the extended leaves by AMD's. */
void switch_flush(void)
{
	struct cpuid_regs intel = leaf_or_zero(CPUID_LEAF_EXTENDED);
	struct cpuid_regs amd8 = leaf_or_zero(CPUID_LEAF_ADDRESS);
	struct cpuid_regs amd21 = leaf_or_zero(CPUID_LEAF_AMD_EXT2);

	if ((intel.edx & CPUID_7_EDX_IBRS_IBPB) || (amd8.ebx & CPUID_EXT8_EBX_IBPB))
		(void)!wrmsr_safe(MSR_IA32_PRED_CMD, PRED_CMD_IBPB);
	if (intel.edx & CPUID_7_EDX_L1D_FLUSH)
		(void)!wrmsr_safe(MSR_IA32_FLUSH_CMD, FLUSH_CMD_L1D);
	if ((intel.edx & CPUID_7_EDX_MD_CLEAR) || (amd21.eax & CPUID_EXT21_EAX_VERW_CLEAR))
		verw(0);
}

void switch_owner(uint64_t xcr0_allowed, bool has_tsc_aux)
{
	static const uint32_t msrs[] = {
		MSR_IA32_STAR,
		MSR_IA32_LSTAR,
		MSR_IA32_CSTAR,
		MSR_IA32_FMASK,
		MSR_IA32_KERNEL_GS_BASE,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		wrmsr(msrs[i], 0);
	if (has_tsc_aux)
		wrmsr(MSR_IA32_TSC_AUX, 0);
	if (leaf_or_zero(CPUID_LEAF_EXTENDED).ecx & CPUID_7_ECX_PKS)
		(void)!wrmsr_safe(MSR_IA32_PKRS, 0);
	/* The firmware's; a guest's is always 0. */
	if (cpu_cpuid(CPUID_LEAF_XSAVE, 1).eax & CPUID_D_1_EAX_XSAVES)
		(void)!wrmsr_safe(MSR_IA32_XSS, 0);
	write_cr2(0);
	switch_debug_reset();
	reset_extended_state(xcr0_allowed);
	switch_flush();
}
