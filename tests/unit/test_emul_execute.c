/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor in all modes: results, segmentation, faults that must leave no trace, REP.
 * Arithmetic is compared with a real processor in test_emul_native.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute.h"

#define RAM_BASE 0x10000ull
#define RAM_SIZE 0x2000ull /* what follows is not mapped: #PF */
#define CODE_RIP 0x7000ull

#define DATA_RW   (EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED)
#define DATA_RO   (EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_ACCESSED)
#define CODE_XO   (EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_CODE)
#define CODE_RX   (CODE_XO | EMUL_SEG_WRITE)
#define DATA_DOWN (DATA_RW | EMUL_SEG_EXPAND_DOWN)

struct access {
	char kind; /* r w p i o */
	gva_t gva;
	unsigned size, access;
};

struct fixture {
	struct emul_ctx ctx;
	uint64_t gpr[EMUL_GPR_COUNT];
	struct emul_seg seg[EMUL_SEG_COUNT];
	uint8_t ram[RAM_SIZE];
	struct access log[512];
	unsigned logged;
	bool read_only;            /* writes fault */
	enum emul_result override; /* given by read instead of doing it, unless EMUL_DONE */
	uint32_t port_value;
	struct emul_insn insn;
};

static struct fixture f;

static void note(char kind, gva_t gva, unsigned size, unsigned access)
{
	assert_true(f.logged < ARRAY_SIZE(f.log));
	f.log[f.logged++] = (struct access){kind, gva, size, access};
}

static enum emul_result check(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	bool refused = f.read_only && (access & EMUL_ACCESS_WRITE);

	if (!refused && range_within(gva - RAM_BASE, size, RAM_SIZE))
		return EMUL_DONE;
	ctx->fault = (struct emul_fault){.vector = EXC_PF,
		.has_error = true,
		.error_code = (refused ? PF_ERR_P : 0) |
			      (access & EMUL_ACCESS_WRITE ? PF_ERR_W : 0),
		.cr2 = gva};
	return EMUL_FAULT;
}

static enum emul_result f_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	note('r', gva, size, access);
	if (f.override != EMUL_DONE)
		return f.override;
	if (check(ctx, gva, size, access) != EMUL_DONE)
		return EMUL_FAULT;
	memcpy(buf, f.ram + (gva - RAM_BASE), size);
	return EMUL_DONE;
}

static enum emul_result f_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	note('w', gva, size, access);
	if (check(ctx, gva, size, access | EMUL_ACCESS_WRITE) != EMUL_DONE)
		return EMUL_FAULT;
	memcpy(f.ram + (gva - RAM_BASE), buf, size);
	return EMUL_DONE;
}

static enum emul_result f_probe(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	note('p', gva, size, access);
	return check(ctx, gva, size, access);
}

static enum emul_result f_in(struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t *value)
{
	(void)ctx;
	note('i', port, size, 0);
	*value = f.port_value;
	return EMUL_DONE;
}

static enum emul_result f_out(struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t value)
{
	(void)ctx;
	note('o', port, size, 0);
	f.port_value = value;
	return EMUL_DONE;
}

static void f_segment(struct emul_ctx *ctx, enum emul_seg_reg reg, struct emul_seg *seg)
{
	if (ctx->code == EMUL_CODE64)
		assert_true(reg == EMUL_FS || reg == EMUL_GS);
	*seg = f.seg[reg];
}

static const struct emul_env env = {
	.read = f_read,
	.write = f_write,
	.probe = f_probe,
	.io_in = f_in,
	.io_out = f_out,
	.segment = f_segment,
};

static void start(enum emul_code code)
{
	uint32_t db = code == EMUL_CODE32 ? EMUL_SEG_DB : 0;

	memset(&f, 0, sizeof(f));
	f.ctx = (struct emul_ctx){.gpr = f.gpr,
		.rip = CODE_RIP,
		.rflags = RFLAGS_RESERVED | RFLAGS_RF,
		.cr0 = CR0_PE | CR0_PG,
		.code = code,
		.env = &env};
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		f.seg[i] = (struct emul_seg){
			.limit = UINT32_MAX, .attr = (i == EMUL_CS ? CODE_RX : DATA_RW) | db};
}

static void real_mode(void)
{
	start(EMUL_CODE16);
	f.ctx.cr0 = 0;
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		f.seg[i] = (struct emul_seg){.limit = UINT16_MAX, .attr = DATA_RW};
}

