/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions of all kinds with an operand or a stack in device memory. With "buffer" in the command
 * line that is the trapping buffer of a guest with debug_mmio; without it the halted counter of the
 * HPET, 64 bits that keep what is written.
 */
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"

PAYLOAD("emulation");

#define BUFFER       0xff000000ull
#define LATCH        0xe0 /* of debug_mmio: a port that keeps what is written */
#define HPET         0xfed00000ull
#define HPET_CONFIG  0x10
#define HPET_COUNTER 0xf0

static uint64_t mem;
static bool buffer;

static bool has_word(const char *word)
{
	const char *text = guest_cmdline();
	unsigned at = 0;

	for (; *text; text++) {
		at = *text == word[at] ? at + 1 : 0;
		if (!word[at])
			return true;
	}
	return false;
}

static void put(uint64_t value)
{
	*(volatile uint64_t *)mem = value;
}

static uint64_t get(void)
{
	return *(volatile uint64_t *)mem;
}

/* RDI is the address; RAX, RCX and RDX go in and come out. */
struct step {
	const char *text;
	bool any_size; /* the HPET takes 4 and 8 bytes only */
	uint64_t before, rax, rcx, rdx;
	uint64_t after, rax_out, rdx_out;
	void (*run)(uint64_t address, uint64_t *rax, uint64_t rcx, uint64_t *rdx);
};

#define STEP(name, insn)                                                                           \
	static void name(uint64_t address, uint64_t *rax, uint64_t rcx, uint64_t *rdx)             \
	{                                                                                          \
		__asm__ volatile(insn                                                              \
				 : "+a"(*rax), "+d"(*rdx), "+c"(rcx), "+D"(address)                \
				 :                                                                 \
				 : "rbx", "rsi", "r8", "memory", "cc");                            \
	}

STEP(mul, "mulq (%%rdi)")
STEP(imul2, "imulq (%%rdi), %%rax")
STEP(imul3, "imulq $-3, (%%rdi), %%rax")
STEP(idiv, "idivq (%%rdi)")
STEP(shl, "shlq %%cl, (%%rdi)")
STEP(ror, "rorq $8, (%%rdi)")
STEP(shrd, "shrdq $16, %%rax, (%%rdi)")
STEP(bsr, "bsrq (%%rdi), %%rax")
STEP(btc, "movl $64, %%ecx; btcq %%rcx, -8(%%rdi)")
STEP(cmpxchg8b, "movl $0x11, %%ebx; lock cmpxchg8b (%%rdi)")
STEP(push_pop, "pushq (%%rdi); addq $1, (%%rsp); popq (%%rdi)")
STEP(stack, "movq %%rsp, %%r8; leaq 8(%%rdi), %%rsp; pushq %%rax; popq %%rdx; movq %%r8, %%rsp")
STEP(call_ret, "movq %%rsp, %%r8; leaq 8(%%rdi), %%rsp; call 1f; jmp 2f; 1: movl $7, %%eax; ret;"
	       "2: movq %%r8, %%rsp; movl $0, %%edx; movq %%rdx, (%%rdi)")
STEP(enter, "movq %%rsp, %%r8; movq %%rbp, %%rbx; leaq 8(%%rdi), %%rsp; movq %%rax, %%rbp;"
	    "enter $0, $0; leave; movq %%rbp, %%rdx; movq %%rbx, %%rbp; movq %%r8, %%rsp")
STEP(pushf, "movq %%rsp, %%r8; leaq 8(%%rdi), %%rsp; cmpl $1, %%eax; pushfq; popq %%rdx;"
	    "movq %%r8, %%rsp; andl $0x41, %%edx; movq %%rdx, (%%rdi)")
STEP(near_jump,
	"leaq 1f(%%rip), %%rdx; movq %%rdx, (%%rdi); jmp *(%%rdi); ud2; 1: xorl %%edx, %%edx;"
	"movq %%rdx, (%%rdi)")
