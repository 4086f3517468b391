/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host NMI that comes between the last look at what was posted and the VM entry: it makes the
 * entry not happen, so that the run loop looks again (design decision 11). In the guest an NMI is
 * an exit.
 */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/trap.h"
#include "arch/x86/vmx/vmx.h"

void vmx_nmi(struct cpu *cpu, struct trap_frame *frame)
{
	(void)cpu;
	if (frame->rip >= (uint64_t)vmx_enter_window && frame->rip < (uint64_t)vmx_enter_window_end)
		frame->rip = (uint64_t)vmx_enter_abort;
}
