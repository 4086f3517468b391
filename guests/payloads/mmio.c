/* SPDX-License-Identifier: Apache-2.0 */
/* Device registers through every form of instruction that a guest may use on them. */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cr.h"
#include "guests/runtime/guest.h"

PAYLOAD("mmio");

#define IOAPIC 0xfec00000ul
#define HPET   0xfed00000ul
#define ECAM   0xb0000000ul

static uint32_t *const tpr = (uint32_t *)(APIC_DEFAULT_BASE + APIC_TPR);
static uint32_t *const version = (uint32_t *)(APIC_DEFAULT_BASE + APIC_VERSION);

/*
 * The TPR is a register of 8 bits without side effects while interrupts are off. Each step does one
 * instruction: RDI is its address, EAX goes in and comes out.
 */
struct step {
	const char *text;
	uint32_t before, in, after, out;
	void (*run)(uint32_t *reg, uint64_t *rax);
};

#define STEP(name, insn)                                                                           \
	static void name(uint32_t *reg, uint64_t *rax)                                             \
	{                                                                                          \
		__asm__ volatile(insn                                                              \
				 : "+a"(*rax), "+D"(reg)                                           \
				 :                                                                 \
				 : "rcx", "rsi", "r15", "memory", "cc");                           \
	}

STEP(mov_store, "movl %%eax, (%%rdi)")
STEP(mov_load, "movl (%%rdi), %%eax")
STEP(mov_imm, "movl $0x20, (%%rdi)")
STEP(mov_moffs, "movabsl 0xfee00080, %%eax")
STEP(mov_r15,
	"movq %%rdi, %%r15; xorl %%ecx, %%ecx; movl -0x50(%%r15, %%rcx, 4), %%eax; movl (%%r15), %%eax")
STEP(or_store, "orl %%eax, (%%rdi)")
STEP(and_store, "andl %%eax, (%%rdi)")
STEP(xor_store, "xorl %%eax, (%%rdi)")
STEP(add_store, "addl %%eax, (%%rdi)")
STEP(sub_imm, "subl $0x10, (%%rdi)")
STEP(or_load, "orl (%%rdi), %%eax")
STEP(add_load, "addl (%%rdi), %%eax")
STEP(xchg, "xchgl %%eax, (%%rdi)")
STEP(xadd, "lock xaddl %%eax, (%%rdi)")
STEP(cmpxchg, "movl $0x77, %%ecx; cmpxchgl %%ecx, (%%rdi)")
STEP(lock_or, "lock orl $0x80, (%%rdi)")
STEP(inc, "incl (%%rdi)")
STEP(neg_not, "notl (%%rdi)")
STEP(bts, "lock btsl $4, (%%rdi)")
STEP(cmp_set, "cmpl (%%rdi), %%eax; sete %%al; movzbl %%al, %%eax")
STEP(test_set, "testl %%eax, (%%rdi); setne %%al; movzbl %%al, %%eax")
STEP(cmov, "xorl %%ecx, %%ecx; cmovel (%%rdi), %%eax")
STEP(movsx, "movslq (%%rdi), %%rax")
STEP(stos, "stosl")
STEP(lods, "movq %%rdi, %%rsi; lodsl")
STEP(movs, "movq %%rdi, %%rsi; leaq -8(%%rsp), %%rdi; movsl; movl -8(%%rsp), %%eax")
STEP(movnti, "movnti %%eax, (%%rdi)")

static const struct step steps[] = {
	{"mov m,r", 0, 0x35, 0x35, 0x35, mov_store},
	{"mov r,m", 0x35, 0, 0x35, 0x35, mov_load},
	{"mov m,imm", 0, 0, 0x20, 0, mov_imm},
	{"mov eax,moffs", 0x31, 0, 0x31, 0x31, mov_moffs},
	{"mov r,m base r15", 0x31, 0, 0x31, 0x31, mov_r15},
	{"or m,r", 0x11, 0x22, 0x33, 0x22, or_store},
	{"and m,r", 0x33, 0x22, 0x22, 0x22, and_store},
	{"xor m,r", 0x33, 0x21, 0x12, 0x21, xor_store},
	{"add m,r", 0x10, 0x21, 0x31, 0x21, add_store},
	{"sub m,imm", 0x31, 0, 0x21, 0, sub_imm},
	{"or r,m", 0x11, 0x22, 0x11, 0x33, or_load},
	{"add r,m", 0x11, 0x22, 0x11, 0x33, add_load},
	{"xchg", 0x44, 0x55, 0x55, 0x44, xchg},
	{"lock xadd", 0x44, 0x11, 0x55, 0x44, xadd},
	{"cmpxchg equal", 0x44, 0x44, 0x77, 0x44, cmpxchg},
	{"cmpxchg different", 0x44, 0x45, 0x44, 0x44, cmpxchg},
	{"lock or m,imm", 0x04, 0, 0x84, 0, lock_or},
	{"inc", 0x0f, 0, 0x10, 0, inc},
	{"not", 0x0f, 0, 0xf0, 0, neg_not},
	{"lock bts", 0x01, 0, 0x11, 0, bts},
	{"cmp", 0x21, 0x21, 0x21, 1, cmp_set},
	{"test", 0x21, 0x12, 0x21, 0, test_set},
	{"cmov", 0x21, 0, 0x21, 0x21, cmov},
	{"movsxd", 0x21, 0, 0x21, 0x21, movsx},
	{"stos", 0, 0x66, 0x66, 0x66, stos},
	{"lods", 0x66, 0, 0x66, 0x66, lods},
	{"movs", 0x66, 0, 0x66, 0x66, movs},
	{"movnti", 0, 0x13, 0x13, 0x13, movnti},
};

