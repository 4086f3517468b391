/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The per-CPU area, reached through the GS base, with this CPU's descriptor tables and stacks.
 * Knows nothing of guests beyond a pointer it keeps for others.
 *
 * Locking: a CPU's area belongs to that CPU; others read index, apic_id and the counters only.
 */
#ifndef ARCH_X86_CPU_CPU_H
#define ARCH_X86_CPU_CPU_H

#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/segment.h"
#include "hv/lib/types.h"

#define CPUS_MAX 256u

/* SDM vol. 3, "64-Bit Task State Segment" */
struct PACKED tss64 {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[0] is IST1 */
	uint64_t reserved2;
	uint16_t reserved3;
	uint16_t iomap_base;
};
_Static_assert(sizeof(struct tss64) == 104, "TSS, SDM vol. 3");
_Static_assert(offsetof(struct tss64, ist) == 36, "TSS, SDM vol. 3");

/*
 * One CPU's stacks, in an aligned piece of address space. An unmapped page lies below each, so that
 * an overflow is a #PF (#DF when it hits the main stack) and never another stack's corruption.
 */
#define CPU_STACKS_SIZE KIB(64)
#define CPU_NMI_STACK   KIB(4) /* from here to the next guard */
#define CPU_DF_STACK    KIB(16)
#define CPU_MC_STACK    KIB(28)
#define CPU_IST_SIZE    KIB(8)
#define CPU_MAIN_STACK  KIB(40)
#define CPU_MAIN_SIZE   KIB(16)

/* Interrupt stack table indices. */
#define IST_NMI 1u
#define IST_DF  2u
#define IST_MC  3u

struct trap_frame;

struct cpu {
	struct cpu *self; /* must be first: gs_self() */
	uint32_t index;   /* 0 is the boot CPU, the others in firmware order */
	uint32_t apic_id;
	bool counted; /* by cpu_add() */

	/* For the code above: nothing in arch/x86/cpu looks at them. */
	void *vcpu;      /* the vCPU running on or owning this CPU */
	void *virt_data; /* the vendor backend's own per-CPU state */
	hpa_t virt_page; /* its VMXON region or host save area */

	/*
	 * Called on the NMI stack at any instruction with everything blocked; NULL: NMIs are only
	 * counted. NMIs coalesce.
	 */
	void (*nmi_handler)(struct cpu *cpu, struct trap_frame *frame);
	uint64_t nmi_count;
	uint64_t irq_count[256];

	uintptr_t stacks;    /* base of CPU_STACKS_SIZE bytes */
	uintptr_t stack_top; /* of the main stack, 16-byte aligned: fit for HOST_RSP */
	uint64_t gdt[GDT_SLOTS] ALIGNED(16);
	struct tss64 tss ALIGNED(16);
};

static inline struct cpu *this_cpu(void)
{
	return gs_self();
}

/*
 * One more than the highest index, and each CPU by index; NULL for one that did not start, and
 * beyond.
 */
unsigned cpu_count(void);
struct cpu *cpu_get(unsigned index);

/* From linker/hypervisor.lds, page aligned. */
extern char hv_start[], hv_text_start[], hv_text_end[], hv_rodata_start[], hv_rodata_end[],
	hv_data_start[], hv_data_end[], hv_symbols_start[], hv_end[];
extern char hv_boot_stacks[]; /* the boot CPU's stacks, in the data segment: entry.S */

/*
 * First thing on the boot CPU: GS base, GDT, TSS and IDT, so that from here on a fault is a panic
 * screen.
 */
void cpu_init_boot(void);

/* For smp.c: fill in a zeroed area for a further CPU; `stacks` is mapped. It is not counted yet. */
void cpu_prepare(struct cpu *cpu, unsigned index, uint32_t apic_id, uintptr_t stacks);
/* For smp.c: count a CPU that has come up. */
void cpu_add(struct cpu *cpu);
/* Load GS base, GDT, TSS and IDT: on the CPU itself. */
void cpu_load(struct cpu *cpu);
/*
 * CR0, CR4, EFER, PAT as this hypervisor wants them: on every CPU, once its page tables are
 * loaded.
 */
void cpu_set_control(void);

/*
 * CPUID with the leaf checked against the largest one of its range: zeroes if there is no such
 * leaf.
 */
struct cpuid_regs cpu_cpuid(uint32_t leaf, uint32_t subleaf);

#endif