static enum emul_result run_bytes(const uint8_t *bytes, unsigned count)
{
	assert_int_equal(emul_decode(bytes, count, f.ctx.code, &f.insn), EMUL_DECODE_OK);
	assert_int_equal(f.insn.length, count);
	return emul_execute(&f.ctx, &f.insn);
}
#define RUN(...) run_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static uint64_t ram_get(gva_t gva, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, f.ram + (gva - RAM_BASE), size);
	return value;
}

static void ram_put(gva_t gva, unsigned size, uint64_t value)
{
	memcpy(f.ram + (gva - RAM_BASE), &value, size);
}

struct insn_case {
	const char *name;
	uint8_t code, count;
	uint8_t bytes[10];
	uint64_t rax, rcx, mem; /* before; RBX points to the 8 bytes at RAM_BASE + 100h */
	uint64_t rax_after, rcx_after, mem_after;
	uint64_t flags, flags_after;
};

#define CF RFLAGS_CF
#define ZF RFLAGS_ZF
#define SF RFLAGS_SF
#define OF RFLAGS_OF
#define AF RFLAGS_AF
#define PF RFLAGS_PF
#define A8 0x8888777766665555ull
#define B8 0x1111222233334444ull
static const struct insn_case insn_cases[] = {
	{"mov [rbx],eax", 8, 2, {0x89, 0x03}, A8, 0, B8, A8, 0, 0x1111222266665555, 0, 0},
	{"mov eax,[rbx]", 8, 2, {0x8b, 0x03}, A8, 0, B8, 0x33334444, 0, B8, 0, 0},
	{"mov ax,[rbx]", 8, 3, {0x66, 0x8b, 0x03}, A8, 0, B8, 0x8888777766664444, 0, B8, 0, 0},
	{"mov ah,[rbx]", 8, 2, {0x8a, 0x23}, A8, 0, B8, 0x8888777766664455, 0, B8, 0, 0},
	{"mov [rbx],ch", 8, 2, {0x88, 0x2b}, 0, 0xab00, B8, 0, 0xab00, 0x11112222333344ab, 0, 0},
	{"mov qword [rbx],-1", 8, 7, {0x48, 0xc7, 0x03, 0xff, 0xff, 0xff, 0xff}, 0, 0, B8, 0, 0,
		~0ull, 0, 0},
	{"mov [ebx],eax", 4, 2, {0x89, 0x03}, 5, 0, B8, 5, 0, 0x1111222200000005, 0, 0},
	{"movzx eax,word [rbx]", 8, 3, {0x0f, 0xb7, 0x03}, A8, 0, B8, 0x4444, 0, B8, 0, 0},
	{"movsx rax,byte [rbx]", 8, 4, {0x48, 0x0f, 0xbe, 0x03}, 0, 0, 0x80, ~0x7full, 0, 0x80, 0,
		0},
	{"movsxd rax,dword [rbx]", 8, 3, {0x48, 0x63, 0x03}, 0, 0, 0x80000000, 0xffffffff80000000,
		0, 0x80000000, 0, 0},
	{"add [rbx],al", 8, 2, {0x00, 0x03}, 0x81, 0, 0x7f, 0x81, 0, 0, 0, CF | ZF | AF | PF},
	{"add [rbx],eax carries no further", 8, 2, {0x01, 0x03}, 1, 0, 0x1ffffffff, 1, 0,
		0x100000000, 0, CF | ZF | AF | PF},
	{"sbb rax,[rbx]", 8, 3, {0x48, 0x1b, 0x03}, 0, 0, 0, ~0ull, 0, 0, CF, CF | SF | AF | PF},
	{"cmp dword [rbx],0", 8, 3, {0x83, 0x3b, 0x00}, 0, 0, 1ull << 32, 0, 0, 1ull << 32, CF,
		ZF | PF},
	{"dec keeps carry", 8, 2, {0xff, 0x0b}, 0, 0, 0x80000000, 0, 0, 0x7fffffff, CF,
		CF | OF | AF | PF},
	{"not keeps flags", 8, 2, {0xf7, 0x13}, 0, 0, 0, 0, 0, 0xffffffff, CF | ZF, CF | ZF},
	{"cmovz taken", 8, 3, {0x0f, 0x44, 0x03}, A8, 0, 7, 7, 0, 7, ZF, ZF},
	{"cmovz not taken, still 32 bits", 8, 3, {0x0f, 0x44, 0x03}, A8, 0, 7, 0x66665555, 0, 7, 0,
		0},
	{"setg", 8, 3, {0x0f, 0x9f, 0x03}, 0, 0, 0xff, 0, 0, 1, SF | OF, SF | OF},
	{"xchg [rbx],eax", 8, 2, {0x87, 0x03}, A8, 0, B8, 0x33334444, 0, 0x1111222266665555, 0, 0},
	{"xadd [rbx],ecx", 8, 3, {0x0f, 0xc1, 0x0b}, 0, 2, 5, 0, 5, 7, 0, 0},
	{"cmpxchg equal", 8, 3, {0x0f, 0xb1, 0x0b}, A8, 9, 0x66665555, A8, 9, 9, 0, ZF | PF},
	{"cmpxchg unequal", 8, 3, {0x0f, 0xb1, 0x0b}, A8, 9, 0x66665554, 0x66665554, 9, 0x66665554,
		ZF, 0},
	{"bts dword [rbx],35 is modulo 32", 8, 4, {0x0f, 0xba, 0x2b, 35}, 0, 0, 0, 0, 0, 8, CF, 0},
	{"btr [rbx],ecx reaches on", 8, 3, {0x0f, 0xb3, 0x0b}, 0, 35, ~0ull, 0, 35, ~(1ull << 35),
		0, CF},
	{"btc [rbx+8],ecx reaches back", 8, 4, {0x0f, 0xbb, 0x4b, 0x08}, 0, -64, 0, 0, -64, 1, CF,
		0},
	{"lock inc qword [rbx]", 8, 4, {0xf0, 0x48, 0xff, 0x03}, 0, 0, ~0ull, 0, 0, 0, 0,
		ZF | AF | PF},
};

