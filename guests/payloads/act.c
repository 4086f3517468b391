/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One act of misbehaviour, named by the command line. What must become of the guest is written
 * beside each: "stops: …" is the cause in the hypervisor's log, "killed" goes on until somebody
 * stops it, and "passes" means that the guest gets the architectural answer and ends by itself
 * with 0.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("act");

#define HIGH   0x4000000000ul /* 256 GiB: inside what any CPU can address, above any RAM here */
#define WINDOW 0x8000000000ul

static uint64_t pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096);

/* Map 1 GiB of guest-physical space at WINDOW. */
static uint64_t map_window(uint64_t base)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & CR3_ADDR_MASK);

	for (unsigned i = 0; i < 512; i++)
		pd[i] = (base + MIB(2) * i) | PTE_P | PTE_W | PTE_PS;
	pdpt[0] = (uint64_t)pd | PTE_P | PTE_W;
	pml4[1] = (uint64_t)pdpt | PTE_P | PTE_W;
	write_cr3(read_cr3());
	return WINDOW;
}

static void read_at(uint64_t address)
{
	(void)*(volatile uint64_t *)address;
}

static void write_at(uint64_t address)
{
	*(volatile uint64_t *)address = 0x2e2e2e2e2e2e2e2e;
}

static void call_at(uint64_t address)
{
	((void (*)(void))address)();
}

static void no_idt(void)
{
	lidt(&(struct desc_ptr){0, 0});
}

static void forever(void)
{
	for (;;)
		cpu_relax();
}

/* stops: triple fault */
static void triple_fault(void)
{
	no_idt();
	__asm__ volatile("ud2");
}

/* stops: triple fault. Nobody handles the #GP. */
static void msr_read(void)
{
	no_idt();
	(void)rdmsr(0x480);
}

static void msr_write(void)
{
	no_idt();
	wrmsr(0x79, 0x200000);
}

/* stops: read memory that is not its own at … */
static void read_end(void)
{
	read_at(guest_ram_end());
}

static void read_high(void)
{
	read_at(map_window(HIGH));
}

/* Everything from the end of RAM to the PCI hole belongs to nobody. */
static void read_below_hole(void)
{
	read_at(0xafffff00);
}

/* stops: wrote to memory that is not its own at … */
static void write_end(void)
{
	write_at(guest_ram_end());
}

static void write_high(void)
{
	write_at(map_window(HIGH));
}

/* The last bytes of RAM and the first of nobody's in one instruction. */
static void write_across(void)
{
	write_at(guest_ram_end() - 4);
}

static void string_across(void)
{
	memset((void *)(guest_ram_end() - 4096), 0x2e, 8192);
}

/* stops: executed from …, which is not its memory */
static void exec_end(void)
{
	call_at(guest_ram_end());
}

static void exec_high(void)
{
	call_at(map_window(HIGH));
}

static void exec_device(void)
{
	call_at(APIC_DEFAULT_BASE);
}

/* stops: page tables outside its memory at … */
static void tables_end(void)
{
	write_cr3(guest_ram_end());
}

static void tables_high(void)
{
	write_cr3(HIGH);
}

static void tables_device(void)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & CR3_ADDR_MASK);

	pml4[1] = APIC_DEFAULT_BASE | PTE_P | PTE_W;
	read_at(WINDOW);
}

/* stops: delivering vector 6 touched …, which is not its memory */
static void idt_end(void)
{
	lidt(&(struct desc_ptr){0xfff, guest_ram_end()});
	__asm__ volatile("ud2");
}

static void stack_end(void)
{
	uint64_t top = guest_ram_end() + 0x1000;

	__asm__ volatile("movq %0, %%rsp; ud2" : : "r"(top) : "memory");
}

/* stops: triple fault */
static void stack_unmapped(void)
{
	__asm__ volatile("movq %0, %%rsp; pushq $0" : : "r"(WINDOW + 0x1000) : "memory");
}

static void corrupt_idt(void)
{
	memset((void *)trap_idt.base, 0xff, trap_idt.limit + 1);
	__asm__ volatile("ud2");
}

static void corrupt_gdt(void)
{
	static const uint64_t wrong[8] = {0, ~0ull, ~0ull};

	lgdt(&(struct desc_ptr){sizeof(wrong) - 1, (uint64_t)wrong});
	__asm__ volatile("ud2");
}

static void corrupt_tables(void)
{
	uint64_t *pml4 = (uint64_t *)(read_cr3() & CR3_ADDR_MASK);

	memset(pml4, 0xff, 4096);
	write_cr3(read_cr3());
	__asm__ volatile("ud2");
}

/* killed */
static void spin(void)
{
	cli();
	forever();
}

static void halt(void)
{
	cli();
	for (;;)
		hlt();
}

