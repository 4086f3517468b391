/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vCPU of the VT-x backend on the fake machine, with hooks that record each exit: the fixture
 * of the VT-x tests. The test scripts the guest entry by entry.
 */
#ifndef TESTS_FAKES_VMX_WORLD_H
#define TESTS_FAKES_VMX_WORLD_H

#include "arch/x86/mm/pt.h"
#include "arch/x86/vmx/vmx.h"
#include "tests/fakes/fake.h"

#define WORLD_STEPS 8u
#define WORLD_OWNER 40u

struct vmx_world {
	struct vcpu v;
	struct pt stage2;
	struct virt_caps caps;
	/*
	 * What the guest does at entry i, and what the hook answers; after the last step ACT_LEAVE.
	 */
	void (*step[WORLD_STEPS])(struct vcpu *v);
	enum exit_action action[WORLD_STEPS];
	unsigned steps, at;
	struct vm_exit exit[WORLD_STEPS];
	/* Called by before_entry; NULL: moves reinject to event. */
	void (*before)(struct vcpu *v);
	unsigned before_entry_calls;
	/* Called by the hook with each exit. */
	void (*on_exit)(struct vcpu *v, const struct vm_exit *e);
};
extern struct vmx_world world;

/* Machine up, CPU 0 in VMX operation, the vCPU loaded and in 64-bit mode at 0x1000 with IF set. */
void world_init(void);
void world_state(struct vcpu_state *s); /* that state */
void world_fini(void);
/* A vCPU of the same world's stage 2, e.g. a second one. */
void world_vcpu_init(struct vcpu *v, unsigned vpid);
/* Turn VMX on, on the selected CPU. */
void world_enable_cpu(void);
/*
 * Run one step: `guest` plays, the hook answers `action`; when it goes on, the next entry exits at
 * once.
 */
const struct vm_exit *world_run(void (*guest)(struct vcpu *v), enum exit_action action);

#endif
