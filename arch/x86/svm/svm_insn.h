/* SPDX-License-Identifier: Apache-2.0 */
/* SVM instructions that are not part of the entry stub. Host tests replace this with a fake. */
#ifndef ARCH_X86_SVM_SVM_INSN_H
#define ARCH_X86_SVM_SVM_INSN_H

#ifdef HOST_BUILD
#include "tests/fakes/svm_fake.h"
#else
#include "hv/lib/types.h"

/* FS, GS, TR, LDTR, KERNEL_GS_BASE and the MSRs of SYSCALL and SYSENTER, to a VMCB's save area. */
static inline void vmsave(hpa_t area)
{
	__asm__ volatile("vmsave %%rax" : : "a"(area) : "memory");
}
#endif

#endif