static void sleep(void)
{
	for (;;)
		time_sleep_until(rdtsc() + time_hz());
}

static void ipi_storm(void)
{
	sti();
	for (;;) {
		apic_self(0x40);
		apic_self(0x80);
		apic_send(0xff, APIC_ICR_ASSERT | 0x90);
		apic_send(3, APIC_ICR_ASSERT | APIC_DM_NMI);
		apic_send(7, APIC_ICR_ASSERT | APIC_DM_STARTUP | 8);
	}
}

static void nmi_ignore(struct trap_frame *f)
{
	(void)f;
}

static void nmi_storm(void)
{
	trap_set_handler(EXC_NMI, nmi_ignore);
	for (;;)
		apic_send(0, APIC_ICR_ASSERT | APIC_DM_NMI);
}

static void timer_storm(void)
{
	apic_write(APIC_TIMER_DCR, APIC_TIMER_DIV_1);
	apic_write(APIC_LVT_TIMER, APIC_LVT_PERIODIC | 0x40);
	apic_write(APIC_TIMER_ICT, 1);
	sti();
	forever();
}

/* XSA-156: the delivery of #DB hits a breakpoint on the stack that it writes to. */
static void db_loop(void)
{
	static uint8_t stack[4096] ALIGNED(16);
	uint64_t top = (uint64_t)stack + sizeof(stack);

	trap_set_ist(EXC_DB, 1, top);
	write_dr0(top - 8);
	write_dr7(DR7_RESET | 2 | 9ull << 16); /* 8 bytes, writes */
	__asm__ volatile(".byte 0xf1" : : : "memory");
	forever();
}

static void io_storm(void)
{
	for (;;) {
		outb(0x80, 0);
		outl(0xcf8, 0x80000000);
		(void)inl(0xcfc);
	}
}

static void wbinvd_loop(void)
{
	for (;;) {
		wbinvd();
		__asm__ volatile("invd" : : : "memory");
	}
}

static void console_flood(void)
{
	for (;;)
		outb(0x3f8, '!');
}

/* passes */
static void vmx_instructions(void)
{
	static const struct {
		const char *text;
		uint8_t code[6];
	} insns[] = {
		{"vmcall", {0x0f, 0x01, 0xc1}},
		{"vmlaunch", {0x0f, 0x01, 0xc2}},
		{"vmresume", {0x0f, 0x01, 0xc3}},
		{"vmxoff", {0x0f, 0x01, 0xc4}},
		{"vmfunc", {0x0f, 0x01, 0xd4}},
		/* XOR EAX, EAX first: a bad address in RAX might come before the intercept. */
		{"vmrun", {0x31, 0xc0, 0x0f, 0x01, 0xd8}},
		{"vmmcall", {0x0f, 0x01, 0xd9}},
		{"vmload", {0x31, 0xc0, 0x0f, 0x01, 0xda}},
		{"vmsave", {0x31, 0xc0, 0x0f, 0x01, 0xdb}},
		{"stgi", {0x0f, 0x01, 0xdc}},
		{"clgi", {0x0f, 0x01, 0xdd}},
		{"skinit", {0x0f, 0x01, 0xde}},
		{"invlpga", {0x0f, 0x01, 0xdf}},
		{"monitor", {0x0f, 0x01, 0xc8}},
		{"mwait", {0x0f, 0x01, 0xc9}},
		{"vmread", {0x0f, 0x78, 0xc0}},
		{"vmwrite", {0x0f, 0x79, 0xc0}},
		{"vmptrld", {0x0f, 0xc7, 0x34, 0x24}},
		{"vmptrst", {0x0f, 0xc7, 0x3c, 0x24}},
		{"vmclear", {0x66, 0x0f, 0xc7, 0x34, 0x24}},
		{"vmxon", {0xf3, 0x0f, 0xc7, 0x34, 0x24}},
		{"invept", {0x66, 0x0f, 0x38, 0x80, 0x04, 0x24}},
		{"invvpid", {0x66, 0x0f, 0x38, 0x81, 0x04, 0x24}},
		{"getsec", {0x0f, 0x37}},
		{"rsm", {0x0f, 0xaa}},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(insns); i++)
		check_code(EXC_UD, insns[i].code, 6, insns[i].text);
	check(trap_run((const uint8_t[]){0x0f, 0x33}, 2) == EXC_GP, "rdpmc");
}

static void set_cr0(uint64_t value)
{
	write_cr0(value);
}

static void set_cr3(uint64_t value)
{
	write_cr3(value);
}

static void set_cr4(uint64_t value)
{
	write_cr4(value);
}

static void set_cr8(uint64_t value)
{
	write_cr8(value);
}

static void set_dr7(uint64_t value)
{
	write_dr7(value);
}

