/* SPDX-License-Identifier: Apache-2.0 */
/*
 * THE contract between the hypervisor and a CPU vendor's virtualization extension. Everything above
 * this header is neutral; everything below it (arch/x86/vmx, arch/x86/svm) decodes its own exit
 * format into struct vm_exit and answers the small questions of struct virt_ops.
 *
 * Rule of ownership: every function here that takes a vCPU runs on the CPU that owns that vCPU,
 * with interrupts off, unless it says otherwise. Other CPUs only post to vcpu->attention and kick.
 */
#ifndef ARCH_X86_VIRT_VIRT_H
#define ARCH_X86_VIRT_VIRT_H

#include "arch/x86/virt/timing.h"
#include "hv/lib/types.h"

/* General registers in the numbering of instruction encodings. */
enum gpr_index {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15,
	GPR_COUNT
};

/* Registers that live in the vendor's control structure or only in the CPU. */
enum vcpu_reg {
	REG_RSP,
	REG_RFLAGS,
	REG_CR0,
	REG_CR2,
	REG_CR3,
	REG_CR4,
	REG_EFER,
	REG_DR7,
	REG_PAT,
	REG_SYSENTER_CS,
	REG_SYSENTER_ESP,
	REG_SYSENTER_EIP,
	REG_FS_BASE,
	REG_GS_BASE,
	REG_COUNT
};

enum segment_index { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* Attributes are bits 8-15 and 20-23 of a descriptor's second word, as bits 0-7 and 12-15. */
#define SEG_ATTR_TYPE     0x000fu
#define SEG_ATTR_S        0x0010u
#define SEG_ATTR_DPL      0x0060u
#define SEG_ATTR_P        0x0080u
#define SEG_ATTR_L        0x2000u
#define SEG_ATTR_DB       0x4000u
#define SEG_ATTR_G        0x8000u
#define SEG_ATTR_UNUSABLE 0x10000u

struct segment {
	uint16_t selector;
	uint32_t attr;
	uint32_t limit; /* in bytes, already scaled by G */
	uint64_t base;
};

struct descriptor_table {
	uint64_t base;
	uint32_t limit;
};

/* The state a vCPU starts with, and what a post-mortem or the instruction emulator looks at. */
struct vcpu_state {
	uint64_t rip, rsp, rflags;
	uint64_t cr0, cr2, cr3, cr4, efer, dr7;
	struct segment seg[SEG_COUNT];
	struct descriptor_table gdtr, idtr;
};

/* The part that the emulator needs for each instruction; segments' bases and limits it asks for. */
struct vcpu_mode {
	uint64_t rsp, rflags, cr0, cr3, cr4, efer;
	uint32_t cs_attr, ss_attr;
};

/* Why the guest was left. The vendor's raw number stays in vm_exit.raw for counters and reports. */
enum exit_reason {
	EXIT_UNKNOWN = 0, /* nothing here knows it: stops the guest */
	EXIT_AGAIN,       /* nothing to do but to enter the guest again */
	EXIT_INTERRUPT,   /* a host interrupt; already served when the handler runs */
	EXIT_NMI,         /* a host NMI; already served */
	EXIT_INTERRUPT_WINDOW,
	EXIT_NMI_WINDOW,
	EXIT_EXCEPTION,
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_IO,
	EXIT_RDMSR,
	EXIT_WRMSR,
	EXIT_CR,
	EXIT_TPR,        /* the guest has lowered its TPR below v->tpr_threshold */
	EXIT_APIC_WRITE, /* it has written a LAPIC register, and the instruction is complete */
	EXIT_APIC_EOI,   /* it has ended a level-triggered interrupt; the page knows */
	EXIT_XSETBV,
	EXIT_HYPERCALL,
	EXIT_STAGE2,        /* access that the stage-2 tables do not allow */
	EXIT_CACHE_CONTROL, /* WBINVD, INVD */
	EXIT_UNDEFINED,     /* instruction that does not exist in a guest: #UD */
	EXIT_FORBIDDEN,     /* instruction that answers #GP: RDPMC, ... */
	EXIT_TASK_SWITCH,   /* VT-x only: AMD-V lets the guest do it */
	EXIT_INIT,
	EXIT_SIPI,
	EXIT_TRIPLE_FAULT,
	EXIT_ENTRY_FAILURE,
	EXIT_COUNT
};

/* Port accesses: OUT unless IO_IN; INS and OUTS have IO_STRING. */
#define IO_IN     1u
#define IO_STRING 2u
#define IO_REP    4u

/* Who switches tasks, in VT-x's numbering. */
enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE };

