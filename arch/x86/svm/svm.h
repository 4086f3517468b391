/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the AMD-V backend share. Nothing outside arch/x86/svm includes this. */
#ifndef ARCH_X86_SVM_SVM_H
#define ARCH_X86_SVM_SVM_H

#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/svm.h"
#include "arch/x86/virt/virt.h"

/* The vendor's part of a vCPU; one frame, charged to the guest, the VMCB in a second one. */
struct svm_vcpu {
	struct vmcb *vmcb;
	hpa_t vmcb_pa;
	hpa_t host_area; /* where this CPU's FS, GS, TR, ... are kept while the guest has them */
	bool cr4_mce;    /* the guest's own CR4.MCE; the real one is always set */
	uint64_t v_intr; /* what the VMCB's always has */
	/*
	 * AMD-V does not know that NMIs are blocked until IRET. IRET is intercepted meanwhile; it
	 * has not been executed then, so they stay blocked until RIP has moved on.
	 */
	bool nmi_blocked, iret_seen;
	uint64_t iret_rip;
	/* The last exit without a cause in the guest found a shadow at this RIP, or lost it. */
	bool shadow_seen, shadow_lost;
	uint64_t shadow_rip;
	/* This entry takes its interrupt as a virtual one. */
	bool injects_twice; /* svm_config's */
	bool virtual_taken;
	uint8_t virtual_vector;
	/* One instruction is single-stepped, because an NMI or interrupt waits behind it. */
	bool stepping;
	bool step_tf; /* the guest's own TF */
};

/* What has to be found out about an exit before anybody can handle it. */
#define SVM_NEED_LENGTH 1u /* the instruction's length, where the CPU does not tell it */
#define SVM_NEED_DECODE 2u /* what only this kind of exit has */

/* What this machine has, found once by svm_cpu_check on the boot CPU. */
struct svm_config {
	uint32_t asids;
	uint32_t features; /* CPUID_SVM_EDX_* */
	uint32_t clean;    /* SVM_CLEAN_*: what vmcb.clean says when nothing has changed */
	uint32_t flush;    /* SVM_TLB_*: the least that drops one guest's translations */
	uint32_t needs;    /* SVM_NEED_*: all but what the CPU does itself */
	uint64_t v_intr;   /* SVM_V_*: what every guest has */
	/*
	 * QEMU without KVM forgets that it has injected an interrupt: if it is called away before
	 * the guest's next exit, it delivers it once more. Virtual interrupts come once.
	 */
	bool injects_twice;
	hpa_t iopm;  /* ones: every port exits */
	hpa_t msrpm; /* ones but for MSRs that are the guest's own */
};
extern struct svm_config svm_config;

/* What virt_ops.code_root answers. */
static inline uint64_t vmcb_code_root(const struct vmcb *b)
{
	bool kernel64 = (b->efer & EFER_LMA) && (b->seg[SEG_CS].attr & (SEG_ATTR_L >> 4)) &&
			b->cpl == 0;

	return LIKELY(kernel64) ? b->cr3 : VCPU_NO_ROOT;
}

/* caps.c */
int svm_cpu_check(struct virt_caps *caps, const char **reason);
int svm_cpu_enable(unsigned cpu, const char **reason);
void svm_cpu_disable(void);
hpa_t svm_host_area(unsigned cpu);

/* vmcb.c */
int svm_vcpu_init(struct vcpu *v);
void svm_vcpu_load(struct vcpu *v);
void svm_vcpu_unload(struct vcpu *v);
void svm_state_set(struct vcpu *v, const struct vcpu_state *s);
void svm_state_get(struct vcpu *v, struct vcpu_state *s);
void svm_mode_get(struct vcpu *v, struct vcpu_mode *m);
uint64_t svm_code_root(struct vcpu *v);
void svm_segment_get(struct vcpu *v, enum segment_index index, struct segment *s);
uint64_t svm_reg_read(struct vcpu *v, enum vcpu_reg reg);
void svm_reg_write(struct vcpu *v, enum vcpu_reg reg, uint64_t value);
void svm_tsc_offset_set(struct vcpu *v, uint64_t offset);
void svm_flush(struct vcpu *v);

/* event.c: pure. */
void svm_intercept_usual(struct svm_vcpu *x);
void svm_inject(struct svm_vcpu *x, struct vcpu_event *event);
void svm_take_back(struct vcpu *v);
void svm_save_vectoring(struct vcpu *v);
void svm_update_windows(struct vcpu *v);
void svm_keep_shadow(struct svm_vcpu *x);
uint32_t svm_interruptibility(struct vcpu *v);
void svm_iret(struct vcpu *v);
/* After each exit: what had been taken as a virtual interrupt may wait still. */
void svm_virtual_end(struct vcpu *v);
/* After each exit while stepping; tells whether the exit is that of the step and nothing else. */
bool svm_step_end(struct vcpu *v);

/* exit.c */
void svm_run(struct vcpu *v);
void svm_instruction_done(struct vcpu *v, uint64_t rip);
void svm_debug_trap(struct vcpu *v, uint64_t dr6);

/* What svm_enter returns. */
enum svm_enter_result {
	SVM_ENTERED = 0, /* and has exited again */
	SVM_ABORTED = 1, /* something was posted at the last moment */
};

/* entry.S */
int svm_enter(struct vcpu *v, struct svm_vcpu *x);

#endif