static void set_efer(uint64_t value)
{
	wrmsr(MSR_IA32_EFER, value);
}

/* passes: reserved bits and forbidden combinations, each #GP and without effect */
static void reserved_bits(void)
{
	const uint64_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
	const uint64_t efer = rdmsr(MSR_IA32_EFER);

	/* On AMD-V the guest's CR0 is its own, and QEMU's CPU takes any value. */
	if (!on_qemu_cpu()) {
		for (unsigned bit = 32; bit < 64; bit++)
			check_fault(EXC_GP, set_cr0, cr0 | BIT(bit), "CR0 reserved bit");
		check_fault(EXC_GP, set_cr0, cr0 & ~CR0_PE, "paging without protection");
		check_fault(EXC_GP, set_cr0, (cr0 & ~CR0_CD) | CR0_NW, "CR0.NW without CD");
		check_fault(EXC_GP, set_cr0, cr0 & ~CR0_PG, "CR0.PG off in 64-bit code");
	}
	for (unsigned bit = 26; bit < 64; bit++)
		check_fault(EXC_GP, set_cr4, cr4 | BIT(bit), "CR4 reserved bit");
	check_fault(EXC_GP, set_cr4, cr4 | CR4_VMXE, "CR4.VMXE");
	check_fault(EXC_GP, set_cr4, cr4 | CR4_SMXE, "CR4.SMXE");
	check_fault(EXC_GP, set_cr4, cr4 | CR4_CET, "CR4.CET");
	check_fault(EXC_GP, set_cr4, cr4 & ~CR4_PAE, "CR4.PAE off in long mode");
	check_fault(EXC_GP, set_cr4, cr4 | 1 << 15, "CR4 bit 15");
	if (!on_qemu_cpu()) /* leaves the guest with an invalid state instead */
		check_fault(EXC_GP, set_cr3, cr3 | 1ull << 60, "CR3 reserved bit");
	check_fault(EXC_GP, set_cr8, 0x10, "CR8 = 10h");
	check_fault(EXC_GP, set_dr7, 1ull << 32, "DR7 bit 32");
	for (unsigned bit = 1; bit < 64; bit++) {
		if (!(BIT(bit) & (EFER_LME | EFER_LMA | EFER_NXE | EFER_FFXSR)))
			check_fault(EXC_GP, set_efer, efer | BIT(bit), "EFER reserved bit");
	}
	check(read_cr0() == cr0 && read_cr3() == cr3 && read_cr4() == cr4 &&
			rdmsr(MSR_IA32_EFER) == efer,
		"a refused write had an effect");
}

static bool touches_exit_port(uint32_t port, unsigned size)
{
	return port + size > GUEST_EXIT_PORT && port < GUEST_EXIT_PORT + 4;
}

/* passes: zeroes to every port, then reads of all */
static void port_hammer(void)
{
	for (uint32_t port = 0; port < 0x10000; port++) {
		if (touches_exit_port(port, 1))
			continue;
		outb((uint16_t)port, 0);
		(void)inb((uint16_t)port);
	}
	for (uint32_t port = 0; port < 0x10000; port += 2) {
		(void)inw((uint16_t)port);
		if (port % 4 == 0)
			(void)inl((uint16_t)port);
	}
	console_init();
}

/* stops: reset. All ones to every port hit a reset register sooner or later. */
static void port_ones(void)
{
	for (uint32_t port = 0; port < 0x10000; port++) {
		if (!touches_exit_port(port, 1))
			outb((uint16_t)port, 0xff);
	}
}

static void hammer(uint64_t base, uint64_t size, uint64_t step)
{
	for (uint64_t a = base; a < base + size; a += step) {
		bool icr = a >= APIC_DEFAULT_BASE + APIC_ICR - 8 &&
			   a < APIC_DEFAULT_BASE + APIC_ICR + 16;

		(void)*(volatile uint8_t *)a;
		(void)*(volatile uint16_t *)a;
		(void)*(volatile uint32_t *)a;
		(void)*(volatile uint64_t *)a;
		if (icr) /* an INIT would reset the guest */
			continue;
		*(volatile uint8_t *)a = 0xff;
		*(volatile uint16_t *)a = 0xffff;
		*(volatile uint32_t *)a = 0xffffffff;
		*(volatile uint64_t *)a = 0;
	}
}

/* passes */
static void mmio_hammer(void)
{
	hammer(0xa0000, 0x20000, 0x1004);
	hammer(APIC_DEFAULT_BASE, 0xff8, 4);
	hammer(APIC_DEFAULT_BASE + 1, 0xff0, 37);
	hammer(0xfec00000, 0xff8, 4);
	hammer(0xfed00000, 0x3f8, 4);
	hammer(0xfed00001, 0x3f0, 37);
	hammer(0xb0000000, 0x1000, 4);
	hammer(0xb0000000, 0x10000000, 0x3fff4);
	hammer(0xc0000000, 0x3ec00000, 0x3ffff4);
}

