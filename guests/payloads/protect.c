/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel protects itself and others with, and its doors: protection keys for user and
 * supervisor pages, UMIP, INVPCID's checks, CR4.TSD and RDPID, SYSCALL and SYSENTER. Where a
 * feature is not shown, its switches must refuse. Paging itself: paging.c.
 */
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("protect");

#define WINDOW   0x8000000000ul /* the second PML4 entry */
#define RW       (PTE_P | PTE_W)
#define KEY(n)   ((uint64_t)(n) << 59)
#define DENY_ALL 1u /* of a key's two bits */
#define DENY_WR  2u

enum { CODE, STACK, USER, SUPERVISOR };

/*
 * Said on the command line: the CPU asks who accesses a page, not whose page it is, to choose
 * between PKRU and PKRS, as Bochs's do.
 */
static bool keys_by_mode;

static uint64_t pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096), pt[512] ALIGNED(4096);
static uint8_t pages[4][4096] ALIGNED(4096);

static uint64_t window(unsigned index)
{
	return WINDOW + 4096ul * index;
}

static void map(unsigned index, uint64_t flags)
{
	pt[index] = (uint64_t)pages[index] | flags;
	invlpg(window(index));
}

static void setup(void)
{
	static uint8_t kernel_stack[4096] ALIGNED(16);
	uint64_t *pml4 = (uint64_t *)(read_cr3() & CR3_ADDR_MASK);

	pdpt[0] = (uint64_t)pd | RW | PTE_U;
	pd[0] = (uint64_t)pt | RW | PTE_U;
	pml4[1] = (uint64_t)pdpt | RW | PTE_U;
	map(CODE, RW | PTE_U);
	map(STACK, RW | PTE_U);
	map(USER, RW | PTE_U | KEY(1));
	map(SUPERVISOR, RW | KEY(2));
	trap_set_kernel_stack((uint64_t)kernel_stack + sizeof(kernel_stack));
	write_cr0(read_cr0() | CR0_WP);
}