static void instructions(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(insn_cases); i++) {
		const struct insn_case *c = &insn_cases[i];
		enum emul_result r;

		start(c->code);
		f.gpr[EMUL_RAX] = c->rax;
		f.gpr[EMUL_RCX] = c->rcx;
		f.gpr[EMUL_RBX] = RAM_BASE + 0x100;
		f.ctx.rflags |= c->flags;
		ram_put(RAM_BASE + 0x100, 8, c->mem);
		r = run_bytes(c->bytes, c->count);
		if (r != EMUL_DONE || f.gpr[EMUL_RAX] != c->rax_after ||
			f.gpr[EMUL_RCX] != c->rcx_after ||
			ram_get(RAM_BASE + 0x100, 8) != c->mem_after ||
			f.ctx.rflags != (RFLAGS_RESERVED | c->flags_after) ||
			f.ctx.rip != CODE_RIP + c->count)
			fail_msg("%s: result %d rax %llx rcx %llx mem %llx flags %llx", c->name, r,
				(unsigned long long)f.gpr[EMUL_RAX],
				(unsigned long long)f.gpr[EMUL_RCX],
				(unsigned long long)ram_get(RAM_BASE + 0x100, 8),
				(unsigned long long)f.ctx.rflags);
	}
}

static void addressing(void **state)
{
	(void)state;
	start(EMUL_CODE64); /* RIP-relative counts from the next instruction, immediate included */
	assert_int_equal(RUN(0xc7, 0x05, 0xf6, 0x8f, 0, 0, 0x78, 0x56, 0x34, 0x12), EMUL_DONE);
	assert_int_equal(ram_get(RAM_BASE, 4), 0x12345678);
	start(EMUL_CODE64); /* a 32-bit address wraps at 4 GiB */
	f.gpr[EMUL_RBX] = 0xfffffff0 | BIT(40);
	f.gpr[EMUL_RCX] = RAM_BASE + 0x10;
	assert_int_equal(RUN(0x67, 0x89, 0x04, 0x0b), EMUL_DONE);
	assert_int_equal(f.log[0].gva, RAM_BASE);
	real_mode(); /* a 16-bit one at 64 KiB */
	f.seg[EMUL_DS].base = RAM_BASE;
	f.gpr[EMUL_RBX] = 0x1fff0;
	f.gpr[EMUL_RSI] = 0x110;
	assert_int_equal(RUN(0x89, 0x00), EMUL_DONE);
	assert_int_equal(f.log[0].gva, RAM_BASE + 0x100);
	start(EMUL_CODE64);
	f.seg[EMUL_GS].base = RAM_BASE;
	f.seg[EMUL_DS].base = 0x5000; /* means nothing */
	assert_int_equal(RUN(0x65, 0x89, 0x43, 0x08), EMUL_DONE);
	assert_int_equal(f.log[0].gva, RAM_BASE + 8);
	start(EMUL_CODE32);
	f.ctx.rip = 0xfffffffe; /* RIP wraps outside 64-bit mode */
	f.gpr[EMUL_RBX] = RAM_BASE;
	assert_int_equal(RUN(0x89, 0x03), EMUL_DONE);
	assert_int_equal(f.ctx.rip, 0);
}