STEP(far_jump, "leaq 1f(%%rip), %%rdx; movq %%cs, %%rcx; shlq $32, %%rcx; orq %%rcx, %%rdx;"
	       "movq %%rdx, (%%rdi); ljmp *(%%rdi); ud2; 1: xorl %%edx, %%edx; movq %%rdx, (%%rdi)")
STEP(segment, "movw %%ss, (%%rdi); movw (%%rdi), %%ss; movw %%ss, %%dx; movzwl %%dx, %%edx")
STEP(null_ss, "movw (%%rdi), %%ss; movl %%ss, %%edx; movl %%eax, %%ss")
STEP(load_ldt, "lldt (%%rdi); sldt %%edx")
STEP(smsw, "smsw (%%rdi); movq (%%rdi), %%rdx; andl $1, %%edx; movl $0, %%eax; movq %%rax, (%%rdi)")
STEP(lmsw, "smsw %%ax; orl $8, %%eax; movw %%ax, (%%rdi); lmsw (%%rdi); smsw %%dx; clts;"
	   "andl $8, %%edx; xorl %%eax, %%eax; movq %%rax, (%%rdi)")
STEP(xmm, "movq %%rax, %%xmm5; movq %%xmm5, (%%rdi); movups (%%rdi), %%xmm13; movq %%xmm13, %%rdx")
STEP(movaps,
	"movq %%rax, %%xmm5; movaps %%xmm5, (%%rdi); movdqa (%%rdi), %%xmm0; movq %%xmm0, %%rdx")
STEP(movd, "movd (%%rdi), %%xmm7; movq %%xmm7, %%rdx; movhps (%%rdi), %%xmm7;"
	   "movhlps %%xmm7, %%xmm7; movq %%xmm7, %%rax")
STEP(mmx, "movq (%%rdi), %%mm3; movq %%mm3, %%rdx; movq %%rax, %%mm7; movq %%mm7, (%%rdi); emms")
STEP(stos, "std; movl $8, %%ecx; addq $7, %%rdi; rep stosb; cld")

#define V 0x8877665544332211ull
static const struct step steps[] = {
	{"mul", false, V, 0x10, 0, 0, V, 0x8776655443322110, 8, mul},
	{"imul r,m", false, V, 2, 0, 0, V, 0x10eeccaa88664422, 0, imul2},
	{"imul r,m,imm", false, 5, 0, 0, 0, 5, -15ull, 0, imul3},
	{"idiv", false, -7ull, 100, 0, 0, -7ull, -14ull, 2, idiv},
	{"shl", false, V, 0, 4, 0, V << 4, 0, 0, shl},
	{"ror", false, V, 0, 0, 0, 0x1188776655443322, 0, 0, ror},
	{"shrd", false, V, 0xabcd, 0, 0, 0xabcd887766554433, 0xabcd, 0, shrd},
	{"bsr", false, 0x1000, 0, 0, 0, 0x1000, 12, 0, bsr},
	{"btc beyond", false, 2, 0, 0, 0, 3, 0, 0, btc},
	{"cmpxchg8b", false, 0x2200000001, 1, 0x33, 0x22, 0x3300000011, 1, 0x22, cmpxchg8b},
	{"push, pop", false, V, 0, 0, 0, V + 1, 0, 0, push_pop},
	{"stack", false, 0, V, 0, 0, V, V, V, stack},
	{"call", false, 1, 0, 0, 0, 0, 7, 0, call_ret},
	{"enter", false, 0, V, 0, 0, V, V, V, enter},
	{"pushf", false, 0, 1, 0, 0, 0x40, 1, 0x40, pushf},
	{"jmp near", false, 0, 0, 0, 0, 0, 0, 0, near_jump},
	{"jmp far", true, 0, 0, 0, 0, 0, 0, 0, far_jump},
	{"segment register", true, 0, 0, 0, 0, GUEST_DS, 0, GUEST_DS, segment},
	{"null ss", true, 0, GUEST_DS, 0, 0, 0, GUEST_DS, 0, null_ss},
	{"lldt", true, 0, 0, 0, 0, 0, 0, 0, load_ldt},
	{"smsw", true, 0, 0, 0, 0, 0, 0, 1, smsw},
	{"lmsw", true, 0, 0, 0, 0, 0, 0, 8, lmsw},
	{"movq, movups", false, 0, V, 0, 0, V, V, V, xmm},
	{"movaps", false, 0, V, 0, 0, V, V, V, movaps},
	{"movd, movhps", false, V, 0, 0, 0, V, V, 0x44332211, movd},
	{"mmx", false, V, 0x77, 0, 0, 0x77, 0x77, V, mmx},
	{"stosb down", true, 0, 0x5a, 0, 0, 0x5a5a5a5a5a5a5a5a, 0x5a, 0, stos},
};