static struct cpuid_regs leaf7(void)
{
	return cpuid(0, 0).eax >= CPUID_LEAF_EXTENDED ? cpuid(CPUID_LEAF_EXTENDED, 0)
						      : (struct cpuid_regs){0};
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

/* A store that the hypervisor makes: the port exits. */
static void input_to(uint64_t address)
{
	__asm__ volatile("insb" : "+D"(address) : "d"((uint16_t)0x3ff) : "memory");
}

/* error 0: no fault */
static void access(void (*fn)(uint64_t), unsigned index, uint64_t error, const char *text)
{
	if (!error) {
		bool faults = trap_try(fn, window(index));

		check(!faults, "%s: error %lxh", text, trap_last.error);
		return;
	}
	check_fault(EXC_PF, fn, window(index), text);
	check(trap_last.error == error, "%s: error %lxh, not %lxh", text, trap_last.error, error);
}

/* ---- User mode ---- */

static void enter_user(uint64_t rip)
{
	__asm__ volatile("pushq %0; pushq %1; pushq $2; pushq %2; pushq %3; iretq"
			 :
			 : "r"((uint64_t)GUEST_USERDS), "r"(window(STACK) + 4096),
			 "r"((uint64_t)GUEST_USERCS), "r"(rip)
			 : "memory");
}

/* Code that ends with UD2 or before: which exception ended it. */
static void user(
	const uint8_t *code, unsigned size, unsigned vector, uint64_t error, const char *text)
{
	memcpy(pages[CODE], code, size);
	pages[CODE][size] = 0x0f;
	pages[CODE][size + 1] = 0x0b;
	check_fault(vector, enter_user, window(CODE), text);
	check(trap_last.error == error, "%s: error %lxh, not %lxh", text, trap_last.error, error);
}

#define USER_CODE(vector, error, text, ...)                                                        \
	user((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), vector,       \
		error, text)

/* ---- Protection keys ---- */

static void wrpkru(uint32_t value)
{
	__asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

static void user_keys(void)
{
	const uint64_t denied = PF_ERR_P | PF_ERR_PK;

	wrpkru(0);
	access(write_at, USER, 0, "key 1, nothing denied");
	wrpkru(DENY_WR << 2);
	cpuid(0, 0);
	check(rdpkru() == DENY_WR << 2, "PKRU is 0x%x", rdpkru());
	access(read_at, USER, 0, "key 1, writes denied: read");
	access(write_at, USER, denied | PF_ERR_W, "key 1, writes denied");
	access(input_to, USER, denied | PF_ERR_W, "key 1, writes denied, INSB");
	write_cr0(read_cr0() & ~CR0_WP);
	access(write_at, USER, 0, "key 1, writes denied, without WP");
	write_cr0(read_cr0() | CR0_WP);
	wrpkru(DENY_ALL << 2 | DENY_ALL << 4);
	if (!keys_by_mode)
		access(read_at, USER, denied, "key 1, all denied");
	access(read_at, SUPERVISOR, 0, "PKRU and a supervisor page");
	/* mov (%rax), %eax with RAX = the page */
	USER_CODE(EXC_PF, denied | PF_ERR_U, "user: key 1, all denied", 0x48, 0xb8, 0x00, 0x20,
		0x00, 0x00, 0x80, 0x00, 0x00, 0x00, 0x8b, 0x00);
	wrpkru(0);
}

static void test_pku(void)
{
	const uint8_t code[] = {0x31, 0xc9, 0x0f, 0x01, 0xee}; /* xor %ecx, %ecx; rdpkru */

	if (!(leaf7().ecx & CPUID_7_ECX_PKU)) {
		check_fault(EXC_GP, set_cr4, read_cr4() | CR4_PKE, "CR4.PKE without PKU");
		check_code(EXC_UD, code, sizeof(code), "RDPKRU without PKU");
		return;
	}
	check(!(leaf7().ecx & CPUID_7_ECX_OSPKE), "OSPKE without CR4.PKE");
	check_code(EXC_UD, code, sizeof(code), "RDPKRU without CR4.PKE");
	write_cr4(read_cr4() | CR4_PKE);
	check(leaf7().ecx & CPUID_7_ECX_OSPKE, "no OSPKE with CR4.PKE");
	user_keys();
	write_cr4(read_cr4() & ~CR4_PKE);
	check(!(leaf7().ecx & CPUID_7_ECX_OSPKE), "OSPKE stays");
}

static void test_pks(void)
{
	const uint64_t denied = PF_ERR_P | PF_ERR_PK;

	if (!(leaf7().ecx & CPUID_7_ECX_PKS)) {
		check_fault(EXC_GP, set_cr4, read_cr4() | CR4_PKS, "CR4.PKS without PKS");
		return;
	}
	wrmsr(MSR_IA32_PKRS, DENY_ALL << 4);
	access(read_at, SUPERVISOR, 0, "key 2 without CR4.PKS");
	write_cr4(read_cr4() | CR4_PKS);
	access(read_at, SUPERVISOR, denied, "key 2, all denied");
	access(write_at, SUPERVISOR, denied | PF_ERR_W, "key 2, all denied, write");
	wrmsr(MSR_IA32_PKRS, DENY_WR << 4 | DENY_ALL << 2);
	cpuid(0, 0);
	check(rdmsr(MSR_IA32_PKRS) == (DENY_WR << 4 | DENY_ALL << 2), "PKRS is 0x%lx",
		rdmsr(MSR_IA32_PKRS));
	access(read_at, SUPERVISOR, 0, "key 2, writes denied: read");
	access(write_at, SUPERVISOR, denied | PF_ERR_W, "key 2, writes denied");
	access(input_to, SUPERVISOR, denied | PF_ERR_W, "key 2, writes denied, INSB");
	if (!keys_by_mode)
		access(read_at, USER, 0, "PKRS and a user page");
	wrmsr(MSR_IA32_PKRS, 0);
	access(write_at, SUPERVISOR, 0, "key 2, nothing denied");
	access(input_to, SUPERVISOR, 0, "key 2, nothing denied, INSB");
	write_cr4(read_cr4() & ~CR4_PKS);
}

/* ---- Instructions that user mode may be denied ---- */

static void stores(unsigned vector)
{
	/* To the stack: sgdt, sidt, sldt, str, smsw. */
	USER_CODE(vector, 0, "user: SGDT", 0x0f, 0x01, 0x44, 0x24, 0xe0);
	USER_CODE(vector, 0, "user: SIDT", 0x0f, 0x01, 0x4c, 0x24, 0xe0);
	USER_CODE(vector, 0, "user: SLDT", 0x0f, 0x00, 0xc0);
	USER_CODE(vector, 0, "user: STR", 0x0f, 0x00, 0xc8);
	USER_CODE(vector, 0, "user: SMSW", 0x0f, 0x01, 0xe0);
}

static void test_umip(void)
{
	stores(EXC_UD); /* they work, and UD2 ends the code */
	if (!(leaf7().ecx & CPUID_7_ECX_UMIP)) {
		check_fault(EXC_GP, set_cr4, read_cr4() | CR4_UMIP, "CR4.UMIP without UMIP");
		return;
	}
	write_cr4(read_cr4() | CR4_UMIP);
	stores(EXC_GP);
	check_code(-1, (const uint8_t[]){0x0f, 0x01, 0xe0}, 3, "SMSW at CPL 0 with UMIP");
	write_cr4(read_cr4() & ~CR4_UMIP);
}

static void test_tsc(void)
{
	bool rdtscp = cpuid(CPUID_LEAF_EXT_FEAT, 0).edx & CPUID_EXT1_EDX_RDTSCP;
	uint64_t id = 0;

	USER_CODE(EXC_UD, 0, "user: RDTSC", 0x0f, 0x31);
	write_cr4(read_cr4() | CR4_TSD);
	USER_CODE(EXC_GP, 0, "user: RDTSC with TSD", 0x0f, 0x31);
	if (rdtscp)
		USER_CODE(EXC_GP, 0, "user: RDTSCP with TSD", 0x0f, 0x01, 0xf9);
	write_cr4(read_cr4() & ~CR4_TSD);
	if (!(leaf7().ecx & CPUID_7_ECX_RDPID))
		return;
	wrmsr(MSR_IA32_TSC_AUX, 0xabcdef01);
	cpuid(0, 0);
	__asm__ volatile("rdpid %0" : "=r"(id));
	check(id == 0xabcdef01, "RDPID gives 0x%lx", id);
}

struct invpcid {
	uint64_t type, pcid, address;
};

static void invpcid(uint64_t operand)
{
	const struct invpcid *i = (const struct invpcid *)operand;

	__asm__ volatile("invpcid %1, %0" : : "r"(i->type), "m"(i->pcid) : "memory");
}

static void test_invpcid(void)
{
	static const struct invpcid bad[] = {
		{4, 0, 0}, {0, 1 << 12, 0}, {0, 0, 1ull << 63}, {0, 1, 0}, {1, 1, 0}};

	if (!(leaf7().ebx & CPUID_7_EBX_INVPCID))
		return;
	/* The last two name a PCID while CR4.PCIDE is clear. */
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		check_fault(EXC_GP, invpcid, (uint64_t)&bad[i], "INVPCID");
	for (uint64_t type = 0; type < 4; type++) {
		const struct invpcid good = {type, 0, 0x1000};

		check(!trap_try(invpcid, (uint64_t)&good), "INVPCID of type %lu faults", type);
	}
}

/* ---- System calls ---- */

/*
 * bool protect_sysret(uint64_t rip, uint64_t rsp), protect_sysexit() likewise: to user mode, whose
 * code comes back through SYSCALL or SYSENTER. What is found there is noted.
 */
void protect_sysret(uint64_t rip, uint64_t rsp);
void protect_sysexit(uint64_t rip, uint64_t rsp);
void protect_syscall_entry(void);
void protect_sysenter_entry(void);
extern uint64_t protect_seen[5]; /* RCX, R11, RFLAGS, CS, SS */
__asm__(".bss\n"
	".balign 8\n"
	"protect_rsp: .skip 8\n"
	"protect_seen: .skip 40\n"
	".text\n"
	"protect_sysret: pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"movq %rsp, protect_rsp\n"
	"movq %rdi, %rcx; movq %rsi, %rsp; movl $0x8d7, %r11d\n" /* arithmetic flags, no IF */
	"sysretq\n"
	"protect_sysexit: pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
	"movq %rsp, protect_rsp\n"
	"movq %rdi, %rdx; movq %rsi, %rcx\n"
	"sysexitq\n"
	"protect_sysenter_entry:\n"
	"protect_syscall_entry:\n"
	"movq protect_rsp, %rsp\n"
	"movq %rcx, protect_seen; movq %r11, protect_seen + 8\n"
	"pushfq; popq protect_seen + 16\n"
	"movq %cs, %rax; movq %rax, protect_seen + 24\n"
	"movq %ss, %rax; movq %rax, protect_seen + 32\n"
	"cld; popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret\n");

static void user_code(uint8_t opcode)
{
	const uint8_t code[] = {0x0f, 0xa2, 0x0f, opcode}; /* cpuid first: it leaves the guest */

	memcpy(pages[CODE], code, sizeof(code));
	memset(protect_seen, 0, sizeof(protect_seen));
}

static void check_selectors(const char *text)
{
	check(protect_seen[3] == GUEST_CS && protect_seen[4] == GUEST_DS, "%s: CS %lxh, SS %lxh",
		text, protect_seen[3], protect_seen[4]);
}

static void test_syscall(void)
{
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_SCE);
	wrmsr(MSR_IA32_STAR, (uint64_t)(GUEST_USER32) << 48 | (uint64_t)GUEST_CS << 32);
	wrmsr(MSR_IA32_LSTAR, (uint64_t)protect_syscall_entry);
	wrmsr(MSR_IA32_FMASK, 0x801); /* OF and CF */
	user_code(0x05);
	protect_sysret(window(CODE), window(STACK) + 4096);
	check(protect_seen[0] == window(CODE) + 4, "SYSCALL: RCX 0x%lx", protect_seen[0]);
	check(protect_seen[1] == 0x8d7, "SYSCALL: R11 0x%lx", protect_seen[1]);
	/* QEMU without KVM loses the arithmetic flags here. */
	check(protect_seen[2] == 0xd6 || (protect_seen[2] == 2 && on_qemu_cpu()),
		"SYSCALL: RFLAGS 0x%lx", protect_seen[2]);
	check_selectors("SYSCALL");
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) & ~(uint64_t)EFER_SCE);
	USER_CODE(EXC_UD, 0, "user: SYSCALL without SCE", 0x0f, 0x05);
}

