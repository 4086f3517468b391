/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU of the AMD-V backend on the fake machine, with hooks that record each exit: the fixture
 * of the AMD-V tests, as vmx_world.h is that of VT-x.
 */
#ifndef TESTS_FAKES_SVM_WORLD_H
#define TESTS_FAKES_SVM_WORLD_H

#include "arch/x86/mm/pt.h"
#include "arch/x86/svm/svm.h"
#include "tests/fakes/fake.h"

#define SVMW_STEPS 8u
#define SVMW_OWNER 40u

struct svm_world {
	struct vcpu v;
	struct svm_vcpu *x; /* its vendor part, */
	struct vmcb *b;     /* and VMCB */
	struct pt stage2;
	struct virt_caps caps;
	/*
	 * What the guest does at entry i, and what the hook answers; after the last step ACT_LEAVE.
	 */
	void (*step[SVMW_STEPS])(struct vcpu *v);
	enum exit_action action[SVMW_STEPS];
	unsigned steps, at;
	struct vm_exit exit[SVMW_STEPS];
	/* Called by before_entry; NULL: moves reinject to event. */
	void (*before)(struct vcpu *v);
	unsigned before_entry_calls;
	/* The hook for instructions whose length is not known; NULL: the test fails. */
	bool (*decode)(struct vcpu *v, struct vm_exit *e);
	unsigned decode_calls;
};
extern struct svm_world svmw;

/*
 * Machine up, CPU 0 with EFER.SVME, the vCPU loaded and in 64-bit mode at 0x1000 with IF set.
 * features: CPUID_SVM_EDX_* that the CPUs have, besides NP.
 */
void svmw_init(void);
void svmw_init_with(uint32_t features, uint32_t asids);
void svmw_state(struct vcpu_state *s); /* that state */
void svmw_fini(void);
/* A vCPU of the same world's stage 2, e.g. a second one. */
void svmw_vcpu_init(struct vcpu *v, unsigned vpid);
/* EFER.SVME and what goes with it, on this CPU. */
void svmw_enable_cpu(void);
/*
 * Run one step: the guest plays, the hook answers `action`; when it goes on, the next entry exits
 * at once.
 */
const struct vm_exit *svmw_run(void (*guest)(struct vcpu *v), enum exit_action action);

#endif
