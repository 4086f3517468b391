/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every privileged or special instruction, one inline function each; the VMX and SVM ones have
 * their own headers. Host tests replace the whole file by a fake that records and checks.
 *
 * The _safe variants may fault: the exception table turns the fault into E_FAULT. They are the only
 * ones fit for values that a guest chose or registers that this CPU may lack.
 */
#ifndef ARCH_X86_CPU_INSN_H
#define ARCH_X86_CPU_INSN_H

#include "arch/x86/defs/cpuid_regs.h"
#include "hv/lib/types.h"

/* What LGDT, LIDT, SGDT and SIDT take. */
struct PACKED desc_ptr {
	uint16_t limit;
	uint64_t base;
};
_Static_assert(sizeof(struct desc_ptr) == 10, "pseudo-descriptor, SDM vol. 3");

#ifdef HOST_BUILD
#include "tests/fakes/insn_fake.h"
#else

/* If the instruction at label `from` faults, go on at label `to`. */
#define EXTABLE(from, to)                                                                          \
	".pushsection .extable, \"a\"\n\t"                                                         \
	".balign 8\n\t"                                                                            \
	".quad " from ", " to "\n\t"                                                               \
	".popsection\n\t"

/* ---- Model-specific registers ---- */

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr"
			 :
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* E_FAULT if there is no such register; *value is 0 then. */
static inline MUST_CHECK int rdmsr_safe(uint32_t msr, uint64_t *value)
{
	uint32_t lo = 0, hi = 0;
	int status = E_FAULT;

	__asm__ volatile("1: rdmsr\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status), "+a"(lo), "+d"(hi)
			 : "c"(msr)
			 : "memory", "cc");
	*value = (uint64_t)hi << 32 | lo;
	return status;
}

/* E_FAULT if there is no such register or it refuses the value. */
static inline MUST_CHECK int wrmsr_safe(uint32_t msr, uint64_t value)
{
	int status = E_FAULT;

	__asm__ volatile("1: wrmsr\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory", "cc");
	return status;
}

/* ---- Ports ---- */

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %w1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %w1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %w1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %w1" : : "a"(v), "Nd"(port) : "memory");
}

/* ---- Control, debug and flags registers ---- */