/* AMD's CPUs have it outside long mode only; Bochs's have it there too. */
static void test_sysenter(void)
{
	const uint8_t sysenter[] = {0x0f, 0x34};

	wrmsr(MSR_IA32_SYSENTER_CS, 0);
	if (cpuid(0, 0).ecx != CPUID_VENDOR_INTEL_ECX) {
		int vector = trap_run(sysenter, sizeof(sysenter));

		check(vector == EXC_UD || (vector == EXC_GP && !on_qemu_cpu()),
			"SYSENTER on AMD: exception %d", vector);
		return;
	}
	USER_CODE(EXC_GP, 0, "user: SYSENTER without a CS", 0x0f, 0x34);
	wrmsr(MSR_IA32_SYSENTER_CS, GUEST_CS);
	wrmsr(MSR_IA32_SYSENTER_EIP, (uint64_t)protect_sysenter_entry);
	wrmsr(MSR_IA32_SYSENTER_ESP, 0x1234);
	user_code(0x34);
	protect_sysexit(window(CODE), window(STACK) + 4096);
	check_selectors("SYSENTER");
	check(!(protect_seen[2] & RFLAGS_IF), "SYSENTER: RFLAGS 0x%lx", protect_seen[2]);
	check(rdmsr(MSR_IA32_SYSENTER_ESP) == 0x1234, "SYSENTER_ESP is 0x%lx",
		rdmsr(MSR_IA32_SYSENTER_ESP));
	wrmsr(MSR_IA32_SYSENTER_CS, 0);
}

