/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/cpu/trap.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"

static struct cpu boot_cpu;
static struct cpu *cpus[CPUS_MAX];
static unsigned count;

unsigned cpu_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_ACQUIRE);
}

struct cpu *cpu_get(unsigned index)
{
	return index < cpu_count() ? cpus[index] : NULL;
}

void cpu_add(struct cpu *cpu)
{
	CHECK(cpu->index >= count && cpu->index < CPUS_MAX);
	cpus[cpu->index] = cpu;
	__atomic_store_n(&count, cpu->index + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&cpu->counted, true, __ATOMIC_RELEASE);
}

struct cpuid_regs cpu_cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs top = cpuid(leaf & 0x80000000u, 0);

	/* Beyond the largest leaf Intel answers with another leaf's values. */
	if (leaf > top.eax || (top.eax ^ leaf) >> 31)
		return (struct cpuid_regs){0};
	return cpuid(leaf, subleaf);
}

static void fill_gdt(struct cpu *cpu)
{
	uint64_t base = (uint64_t)&cpu->tss, limit = sizeof(cpu->tss) - 1;
	uint64_t flat = DESC_LIMIT_MAX | DESC_G | DESC_P | DESC_S;

	cpu->gdt[SEL_NULL / 8] = 0;
	cpu->gdt[SEL_CODE64 / 8] = flat | DESC_L | (uint64_t)DESC_TYPE_CODE_RX << DESC_TYPE_SHIFT;
	cpu->gdt[SEL_DATA / 8] = flat | DESC_DB | (uint64_t)DESC_TYPE_DATA_RW << DESC_TYPE_SHIFT;
	cpu->gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56 |
				DESC_P | (uint64_t)DESC_TYPE_TSS_AVAIL << DESC_TYPE_SHIFT;
	cpu->gdt[SEL_TSS / 8 + 1] = base >> 32;
}

void cpu_prepare(struct cpu *cpu, unsigned index, uint32_t apic_id, uintptr_t stacks)
{
	cpu->self = cpu;
	cpu->index = index;
	cpu->apic_id = apic_id;
	cpu->stacks = stacks;
	cpu->stack_top = stacks + CPU_MAIN_STACK + CPU_MAIN_SIZE;
	cpu->tss.ist[IST_NMI - 1] = stacks + CPU_NMI_STACK + CPU_IST_SIZE;
	cpu->tss.ist[IST_DF - 1] = stacks + CPU_DF_STACK + CPU_IST_SIZE;
	cpu->tss.ist[IST_MC - 1] = stacks + CPU_MC_STACK + CPU_IST_SIZE;
	cpu->tss.iomap_base = sizeof(cpu->tss); /* no I/O bitmap */
	fill_gdt(cpu);
}

void cpu_load(struct cpu *cpu)
{
	struct desc_ptr gdtr = {sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt};

	lgdt(&gdtr);
	load_segments(SEL_CODE64, SEL_DATA);
	wrmsr(MSR_IA32_GS_BASE, (uint64_t)cpu);
	wrmsr(MSR_IA32_FS_BASE, 0);
	lldt(SEL_NULL);
	ltr(SEL_TSS);
	trap_load_idt();
}

void cpu_init_boot(void)
{
	trap_init();
	cpu_prepare(
		&boot_cpu, 0, cpuid(CPUID_LEAF_FEATURES, 0).ebx >> 24, (uintptr_t)hv_boot_stacks);
	cpu_load(&boot_cpu);
	cpu_add(&boot_cpu);
	CHECK(!(read_cr4() & CR4_LA57)); /* the loader's tables have four levels, so do ours */
}

static uint64_t wanted_cr4(void)
{
	struct cpuid_regs features = cpu_cpuid(CPUID_LEAF_FEATURES, 0);
	struct cpuid_regs extended = cpu_cpuid(CPUID_LEAF_EXTENDED, 0);
	uint64_t cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (features.edx & CPUID_1_EDX_PGE)
		cr4 |= CR4_PGE;
	if (features.edx & CPUID_1_EDX_MCE)
		cr4 |= CR4_MCE;
	if (features.ecx & CPUID_1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (extended.ebx & CPUID_7_EBX_SMEP)
		cr4 |= CR4_SMEP;
	if (extended.ebx & CPUID_7_EBX_SMAP)
		cr4 |= CR4_SMAP;
	if (extended.ecx & CPUID_7_ECX_UMIP)
		cr4 |= CR4_UMIP;
	return cr4;
}

/*
 * AMD's LFENCE waits for everything before it only with this bit (APM vol. 3, LFENCE), and guests
 * are told that it does. CPUs that have no such register need none.
 */
static void make_lfence_serialize(void)
{
	struct cpuid_regs vendor = cpuid(CPUID_LEAF_VENDOR, 0);
	uint64_t value;

	if (vendor.ecx != CPUID_VENDOR_AMD_ECX && vendor.ecx != CPUID_VENDOR_HYGON_ECX)
		return;
	if (rdmsr_safe(MSR_AMD_DE_CFG, &value) == OK)
		(void)!wrmsr_safe(MSR_AMD_DE_CFG, value | DE_CFG_LFENCE_SERIALIZES);
}

void cpu_set_control(void)
{
	uint64_t cr4 = wanted_cr4() | (read_cr4() & CR4_VMXE);

	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	/* Nothing used the entry that changes, so no cache flush; the TLB is flushed by CR4.PGE. */
	wrmsr(MSR_IA32_PAT, HOST_PAT);
	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4);
	make_lfence_serialize();
}
