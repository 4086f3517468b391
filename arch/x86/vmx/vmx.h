/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the VT-x backend share. Nothing outside arch/x86/vmx includes this. */
#ifndef ARCH_X86_VMX_VMX_H
#define ARCH_X86_VMX_VMX_H

#include "arch/x86/virt/virt.h"

/* The vendor's part of a vCPU; one frame, charged to the guest, the VMCS in a second one. */
struct vmx_vcpu {
	uint64_t host_rsp; /* what VMCS_HOST_RSP holds: written only when it changes */
	hpa_t vmcs;
	uint32_t proc_base;     /* VMCS_PROC_CONTROLS without windows */
	uint32_t proc_controls; /* what it holds */
	uint32_t tpr_threshold; /* what VMCS_TPR_THRESHOLD holds */
	uint64_t eoi_exit[4];   /* what VMCS_EOI_EXIT0 and the next three hold */
	uint32_t proc2_base;    /* VMCS_PROC2_CONTROLS without what depends on v->apic_place */
	uint64_t eptp;
	uint64_t cr4_mask;
	bool controls_set; /* the VMCS holds controls and guest state, loaded or not */
};

/* Controls for this machine, computed once by vmx_cpu_check on the boot CPU. */
struct vmx_config {
	uint32_t revision;
	uint32_t pin, proc, proc2, exit, entry;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	uint64_t ept_vpid_cap;
	unsigned apic;    /* VCPU_APIC_*: what the CPU has */
	hpa_t io_bitmaps; /* two frames of ones: every port exits */
	hpa_t msr_bitmap; /* ones but for MSRs that are the guest's own */
	/* The same, but for those of the x2APIC that the CPU virtualizes. */
	hpa_t msr_bitmap_x2apic;
};
extern struct vmx_config vmx_config;

/* caps.c */
/*
 * Control bits from a capability MSR (SDM vol. 3, "Reserved controls and default settings"):
 * `required` bits must be available, `wanted` ones are set where they are, all others as the MSR
 * demands. False: a required bit is missing.
 */
bool vmx_adjust_controls(
	uint64_t capability, uint32_t required, uint32_t wanted, uint32_t *controls);
int vmx_cpu_check(struct virt_caps *caps, const char **reason);
/*
 * MSR bitmap: read-low, read-high, write-low, write-high, 1 KiB each; a 0 bit lets the guest
 * through.
 */
void vmx_msr_bitmap_allow(uint8_t *bitmap, uint32_t msr, bool read, bool write);
int vmx_cpu_enable(unsigned cpu, const char **reason);
void vmx_cpu_disable(void);

/* vmcs.c */
int vmx_vcpu_init(struct vcpu *v);
void vmx_vcpu_load(struct vcpu *v);
void vmx_vcpu_unload(struct vcpu *v);
void vmx_state_set(struct vcpu *v, const struct vcpu_state *s);
void vmx_state_get(struct vcpu *v, struct vcpu_state *s);
void vmx_mode_get(struct vcpu *v, struct vcpu_mode *m);
uint64_t vmx_code_root(struct vcpu *v);
void vmx_segment_get(struct vcpu *v, enum segment_index index, struct segment *s);
uint64_t vmx_reg_read(struct vcpu *v, enum vcpu_reg reg);
void vmx_reg_write(struct vcpu *v, enum vcpu_reg reg, uint64_t value);
void vmx_pdpte_set(struct vcpu *v, const uint64_t pdpte[4]);
void vmx_tsc_offset_set(struct vcpu *v, uint64_t offset);
uint32_t vmx_interruptibility(struct vcpu *v);
void vmx_flush_guest_tlb(struct vcpu *v);
void vmx_flush_stage2(struct vcpu *v);

/* apic.c */
/* What the CPU has, by the capability MSRs of the processor-based controls. */
unsigned vmx_apic_caps(uint64_t proc_capability, uint64_t proc2_capability);
/* Clear the bits of MSRs that need no exit while the LAPIC is in them. */
void vmx_apic_msr_bitmap(uint8_t *bitmap);
/* A VMCS's first controls. */
void vmx_apic_init(const struct vcpu *v, struct vmx_vcpu *x);
void vmx_apic_changed(struct vcpu *v);
/* What before_entry has decided. */
void vmx_apic_update(struct vcpu *v, struct vmx_vcpu *x);

/* exit.c */
void vmx_run(struct vcpu *v);
void vmx_instruction_done(struct vcpu *v, uint64_t rip);

/* What vmx_enter returns. */
enum vmx_enter_result {
	VMX_ENTERED = 0,     /* and has exited again */
	VMX_NOT_ENTERED = 1, /* VMLAUNCH or VMRESUME failed: VMCS_INSN_ERROR */
	VMX_ABORTED = 2,     /* something was posted, or an NMI came, at the last moment */
};

/* nmi.c: the CPU's nmi_handler. */
struct cpu;
struct trap_frame;
void vmx_nmi(struct cpu *cpu, struct trap_frame *frame);

/* entry.S */
int vmx_enter(struct vcpu *v, struct vmx_vcpu *x, bool launched);
extern const char vmx_exit_entry[];
extern const char vmx_enter_window[], vmx_enter_window_end[], vmx_enter_abort[];

#endif