static void test_steps(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		const struct step *s = &steps[i];
		uint64_t rax = s->rax, rdx = s->rdx;

		if (s->any_size && !buffer)
			continue;
		put(s->before);
		s->run(mem, &rax, s->rcx, &rdx);
		check(get() == s->after && rax == s->rax_out && rdx == s->rdx_out,
			"%s: memory %lxh rax %lxh rdx %lxh, not %lxh %lxh %lxh", s->text, get(),
			rax, rdx, s->after, s->rax_out, s->rdx_out);
	}
}

static void divide(uint64_t address)
{
	__asm__ volatile("divq (%0)" : : "r"(address) : "rax", "rdx", "cc");
}

static void jump(uint64_t address)
{
	__asm__ volatile("jmp *(%0)" : : "r"(address));
}

static void load_task(uint64_t address)
{
	__asm__ volatile("ltr (%0)" : : "r"(address));
}

static void load_stack(uint64_t address)
{
	__asm__ volatile("movw (%0), %%ss" : : "r"(address));
}

static void load_unaligned(uint64_t address)
{
	__asm__ volatile("movaps 8(%0), %%xmm1" : : "r"(address));
}

static void test_faults(void)
{
	put(0);
	check_fault(EXC_DE, divide, mem, "div by 0 in memory");
	put(0x0000800000000000);
	check_fault(EXC_GP, jump, mem, "jmp to an address that is not canonical");
	if (buffer) {
		put(GUEST_TSS);
		check_fault(EXC_GP, load_task, mem, "ltr of a busy TSS");
		check(trap_last.error == GUEST_TSS, "ltr: error %lxh", trap_last.error);
		put(3);
		check_fault(EXC_GP, load_stack, mem, "null ss with RPL 3");
	}
	check_fault(EXC_GP, load_unaligned, mem, "movaps unaligned");
	put(V);
	write_cr0(read_cr0() | CR0_TS);
	check_fault(EXC_NM, load_unaligned, mem, "movaps with TS");
	write_cr0(read_cr0() & ~CR0_TS);
}

static volatile unsigned stepped;
static volatile uint64_t stepped_at;

static void count_step(struct trap_frame *frame)
{
	if (stepped++ == 0)
		stepped_at = frame->rip;
	frame->rflags &= ~RFLAGS_TF;
}

/* The trap comes right behind the emulated instruction. */
static void test_single_step(void)
{
	uint64_t behind;

	trap_set_handler(EXC_DB, count_step);
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); leaq 1f(%%rip), %0; popfq; incq (%1); 1: nop"
			 : "=&r"(behind)
			 : "r"(mem)
			 : "memory", "cc");
	trap_set_handler(EXC_DB, NULL);
	check(stepped == 1 && stepped_at == behind, "%u steps, the first at %lxh, not %lxh",
		stepped, stepped_at, behind);
}