#define INSN_REGISTER(reg)                                                                         \
	static inline uint64_t read_##reg(void)                                                    \
	{                                                                                          \
		uint64_t v;                                                                        \
		__asm__ volatile("mov %%" #reg ", %0" : "=r"(v) : : "memory");                     \
		return v;                                                                          \
	}                                                                                          \
	static inline void write_##reg(uint64_t v)                                                 \
	{                                                                                          \
		__asm__ volatile("mov %0, %%" #reg : : "r"(v) : "memory");                         \
	}
INSN_REGISTER(cr0)
INSN_REGISTER(cr2)
INSN_REGISTER(cr3)
INSN_REGISTER(cr4)
INSN_REGISTER(cr8)
INSN_REGISTER(dr0)
INSN_REGISTER(dr1)
INSN_REGISTER(dr2)
INSN_REGISTER(dr3)
INSN_REGISTER(dr6)
INSN_REGISTER(dr7)
#undef INSN_REGISTER

static inline uint64_t read_rflags(void)
{
	uint64_t v;

	__asm__ volatile("pushfq; popq %0" : "=r"(v) : : "memory");
	return v;
}

static inline void write_rflags(uint64_t v)
{
	__asm__ volatile("pushq %0; popfq" : : "r"(v) : "memory", "cc");
}

/* ---- Extended state. Areas are 64-byte aligned; `mask` selects components within XCR0. ---- */

static inline uint64_t xgetbv(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline void xsetbv(uint32_t index, uint64_t value)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
}

/* CR4.PKE must be set. */
static inline uint32_t rdpkru(void)
{
	uint32_t value;

	__asm__ volatile("rdpkru" : "=a"(value) : "c"(0) : "edx", "memory");
	return value;
}

static inline MUST_CHECK int xsetbv_safe(uint32_t index, uint64_t value)
{
	int status = E_FAULT;

	__asm__ volatile("1: xsetbv\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory", "cc");
	return status;
}

static inline void xsave(void *area, uint64_t mask)
{
	__asm__ volatile("xsave64 (%0)"
			 :
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

static inline MUST_CHECK int xsavec_safe(void *area, uint64_t mask)
{
	int status = E_FAULT;

	__asm__ volatile("1: xsavec64 (%1)\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory", "cc");
	return status;
}

static inline MUST_CHECK int xrstor_safe(const void *area, uint64_t mask)
{
	int status = E_FAULT;

	__asm__ volatile("1: xrstor64 (%1)\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory", "cc");
	return status;
}

/* For CPUs without XSAVE; 16-byte aligned areas of 512 bytes. */
static inline void fxsave(void *area)
{
	__asm__ volatile("fxsave64 (%0)" : : "r"(area) : "memory");
}

static inline MUST_CHECK int fxrstor_safe(const void *area)
{
	int status = E_FAULT;

	__asm__ volatile("1: fxrstor64 (%1)\n\t"
			 "xorl %0, %0\n\t"
			 "2:\n\t" EXTABLE("1b", "2b")
			 : "+r"(status)
			 : "r"(area)
			 : "memory", "cc");
	return status;
}

/* ---- Identification and time ---- */

static inline struct cpuid_regs cpuid(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
	return (uint64_t)hi << 32 | lo;
}

static inline uint64_t rdtscp(uint32_t *aux)
{
	uint32_t lo, hi, c;

	__asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(c) : : "memory");
	*aux = c;
	return (uint64_t)hi << 32 | lo;
}

/* ---- Descriptor tables and segments ---- */

static inline void lgdt(const struct desc_ptr *p)
{
	__asm__ volatile("lgdt %0" : : "m"(*p) : "memory");
}

static inline void lidt(const struct desc_ptr *p)
{
	__asm__ volatile("lidt %0" : : "m"(*p) : "memory");
}

static inline void lldt(uint16_t selector)
{
	__asm__ volatile("lldt %0" : : "r"(selector) : "memory");
}

static inline void ltr(uint16_t selector)
{
	__asm__ volatile("ltr %0" : : "r"(selector) : "memory");
}

static inline struct desc_ptr sgdt(void)
{
	struct desc_ptr p;

	__asm__ volatile("sgdt %0" : "=m"(p));
	return p;
}

static inline struct desc_ptr sidt(void)
{
	struct desc_ptr p;

	__asm__ volatile("sidt %0" : "=m"(p));
	return p;
}

static inline uint16_t str_selector(void)
{
	uint16_t v;

	__asm__ volatile("str %0" : "=r"(v));
	return v;
}

/* Reload CS, and DS, ES, SS, FS and GS with `data`. Zeroes the FS and GS bases. */
static inline void load_segments(uint16_t code, uint16_t data)
{
	__asm__ volatile("pushq %q0\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "movl %1, %%ds\n\t"
			 "movl %1, %%es\n\t"
			 "movl %1, %%ss\n\t"
			 "movl %1, %%fs\n\t"
			 "movl %1, %%gs\n\t"
			 :
			 : "r"((uint64_t)code), "r"((uint32_t)data)
			 : "rax", "memory");
}

/* The first quadword of the per-CPU area: a pointer to itself. */
static inline void *gs_self(void)
{
	void *p;

	__asm__("movq %%gs:0, %0" : "=r"(p));
	return p;
}

/* ---- TLB, caches, ordering ---- */

static inline void invlpg(uint64_t va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" : : : "memory");
}

static inline void clflush(const void *p)
{
	__asm__ volatile("clflush (%0)" : : "r"(p) : "memory");
}

static inline void mfence(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

static inline void lfence(void)
{
	__asm__ volatile("lfence" : : : "memory");
}

static inline void verw(uint16_t data_selector)
{
	__asm__ volatile("verw %0" : : "m"(data_selector) : "cc");
}

static inline void stac(void)
{
	__asm__ volatile("stac" : : : "memory", "cc");
}

static inline void clac(void)
{
	__asm__ volatile("clac" : : : "memory", "cc");
}

/* ---- Interrupt flag and waiting ---- */

static inline void cli(void)
{
	__asm__ volatile("cli" : : : "memory");
}

static inline void sti(void)
{
	__asm__ volatile("sti" : : : "memory");
}

/* Any bit of it. Compilers load an atomic before they compare it; each exit looks at one. */
static inline bool atomic_set(const uint32_t *bits)
{
	bool any;

	__asm__ volatile("cmpl $0, %1" : "=@ccne"(any) : "m"(*bits) : "memory");
	return any;
}

/* Take what is pending, in the shadow-free slot of the NOP. */
static inline void irq_window(void)
{
	__asm__ volatile("sti; nop; cli" : : : "memory", "cc");
}

/*
 * After an exit for a host NMI or machine check: run the host's handler, whose IRET unblocks NMIs.
 */
static inline void host_nmi(void)
{
	__asm__ volatile("int $2" : : : "memory");
}

static inline void host_machine_check(void)
{
	__asm__ volatile("int $18" : : : "memory");
}

/*
 * Sleep until an interrupt, with none lost between the STI and the HLT; IF is 0 again afterwards.
 */
static inline void sti_hlt_cli(void)
{
	__asm__ volatile("sti; hlt; cli" : : : "memory", "cc");
}

static inline void hlt(void)
{
	__asm__ volatile("hlt" : : : "memory");
}

static inline void cpu_relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}

/* Returns the flags to give back to irq_restore(). */
static inline uint64_t irq_save(void)
{
	uint64_t flags = read_rflags();

	cli();
	return flags;
}

static inline void irq_restore(uint64_t flags)
{
	if (flags & (1u << 9))
		sti();
}

#include "arch/x86/cpu/vector_insn.h"

#endif /* HOST_BUILD */
#endif
