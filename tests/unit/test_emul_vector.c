/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector moves: each form is executed by the emulator and by the processor that runs the test, from
 * the same registers and memory, and everything left behind is compared. What the processor lacks
 * is skipped. Then the faults, which the processor cannot show here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute.h"

#define BUFFER_SIZE 256
#define OPERAND     64 /* RAX points there */

struct vectors {
	uint8_t ymm[16][32];
	uint64_t mmx[8];
};

static struct vectors ours, real;
static uint8_t memory[BUFFER_SIZE] __attribute__((aligned(64)));
static uint8_t copy[BUFFER_SIZE] __attribute__((aligned(64)));
static uint64_t mxcsr, xcr0;
static uint8_t *code;
static uint64_t rip_back;

static enum emul_result v_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	(void)ctx;
	(void)access;
	if (!range_within(gva - (uintptr_t)copy, size, BUFFER_SIZE))
		return EMUL_STOP;
	memcpy(buf, copy + (gva - (uintptr_t)copy), size);
	return EMUL_DONE;
}

static enum emul_result v_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	(void)ctx;
	(void)access;
	if (!range_within(gva - (uintptr_t)copy, size, BUFFER_SIZE))
		return EMUL_STOP;
	memcpy(copy + (gva - (uintptr_t)copy), buf, size);
	return EMUL_DONE;
}

static enum emul_result v_get(struct emul_ctx *ctx, unsigned reg, void *buf, unsigned size)
{
	(void)ctx;
	memcpy(buf, size == 8 ? (void *)&ours.mmx[reg] : ours.ymm[reg], size);
	return EMUL_DONE;
}

static enum emul_result v_set(
	struct emul_ctx *ctx, unsigned reg, const void *buf, unsigned size, bool zero_upper)
{
	(void)ctx;
	if (size == 8) {
		memcpy(&ours.mmx[reg], buf, 8);
		return EMUL_DONE;
	}
	memcpy(ours.ymm[reg], buf, size);
	if (zero_upper)
		memset(ours.ymm[reg] + size, 0, 32 - size);
	return EMUL_DONE;
}

static enum emul_result v_mxcsr_get(struct emul_ctx *ctx, uint32_t *value)
{
	(void)ctx;
	*value = (uint32_t)mxcsr;
	return EMUL_DONE;
}

static enum emul_result v_mxcsr_set(struct emul_ctx *ctx, uint32_t value)
{
	(void)ctx;
	mxcsr = value;
	return EMUL_DONE;
}

static uint64_t v_xcr0(struct emul_ctx *ctx)
{
	(void)ctx;
	return xcr0;
}

static const struct emul_vector_regs regs = {v_get, v_set, v_mxcsr_get, v_mxcsr_set, v_xcr0};
static const struct emul_env env = {.read = v_read, .write = v_write, .vectors = &regs};
static uint64_t gpr[EMUL_GPR_COUNT];
static struct emul_ctx ctx;
static struct emul_insn insn;

static void start(void)
{
	memset(gpr, 0, sizeof(gpr));
	ctx = (struct emul_ctx){.gpr = gpr,
		.rflags = RFLAGS_RESERVED,
		.cr0 = CR0_PE | CR0_PG,
		.cr4 = CR4_OSFXSR | CR4_OSXSAVE,
		.code = EMUL_CODE64,
		.env = &env};
	xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	gpr[EMUL_RAX] = (uintptr_t)copy + OPERAND;
	for (unsigned i = 0; i < sizeof(ours); i++)
		((uint8_t *)&ours)[i] = (uint8_t)(i * 37 + 11);
	for (unsigned i = 0; i < BUFFER_SIZE; i++)
		copy[i] = memory[i] = (uint8_t)(i * 73 + 5);
	real = ours;
}

static enum emul_result run(const uint8_t *bytes, unsigned count)
{
	assert_int_equal(emul_decode(bytes, count, ctx.code, &insn), EMUL_DECODE_OK);
	assert_int_equal(insn.length, count);
	return emul_execute(&ctx, &insn);
}

/* YMM registers in, the instruction, YMM registers out; RAX is its address. */
void vector_native(struct vectors *v, void *operand, void *target);
__asm__(".pushsection .text\n"
	".globl vector_native, vector_native_back\n"
	"vector_native:\n"
	"	mov %rdi, vector_state(%rip)\n"
	"	mov %rsi, %rax\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu \\n*32(%rdi), %ymm\\n\n"
	".endr\n"
	".irp n,0,1,2,3,4,5,6,7\n"
	"	movq 512+\\n*8(%rdi), %mm\\n\n"
	".endr\n"
	"	jmp *%rdx\n"
	"vector_native_back:\n"
	"	mov vector_state(%rip), %rdi\n"
	".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
	"	vmovdqu %ymm\\n, \\n*32(%rdi)\n"
	".endr\n"
	".irp n,0,1,2,3,4,5,6,7\n"
	"	movq %mm\\n, 512+\\n*8(%rdi)\n"
	".endr\n"
	"	emms\n"
	"	vzeroupper\n"
	"	ret\n"
	".popsection\n"
	".pushsection .bss\n"
	"vector_state: .quad 0\n"
	".popsection\n");
