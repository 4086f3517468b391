/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine that host tests run on: CPUs with registers, MSRs, CPUID, VT-x or AMD-V and a TLB,
 * and RAM. It is stricter than hardware: what would be undefined, a fault or a failed entry there
 * fails the test here, and everything done to it is counted and recorded. Tests change the model
 * directly; it is reset by fake_reset(). One thread only: "other CPUs" are chosen by
 * fake_cpu_select().
 */
#ifndef TESTS_FAKES_FAKE_H
#define TESTS_FAKES_FAKE_H

#include "arch/x86/cpu/insn.h"
#include "arch/x86/virt/virt.h"

#define FAKE_CPUS     4u
#define FAKE_MSRS     96u
#define FAKE_HISTORY  4096u
#define FAKE_RAM_BASE MIB(16) /* first host-physical address that is RAM */
#define FAKE_RAM_SIZE MIB(64)
#define FAKE_TSC_HZ   2000000000ull

/* What was done, in order; the same numbers count. */
enum fake_action {
	FAKE_VMREAD, /* a: field, b: value */
	FAKE_VMWRITE,
	FAKE_RDMSR,
	FAKE_WRMSR,
	FAKE_INVEPT,  /* a: type, b: EPTP */
	FAKE_INVVPID, /* a: type, b: VPID */
	FAKE_IN,      /* a: port, b: value */
	FAKE_OUT,
	FAKE_CPUID,
	FAKE_VMXON,
	FAKE_VMXOFF,
	FAKE_VMCLEAR,
	FAKE_VMPTRLD,
	FAKE_VMSAVE,    /* a: area */
	FAKE_TLB_FLUSH, /* by VMRUN; a: TLB_CONTROL, b: ASID */
	FAKE_ENTER,     /* VT-x: a: 1 launch, 0 resume; AMD-V: a: clean bits */
	FAKE_INJECT,    /* a: interruption information, b: error code; AMD-V: a: EVENTINJ */
	FAKE_IRQ_WINDOW,
	FAKE_HALT,
	FAKE_HOST_NMI,
	FAKE_HOST_MC,
	FAKE_CR_WRITE, /* a: number, b: value */
	FAKE_XSETBV,
	FAKE_ACTIONS
};

struct fake_record {
	enum fake_action action;
	unsigned cpu;
	uint64_t a, b;
};

struct fake_msr {
	uint32_t msr;
	bool read_only;
	uint64_t value;
};

struct fake_cpuid {
	uint32_t leaf, subleaf;
	struct cpuid_regs r;
};

#define FAKE_VECTOR_SIZE 64

struct fake_cpu {
	uint8_t vector[16][FAKE_VECTOR_SIZE];
	uint64_t mmx[8];
	uint32_t mxcsr;
	uint64_t cr0, cr2, cr3, cr4, cr8, dr[8], rflags, xcr0;
	uint64_t xcr0_supported;
	uint8_t ymm[256]; /* the upper halves: the only extended state there is */
	uint32_t pkru;
	unsigned xsavec_low;    /* XSAVEC stores them so much too low: 160 in Bochs 2.7 */
	uint64_t tsc, tsc_step; /* each RDTSC advances by the step */
	struct desc_ptr gdt, idt;
	uint16_t tr;
	void *gs;
	struct fake_msr msr[FAKE_MSRS];
	unsigned msr_count;
	const struct fake_cpuid *cpuid;
	unsigned cpuid_count;
	hpa_t vmxon, current; /* 0: none */
	uint64_t descriptors[8] ALIGNED(16);
};

struct fake_machine {
	struct fake_cpu cpu[FAKE_CPUS];
	unsigned count[FAKE_ACTIONS];
	struct fake_record history[FAKE_HISTORY];
	unsigned history_used; /* recording stops when full, counting does not */
	/*
	 * What an interrupt handler does when irq_window() or sti_hlt_cli() lets it run; NULL:
	 * nothing.
	 */
	void (*interrupt)(void *ctx);
	void *interrupt_ctx;
};
extern struct fake_machine fake;
/* The CPU this code runs on. */
extern struct fake_cpu *fake_this;

/* What a violation does; NULL: print and abort. Does not return. Tests: FAKE_FAIL_IN_CMOCKA(). */
extern void (*fake_fail_hook)(const char *text);
void fake_fail(const char *format, ...) PRINTF(1, 2) NORETURN;

/* Needs <cmocka.h>. */
#define FAKE_FAIL_IN_CMOCKA()                                                                      \
	static void fake_fail_cmocka(const char *text)                                             \
	{                                                                                          \
		fail_msg("%s", text);                                                              \
	}

/* A fresh machine: four Skylake-like CPUs after bring-up, RAM all clean, no VMX operation. */
void fake_reset(void);
void fake_cpu_select(unsigned cpu);
unsigned fake_cpu_index(void);
void fake_counts_clear(void);
void fake_record(enum fake_action action, uint64_t a, uint64_t b);

/* ---- MSRs and CPUID of the selected CPU ---- */
void fake_msr_set(uint32_t msr, uint64_t value); /* adds it if there is none */
void fake_msr_remove(uint32_t msr);
uint64_t fake_msr_get(uint32_t msr);
void fake_cpuid_skylake(void);
void fake_cpuid_amd(void);
/* Change one leaf of this CPU's table. */
void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, struct cpuid_regs r);
/* In the shape that cpuid_params wants; counts nothing. */
struct cpuid_regs fake_cpuid_host(void *ctx, uint32_t leaf, uint32_t subleaf);