enum cr_access_kind { CR_WRITE, CR_READ, CR_CLTS, CR_LMSW };

struct vm_exit {
	uint8_t reason;   /* enum exit_reason */
	uint8_t insn_len; /* of the instruction that exited; only where a handler completes it */
	uint32_t raw;     /* the vendor's number */
	uint32_t info;    /* for the flight recorder */
	union {
		struct {
			uint16_t port;
			uint8_t size;
			uint8_t kind; /* IO_* */
		} io;
		struct {
			uint8_t number, gpr; /* gpr: enum gpr_index */
			uint8_t kind;        /* enum cr_access_kind */
			uint16_t lmsw;
		} cr;
		struct {
			gpa_t gpa;
			gva_t gva;
			bool gva_valid, read, write, fetch;
			bool mapped;  /* the page is mapped, the access kind is what was refused */
			bool walking; /* the CPU was reading the guest's own page tables */
			uint8_t byte_count;   /* 0: the hardware did not keep the instruction */
			const uint8_t *bytes; /* of the instruction that made the access */
		} stage2;
		struct {
			uint16_t offset; /* in the register page, which holds what was written */
			uint8_t vector;  /* EXIT_APIC_EOI */
		} apic;
		struct {
			uint8_t vector, type; /* type: enum event_type */
			bool has_error;
			uint32_t error;
		} exception;
		struct {
			uint16_t selector; /* of the new TSS; insn_len means nothing for events */
			uint8_t source;    /* enum task_source */
		} task;
		struct {
			uint32_t error; /* vendor's error number */
			uint64_t detail;
		} failure;
	};
};

/* What a handler wants next. */
enum exit_action {
	ACT_RESUME, /* enter the guest where it is */
	ACT_NEXT,   /* the instruction is complete: step over it, then enter */
	ACT_LEAVE,  /* return from virt_ops.run */
};

/* An event to deliver at the next entry; types as in the SDM's interruption information. */
enum event_type {
	EVENT_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INTERRUPT = 4,
	EVENT_PRIVILEGED_SOFT = 5,
	EVENT_SOFT_EXCEPTION = 6,
};

struct vcpu_event {
	bool valid, has_error;
	uint8_t type; /* enum event_type */
	uint8_t vector;
	uint8_t insn_len; /* soft events only */
	uint32_t error;
};

struct vcpu;

/* vcpu->attention */
#define VCPU_POSTED   0x1u /* the owner's posted work: see hv/vm */
#define VCPU_REINJECT 0x2u /* v->reinject is valid */
#define VCPU_EVENT    0x4u /* an event or interrupt may be deliverable */
#define VCPU_LEAVE    0x8u /* leave the run loop */

/*
 * What the CPU does with a LAPIC's registers by itself (virt_caps.apic), and what of that is made
 * use of (vcpu.apic). All of it works on the register page: a model that reads it sees the same as
 * without, except for what it keeps beside the page.
 */
#define VCPU_APIC_TPR       0x1u /* CR8 and the TPR: no exit, and PPR does not follow */
#define VCPU_APIC_PAGE      0x2u /* the TPR also in the page at its usual address */
#define VCPU_APIC_MSRS      0x4u /* the TPR also as an MSR of the x2APIC */
#define VCPU_APIC_REGISTERS 0x8u /* with those two, other registers: EXIT_APIC_WRITE */
/*
 * The LAPIC's interrupts go from IRR to ISR, to the guest, and end with EOI, all without an exit,
 * wherever the registers are; PPR follows. Only those whose bit in the TMR is set: EXIT_APIC_EOI.
 */
#define VCPU_APIC_DELIVERY  0x10u

/* How software reaches the registers now. */
enum vcpu_apic_place {
	VCPU_APIC_NOWHERE, /* disabled, or the page is not where it usually is */
	VCPU_APIC_IN_PAGE,
	VCPU_APIC_IN_MSRS,
};