extern char vector_native_back[];

static void run_native(const uint8_t *bytes, unsigned count)
{
	static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *0(%rip) */

	rip_back = (uintptr_t)vector_native_back;
	memcpy(code, bytes, count);
	memcpy(code + count, jump, sizeof(jump));
	memcpy(code + count + sizeof(jump), &rip_back, 8);
	vector_native(&real, memory + OPERAND, code);
}

/* Legacy forms with [RAX]: prefix or 0, map, opcode. */
struct form {
	uint8_t prefix, map, opcode;
	bool vex, legacy, narrow; /* narrow: no 256 bits */
};

static const struct form forms[] = {
	{0, 1, 0x10, 1, 1, 0},
	{0x66, 1, 0x10, 1, 1, 0},
	{0xf3, 1, 0x10, 1, 1, 0},
	{0xf2, 1, 0x10, 1, 1, 0},
	{0, 1, 0x11, 1, 1, 0},
	{0x66, 1, 0x11, 1, 1, 0},
	{0xf3, 1, 0x11, 1, 1, 0},
	{0xf2, 1, 0x11, 1, 1, 0},
	{0, 1, 0x12, 1, 1, 1},
	{0x66, 1, 0x12, 1, 1, 1},
	{0xf3, 1, 0x12, 1, 1, 0},
	{0xf2, 1, 0x12, 1, 1, 0},
	{0, 1, 0x13, 1, 1, 1},
	{0x66, 1, 0x13, 1, 1, 1},
	{0, 1, 0x16, 1, 1, 1},
	{0x66, 1, 0x16, 1, 1, 1},
	{0xf3, 1, 0x16, 1, 1, 0},
	{0, 1, 0x17, 1, 1, 1},
	{0x66, 1, 0x17, 1, 1, 1},
	{0, 1, 0x28, 1, 1, 0},
	{0x66, 1, 0x28, 1, 1, 0},
	{0, 1, 0x29, 1, 1, 0},
	{0x66, 1, 0x29, 1, 1, 0},
	{0, 1, 0x2b, 1, 1, 0},
	{0x66, 1, 0x2b, 1, 1, 0},
	{0, 1, 0x6e, 0, 1, 1},
	{0x66, 1, 0x6e, 1, 1, 1},
	{0, 1, 0x6f, 0, 1, 1},
	{0x66, 1, 0x6f, 1, 1, 0},
	{0xf3, 1, 0x6f, 1, 1, 0},
	{0, 1, 0x7e, 0, 1, 1},
	{0x66, 1, 0x7e, 1, 1, 1},
	{0xf3, 1, 0x7e, 1, 1, 1},
	{0, 1, 0x7f, 0, 1, 1},
	{0x66, 1, 0x7f, 1, 1, 0},
	{0xf3, 1, 0x7f, 1, 1, 0},
	{0x66, 1, 0xd6, 1, 1, 1},
	{0, 1, 0xe7, 0, 1, 1},
	{0x66, 1, 0xe7, 1, 1, 0},
	{0xf2, 1, 0xf0, 1, 1, 0},
	{0x66, 2, 0x18, 1, 0, 0},
	{0x66, 2, 0x19, 1, 0, 0},
	{0x66, 2, 0x1a, 1, 0, 0},
	{0x66, 2, 0x2a, 1, 1, 0},
	{0x66, 2, 0x58, 1, 0, 0},
	{0x66, 2, 0x59, 1, 0, 0},
	{0x66, 2, 0x5a, 1, 0, 0},
	{0x66, 2, 0x78, 1, 0, 0},
	{0x66, 2, 0x79, 1, 0, 0},
};

static void compare(const uint8_t *bytes, unsigned count)
{
	char text[32] = "";

	start();
	assert_int_equal(run(bytes, count), EMUL_DONE);
	run_native(bytes, count);
	for (unsigned i = 0; i < count; i++)
		snprintf(text + i * 3, 4, "%02x ", bytes[i]);
	if (memcmp(&ours, &real, sizeof(ours)))
		fail_msg("%s: registers", text);
	if (memcmp(copy, memory, sizeof(copy)))
		fail_msg("%s: memory", text);
	assert_int_equal(ctx.rip, count);
}

static void compare_legacy(const struct form *f, unsigned reg, bool wide)
{
	uint8_t bytes[8];
	unsigned count = 0;

	if (f->prefix)
		bytes[count++] = f->prefix;
	bytes[count++] = 0x40 | (wide ? 8 : 0) | (reg & 8 ? 4 : 0);
	bytes[count++] = 0x0f;
	if (f->map == 2)
		bytes[count++] = 0x38;
	bytes[count++] = f->opcode;
	bytes[count++] = (reg & 7) << 3;
	compare(bytes, count);
}