/* ---- VT-x ---- */
struct fake_injection {
	bool valid;
	uint8_t vector, type;
	bool has_error;
	uint32_t error, insn_len;
	uint64_t rip; /* where the guest was */
};

struct fake_vmx {
	/* Plays the guest for one entry: looks at `injected`, changes state, calls fake_exit*(). */
	void (*guest)(struct vcpu *v, void *ctx);
	void *ctx;
	struct fake_injection injected; /* by the entry now running or the last one */
	uint8_t delivered; /* last vector that the CPU delivered itself in this entry, 0: none */
	bool cut_short; /* set by the guest: the injected event was not delivered (IDT vectoring) */
	bool tolerate;  /* an entry that hardware refuses is refused as hardware does */
	/*
	 * Set in vcpu.attention when the next entry is as good as made: the entry must not happen.
	 */
	uint32_t post_before_entry;
	uint32_t fail_next; /* not 0: the next entry is VMfailValid with this error */
	char problem[160];  /* why the last refused entry was refused */
	unsigned entries, exit_set;
};
extern struct fake_vmx fake_vmx;

/* Fields of the current VMCS, uncounted; the guest may write what VMWRITE may not. */
uint64_t fake_vmcs_get(uint32_t field);
void fake_vmcs_set(uint32_t field, uint64_t value);
bool fake_vmcs_defined(uint32_t field);

/*
 * How the guest is left. Fields that hardware leaves undefined for this exit cannot be read
 * afterwards.
 */
void fake_exit(uint32_t reason, uint64_t qualification);
void fake_exit_insn(uint32_t reason, uint64_t qualification, uint32_t length);
void fake_exit_exception(uint32_t intr_info, uint32_t error, uint64_t qualification);
void fake_exit_ept(gpa_t gpa, gva_t gva, uint64_t qualification);
void fake_vectoring(uint32_t info, uint32_t error, uint32_t insn_len);

/*
 * What a guest does to its LAPIC, with whatever the controls let the CPU do itself. True: it has
 * left the guest.
 */
bool fake_guest_cr8(struct vcpu *v, uint64_t value); /* MOV to CR8, from RAX */
/* MOV [RDI], EAX and MOV EAX, [RDI]: two bytes, which the test has put at RIP. */
bool fake_guest_store(struct vcpu *v, gpa_t gpa, uint32_t value);
bool fake_guest_load(struct vcpu *v, gpa_t gpa, uint32_t *value);
/* Of the x2APIC. */
bool fake_guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
bool fake_guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
/* STI and an instruction behind it: a virtual interrupt may come, see fake_vmx.delivered. */
void fake_guest_sti(void);

/*
 * An access of the current VMCS's guest (its linear addresses are physical): through this CPU's
 * TLB, filled from the stage-2 tables. 0: no translation.
 */
hpa_t fake_guest_access(gpa_t gpa);
/* Translations on any CPU that lead to, or were found through, frames in [base, base + size). */
unsigned fake_tlb_refers(hpa_t base, uint64_t size);
unsigned fake_tlb_entries(unsigned cpu);
void fake_tlb_clear(void);

/* ---- AMD-V ---- */
struct vmcb;

struct fake_svm {
	/* Plays the guest for one VMRUN: changes *fake_vmcb(), calls one of fake_svm_exit*(). */
	void (*guest)(struct vcpu *v, void *ctx);
	void *ctx;
	struct fake_injection injected; /* by the VMRUN now running or the last one */
	bool tolerate;                  /* what VMRUN refuses gives an exit with SVM_EXIT_INVALID */
	bool invalid_short;             /* ... of 32 bits, as QEMU's */
	bool interrupted;               /* the machine's interrupt comes before anything else */
	uint32_t post_before_entry;
	char problem[160];
	unsigned entries, exit_set;
};
extern struct fake_svm fake_svm;

/* After fake_reset(): all CPUs are AMD's, with all of SVM and no ASID shortage. */
void fake_machine_amd(void);
/* CPUID 8000_000Ah of this CPU. */
void fake_svm_features(uint32_t edx, uint32_t asids);

/* Of the VMRUN now running or the last one. */
struct vmcb *fake_vmcb(void);

/*
 * How the guest is left; fields that mean nothing for this exit are filled with garbage. The
 * intercept must be set, but for fake_svm_exit_code().
 */
void fake_svm_exit(uint64_t code, uint64_t info1, uint64_t info2);
void fake_svm_exit_insn(uint64_t code, uint64_t info1, unsigned length);
void fake_svm_exit_npf(uint64_t info1, gpa_t gpa, const uint8_t *bytes, unsigned count);
void fake_svm_exit_code(uint64_t code);
/* The exit cut short the delivery of this event: EXITINTINFO without its valid bit. */
void fake_svm_vectoring(uint64_t info);
/*
 * The guest executes one instruction, or IRET: RIP and RFLAGS afterwards. True: it has left the
 * guest, by IRET's intercept or because RFLAGS.TF was set.
 */
bool fake_svm_step(uint64_t rip, uint64_t rflags);
bool fake_svm_iret(uint64_t rip, uint64_t rflags);

/* As fake_guest_access() and fake_tlb_entries(), with the CPU's ASIDs. In the guest's turn only. */
hpa_t fake_svm_access(gpa_t gpa);
unsigned fake_svm_tlb_entries(unsigned cpu);

#endif