struct linear_case {
	const char *name;
	uint8_t code;
	bool real, vm86;
	uint8_t segment;
	struct emul_seg seg;
	uint64_t offset;
	unsigned size;
	bool write;
	uint8_t vector; /* 0: fine */
	bool unsupported;
	gva_t linear;
};

#define TOP48 0x0000800000000000ull
static const struct linear_case linear_cases[] = {
	{"flat", 4, 0, 0, EMUL_DS, {0, UINT32_MAX, DATA_RW}, 0xfffffffc, 4, true, 0, 0, 0xfffffffc},
	{"beyond 4 GiB", 4, 0, 0, EMUL_DS, {0, UINT32_MAX, DATA_RW}, 0xfffffffd, 4, true, EXC_GP, 0,
		0},
	{"last byte", 4, 0, 0, EMUL_DS, {0x100, 0xfff, DATA_RW}, 0xffc, 4, true, 0, 0, 0x10fc},
	{"past limit", 4, 0, 0, EMUL_DS, {0x100, 0xfff, DATA_RW}, 0xffd, 4, false, EXC_GP, 0, 0},
	{"past limit, stack", 4, 0, 0, EMUL_SS, {0, 0xfff, DATA_RW}, 0xffd, 4, false, EXC_SS, 0, 0},
	{"far past limit", 4, 0, 0, EMUL_DS, {0, 0, DATA_RW}, 0xffffffff, 1, false, EXC_GP, 0, 0},
	{"base wraps", 4, 0, 0, EMUL_DS, {0xfffff000, UINT32_MAX, DATA_RW}, 0x2000, 4, true, 0, 0,
		0x1000},
	{"access wraps", 4, 0, 0, EMUL_DS, {0xfffffffe, 0xfff, DATA_RW}, 0, 4, true, 0, 1, 0},
	{"read-only", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_RO}, 0, 4, true, EXC_GP, 0, 0},
	{"read of read-only", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_RO}, 0, 4, false, 0, 0, 0},
	{"code read", 4, 0, 0, EMUL_CS, {0, 0xfff, CODE_RX}, 0, 4, false, 0, 0, 0},
	{"code write", 4, 0, 0, EMUL_CS, {0, 0xfff, CODE_RX}, 0, 4, true, EXC_GP, 0, 0},
	{"execute-only", 4, 0, 0, EMUL_CS, {0, 0xfff, CODE_XO}, 0, 4, false, EXC_GP, 0, 0},
	{"conforming code does not grow down", 4, 0, 0, EMUL_CS,
		{0, 0xfff, CODE_RX | EMUL_SEG_EXPAND_DOWN}, 0, 4, false, 0, 0, 0},
	{"unusable", 4, 0, 0, EMUL_ES, {0, 0xfff, DATA_RW | EMUL_SEG_UNUSABLE}, 0, 4, false, EXC_GP,
		0, 0},
	{"not present", 4, 0, 0, EMUL_ES, {0, 0xfff, DATA_RW & ~EMUL_SEG_P}, 0, 4, false, EXC_GP, 0,
		0},
	{"down, inside", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_DOWN | EMUL_SEG_DB}, 0x1000, 4, true, 0,
		0, 0x1000},
	{"down, at limit", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_DOWN | EMUL_SEG_DB}, 0xfff, 4, true,
		EXC_GP, 0, 0},
	{"down, top of 64 KiB", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_DOWN}, 0xfffd, 4, true, EXC_GP, 0,
		0},
	{"down, below 64 KiB", 4, 0, 0, EMUL_DS, {0, 0xfff, DATA_DOWN}, 0xfffc, 4, true, 0, 0,
		0xfffc},
	{"down, all limits", 4, 0, 0, EMUL_DS, {0, UINT32_MAX, DATA_DOWN | EMUL_SEG_DB}, 0, 1, true,
		EXC_GP, 0, 0},
	{"real mode", 2, 1, 0, EMUL_DS, {0xf0000, 0xffff, DATA_RW}, 0xfffe, 2, true, 0, 0, 0xffffe},
	{"real mode, end", 2, 1, 0, EMUL_DS, {0, 0xffff, DATA_RW}, 0xffff, 2, true, EXC_GP, 0, 0},
	{"real mode, stack end", 2, 1, 0, EMUL_SS, {0, 0xffff, DATA_RW}, 0xffff, 2, true, EXC_SS, 0,
		0},
	{"real mode writes CS", 2, 1, 0, EMUL_CS, {0, 0xffff, CODE_RX}, 0, 2, true, 0, 0, 0},
	{"big real mode", 2, 1, 0, EMUL_DS, {0, UINT32_MAX, DATA_RW}, 0xfee00000, 4, true, 0, 0,
		0xfee00000},
	{"vm86 writes CS", 2, 0, 1, EMUL_CS, {0, 0xffff, CODE_RX}, 0, 2, true, 0, 0, 0},
	{"vm86 limit", 2, 0, 1, EMUL_DS, {0, 0xffff, DATA_RW}, 0xffff, 2, true, EXC_GP, 0, 0},
	{"64: no limit", 8, 0, 0, EMUL_DS, {0x5000, 0, 0}, 0x1234567890, 8, true, 0, 0,
		0x1234567890},
	{"64: FS base", 8, 0, 0, EMUL_FS, {~0xfffull, 0, 0}, 0x2000, 8, true, 0, 0, 0x1000},
	{"64: low end", 8, 0, 0, EMUL_DS, {0, 0, 0}, TOP48 - 8, 8, true, 0, 0, TOP48 - 8},
	{"64: last byte not canonical", 8, 0, 0, EMUL_DS, {0, 0, 0}, TOP48 - 7, 8, true, EXC_GP, 0,
		0},
	{"64: first byte not canonical", 8, 0, 0, EMUL_DS, {0, 0, 0}, -TOP48 - 1, 8, true, EXC_GP,
		0, 0},
	{"64: stack", 8, 0, 0, EMUL_SS, {0, 0, 0}, TOP48, 8, true, EXC_SS, 0, 0},
	{"64: over the top", 8, 0, 0, EMUL_DS, {0, 0, 0}, ~0ull, 8, true, 0, 0, ~0ull},
};