static void compare_vex(const struct form *f, unsigned reg, bool wide, unsigned other)
{
	unsigned pp = f->prefix == 0x66 ? 1 : f->prefix == 0xf3 ? 2 : f->prefix == 0xf2 ? 3 : 0;
	bool merges = (f->opcode == 0x12 || f->opcode == 0x16) && pp < 2;
	const uint8_t bytes[] = {0xc4, (uint8_t)((reg & 8 ? 0 : 0x80) | 0x60 | f->map),
		(uint8_t)((merges ? ~other & 0xf : 0xf) << 3 | (wide ? 4 : 0) | pp), f->opcode,
		(uint8_t)((reg & 7) << 3)};

	compare(bytes, sizeof(bytes));
}

static void same_as_processor(void **state)
{
	(void)state;
	if (!__builtin_cpu_supports("avx2"))
		skip();
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		const struct form *f = &forms[i];
		bool only256 = f->map == 2 && (f->opcode == 0x19 || (f->opcode & 0xbf) == 0x1a);

		for (unsigned reg = 0; reg < 16; reg++) {
			if (f->legacy) {
				compare_legacy(f, reg, false);
				compare_legacy(f, reg, true);
			}
			if (f->vex && !only256)
				compare_vex(f, reg, false, 15 - reg);
			if (f->vex && !f->narrow)
				compare_vex(f, reg, true, reg);
		}
	}
}

static const uint8_t movaps[] = {0x0f, 0x28, 0x00}, movups[] = {0x0f, 0x11, 0x00},
		     vmovdqa[] = {0xc5, 0xfd, 0x6f, 0x00}, movq_mm[] = {0x0f, 0x7f, 0x00},
		     vmovntps[] = {0xc5, 0xfc, 0x2b, 0x00}, vmovdqu[] = {0xc5, 0xfe, 0x6f, 0x00};

static void expect(const uint8_t *bytes, unsigned count, int vector)
{
	struct vectors before = ours;

	if (vector < 0) {
		assert_int_equal(run(bytes, count), EMUL_DONE);
		return;
	}
	assert_int_equal(run(bytes, count), EMUL_FAULT);
	assert_int_equal(ctx.fault.vector, vector);
	assert_int_equal(ctx.fault.has_error, vector == EXC_GP);
	assert_memory_equal(&ours, &before, sizeof(ours));
	assert_memory_equal(copy, memory, sizeof(copy));
	assert_int_equal(ctx.rip, 0);
}
#define EXPECT(bytes, vector) expect(bytes, sizeof(bytes), vector)

static void alignment(void **state)
{
	(void)state;
	start();
	gpr[EMUL_RAX] += 8;
	EXPECT(movaps, EXC_GP);
	EXPECT(vmovdqa, EXC_GP);
	EXPECT(vmovntps, EXC_GP);
	EXPECT(movups, -1);
	EXPECT(vmovdqu, -1);
	start();
	gpr[EMUL_RAX] += 16; /* enough for 128 bits, not for 256 */
	EXPECT(vmovdqa, EXC_GP);
	EXPECT(movaps, -1);
}

static void switched_off(void **state)
{
	(void)state;
	start();
	ctx.cr0 |= CR0_TS;
	EXPECT(movaps, EXC_NM);
	EXPECT(movq_mm, EXC_NM);
	EXPECT(vmovdqu, EXC_NM);
	ctx.cr0 |= CR0_EM; /* #UD comes before #NM; VEX does not look at EM */
	EXPECT(movaps, EXC_UD);
	EXPECT(movq_mm, EXC_UD);
	EXPECT(vmovdqu, EXC_NM);
	start();
	ctx.cr4 &= ~CR4_OSFXSR;
	EXPECT(movaps, EXC_UD);
	EXPECT(vmovdqu, -1);
	EXPECT(movq_mm, -1);
	start();
	ctx.cr4 &= ~CR4_OSXSAVE;
	EXPECT(vmovdqu, EXC_UD);
	EXPECT(movaps, -1);
	start();
	xcr0 = XCR0_X87 | XCR0_SSE;
	EXPECT(vmovdqu, EXC_UD);
	EXPECT(movaps, -1);
}

static void mxcsr_moves(void **state)
{
	static const uint8_t load[] = {0x0f, 0xae, 0x10}, store[] = {0x0f, 0xae, 0x18};
	const uint32_t good = 0x1f80, bad = 0x11f80;
	uint32_t stored;

	(void)state;
	start();
	memcpy(copy + OPERAND, &good, 4);
	EXPECT(load, -1);
	assert_int_equal(mxcsr, good);
	mxcsr = 0x3f80;
	EXPECT(store, -1);
	memcpy(&stored, copy + OPERAND, 4);
	assert_int_equal(stored, 0x3f80);
	memcpy(copy + OPERAND, &bad, 4);
	memcpy(memory, copy, sizeof(copy));
	ctx.rip = 0;
	EXPECT(load, EXC_GP);
	assert_int_equal(mxcsr, 0x3f80);
}

static int set_up(void **state)
{
	(void)state;
	code = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return code == MAP_FAILED ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_processor),
		cmocka_unit_test(alignment),
		cmocka_unit_test(switched_off),
		cmocka_unit_test(mxcsr_moves),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
