/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paging under the guest's own control: permissions, page sizes, PCIDs, user mode, and device
 * registers reached through its tables. The tests map things at WINDOW; what lies below 4 GiB
 * stays mapped 1:1.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("paging");

#define WINDOW 0x8000000000ul /* the second PML4 entry */
#define RW     (PTE_P | PTE_W)

static uint64_t pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096), pt[512] ALIGNED(4096);
static uint64_t pml4_b[512] ALIGNED(4096), pdpt_b[512] ALIGNED(4096), pd_b[512] ALIGNED(4096),
	pt_b[512] ALIGNED(4096);
static uint8_t page[2][4096] ALIGNED(4096), user_stack[4096] ALIGNED(4096);

static volatile uint64_t *window(unsigned index)
{
	return (volatile uint64_t *)(WINDOW + 4096ul * index);
}

static uint64_t *pml4(void)
{
	return (uint64_t *)(read_cr3() & CR3_ADDR_MASK);
}

static void map(unsigned index, uint64_t entry)
{
	pt[index] = entry;
	invlpg((uint64_t)window(index));
}

static void setup(void)
{
	pdpt[0] = (uint64_t)pd | RW | PTE_U;
	pd[0] = (uint64_t)pt | RW | PTE_U;
	pml4()[1] = (uint64_t)pdpt | RW | PTE_U;
	*(uint64_t *)page[0] = 0x1111;
	*(uint64_t *)page[1] = 0x2222;
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

static void fault(void (*fn)(uint64_t), unsigned index, uint64_t error, const char *text)
{
	check_fault(EXC_PF, fn, (uint64_t)window(index), text);
	check(trap_last.error == error && trap_last.cr2 == (uint64_t)window(index),
		"%s: error %lxh at 0x%lx, not %lxh", text, trap_last.error, trap_last.cr2, error);
}

static void test_map(void)
{
	map(0, (uint64_t)page[0] | RW);
	check(*window(0) == 0x1111 && (pt[0] & PTE_A) && !(pt[0] & PTE_D),
		"4 KiB page, read: 0x%lx", pt[0]);
	*window(0) = 0x3333;
	check(*(volatile uint64_t *)page[0] == 0x3333 && (pt[0] & PTE_D),
		"4 KiB page, write: 0x%lx", pt[0]);
	map(0, (uint64_t)page[1] | RW);
	check(*window(0) == 0x2222, "a new translation after INVLPG: 0x%lx", *window(0));
	pt[0] = (uint64_t)page[0] | RW;
	write_cr3(read_cr3());
	check(*window(0) == 0x3333, "a new translation after CR3: 0x%lx", *window(0));
	map(0, 0);
	fault(read_at, 0, 0, "not present");
	fault(write_at, 0, PF_ERR_W, "write to not present");
}

static void test_permissions(void)
{
	/* SDM vol. 3, "Page-Fault Exceptions": RSVD comes with P; not so in QEMU without KVM. */
	const uint64_t reserved = PF_ERR_RSVD | (on_qemu_cpu() ? 0 : PF_ERR_P);

	map(1, (uint64_t)page[0] | PTE_P);
	write_cr0(read_cr0() | CR0_WP);
	fault(write_at, 1, PF_ERR_P | PF_ERR_W, "read-only");
	write_cr0(read_cr0() & ~CR0_WP);
	check(!trap_try(write_at, (uint64_t)window(1)), "read-only without CR0.WP");
	write_cr0(read_cr0() | CR0_WP);
	page[1][0] = 0xc3; /* RET */
	map(2, (uint64_t)page[1] | RW);
	check(!trap_try(call_at, (uint64_t)window(2)), "execute");
	map(2, (uint64_t)page[1] | RW | PTE_NX);
	fault(read_at, 2, reserved, "NX without EFER.NXE");
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
	check(!trap_try(read_at, (uint64_t)window(2)), "NX page, read");
	fault(call_at, 2, PF_ERR_P | PF_ERR_I, "NX page, execute");
	map(2, (uint64_t)page[1] | RW | 1ull << 51);
	fault(read_at, 2, reserved, "reserved bit");
	check_fault(EXC_GP, read_at, 0x800000000000ul, "non-canonical address");
}

static void test_large(void)
{
	pd[1] = 0 | RW | PTE_PS; /* 2 MiB at address 0 */
	check(*(volatile uint32_t *)(WINDOW + MIB(2) + (uint64_t)guest_info) == PAYLOAD_MAGIC,
		"2 MiB page");
	if (cpuid(CPUID_LEAF_EXT_FEAT, 0).edx & CPUID_EXT1_EDX_PAGE1GB) {
		pdpt[1] = 0 | RW | PTE_PS;
		check(*(volatile uint32_t *)(WINDOW + GIB(1) + (uint64_t)guest_info) ==
				PAYLOAD_MAGIC,
			"1 GiB page");
	} else {
		pdpt[1] = 0 | RW | PTE_PS;
		check_fault(EXC_PF, read_at, WINDOW + GIB(1), "1 GiB page on a CPU without");
	}
	pdpt[1] = 0;
	write_cr3(read_cr3());
}

static void test_supervisor(void)
{
	uint32_t ebx = cpuid(CPUID_LEAF_EXTENDED, 0).ebx;

	page[1][0] = 0xc3;
	map(3, (uint64_t)page[1] | RW | PTE_U);
	if (ebx & CPUID_7_EBX_SMEP) {
		check(!trap_try(call_at, (uint64_t)window(3)), "user page, execute without SMEP");
		write_cr4(read_cr4() | CR4_SMEP);
		fault(call_at, 3, PF_ERR_P | PF_ERR_I, "SMEP");
		write_cr4(read_cr4() & ~CR4_SMEP);
	}
	if (ebx & CPUID_7_EBX_SMAP) {
		write_cr4(read_cr4() | CR4_SMAP);
		fault(read_at, 3, PF_ERR_P, "SMAP, read");
		fault(write_at, 3, PF_ERR_P | PF_ERR_W, "SMAP, write");
		stac();
		check(*(volatile uint8_t *)window(3) == 0xc3, "SMAP with AC");
		clac();
		write_cr4(read_cr4() & ~CR4_SMAP);
	}
}

static void enter_user(uint64_t rip)
{
	__asm__ volatile("pushq %0; pushq %1; pushq $2; pushq %2; pushq %3; iretq"
			 :
			 : "r"((uint64_t)GUEST_USERDS), "r"((uint64_t)window(5) + 4096),
			 "r"((uint64_t)GUEST_USERCS), "r"(rip)
			 : "memory");
}

static void user(
	const uint8_t *code, unsigned size, unsigned vector, uint64_t error, const char *text)
{
	memcpy(page[0], code, size);
	check_fault(vector, enter_user, (uint64_t)window(4), text);
	check(trap_last.error == error, "%s: error %lxh, not %lxh", text, trap_last.error, error);
}

#define USER(vector, error, text, ...)                                                             \
	user((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), vector,       \
		error, text)

static void test_user(void)
{
	static uint8_t kernel_stack[4096] ALIGNED(16);

	trap_set_kernel_stack((uint64_t)kernel_stack + sizeof(kernel_stack));
	map(4, (uint64_t)page[0] | RW | PTE_U);
	map(5, (uint64_t)user_stack | RW | PTE_U);
	USER(EXC_UD, 0, "user: UD2", 0x0f, 0x0b);
	USER(EXC_GP, 0, "user: CLI", 0xfa);
	USER(EXC_GP, 0, "user: HLT", 0xf4);
	USER(EXC_GP, 0, "user: RDMSR", 0x0f, 0x32);
	USER(EXC_GP, 0, "user: MOV from CR0", 0x0f, 0x20, 0xc0);
	USER(EXC_GP, 0, "user: MOV to CR3", 0x0f, 0x22, 0xd8);
	USER(EXC_GP, 0, "user: IN", 0xec);
	USER(EXC_GP, 0, "user: OUTSB", 0x6e);
	USER(EXC_GP, 0, "user: INVLPG", 0x0f, 0x01, 0x38);
	USER(EXC_GP, 0, "user: WBINVD", 0x0f, 0x09);
	/* cpuid; ud2 */
	USER(EXC_UD, 0, "user: CPUID", 0x0f, 0xa2, 0x0f, 0x0b);
	/* mov $1fh, %ax..: read of a supervisor page: mov 0x17000, %eax */
	USER(EXC_PF, PF_ERR_P | PF_ERR_U, "user: supervisor page", 0x8b, 0x04, 0x25, 0x00, 0x70,
		0x01, 0x00);
	USER(EXC_PF, PF_ERR_P | PF_ERR_U | PF_ERR_W, "user: write to the LAPIC", 0xb8, 0x80, 0x00,
		0xe0, 0xfe, 0x89, 0x00);
}

static void set_cr3(uint64_t value)
{
	write_cr3(value);
}

static void set_cr4(uint64_t value)
{
	write_cr4(value);
}

static void invpcid(uint64_t type, uint64_t pcid, uint64_t address)
{
	const uint64_t descriptor[2] = {pcid, address};

	__asm__ volatile("invpcid (%1), %0" : : "r"(type), "r"(descriptor) : "memory");
}

/* A second address space with its own page behind the window; switching keeps what is tagged. */
static void test_pcid(void)
{
	uint64_t a = read_cr3() & CR3_ADDR_MASK, b = (uint64_t)pml4_b;

	if (!(cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_PCID)) {
		if (on_bulkhead())
			check_fault(
				EXC_GP, set_cr4, read_cr4() | CR4_PCIDE, "CR4.PCIDE without PCIDs");
		return;
	}
	memcpy(pml4_b, pml4(), sizeof(pml4_b));
	pml4_b[1] = (uint64_t)pdpt_b | RW;
	pdpt_b[0] = (uint64_t)pd_b | RW;
	pd_b[0] = (uint64_t)pt_b | RW;
	pt_b[6] = (uint64_t)page[1] | RW;
	*(uint64_t *)page[0] = 0xaaaa;
	*(uint64_t *)page[1] = 0xbbbb;
	map(6, (uint64_t)page[0] | RW);
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(a | 1);
	check(*window(6) == 0xaaaa, "PCID 1: 0x%lx", *window(6));
	write_cr3(b | 2);
	check(*window(6) == 0xbbbb, "PCID 2: 0x%lx", *window(6));
	write_cr3(a | 1 | CR3_NO_FLUSH);
	check(*window(6) == 0xaaaa, "PCID 1 again: 0x%lx", *window(6));
	check((read_cr3() & CR3_PCID_MASK) == 1, "CR3 reads 0x%lx", read_cr3());
	check_fault(EXC_GP, set_cr4, read_cr4() & ~CR4_PAE, "CR4.PAE off in long mode");
	if (cpuid(CPUID_LEAF_EXTENDED, 0).ebx & CPUID_7_EBX_INVPCID) {
		pt_b[6] = (uint64_t)page[0] | RW;
		for (unsigned type = 0; type < 4; type++)
			invpcid(type, 2, (uint64_t)window(6));
		write_cr3(b | 2 | CR3_NO_FLUSH);
		check(*window(6) == 0xaaaa, "PCID 2 after INVPCID: 0x%lx", *window(6));
	}
	write_cr3(a);
	write_cr4(read_cr4() & ~CR4_PCIDE);
	check_fault(EXC_GP, set_cr3, a | 1ull << 62, "CR3 with a reserved bit");
}

static void test_global(void)
{
	write_cr4(read_cr4() | CR4_PGE);
	map(7, (uint64_t)page[0] | RW | PTE_G);
	read_at((uint64_t)window(7));
	pt[7] = (uint64_t)page[1] | RW | PTE_G;
	write_cr4(read_cr4() & ~CR4_PGE); /* drops global translations too */
	check(*window(7) == *(volatile uint64_t *)page[1], "global page after CR4.PGE");
}

/* A LAPIC register through the window, by code that runs in the window. */
static void test_device(void)
{
	/* mov (%rdi), %eax; mov %eax, (%rsi); ret */
	static const uint8_t code[] = {0x8b, 0x07, 0x89, 0x06, 0xc3};
	uint32_t result = 0;
	void (*copy)(uint64_t from, uint32_t * to) = (void (*)(uint64_t, uint32_t *))window(8);

	memcpy(page[0] + 4090, code, sizeof(code));
	copy = (void (*)(uint64_t, uint32_t *))((uint64_t)copy + 4090);
	map(8, (uint64_t)page[0] | RW);
	map(9, (uint64_t)page[1] | RW);
	map(10, APIC_DEFAULT_BASE | RW | PTE_PCD);
	copy((uint64_t)window(10) + APIC_VERSION, &result);
	check(result == apic_read(APIC_VERSION), "LAPIC through the window: 0x%x", result);
	copy(APIC_DEFAULT_BASE + APIC_VERSION, &result);
	check(result == apic_read(APIC_VERSION), "LAPIC by code in the window: 0x%x", result);
	/* An instruction over two pages: mov 0(%rdi), %eax with a displacement of 4 bytes. */
	memcpy(page[0] + 4093, (const uint8_t[]){0x8b, 0x87, 0}, 3);
	memcpy(page[1], (const uint8_t[]){0, 0, 0, 0x89, 0x06, 0xc3}, 6);
	copy = (void (*)(uint64_t, uint32_t *))((uint64_t)window(8) + 4093);
	copy(APIC_DEFAULT_BASE + APIC_LVT_LINT0, &result);
	check(result == apic_read(APIC_LVT_LINT0), "an instruction over two pages: 0x%x", result);
	map(10, APIC_DEFAULT_BASE | PTE_P);
	check_fault(EXC_PF, write_at, (uint64_t)window(10) + APIC_TPR, "read-only LAPIC");
}

void payload_run(void)
{
	setup();
	test_map();
	test_permissions();
	test_large();
	test_supervisor();
	test_user();
	test_pcid();
	test_global();
	test_device();
}