static void segmentation(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(linear_cases); i++) {
		const struct linear_case *c = &linear_cases[i];
		enum emul_result r, expected = c->vector ? EMUL_FAULT : EMUL_DONE;
		gva_t linear = 0;

		start(c->code);
		if (c->real)
			f.ctx.cr0 = 0;
		if (c->vm86)
			f.ctx.rflags |= RFLAGS_VM;
		f.seg[c->segment] = c->seg;
		r = emul_linear(&f.ctx, c->segment, c->offset, c->size,
			c->write ? EMUL_ACCESS_WRITE : 0, &linear);
		if (c->unsupported)
			expected = EMUL_UNSUPPORTED;
		if (r != expected || (r == EMUL_DONE && linear != c->linear))
			fail_msg("%s: result %d linear %llx", c->name, r,
				(unsigned long long)linear);
		if (r == EMUL_FAULT && (f.ctx.fault.vector != c->vector || f.ctx.fault.error_code ||
					       f.ctx.fault.has_error == c->real))
			fail_msg("%s: vector %u", c->name, f.ctx.fault.vector);
	}
}

static void alignment(void **state)
{
	gva_t linear;

	(void)state;
	start(EMUL_CODE64);
	f.ctx.cr0 |= CR0_AM;
	f.ctx.rflags |= RFLAGS_AC;
	assert_int_equal(emul_linear(&f.ctx, EMUL_DS, 0x1002, 4, 0, &linear), EMUL_DONE);
	f.ctx.cpl = 3;
	assert_int_equal(emul_linear(&f.ctx, EMUL_DS, 0x1002, 4, 0, &linear), EMUL_FAULT);
	assert_int_equal(f.ctx.fault.vector, EXC_AC);
	assert_int_equal(emul_linear(&f.ctx, EMUL_DS, 0x1002, 2, 0, &linear), EMUL_DONE);
	f.ctx.rflags &= ~RFLAGS_AC;
	assert_int_equal(emul_linear(&f.ctx, EMUL_DS, 0x1002, 4, 0, &linear), EMUL_DONE);
}

static void code_sizes(void **state)
{
	(void)state;
	assert_int_equal(emul_code_size(0, CODE_RX), EMUL_CODE16);
	assert_int_equal(emul_code_size(0, CODE_RX | EMUL_SEG_DB), EMUL_CODE32);
	assert_int_equal(emul_code_size(0, CODE_RX | EMUL_SEG_L), EMUL_CODE16);
	assert_int_equal(emul_code_size(EFER_LMA, CODE_RX | EMUL_SEG_L), EMUL_CODE64);
	assert_int_equal(emul_code_size(EFER_LMA, CODE_RX | EMUL_SEG_DB), EMUL_CODE32);
}

