/* SPDX-License-Identifier: Apache-2.0 */
/* AMD-V: not there yet. */
#include "arch/x86/svm/svm.h"
#include "arch/x86/svm/svm_insn.h"
#include "tests/fakes/fake.h"

void vmsave(hpa_t area)
{
	fake_fail("VMSAVE to 0x%lx", (unsigned long)area);
}

int svm_enter(struct vcpu *v, struct svm_vcpu *x)
{
	(void)v;
	(void)x;
	fake_fail("VMRUN");
}
