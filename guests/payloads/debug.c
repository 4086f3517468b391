/* SPDX-License-Identifier: Apache-2.0 */
/* Debug registers, breakpoints, and single steps over instructions that leave the guest. */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("debug");

#define DR6_BD    (1ull << 13)
#define STEPS_MAX 32

/*
 * Said on the command line: an intercepted #DB has not told its cause to DR6, as it does on AMD's
 * CPUs but not on those of Bochs. Then there are no breakpoints to speak of.
 */
static bool dr6_lost;

static volatile unsigned steps;
static volatile uint64_t step_rip[STEPS_MAX], last_dr6, last_dr7;

static void db_handler(struct trap_frame *f)
{
	last_dr6 = read_dr6();
	last_dr7 = read_dr7();
	write_dr6(DR6_RESET);
	if (steps < STEPS_MAX)
		step_rip[steps] = f->rip;
	steps++;
	if (last_dr6 & 1) /* an instruction breakpoint must let its instruction pass */
		f->rflags |= RFLAGS_RF;
	if (steps >= STEPS_MAX)
		f->rflags &= ~RFLAGS_TF;
}

static void test_registers(void)
{
	static const uint64_t values[] = {0x1000, 0x7fffffffffff, 0xdeadbeef, 0xffff800000000000};

	write_dr0(values[0]);
	write_dr1(values[1]);
	write_dr2(values[2]);
	write_dr3(values[3]);
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
	check(read_dr0() == values[0] && read_dr1() == values[1] && read_dr2() == values[2] &&
			read_dr3() == values[3],
		"DR0 - DR3: 0x%lx 0x%lx 0x%lx 0x%lx", read_dr0(), read_dr1(), read_dr2(),
		read_dr3());
	check(read_dr7() == DR7_RESET, "DR7 is 0x%lx", read_dr7());
	check(read_dr6() == DR6_RESET, "DR6 is 0x%lx", read_dr6());
	write_dr6(DR6_RESET | 0xe00f);
	check(read_dr6() == (DR6_RESET | 0xe00f), "DR6 is 0x%lx", read_dr6());
	write_dr6(DR6_RESET);
	write_cr4(read_cr4() | CR4_DE);
	check_code(EXC_UD, (const uint8_t[]){0x0f, 0x21, 0xe0}, 3, "MOV from DR4 with CR4.DE");
	write_cr4(read_cr4() & ~CR4_DE);
	check_code(-1, (const uint8_t[]){0x0f, 0x21, 0xe0}, 3, "MOV from DR4");
}

/* Instructions of different kinds; TF is set by the POPF before the first. */
static void test_single_step(void)
{
	extern const char step_begin[], step_end[];
	/*
	 * Where each step must stop: behind each instruction, the first one not counted by TF's
	 * rule.
	 */
	extern const char step_1[], step_2[], step_3[], step_4[], step_5[], step_6[];
	const char *const wanted[] = {step_1, step_2, step_3, step_4, step_5, step_6};

	steps = 0;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n"
			 "step_begin: nop\n"
			 "step_1: xorl %%eax, %%eax; step_2: cpuid\n"
			 "step_3: outb %%al, $0x80\n"
			 "step_4: movabsl 0xfee00030, %%eax\n"
			 "step_5: movl $0x1b, %%ecx\n"
			 "step_6: rdmsr\n"
			 "step_end: pushfq; andq $~0x100, (%%rsp); popfq"
			 :
			 :
			 : "rax", "rbx", "rcx", "rdx", "memory", "cc");
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
		check(step_rip[i] == (uint64_t)wanted[i], "step %u is at +%ld, not +%ld", i,
			(long)(step_rip[i] - (uint64_t)step_begin), (long)(wanted[i] - step_begin));
	check(step_rip[6] == (uint64_t)step_end, "the step over RDMSR is at +%ld",
		(long)(step_rip[6] - (uint64_t)step_begin));
	/* PUSHF, AND and POPF are stepped too: POPF's trap still belongs to the old TF. */
	check(steps == 10, "%u steps, not 10", steps);
	check(dr6_lost || (last_dr6 & DR6_BS), "DR6 is 0x%lx after a step", last_dr6);
}

/* Stepping a repeated string instruction that is emulated: one trap for each iteration. */
static void test_step_string(void)
{
	static uint8_t buffer[4];
	void *to = buffer;
	uint64_t count = 4;
	unsigned steps_rep;

	steps = 0;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n"
			 "rep insb\n"
			 "pushfq; andq $~0x100, (%%rsp); popfq"
			 : "+D"(to), "+c"(count)
			 : "d"(0x3ff)
			 : "memory", "cc");
	steps_rep = steps - 3;
	check(count == 0, "REP INSB stepped: %lu left", count);
	check(steps_rep == 4 || steps_rep == 1, "REP INSB of 4 took %u steps", steps_rep);
}

/* TF and the shadows of STI and MOV SS meet an instruction that leaves the guest. */
static void test_shadows(void)
{
	steps = 0;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n"
			 "sti\n"
			 "cpuid\n"
			 "cli\n"
			 "movl %%ss, %%eax\n"
			 "movl %%eax, %%ss\n"
			 "inb $0x80\n"
			 "pushfq; andq $~0x100, (%%rsp); popfq"
			 :
			 : "a"(0)
			 : "rbx", "rcx", "rdx", "memory", "cc");
	/*
	 * None behind MOV SS, three behind the last instructions; QEMU without KVM has none
	 * behind STI either.
	 */
	check(steps == 8 || (steps == 7 && on_qemu_cpu()), "%u steps through the shadows", steps);
}