/* Runs bytes that must end with `expected` and change nothing at all. */
static void unchanged(enum emul_result expected, const uint8_t *bytes, unsigned count)
{
	struct emul_ctx ctx = f.ctx;
	uint64_t gpr[EMUL_GPR_COUNT];
	static uint8_t ram[RAM_SIZE];

	memcpy(gpr, f.gpr, sizeof(gpr));
	memcpy(ram, f.ram, sizeof(ram));
	assert_int_equal(run_bytes(bytes, count), expected);
	assert_int_equal(f.ctx.rip, ctx.rip);
	assert_int_equal(f.ctx.rflags, ctx.rflags);
	assert_memory_equal(f.gpr, gpr, sizeof(gpr));
	assert_memory_equal(f.ram, ram, sizeof(ram));
}

static const struct {
	uint8_t count;
	uint8_t bytes[5];
} writers[] = {
	{2, {0x89, 0x03}},             /* mov */
	{2, {0x01, 0x03}},             /* add */
	{2, {0xff, 0x03}},             /* inc */
	{2, {0xf7, 0x1b}},             /* neg */
	{2, {0x87, 0x03}},             /* xchg */
	{3, {0x0f, 0xc1, 0x0b}},       /* xadd */
	{3, {0x0f, 0xb1, 0x0b}},       /* cmpxchg, unequal: still a write */
	{4, {0x0f, 0xba, 0x2b, 0x01}}, /* bts */
	{3, {0x0f, 0x94, 0x03}},       /* setz */
	{1, {0xaa}},                   /* stosb */
	{2, {0xf3, 0xab}},             /* rep stosd */
	{1, {0xa4}},                   /* movsb */
	{1, {0x6c}},                   /* insb */
};

static void write_faults_leave_no_trace(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(writers); i++) {
		start(EMUL_CODE64);
		f.gpr[EMUL_RAX] = 0x11;
		f.gpr[EMUL_RCX] = 0x22;
		f.gpr[EMUL_RBX] = f.gpr[EMUL_RDI] = RAM_BASE + 0x40;
		f.gpr[EMUL_RSI] = RAM_BASE;
		ram_put(RAM_BASE + 0x40, 8, 0x33);
		f.read_only = true;
		unchanged(EMUL_FAULT, writers[i].bytes, writers[i].count);
		assert_int_equal(f.ctx.fault.vector, EXC_PF);
		assert_int_equal(f.ctx.fault.error_code, PF_ERR_P | PF_ERR_W);
		assert_int_equal(f.ctx.fault.cr2, RAM_BASE + 0x40);
		/* The fault came before any access that might have had an effect. */
		assert_true(f.logged == 1);
	}
}

static void other_ends_leave_no_trace(void **state)
{
	static const uint8_t load[] = {0x8b, 0x03}, add[] = {0x03, 0x03}, cmps[] = {0xf3, 0xa6};
	static const enum emul_result ends[] = {EMUL_AGAIN, EMUL_STOP};

	(void)state;
	start(EMUL_CODE64);
	f.gpr[EMUL_RBX] = 0x5000;
	unchanged(EMUL_FAULT, load, sizeof(load));
	assert_int_equal(f.ctx.fault.cr2, 0x5000);
	assert_int_equal(f.ctx.fault.error_code, 0);
	unchanged(EMUL_FAULT, add, sizeof(add));
	f.gpr[EMUL_RBX] = TOP48;
	unchanged(EMUL_FAULT, load, sizeof(load));
	assert_int_equal(f.ctx.fault.vector, EXC_GP);
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		start(EMUL_CODE64);
		f.override = ends[i];
		f.gpr[EMUL_RBX] = f.gpr[EMUL_RSI] = f.gpr[EMUL_RDI] = RAM_BASE;
		f.gpr[EMUL_RCX] = 3;
		unchanged(ends[i], load, sizeof(load));
		unchanged(ends[i], cmps, sizeof(cmps));
	}
}

