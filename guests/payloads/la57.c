/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 5-level paging, where the CPU has it: into it and back by way of protected mode without paging,
 * since CR4.LA57 cannot change in long mode (SDM vol. 3, "Linear-Address Translation with 4-Level
 * Paging and 5-Level Paging").
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("la57");

#define RW        (PTE_P | PTE_W)
#define HIGH      (16ul << 48) /* not canonical with four levels */
#define HIGH_INDX 16
#define READ_ONLY (HIGH + MIB(4))
#define DEVICE    (READ_ONLY + 4096)

static uint64_t pml5[512] ALIGNED(4096), pml4[512] ALIGNED(4096), pdpt[512] ALIGNED(4096),
	pd[512] ALIGNED(4096), pt[512] ALIGNED(4096);
static uint64_t page[512] ALIGNED(4096);

/*
 * void la57_switch(uint32_t cr3, uint32_t cr4): the code, its stack and the tables lie below 4 GiB
 * and are mapped 1:1 before and after. Selectors 8 and 10h are the same in both GDTs.
 */
void la57_switch(uint32_t cr3, uint32_t cr4);
__asm__(".text\n"
	"la57_switch: pushq $0x18; pushq $1f; lretq\n"
	".code32\n"
	"1: movl %cr0, %eax; andl $0x7fffffff, %eax; movl %eax, %cr0\n"
	"movl %esi, %cr4; movl %edi, %cr3\n"
	"orl $0x80000000, %eax; movl %eax, %cr0\n"
	"ljmp $8, $2f\n"
	".code64\n"
	"2: ret\n");

static void switch_to(uint64_t cr3, uint64_t cr4)
{
	static uint64_t gdt[4] = {
		0, 0x00af9b000000ffffull, 0x00cf93000000ffffull, 0x00cf9b000000ffffull};
	const struct desc_ptr mine = {sizeof(gdt) - 1, (uint64_t)gdt};
	struct desc_ptr old;

	__asm__ volatile("sgdt %0" : "=m"(old));
	lgdt(&mine);
	la57_switch((uint32_t)cr3, (uint32_t)cr4);
	lgdt(&old);
}

static void set_cr4(uint64_t value)
{
	write_cr4(value);
}

static void read_at(uint64_t address)
{
	(void)*(volatile uint64_t *)address;
}

static void write_at(uint64_t address)
{
	*(volatile uint64_t *)address = 1;
}

static void call_at(uint64_t address)
{
	((void (*)(void))address)();
}

static void build(uint64_t old_pml4)
{
	pml5[0] = old_pml4 | RW;
	pml5[HIGH_INDX] = (uint64_t)pml4 | RW;
	pml4[0] = (uint64_t)pdpt | RW;
	pdpt[0] = (uint64_t)pd | RW;
	pd[0] = 0 | RW | PTE_PS;
	pd[1] = MIB(2) | RW | PTE_PS;
	pd[2] = (uint64_t)pt | RW;
	pt[0] = (uint64_t)page | PTE_P;
	pt[1] = APIC_DEFAULT_BASE | RW | PTE_PCD;
}

static void test_five_levels(void)
{
	volatile uint32_t *device = (volatile uint32_t *)(DEVICE + APIC_VERSION);

	check(read_cr4() & CR4_LA57, "CR4 is 0x%lx", read_cr4());
	*(volatile uint64_t *)(HIGH + (uint64_t)&page[1]) = 0x5555;
	check(page[1] == 0x5555 && (pml5[HIGH_INDX] & PTE_A) && (pml4[0] & PTE_A),
		"a page behind five levels: 0x%lx", page[1]);
	write_cr0(read_cr0() | CR0_WP);
	check_fault(EXC_PF, write_at, READ_ONLY + 8, "read-only");
	check(trap_last.error == (PF_ERR_P | PF_ERR_W) && trap_last.cr2 == READ_ONLY + 8,
		"read-only: error %lxh at 0x%lx", trap_last.error, trap_last.cr2);
	check_fault(EXC_PF, read_at, 17ul << 48, "no PML5 entry");
	check(trap_last.error == 0 && trap_last.cr2 == 17ul << 48, "no entry: error %lxh at 0x%lx",
		trap_last.error, trap_last.cr2);
	check_fault(EXC_GP, read_at, 1ul << 57, "non-canonical");
	page[2] = 0xc3; /* RET */
	check(!trap_try(call_at, HIGH + (uint64_t)&page[2]), "code behind five levels");
	/* Instructions that are emulated, and a device whose address the hypervisor must find. */
	check(*device == apic_read(APIC_VERSION), "LAPIC behind five levels: 0x%x", *device);
	check(cpuid(CPUID_LEAF_EXTENDED, 0).ecx & CPUID_7_ECX_LA57, "CPUID behind five levels");
	check_fault(EXC_GP, set_cr4, read_cr4() & ~CR4_LA57, "LA57 off in long mode");
}

void payload_run(void)
{
	uint64_t cr3 = read_cr3(), cr4 = read_cr4();
	bool has = cpuid(0, 0).eax >= CPUID_LEAF_EXTENDED &&
		   (cpuid(CPUID_LEAF_EXTENDED, 0).ecx & CPUID_7_ECX_LA57);

	check_fault(EXC_GP, set_cr4, cr4 | CR4_LA57, has ? "LA57 on in long mode" : "no LA57");
	switch_to(cr3, cr4); /* there and back with four levels */
	check(rdmsr(MSR_IA32_EFER) & EFER_LMA, "EFER is 0x%lx", rdmsr(MSR_IA32_EFER));
	if (!has) {
		print("la57: not present");
		return;
	}
	build(cr3 & CR3_ADDR_MASK);
	switch_to((uint64_t)pml5, cr4 | CR4_LA57);
	test_five_levels();
	switch_to(cr3, cr4);
	check(!(read_cr4() & CR4_LA57), "CR4 is 0x%lx", read_cr4());
	check_fault(EXC_GP, read_at, HIGH, "not canonical any more");
	print("la57: exercised");
}