struct pt_format;

struct vcpu_hooks {
	/*
	 * Called before an entry when vcpu->attention is set: look at everything posted, choose an
	 * event. False: leave the run loop instead of entering.
	 */
	bool (*before_entry)(struct vcpu *v);
	/*
	 * This hardware does not say how long the instruction is (insn_len), or which register a
	 * CR access uses (cr.gpr): look at its bytes. code_root: as virt_ops.code_root says. The
	 * reason becomes EXIT_AGAIN where RIP does not lead to it any more, or leads to a fault,
	 * which is then pending.
	 */
	void (*decode)(struct vcpu *v, struct vm_exit *e, uint64_t code_root);
	enum exit_action (*exit[EXIT_COUNT])(struct vcpu *v, const struct vm_exit *e);
};

/* The flight recorder: the last exits, oldest overwritten. */
#define RECORDER_SIZE 64
struct recorder_entry {
	uint64_t rip;
	uint32_t raw;
	uint32_t
		info; /* port, MSR number, CPUID leaf, low gpa: what the reason makes interesting */
};

struct vcpu {
	uint64_t gpr[GPR_COUNT]; /* gpr[RSP] is not valid: ask vcpu_gpr_read */
	uint64_t rip;            /* valid after each exit */
	uint32_t attention;      /* atomic: VCPU_* bits, set by anyone, taken by before_entry */
	bool launched;
	bool want_interrupt_window, want_nmi_window;
	/*
	 * With VCPU_APIC_DELIVERY: the highest vectors in IRR and ISR, 0 if there is none. They and
	 * the TMR count if apic_update is set, which the backend clears.
	 */
	uint8_t apic_requested, apic_in_service;
	bool apic_update;
	/* With virt_caps.tpr_shown: bits 7:4 of the TPR, as of the last before_entry. */
	uint8_t tpr_class;
	/* With VCPU_APIC_TPR alone: exit when TPR bits 7:4 are below this. Not above them. */
	uint8_t tpr_threshold;
	struct vcpu_event event;    /* chosen for the next entry */
	struct vcpu_event reinject; /* its delivery was cut short by the last exit */
	const struct vcpu_hooks *hooks;
	const struct virt_ops *ops;
	void *vendor; /* the backend's own part */

	unsigned id;             /* number within the VM, also its APIC ID */
	unsigned vpid;           /* 1.. unique among live vCPUs: VPID or ASID tag */
	unsigned cpu;            /* index of the CPU that owns it */
	uint16_t owner;          /* frame owner that pays for it */
	uint64_t stage2_root;    /* hpa of the stage-2 root table */
	uint64_t cr4_guest_bits; /* CR4 bits that this guest's CPUID allows it to set */
	bool has_rdtscp, has_invpcid, has_xsaves;
	unsigned apic;   /* VCPU_APIC_* */
	void *apic_page; /* the register page, a frame; meaningful if any of them is set */
	/*
	 * With VCPU_APIC_PAGE: the frame that stage 2 has at the page's usual address, so that the
	 * CPU knows the access. Nothing is ever read from it or written to it: it is there only
	 * while all vCPUs of the guest are VCPU_APIC_IN_PAGE.
	 */
	hpa_t apic_access;
	uint8_t apic_place; /* enum vcpu_apic_place */

	struct exit_timing timing;
	uint64_t exits[EXIT_COUNT];
	uint32_t recorder_at; /* next slot */
	struct recorder_entry recorder[RECORDER_SIZE];
};

/* What this machine's CPUs can do, the same on all of them (checked at bring-up). */
struct virt_caps {
	bool page_1g, page_2m, accessed_dirty;
	bool tsc_scaling;
	bool invpcid, rdtscp;
	bool xsavec; /* and it does what it should: virt/xsave.h */
	bool xsaves;
	unsigned apic;          /* VCPU_APIC_* */
	unsigned apic_doubtful; /* those of them that are known to go wrong here */
	bool tpr_shown; /* the guest may read CR8 past the intercept: it gets v->tpr_class */
	uint64_t cr4;   /* CR4 bits this CPU can hold */
	unsigned tags;  /* VPIDs or ASIDs, 0 excluded */
};