/* ---- FS and GS ---- */

static void test_bases(void)
{
	const uint8_t rdfsbase[] = {0xf3, 0x48, 0x0f, 0xae, 0xc0};
	uint64_t base = 0;

	check_code(EXC_UD, rdfsbase, sizeof(rdfsbase), "RDFSBASE without CR4.FSGSBASE");
	if (!(leaf7().ebx & CPUID_7_EBX_FSGSBASE)) {
		check_fault(EXC_GP, set_cr4, read_cr4() | CR4_FSGSBASE, "CR4.FSGSBASE without it");
		return;
	}
	write_cr4(read_cr4() | CR4_FSGSBASE);
	__asm__ volatile("wrfsbase %0" : : "r"(0x123456789000ul) : "memory");
	cpuid(0, 0);
	__asm__ volatile("rdfsbase %0" : "=r"(base));
	check(base == 0x123456789000ul && rdmsr(MSR_IA32_FS_BASE) == base, "FS base 0x%lx", base);
	wrmsr(MSR_IA32_GS_BASE, 0x1000);
	wrmsr(MSR_IA32_KERNEL_GS_BASE, 0x2000);
	__asm__ volatile("swapgs; rdgsbase %0" : "=r"(base));
	check(base == 0x2000 && rdmsr(MSR_IA32_KERNEL_GS_BASE) == 0x1000, "SWAPGS: 0x%lx", base);
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
}

void payload_run(void)
{
	keys_by_mode = strcmp(guest_cmdline(), "keys-by-mode") == 0;
	setup();
	test_pku();
	test_pks();
	test_umip();
	test_tsc();
	test_invpcid();
	test_syscall();
	test_sysenter();
	test_bases();
}