static volatile uint64_t watched;

static void test_data_breakpoint(void)
{
	steps = 0;
	write_dr0((uint64_t)&watched);
	write_dr7(DR7_RESET | 2 | 0xdull << 16); /* 4 bytes, writes */
	watched = 1;
	check(steps == 1 && (last_dr6 & 0xf) == 1, "data breakpoint: %u traps, DR6 0x%lx", steps,
		last_dr6);
	(void)watched;
	check(steps == 1, "a read hit a write breakpoint");
	write_dr7(DR7_RESET);
	watched = 2;
	check(steps == 1, "a breakpoint that is off");
}

/* The same on a register of a device, whose accesses the hypervisor makes. */
static void test_device_breakpoint(void)
{
	volatile uint32_t *select = (volatile uint32_t *)0xfec00000; /* the IOAPIC's */

	for (unsigned i = 0; i < 3; i++)
		*select = i;
	steps = 0;
	write_dr0((uint64_t)select);
	write_dr7(DR7_RESET | 2 | 0xfull << 16); /* 4 bytes, reads and writes */
	*select = 1;
	check(steps == 1 && (last_dr6 & 0xf) == 1, "device, written: %u traps, DR6 0x%lx", steps,
		last_dr6);
	(void)*select;
	check(steps == 2 && (last_dr6 & 0xf) == 1, "device, read: %u traps, DR6 0x%lx", steps,
		last_dr6);
	write_dr7(DR7_RESET);
	*select = 0;
	check(steps == 2, "device, a breakpoint that is off: %u traps", steps);
}

/* Of ports, with CR4.DE; each access of a repeated instruction is one. */
static void test_port_breakpoint(void)
{
	static const uint8_t bytes[3];
	const uint8_t *from = bytes;
	uint64_t count = sizeof(bytes);
	extern const char port_end[];

	steps = 0;
	write_cr4(read_cr4() | CR4_DE);
	write_dr0(0x80);
	write_dr7(DR7_RESET | 2 | 2ull << 16); /* 1 byte */
	__asm__ volatile("outb %%al, $0x80\nport_end:" : : "a"(0));
	check(steps == 1 && (last_dr6 & 0xf) == 1 && step_rip[0] == (uint64_t)port_end,
		"port, written: %u traps, DR6 0x%lx, the first at +%ld", steps, last_dr6,
		(long)(step_rip[0] - (uint64_t)port_end));
	inb(0x80);
	check(steps == 2 && (last_dr6 & 0xf) == 1, "port, read: %u traps, DR6 0x%lx", steps,
		last_dr6);
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x80) : "memory");
	check(steps == 5 && count == 0, "port, written three times: %u traps, %lu left", steps - 2,
		count);
	outb(0x84, 0);
	check(steps == 5, "another port: %u traps", steps);
	write_dr7(DR7_RESET);
	outb(0x80, 0);
	check(steps == 5, "port, a breakpoint that is off: %u traps", steps);
	write_cr4(read_cr4() & ~CR4_DE);
}

static void test_code_breakpoint(void)
{
	extern const char break_here[];

	steps = 0;
	write_dr0((uint64_t)break_here);
	write_dr7(DR7_RESET | 2);
	__asm__ volatile("nop\nbreak_here: cpuid" : : "a"(0) : "rbx", "rcx", "rdx", "memory");
	write_dr7(DR7_RESET);
	check(steps == 1 && step_rip[0] == (uint64_t)break_here, "code breakpoint: %u traps",
		steps);
}

/*
 * General detect: MOV to a debug register traps before it happens, and GD is clear in the
 * handler.
 */
static void test_general_detect(void)
{
	steps = 0;
	write_dr1(0x1234);
	write_dr7(DR7_RESET | DR7_GD);
	write_dr1(0x5678);
	check(steps == 1 && (last_dr6 & DR6_BD), "general detect: %u traps, DR6 0x%lx", steps,
		last_dr6);
	check(!(last_dr7 & DR7_GD), "DR7.GD is set in the handler");
	write_dr7(DR7_RESET);
	check(read_dr1() == 0x5678, "DR1 is 0x%lx", read_dr1());
}

static void test_icebp(void)
{
	extern const char icebp_end[];

	steps = 0;
	__asm__ volatile(".byte 0xf1\nicebp_end:" : : : "memory");
	check(steps == 1 && step_rip[0] == (uint64_t)icebp_end, "INT1: %u traps", steps);
}

void payload_run(void)
{
	dr6_lost = strcmp(guest_cmdline(), "dr6-lost") == 0;
	test_registers();
	trap_set_handler(EXC_DB, db_handler);
	test_single_step();
	test_step_string();
	test_shadows();
	test_device_breakpoint();
	test_port_breakpoint();
	if (!dr6_lost) {
		test_data_breakpoint();
		test_code_breakpoint();
	}
	if (on_qemu_cpu()) /* has neither of the following */
		return;
	if (!dr6_lost)
		test_general_detect();
	test_icebp();
}