/* passes: states that a careless hypervisor cannot enter the guest with */
static void entry_state(void)
{
	static const uint64_t eflags[] = {RFLAGS_TF, RFLAGS_TF | RFLAGS_IF, RFLAGS_NT, RFLAGS_AC,
		RFLAGS_IOPL, RFLAGS_VIP | RFLAGS_VIF, RFLAGS_RF, RFLAGS_ID};

	trap_set_handler(EXC_DB, nmi_ignore);
	for (unsigned i = 0; i < ARRAY_SIZE(eflags); i++) {
		__asm__ volatile("pushq %0; popfq\n\t"
				 "xorl %%eax, %%eax; cpuid\n\t"
				 "sti; inb $0x80; cli\n\t"
				 "movl %%ss, %%eax; movl %%eax, %%ss; outb %%al, $0x80\n\t"
				 "movl %%ss, %%eax; movl %%eax, %%ss; cpuid\n\t"
				 "movabsl 0xfee00030, %%eax\n\t"
				 "pushq $2; popfq"
				 :
				 : "r"(eflags[i])
				 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	}
	/*
	 * Null selectors, odd limits, a GDT of one byte: all allowed while nothing is loaded from
	 * it.
	 */
	__asm__ volatile("movl %0, %%ds; movl %0, %%es; movl %0, %%fs; movl %0, %%gs" : : "r"(0));
	cpuid(0, 0);
	__asm__ volatile("movl %0, %%ss" : : "r"(0));
	cpuid(0, 0);
	__asm__ volatile("movl %0, %%ss; movl %0, %%ds; movl %0, %%es" : : "r"(GUEST_DS));
	lldt(0);
	wrmsr(MSR_IA32_FS_BASE, 0xffff800000000000);
	cpuid(0, 0);
	wrmsr(MSR_IA32_FS_BASE, 0);
	write_cr0(read_cr0() | CR0_CD | CR0_NW);
	cpuid(0, 0);
	write_cr0(read_cr0() & ~(CR0_CD | CR0_NW));
	write_cr0(read_cr0() & ~CR0_NE);
	cpuid(0, 0);
	write_cr0(read_cr0() | CR0_NE | CR0_EM | CR0_TS | CR0_MP | CR0_AM);
	__asm__ volatile("clts");
	write_cr0(read_cr0() & ~CR0_EM);
	check(!(read_cr0() & (CR0_EM | CR0_TS)), "CR0 is 0x%lx", read_cr0());
}

#define ACT(name, fn)                                                                              \
	{                                                                                          \
		name, fn                                                                           \
	}

static const struct {
	const char *name;
	void (*run)(void);
} acts[] = {
	ACT("triple-fault", triple_fault),
	ACT("msr-read", msr_read),
	ACT("msr-write", msr_write),
	ACT("read-end", read_end),
	ACT("read-high", read_high),
	ACT("read-below-hole", read_below_hole),
	ACT("write-end", write_end),
	ACT("write-high", write_high),
	ACT("write-across", write_across),
	ACT("string-across", string_across),
	ACT("exec-end", exec_end),
	ACT("exec-high", exec_high),
	ACT("exec-device", exec_device),
	ACT("tables-end", tables_end),
	ACT("tables-high", tables_high),
	ACT("tables-device", tables_device),
	ACT("idt-end", idt_end),
	ACT("stack-end", stack_end),
	ACT("stack-unmapped", stack_unmapped),
	ACT("corrupt-idt", corrupt_idt),
	ACT("corrupt-gdt", corrupt_gdt),
	ACT("corrupt-tables", corrupt_tables),
	ACT("spin", spin),
	ACT("halt", halt),
	ACT("sleep", sleep),
	ACT("ipi-storm", ipi_storm),
	ACT("nmi-storm", nmi_storm),
	ACT("timer-storm", timer_storm),
	ACT("db-loop", db_loop),
	ACT("io-storm", io_storm),
	ACT("wbinvd-loop", wbinvd_loop),
	ACT("console-flood", console_flood),
	ACT("vmx-instructions", vmx_instructions),
	ACT("reserved-bits", reserved_bits),
	ACT("port-hammer", port_hammer),
	ACT("port-ones", port_ones),
	ACT("mmio-hammer", mmio_hammer),
	ACT("entry-state", entry_state),
};

void payload_run(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(acts); i++) {
		if (strcmp(acts[i].name, guest_cmdline()))
			continue;
		print("act: %s", acts[i].name);
		acts[i].run();
		return;
	}
	check(false, "there is no act '%s'", guest_cmdline());
}