static void test_lapic(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];
		uint64_t rax = s->in;

		*(volatile uint32_t *)tpr = s->before;
		s->run(tpr, &rax);
		check(*(volatile uint32_t *)tpr == s->after && (uint32_t)rax == s->out,
			"%s: TPR %xh eax %xh, not %xh %xh", s->text, *(volatile uint32_t *)tpr,
			(uint32_t)rax, s->after, s->out);
	}
	*(volatile uint32_t *)tpr = 0;
}

/* Configuration space takes accesses of every width: 29c0_8086h is the host bridge. */
static void test_widths(void)
{
	uint64_t zx8, zx16, sx8, sx16;

	__asm__ volatile("movzbl (%1), %k0" : "=r"(zx8) : "r"(ECAM) : "memory");
	__asm__ volatile("movzwl (%1), %k0" : "=r"(zx16) : "r"(ECAM) : "memory");
	__asm__ volatile("movsbq (%1), %0" : "=r"(sx8) : "r"(ECAM) : "memory");
	__asm__ volatile("movswl (%1), %k0" : "=r"(sx16) : "r"(ECAM) : "memory");
	check(zx8 == 0x86, "movzx 8: %lxh", zx8);
	check(zx16 == 0x8086, "movzx 16: %lxh", zx16);
	check(sx8 == 0xffffffffffffff86, "movsx 8: %lxh", sx8);
	check(sx16 == 0xffff8086, "movsx 16: %lxh", sx16);
	check((*(volatile uint32_t *)version & 0xf0) == 0x10, "LAPIC version %xh",
		*(volatile uint32_t *)version);
}

static void test_ioapic(void)
{
	check((ioapic_read(1) >> 16 & 0xff) == 23, "IOAPIC version %xh", ioapic_read(1));
	/* The index register takes bytes too. */
	*(volatile uint8_t *)IOAPIC = 0x10;
	check((*(volatile uint32_t *)(IOAPIC + 0x10) & APIC_LVT_MASKED) != 0,
		"pin 0 is not masked");
	ioapic_write(0x10 + 2 * 5, APIC_LVT_MASKED | 0x55);
	ioapic_write(0x11 + 2 * 5, 0x12000000);
	check(ioapic_read(0x10 + 2 * 5) == (APIC_LVT_MASKED | 0x55), "IOAPIC redirection entry");
	check(ioapic_read(0x11 + 2 * 5) == 0x12000000, "IOAPIC destination");
}

static uint64_t hpet64(unsigned offset)
{
	return *(volatile uint64_t *)(HPET + offset);
}

static void test_hpet(void)
{
	uint64_t caps = hpet64(0), a, b;
	uint32_t period = (uint32_t)(caps >> 32);

	check(period > 0 && period <= 100000000, "HPET period %u fs", period);
	check((caps >> 8 & 31) >= 2, "HPET with %lu timers", (caps >> 8 & 31) + 1);
	check(*(volatile uint32_t *)(HPET + 4) == period, "HPET period at 32 bits");
	*(volatile uint64_t *)(HPET + 0x10) = 0;
	*(volatile uint64_t *)(HPET + 0xf0) = 0x1234500000000ull;
	check(hpet64(0xf0) == 0x1234500000000ull, "HPET counter cannot be set");
	check(hpet64(0xf0) == 0x1234500000000ull, "HPET counter runs while halted");
	__asm__ volatile("orq $1, (%0)" : : "r"(HPET + 0x10) : "memory", "cc");
	a = hpet64(0xf0);
	delay_us(1000);
	b = hpet64(0xf0);
	check((b - a) * period / 1000000 > 900000 && (b - a) * period / 1000000 < 20000000,
		"1 ms is %lu ns of the HPET", (b - a) * period / 1000000);
}

/* Flags come from the memory operand as from any other. */
static void test_flags(void)
{
	uint64_t flags;

	*(volatile uint32_t *)tpr = 0xff;
	__asm__ volatile("cmpl $0x100, (%1); pushfq; popq %0"
			 : "=r"(flags)
			 : "r"(tpr)
			 : "memory", "cc");
	check(flags & RFLAGS_CF && flags & RFLAGS_SF && !(flags & RFLAGS_ZF), "flags of cmp: 0x%lx",
		flags);
	__asm__ volatile("addl $1, (%1); pushfq; popq %0"
			 : "=r"(flags)
			 : "r"(tpr)
			 : "memory", "cc");
	check(!(flags & RFLAGS_CF) && flags & RFLAGS_AF && !(flags & RFLAGS_ZF),
		"flags of add: 0x%lx", flags);
	*(volatile uint32_t *)tpr = 0;
}

void payload_run(void)
{
	test_lapic();
	test_widths();
	test_flags();
	test_ioapic();
	test_hpet();
}
