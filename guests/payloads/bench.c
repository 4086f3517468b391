/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an exit costs, in TSC ticks as the guest sees them: a loop around an instruction that exits,
 * minus the same loop without it, the least of several rounds (the hypervisor's own timer disturbs
 * some). Prints `bench NAME TICKS` with one decimal. tests/bench/bench.py reads it.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("bench");

#define ROUNDS        16u
#define ITERATIONS    200u
#define UART_DATA     0x3f8u
#define UART_SCRATCH  0x3ffu
#define WAKE_VECTOR   0x60u
#define PM_TIMER_PORT 0x608u
#define PIT_COUNTER_2 0x42u
#define PORT_61       0x61u

/* Ticks of one loop. The same registers are loaded each time round: CPUID and RDMSR change them. */
#define LOOP(insn)                                                                                 \
	({                                                                                         \
		uint64_t start_ = rdtsc();                                                         \
		__asm__ volatile("mov %[n], %%r8d\n\t"                                             \
				 ".balign 16\n"                                                    \
				 "1: mov %[a], %%eax\n\t"                                          \
				 "mov %[c], %%ecx\n\t"                                             \
				 "mov %[d], %%edx\n\t" insn "\n\t"                                 \
				 "dec %%r8d\n\t"                                                   \
				 "jnz 1b"                                                          \
				 :                                                                 \
				 : [n] "i"(ITERATIONS), [a] "r"(a), [c] "r"(c), [d] "r"(d),        \
				 "D"(APIC_DEFAULT_BASE + APIC_TPR)                                 \
				 : "rax", "rbx", "rcx", "rdx", "r8", "memory", "cc");              \
		rdtsc() - start_;                                                                  \
	})

static uint64_t empty;

static void print_ticks(const char *name, uint64_t tenths)
{
	print("bench %s %lu.%lu", name, tenths / 10, tenths % 10);
}

#define BENCH(name, insn, a_, c_, d_)                                                              \
	do {                                                                                       \
		uint32_t a = (a_), c = (c_), d = (d_);                                             \
		uint64_t least = UINT64_MAX;                                                       \
		for (unsigned i = 0; i < ROUNDS; i++)                                              \
			least = MIN(least, LOOP(insn));                                            \
		print_ticks(name, (least - empty) * 10 / ITERATIONS);                              \
	} while (0)

static void measure_empty(void)
{
	uint32_t a = 0, c = 0, d = 0;

	empty = UINT64_MAX;
	for (unsigned i = 0; i < ROUNDS; i++)
		empty = MIN(empty, LOOP(""));
}

/* ---- Handlers that do nothing but what is measured: gates of our own, past the runtime's ---- */

void bench_skip_ud(void);
void bench_woken(void);
__asm__(".text\n"
	".globl bench_skip_ud, bench_woken\n"
	"bench_skip_ud: addq $3, (%rsp)\n" /* VMCALL and VMMCALL have three bytes */
	"iretq\n"
	"bench_woken: rdtsc\n"
	"iretq\n");

static void set_gate(unsigned vector, void (*handler)(void))
{
	uint64_t *gate = (uint64_t *)trap_idt.base + 2ul * vector, entry = (uint64_t)handler;

	gate[0] = (entry & 0xffff) | GUEST_CS << 16 | 0x8eull << 40 | (entry >> 16 & 0xffff) << 48;
	gate[1] = entry >> 32;
}

/*
 * From HLT with an interrupt pending to the first instruction of that interrupt's handler, and
 * three instructions, which bench.py takes off: MOV, STI, and one of the two RDTSC.
 */
static uint64_t halt_once(void)
{
	uint32_t before, after;

	apic_self(WAKE_VECTOR);
	__asm__ volatile("rdtsc\n\t"
			 "mov %%eax, %0\n\t"
			 "sti\n\t"
			 "hlt\n\t"
			 "cli"
			 : "=&r"(before), "=&a"(after)
			 :
			 : "rdx", "memory", "cc");
	apic_eoi();
	return after - before;
}

static void bench_halt(void)
{
	uint64_t least = UINT64_MAX;

	set_gate(WAKE_VECTOR, bench_woken);
	for (unsigned i = 0; i < 10 * ROUNDS; i++)
		least = MIN(least, halt_once());
	print_ticks("hlt", least * 10);
}

static bool is_amd(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_VENDOR, 0);

	return r.ecx == CPUID_VENDOR_AMD_ECX || r.ecx == CPUID_VENDOR_HYGON_ECX;
}

void payload_run(void)
{
	measure_empty();
	set_gate(EXC_UD, bench_skip_ud);
	BENCH("cpuid", "cpuid", 1, 0, 0);
	BENCH("cpuid_high", "cpuid", 0x80000008, 0, 0);
	/* The other vendor's instruction is #UD without an exit. */
	if (is_amd())
		BENCH("hypercall", "vmmcall", 0, 0, 0);
	else
		BENCH("hypercall", "vmcall", 0, 0, 0);
	BENCH("rdmsr", "rdmsr", 0, MSR_IA32_APIC_BASE, 0);
	BENCH("port", "outb %%al, %%dx", 0, 0, UART_DATA);
	BENCH("port_scratch", "outb %%al, %%dx", 0, 0, UART_SCRATCH);
	BENCH("port_read", "inb %%dx, %%al", 0, 0, UART_DATA + 5);
	BENCH("pm_timer", "inl %%dx, %%eax", 0, 0, PM_TIMER_PORT);
	BENCH("pit_count", "inb %%dx, %%al", 0, 0, PIT_COUNTER_2);
	BENCH("port_61", "inb %%dx, %%al", 0, 0, PORT_61);
	BENCH("mmio", "movl %%eax, (%%rdi)", 0, 0, 0);
	BENCH("mmio_read", "movl (%%rdi), %%eax", 0, 0, 0);
	/* RDI is the TPR; the ID is at 20h, EOI at B0h. */
	BENCH("lapic_id", "movl -0x60(%%rdi), %%eax", 0, 0, 0);
	BENCH("eoi", "movl %%eax, 0x30(%%rdi)", 0, 0, 0);
	BENCH("cr8", "mov %%rax, %%cr8", 0, 0, 0);
	bench_halt();
	apic_set_x2apic(true);
	BENCH("x2apic", "wrmsr", 0, MSR_IA32_X2APIC_BASE + APIC_TPR / 16, 0);
	BENCH("x2apic_id", "rdmsr", 0, MSR_IA32_X2APIC_BASE + APIC_ID / 16, 0);
	BENCH("x2apic_eoi", "wrmsr", 0, MSR_IA32_X2APIC_BASE + APIC_EOI / 16, 0);
}