static void test_avx(void)
{
	uint64_t in[4] = {1, 2, 3, V}, out[4] = {0};

	if (!(cpuid(1, 0).ecx & CPUID_1_ECX_AVX) || !buffer)
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, XCR0_X87 | XCR0_SSE | XCR0_AVX);
	__asm__ volatile("vmovdqu (%0), %%ymm14; vmovdqa %%ymm14, (%2); vmovups (%2), %%ymm2;"
			 "vmovdqu %%ymm2, (%1)"
			 :
			 : "r"(in), "r"(out), "r"(mem)
			 : "memory");
	check(out[0] == 1 && out[1] == 2 && out[2] == 3 && out[3] == V, "ymm: %lxh .. %lxh", out[0],
		out[3]);
	__asm__ volatile("vmovups (%0), %%xmm2; vmovdqu %%ymm2, (%1)"
			 :
			 : "r"(mem), "r"(out)
			 : "memory");
	check(out[1] == 2 && out[2] == 0 && out[3] == 0, "xmm by VEX keeps %lxh above", out[3]);
}

/* The descriptor becomes busy in RAM; an exception comes through the task state afterwards. */
static void test_task_register(void)
{
	uint64_t *descriptor = (uint64_t *)(sgdt().base + GUEST_TSS);
	const uint64_t busy = BIT(41);

	if (!buffer)
		return;
	*descriptor &= ~busy;
	put(GUEST_TSS);
	load_task(mem);
	check(*descriptor & busy, "ltr leaves %lxh", *descriptor);
	check(str_selector() == GUEST_TSS, "str %xh", str_selector());
	put(0);
	check_fault(EXC_DE, divide, mem, "div by 0 after ltr");
}

/* More than one device register: strings, a whole frame of IRET. */
static void test_buffer(void)
{
	static const char text[] = "the quick brown fox";
	uint64_t count = sizeof(text), to = mem, from = (uint64_t)text, flags;
	uint64_t *frame = (uint64_t *)(mem + 0x800);

	if (!buffer)
		return;
	__asm__ volatile("rep movsb" : "+c"(count), "+S"(from), "+D"(to) : : "memory");
	check(count == 0 && to == mem + sizeof(text), "rep movsb: %lu left", count);
	count = sizeof(text);
	to = mem;
	from = (uint64_t)text;
	__asm__ volatile("repe cmpsb; pushfq; popq %3"
			 : "+c"(count), "+S"(from), "+D"(to), "=r"(flags)
			 :
			 : "memory", "cc");
	check(count == 0 && (flags & RFLAGS_ZF), "repe cmpsb: %lu left", count);
	count = sizeof(text);
	to = mem;
	__asm__ volatile("repne scasb" : "+c"(count), "+D"(to) : "a"('q') : "memory", "cc");
	check(to == mem + 5, "repne scasb at %lxh", to);
	__asm__ volatile("movw %%ss, %%ax; movzwl %%ax, %%eax; movq %%rsp, 24(%0);"
			 "movq %%rax, 32(%0); pushfq; popq 16(%0); movw %%cs, %%ax;"
			 "movzwl %%ax, %%eax; movq %%rax, 8(%0); leaq 1f(%%rip), %%rax;"
			 "movq %%rax, (%0); movq %0, %%rsp; iretq; 1:"
			 :
			 : "r"(frame)
			 : "rax", "memory", "cc");
	check(frame[1] == GUEST_CS, "iretq");
	__asm__ volatile("outb %b0, %w1" : : "a"(0x99), "Nd"(LATCH));
	count = 200;
	to = mem + 4000; /* more than one exit's worth, into the next page */
	__asm__ volatile("rep insb" : "+c"(count), "+D"(to) : "d"(LATCH) : "memory");
	check(to == mem + 4200 && *(volatile uint8_t *)(mem + 4199) == 0x99, "rep insb to %lxh",
		to);
	*(volatile uint16_t *)(mem + 4095) = 0x9988; /* across two pages */
	check(*(volatile uint16_t *)(mem + 4095) == 0x9988, "across pages");
}

void payload_run(void)
{
	buffer = has_word("buffer");
	mem = buffer ? BUFFER : HPET + HPET_COUNTER;
	if (!buffer)
		*(volatile uint64_t *)(HPET + HPET_CONFIG) = 0;
	regs_init(1);
	test_steps();
	test_faults();
	test_single_step();
	test_task_register();
	test_avx();
	test_buffer();
}