static void access_kinds(void **state)
{
	(void)state;
	start(EMUL_CODE64);
	f.gpr[EMUL_RBX] = RAM_BASE;
	assert_int_equal(RUN(0xf0, 0x01, 0x03), EMUL_DONE); /* lock add */
	assert_int_equal(f.log[0].kind, 'r');
	assert_int_equal(f.log[0].access, EMUL_ACCESS_WRITE | EMUL_ACCESS_LOCKED);
	assert_int_equal(f.log[1].access, EMUL_ACCESS_WRITE | EMUL_ACCESS_LOCKED);
	assert_int_equal(RUN(0x87, 0x03), EMUL_DONE); /* xchg locks by itself */
	assert_int_equal(f.log[2].access, EMUL_ACCESS_WRITE | EMUL_ACCESS_LOCKED);
	assert_int_equal(RUN(0x01, 0x03), EMUL_DONE);
	assert_int_equal(f.log[4].access, EMUL_ACCESS_WRITE);
	assert_int_equal(RUN(0x39, 0x03), EMUL_DONE); /* cmp does not write */
	assert_int_equal(f.log[6].access, 0);
	assert_int_equal(RUN(0x89, 0x03), EMUL_DONE); /* mov does not read */
	assert_int_equal(f.log[7].kind, 'w');
	assert_int_equal(f.logged, 8);
	assert_int_equal(RUN(0x0f, 0x44, 0x03), EMUL_DONE); /* cmov reads, taken or not */
	assert_int_equal(f.log[8].kind, 'r');
	f.gpr[EMUL_RAX] = 1;
	assert_int_equal(RUN(0x0f, 0xb1, 0x0b), EMUL_DONE); /* cmpxchg writes back what it found */
	assert_int_equal(f.log[10].kind, 'w');
}

static void rep_batches(void **state)
{
	(void)state;
	start(EMUL_CODE64);
	f.gpr[EMUL_RDI] = RAM_BASE;
	f.gpr[EMUL_RCX] = 100;
	f.gpr[EMUL_RAX] = 0xa5;
	assert_int_equal(RUN(0xf3, 0xaa), EMUL_PARTLY);
	assert_int_equal(f.ctx.rip, CODE_RIP);
	assert_int_equal(f.gpr[EMUL_RCX], 100 - EMUL_REP_BATCH);
	assert_int_equal(f.gpr[EMUL_RDI], RAM_BASE + EMUL_REP_BATCH);
	assert_int_equal(RUN(0xf3, 0xaa), EMUL_DONE);
	assert_int_equal(f.ctx.rip, CODE_RIP + 2);
	assert_int_equal(f.gpr[EMUL_RCX], 0);
	assert_int_equal(f.ram[99], 0xa5);
	assert_int_equal(f.ram[100], 0);

	start(EMUL_CODE64); /* exactly one batch needs no second call */
	f.gpr[EMUL_RDI] = RAM_BASE;
	f.gpr[EMUL_RCX] = EMUL_REP_BATCH;
	assert_int_equal(RUN(0xf3, 0xaa), EMUL_DONE);
	start(EMUL_CODE64); /* nothing to do touches nothing */
	assert_int_equal(RUN(0xf3, 0xa5), EMUL_DONE);
	assert_int_equal(f.logged, 0);
	assert_int_equal(f.ctx.rip, CODE_RIP + 2);
}

static void rep_faults_midway(void **state)
{
	(void)state;
	start(EMUL_CODE64);
	f.gpr[EMUL_RSI] = RAM_BASE;
	f.gpr[EMUL_RDI] = RAM_BASE + RAM_SIZE - 12;
	f.gpr[EMUL_RCX] = 10;
	assert_int_equal(RUN(0xf3, 0xa5), EMUL_FAULT);
	assert_int_equal(f.ctx.fault.cr2, RAM_BASE + RAM_SIZE);
	assert_int_equal(f.ctx.rip, CODE_RIP);
	assert_int_equal(f.gpr[EMUL_RCX], 7);
	assert_int_equal(f.gpr[EMUL_RSI], RAM_BASE + 12);
	assert_int_equal(f.gpr[EMUL_RDI], RAM_BASE + RAM_SIZE);
	assert_int_equal(f.log[f.logged - 1].kind, 'p'); /* the source was not read in vain */

	start(EMUL_CODE64); /* downwards, and the comparison's flags stay with the last good one */
	f.gpr[EMUL_RDI] = RAM_BASE + 1;
	f.gpr[EMUL_RCX] = 10;
	f.gpr[EMUL_RAX] = 1;
	f.ctx.rflags |= RFLAGS_DF;
	assert_int_equal(RUN(0xf2, 0xae), EMUL_FAULT);
	assert_int_equal(f.gpr[EMUL_RCX], 8);
	assert_int_equal(f.gpr[EMUL_RDI], RAM_BASE - 1);
	assert_int_equal(f.ctx.rflags & RFLAGS_ZF, 0);
}