struct virt_ops {
	const char *name; /* "VT-x", "AMD-V" */
	const struct pt_format *stage2_format;

	/* On every CPU, before enabling. On failure *reason is a sentence for the user. */
	int (*cpu_check)(struct virt_caps *caps, const char **reason);
	int (*cpu_enable)(unsigned cpu, const char **reason);
	void (*cpu_disable)(void);

	/*
	 * Make or free the vendor's part; memory is charged to v->owner. init may run on any CPU.
	 */
	int (*vcpu_init)(struct vcpu *v);
	/* The vCPU becomes this CPU's guest: control structure loaded, stale translations gone. */
	void (*vcpu_load)(struct vcpu *v);
	/*
	 * It will not run here again before the next vcpu_load: nothing of it stays cached in this
	 * CPU.
	 */
	void (*vcpu_unload)(struct vcpu *v);

	/* Enter the guest again and again until a hook says ACT_LEAVE or before_entry false. */
	void (*run)(struct vcpu *v);

	void (*state_set)(struct vcpu *v, const struct vcpu_state *state);
	void (*state_get)(struct vcpu *v, struct vcpu_state *state);
	void (*mode_get)(struct vcpu *v, struct vcpu_mode *mode);
	/*
	 * CR3 while the guest runs 64-bit code at CPL 0 and no breakpoint is armed, else
	 * VCPU_NO_ROOT.
	 */
	uint64_t (*code_root)(struct vcpu *v);
	void (*segment_get)(struct vcpu *v, enum segment_index index, struct segment *segment);
	/* The DPL of SS is the CPL, whether SS is usable or not. */
	void (*segment_set)(struct vcpu *v, enum segment_index index, const struct segment *s);
	void (*table_get)(struct vcpu *v, bool idt, struct descriptor_table *table);
	void (*table_set)(struct vcpu *v, bool idt, const struct descriptor_table *table);
	uint64_t (*reg_read)(struct vcpu *v, enum vcpu_reg reg);
	void (*reg_write)(struct vcpu *v, enum vcpu_reg reg, uint64_t value);
	/* NULL: the CPU reads them from the guest's memory itself, each when it needs it. */
	void (*pdpte_set)(struct vcpu *v, const uint64_t pdpte[4]);
	void (*tsc_offset_set)(struct vcpu *v, uint64_t offset);
	/*
	 * The instruction at v->rip is complete: go on at rip, end its shadow, raise a due single
	 * step.
	 */
	void (*instruction_done)(struct vcpu *v, uint64_t rip);
	/*
	 * What an instruction that is complete leaves behind: the shadow of a load of SS; NMIs
	 * blocked, by one that was delivered without the CPU, or no longer, by IRET.
	 */
	void (*shadow_begin)(struct vcpu *v);
	void (*nmi_block)(struct vcpu *v, bool blocked);
	/* #DB behind the instruction, with these bits of DR6, unless an exception is pending. */
	void (*debug_trap)(struct vcpu *v, uint64_t dr6);
	/* v->apic_place (and stage 2 there) or v->apic has changed, the latter not to or from 0. */
	void (*apic_changed)(struct vcpu *v);
	uint32_t (*interruptibility)(struct vcpu *v); /* VCPU_BLOCKED_* bits */
	void (*flush_guest_tlb)(struct vcpu *v);      /* the guest's own translations */
	void (*flush_stage2)(struct vcpu *v);         /* on this CPU, all that used this root */
};

#define VCPU_BLOCKED_INTERRUPTS 1u /* IF clear, or shadow of STI or MOV SS */
#define VCPU_BLOCKED_NMI        2u

#define VCPU_NO_ROOT UINT64_MAX /* no CR3 is: high bits are reserved */

extern const struct virt_ops vmx_ops, svm_ops;

static inline uint64_t vcpu_gpr_read(struct vcpu *v, unsigned gpr)
{
	return gpr == RSP ? v->ops->reg_read(v, REG_RSP) : v->gpr[gpr & 15];
}

static inline void vcpu_gpr_write(struct vcpu *v, unsigned gpr, uint64_t value)
{
	if (gpr == RSP)
		v->ops->reg_write(v, REG_RSP, value);
	else
		v->gpr[gpr & 15] = value;
}

#endif
