/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the fake AMD-V. */
#ifndef TESTS_FAKES_SVM_FAKE_PRIV_H
#define TESTS_FAKES_SVM_FAKE_PRIV_H

#include "arch/x86/defs/svm.h"

/* CPUID_SVM_EDX_* of this CPU. */
uint32_t svm_features(void);
/* VMRUN's checks, and what it must never be asked for: NULL, or what is wrong. */
const char *svm_check_vmcb(const struct vmcb *b);
/* A group that VMCB's clean bits call unchanged, and is not; NULL: none. */
const char *svm_clean_group_differs(
	const struct vmcb *b, const struct vmcb *cached, uint32_t clean);
/* What VMRUN does to this CPU's TLB. */
void svm_tlb_enter(const struct vmcb *b);

#endif