static void string_address_sizes(void **state)
{
	(void)state;
	real_mode(); /* 16-bit: upper halves stay, DI wraps */
	f.seg[EMUL_ES].base = RAM_BASE - 0xf000;
	f.gpr[EMUL_RDI] = 0xabcd0000ffff;
	f.gpr[EMUL_RCX] = 0x12340001;
	assert_int_equal(RUN(0xf3, 0xaa), EMUL_DONE);
	assert_int_equal(f.log[0].gva, RAM_BASE + 0xfff);
	assert_int_equal(f.gpr[EMUL_RDI], 0xabcd00000000);
	assert_int_equal(f.gpr[EMUL_RCX], 0x12340000);
	start(EMUL_CODE64); /* 32-bit in 64-bit mode: upper halves go */
	f.gpr[EMUL_RDI] = BIT(40) | RAM_BASE;
	f.gpr[EMUL_RCX] = BIT(40) | 2;
	assert_int_equal(RUN(0x67, 0xf3, 0xaa), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RDI], RAM_BASE + 2);
	assert_int_equal(f.gpr[EMUL_RCX], 0);
	start(EMUL_CODE32); /* an override moves the source only */
	f.seg[EMUL_FS].base = RAM_BASE;
	f.seg[EMUL_ES].base = RAM_BASE + 0x800;
	f.ram[4] = 0x5a;
	f.gpr[EMUL_RSI] = 4;
	assert_int_equal(RUN(0x64, 0xa4), EMUL_DONE);
	assert_int_equal(f.ram[0x800], 0x5a);
}

static void ports(void **state)
{
	(void)state;
	start(EMUL_CODE64);
	f.gpr[EMUL_RAX] = f.gpr[EMUL_RDX] = A8;
	f.port_value = 0xcafebabe;
	assert_int_equal(RUN(0xe4, 0xf0), EMUL_DONE); /* in al,F0h */
	assert_int_equal(f.gpr[EMUL_RAX], 0x88887777666655be);
	assert_int_equal(f.log[0].gva, 0xf0);
	assert_int_equal(RUN(0x66, 0xed), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RAX], 0x888877776666babe);
	assert_int_equal(f.log[1].gva, 0x5555);
	assert_int_equal(RUN(0xed), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RAX], 0xcafebabe);
	f.gpr[EMUL_RAX] = A8;
	assert_int_equal(RUN(0xee), EMUL_DONE);
	assert_int_equal(f.port_value, 0x55);
	assert_int_equal(f.log[3].size, 1);

	f.gpr[EMUL_RSI] = RAM_BASE;
	f.gpr[EMUL_RDI] = RAM_BASE + 0x10;
	ram_put(RAM_BASE, 4, 0x1234567);
	assert_int_equal(RUN(0x48, 0x6f), EMUL_DONE); /* outsd whatever REX.W says */
	assert_int_equal(f.port_value, 0x1234567);
	assert_int_equal(f.gpr[EMUL_RSI], RAM_BASE + 4);
	assert_int_equal(RUN(0x6d), EMUL_DONE);
	assert_int_equal(ram_get(RAM_BASE + 0x10, 8), 0x1234567);
	assert_int_equal(f.gpr[EMUL_RDI], RAM_BASE + 0x14);
}

static void refuses_what_it_cannot(void **state)
{
	struct emul_insn insn = {.op = EMUL_OP_NONE, .code = EMUL_CODE64};

	(void)state;
	start(EMUL_CODE64);
	assert_int_equal(emul_execute(&f.ctx, &insn), EMUL_UNSUPPORTED);
	insn.op = EMUL_OP_COUNT;
	assert_int_equal(emul_execute(&f.ctx, &insn), EMUL_UNSUPPORTED);
	insn.op = EMUL_OP_MOV; /* decoded for another mode */
	insn.code = EMUL_CODE32;
	assert_int_equal(emul_execute(&f.ctx, &insn), EMUL_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(instructions),
		cmocka_unit_test(addressing),
		cmocka_unit_test(segmentation),
		cmocka_unit_test(alignment),
		cmocka_unit_test(code_sizes),
		cmocka_unit_test(write_faults_leave_no_trace),
		cmocka_unit_test(other_ends_leave_no_trace),
		cmocka_unit_test(access_kinds),
		cmocka_unit_test(rep_batches),
		cmocka_unit_test(rep_faults_midway),
		cmocka_unit_test(string_address_sizes),
		cmocka_unit_test(ports),
		cmocka_unit_test(refuses_what_it_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
