/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stack, control transfer, segment and table instructions in all modes: what they leave behind, and
 * faults that must leave no trace. Pushes and pops of 64-bit code are compared with a real
 * processor in test_emul_native.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/segment.h"
#include "arch/x86/emul/execute.h"

#define RAM_BASE 0x10000ull
#define RAM_SIZE 0x2000ull /* what follows is not mapped: #PF */
#define DATA     (RAM_BASE + 0x100)
#define STACK    (RAM_BASE + 0x1000)
#define GDT      (RAM_BASE + 0x800)
#define CODE_RIP 0x7000ull

/* Selectors of the test's GDT. */
enum {
	KERNEL64 = 0x08,
	KERNEL_DATA = 0x10,
	USER32 = 0x1b,
	USER_DATA = 0x23,
	KERNEL32 = 0x28,
	READ_ONLY = 0x30,
	ABSENT_DATA = 0x38,
	ABSENT_CODE = 0x40,
	BOTH_L_AND_D = 0x48,
	LDT = 0x50,      /* 16 bytes */
	TSS = 0x60,      /* likewise */
	BUSY_TSS = 0x70, /* likewise */
	CONFORMING = 0x80,
	STACK16 = 0x88,
	GATE = 0x90, /* 16 bytes */
	GDT_END = 0xa0,
};

static const uint64_t gdt[GDT_END / 8] = {
	[KERNEL64 / 8] = 0x00af9a000000ffff,
	[KERNEL_DATA / 8] = 0x00cf92000000ffff,
	[USER32 / 8] = 0x00cffa000000ffff,
	[USER_DATA / 8] = 0x00cff2000000ffff,
	[KERNEL32 / 8] = 0x00cf9a000000ffff,
	[READ_ONLY / 8] = 0x00cf90000000ffff,
	[ABSENT_DATA / 8] = 0x00cf12000000ffff,
	[ABSENT_CODE / 8] = 0x00af1a000000ffff,
	[BOTH_L_AND_D / 8] = 0x00ef9a000000ffff,
	[LDT / 8] = 0x0000820000000fff,
	[TSS / 8] = 0x1200893456780067,
	[TSS / 8 + 1] = 0xffffffff,
	[BUSY_TSS / 8] = 0x00008b0000000067,
	[CONFORMING / 8] = 0x00af9e000000ffff,
	[STACK16 / 8] = 0x000092000000ffff,
	[GATE / 8] = 0x00008c0000080000,
};

static struct {
	struct emul_ctx ctx;
	uint64_t gpr[EMUL_GPR_COUNT];
	struct emul_selector reg[EMUL_TR + 1];
	uint64_t base[2];
	uint32_t limit[2];
	uint8_t ram[RAM_SIZE];
	unsigned sets; /* of system registers */
	bool cr0_refused, read_only;
	struct emul_insn insn;
} f;

static enum emul_result check(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	if (range_within(gva - RAM_BASE, size, RAM_SIZE) &&
		!(f.read_only && (access & EMUL_ACCESS_WRITE)))
		return EMUL_DONE;
	ctx->fault = (struct emul_fault){EXC_PF, true, 0, gva};
	return EMUL_FAULT;
}

static enum emul_result f_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	if (check(ctx, gva, size, access) != EMUL_DONE)
		return EMUL_FAULT;
	memcpy(buf, f.ram + (gva - RAM_BASE), size);
	return EMUL_DONE;
}

static enum emul_result f_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	assert_true(access & EMUL_ACCESS_WRITE);
	if (check(ctx, gva, size, access) != EMUL_DONE)
		return EMUL_FAULT;
	memcpy(f.ram + (gva - RAM_BASE), buf, size);
	return EMUL_DONE;
}

static enum emul_result f_probe(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	return check(ctx, gva, size, access);
}

static void f_segment(struct emul_ctx *ctx, enum emul_seg_reg reg, struct emul_seg *seg)
{
	(void)ctx;
	*seg = f.reg[reg].seg;
}

static void f_get(struct emul_ctx *ctx, unsigned reg, struct emul_selector *s)
{
	(void)ctx;
	*s = f.reg[reg];
}

static void f_set(struct emul_ctx *ctx, unsigned reg, const struct emul_selector *s)
{
	(void)ctx;
	f.reg[reg] = *s;
	f.sets++;
}

static void f_table_get(
	struct emul_ctx *ctx, enum emul_table table, uint64_t *base, uint32_t *limit)
{
	(void)ctx;
	*base = f.base[table];
	*limit = f.limit[table];
}

static void f_table_set(struct emul_ctx *ctx, enum emul_table table, uint64_t base, uint32_t limit)
{
	(void)ctx;
	f.base[table] = base;
	f.limit[table] = limit;
	f.sets++;
}

static bool f_cr0_set(struct emul_ctx *ctx, uint64_t value)
{
	if (!f.cr0_refused)
		ctx->cr0 = value;
	return !f.cr0_refused;
}

static const struct emul_system sys = {
	.get = f_get,
	.set = f_set,
	.table_get = f_table_get,
	.table_set = f_table_set,
	.cr0_set = f_cr0_set,
};
static const struct emul_env env = {
	.read = f_read, .write = f_write, .probe = f_probe, .segment = f_segment, .system = &sys};

static void put(gva_t gva, uint64_t value, unsigned size)
{
	memcpy(f.ram + (gva - RAM_BASE), &value, size);
}

static uint64_t get(gva_t gva, unsigned size)
{
	uint64_t value = 0;

	memcpy(&value, f.ram + (gva - RAM_BASE), size);
	return value;
}

static void start(enum emul_code code, unsigned cpl)
{
	const uint32_t data = EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED |
			      (code == EMUL_CODE16 ? 0 : EMUL_SEG_DB) | cpl << EMUL_SEG_DPL_SHIFT;

	memset(&f, 0, sizeof(f));
	f.ctx = (struct emul_ctx){.gpr = f.gpr,
		.rip = CODE_RIP,
		.rflags = RFLAGS_RESERVED,
		.cr0 = CR0_PE | CR0_PG,
		.code = code,
		.cpl = cpl,
		.long_mode = code == EMUL_CODE64,
		.env = &env};
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		f.reg[i] = (struct emul_selector){.seg = {.limit = UINT32_MAX, .attr = data}};
	f.reg[EMUL_CS].selector = KERNEL64;
	f.reg[EMUL_SS].selector = KERNEL_DATA;
	f.reg[EMUL_LDTR].seg.attr = EMUL_SEG_UNUSABLE;
	f.base[EMUL_GDT] = GDT;
	f.limit[EMUL_GDT] = GDT_END - 1;
	memcpy(f.ram + (GDT - RAM_BASE), gdt, sizeof(gdt));
	f.gpr[EMUL_RSP] = STACK;
	f.gpr[EMUL_RBX] = DATA;
}

static void real_mode(void)
{
	start(EMUL_CODE16, 0);
	f.ctx.cr0 = 0;
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		f.reg[i] = (struct emul_selector){
			.selector = RAM_BASE >> 4, .seg = {.base = RAM_BASE, .limit = UINT16_MAX}};
	f.gpr[EMUL_RBX] = DATA - RAM_BASE;
	f.gpr[EMUL_RSP] = 0xabcd0000 | (STACK - RAM_BASE);
}

static enum emul_result run_bytes(const uint8_t *bytes, unsigned count)
{
	assert_int_equal(emul_decode(bytes, count, f.ctx.code, &f.insn), EMUL_DECODE_OK);
	assert_int_equal(f.insn.length, count);
	return emul_execute(&f.ctx, &f.insn);
}
#define RUN(...) run_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void refused_bytes(int vector, uint32_t error, const uint8_t *bytes, unsigned count)
{
	uint64_t gpr[EMUL_GPR_COUNT], rip = f.ctx.rip, rflags = f.ctx.rflags;
	unsigned sets = f.sets;

	memcpy(gpr, f.gpr, sizeof(gpr));
	assert_int_equal(run_bytes(bytes, count), EMUL_FAULT);
	assert_int_equal(f.ctx.fault.vector, vector);
	assert_int_equal(f.ctx.fault.error_code, error);
	assert_memory_equal(gpr, f.gpr, sizeof(gpr));
	assert_int_equal(f.ctx.rip, rip);
	assert_int_equal(f.ctx.rflags, rflags);
	assert_int_equal(f.sets, sets);
}
#define REFUSED(vector, error, ...)                                                                \
	refused_bytes(vector, error, (const uint8_t[]){__VA_ARGS__},                               \
		sizeof((const uint8_t[]){__VA_ARGS__}))
#define DONE(...) assert_int_equal(RUN(__VA_ARGS__), EMUL_DONE)

static void near_transfers(void **state)
{
	(void)state;
	start(EMUL_CODE64, 0);
	put(DATA, 0xffff800012345678, 8);
	DONE(0xff, 0x23); /* jmp [rbx] */
	assert_int_equal(f.ctx.rip, 0xffff800012345678);
	f.ctx.rip = CODE_RIP;
	DONE(0xff, 0x13); /* call [rbx] */
	assert_int_equal(f.gpr[EMUL_RSP], STACK - 8);
	assert_int_equal(get(STACK - 8, 8), CODE_RIP + 2);
	DONE(0xc2, 0x10, 0x00); /* ret 16 */
	assert_int_equal(f.ctx.rip, CODE_RIP + 2);
	assert_int_equal(f.gpr[EMUL_RSP], STACK + 16);
	put(DATA, 0x0000800000000000, 8);
	put(STACK + 16, 0x0000800000000000, 8);
	put(STACK + 8, 0x55, 8);
	REFUSED(EXC_GP, 0, 0xff, 0x23);
	REFUSED(EXC_GP, 0, 0xff, 0x13);
	REFUSED(EXC_GP, 0, 0xc3);
	assert_int_equal(get(STACK + 8, 8), 0x55); /* nothing was pushed */
	f.gpr[EMUL_RSP] = RAM_BASE;                /* the slot below is not mapped */
	put(DATA, CODE_RIP, 8);
	REFUSED(EXC_PF, 0, 0xff, 0x13);
	assert_int_equal(f.ctx.fault.cr2, RAM_BASE - 8);

	start(EMUL_CODE32, 0);
	f.reg[EMUL_CS].seg.limit = 0xffff;
	put(DATA, 0x10000, 4);
	REFUSED(EXC_GP, 0, 0xff, 0x23);
	put(DATA, 0x1234ffff, 4);
	DONE(0x66, 0xff, 0x23); /* 16 bits of it */
	assert_int_equal(f.ctx.rip, 0xffff);
}

static void stack_widths(void **state)
{
	(void)state;
	start(EMUL_CODE32, 0); /* a stack of 16 bits under 32-bit code */
	f.reg[EMUL_SS].seg = (struct emul_seg){
		RAM_BASE, 0xffff, EMUL_SEG_P | EMUL_SEG_S | EMUL_SEG_WRITE | EMUL_SEG_ACCESSED};
	f.gpr[EMUL_RSP] = 0x12340000;
	f.gpr[EMUL_RAX] = 0xcafebabe;
	f.reg[EMUL_SS].seg.base = RAM_BASE - 0xf000;
	DONE(0x50);
	assert_int_equal(f.gpr[EMUL_RSP], 0x1234fffc);
	assert_int_equal(get(RAM_BASE + 0xffc, 4), 0xcafebabe);
	DONE(0x59);
	assert_int_equal(f.gpr[EMUL_RCX], 0xcafebabe);
	assert_int_equal(f.gpr[EMUL_RSP], 0x12340000);
	f.gpr[EMUL_RSP] = 2; /* a doubleword does not wrap around */
	REFUSED(EXC_SS, 0, 0x50);

	start(EMUL_CODE64, 0); /* POP [RSP+8] counts from the new RSP; POP RSP keeps the value */
	put(STACK, 0x77, 8);
	DONE(0x8f, 0x44, 0x24, 0x08);
	assert_int_equal(get(STACK + 16, 8), 0x77);
	put(STACK + 8, 0x1234, 8);
	DONE(0x5c);
	assert_int_equal(f.gpr[EMUL_RSP], 0x1234);
	start(EMUL_CODE64, 0);
	DONE(0x66, 0x6a, 0xff); /* push word -1 */
	assert_int_equal(f.gpr[EMUL_RSP], STACK - 2);
	f.gpr[EMUL_RSP] = 0x0000800000000004;
	REFUSED(EXC_SS, 0, 0x50);

	real_mode();
	for (unsigned i = 0; i < 8; i++)
		f.gpr[i] = i == EMUL_RSP ? f.gpr[i] : 0x1110 + i;
	DONE(0x60);
	assert_int_equal(f.gpr[EMUL_RSP], 0xabcd0ff0);
	assert_int_equal(get(STACK - 2, 2), 0x1110);
	assert_int_equal(get(STACK - 10, 2), 0x1000);
	put(STACK - 2, 0x4444, 2);
	DONE(0x61);
	assert_int_equal(f.gpr[EMUL_RAX], 0x4444);
	assert_int_equal(f.gpr[EMUL_RDI], 0x1117);
	assert_int_equal(f.gpr[EMUL_RSP], 0xabcd1000);
}

static void flags_by_privilege(void **state)
{
	const uint64_t all = 0x003f7fd5;

	(void)state;
	start(EMUL_CODE64, 0);
	put(STACK, all, 8);
	DONE(0x9d);
	assert_int_equal(f.ctx.rflags,
		(all & ~(RFLAGS_VM | RFLAGS_RF | RFLAGS_VIF | RFLAGS_VIP)) | RFLAGS_RESERVED);
	start(EMUL_CODE64, 3);
	put(STACK, all, 8);
	DONE(0x9d);
	assert_int_equal(f.ctx.rflags & (RFLAGS_IF | RFLAGS_IOPL), 0);
	assert_true(f.ctx.rflags & RFLAGS_TF);
	start(EMUL_CODE16, 3);
	f.ctx.rflags |= RFLAGS_VM;
	REFUSED(EXC_GP, 0, 0x9c);
	REFUSED(EXC_GP, 0, 0x9d);
}

static void segment_loads(void **state)
{
	(void)state;
	/* Null SS is for rings 0 to 2 of 64-bit code. */
	start(EMUL_CODE64, 3);
	put(DATA, 3, 2);
	REFUSED(EXC_GP, 0, 0x8e, 0x13);
	start(EMUL_CODE32, 0);
	put(DATA, 0, 2);
	REFUSED(EXC_GP, 0, 0x8e, 0x13);
	start(EMUL_CODE64, 0);
	put(DATA, 0, 2);
	DONE(0x8e, 0x13);
	assert_true(f.reg[EMUL_SS].seg.attr & EMUL_SEG_UNUSABLE);
	assert_true(f.ctx.stack_shadow);
	put(DATA, 3, 2);
	REFUSED(EXC_GP, 0, 0x8e, 0x13);
	put(DATA, KERNEL_DATA, 2);
	DONE(0x8e, 0x13);
	assert_int_equal(f.reg[EMUL_SS].selector, KERNEL_DATA);
	assert_int_equal(f.reg[EMUL_SS].seg.attr, 0xc093);
	assert_int_equal(f.reg[EMUL_SS].seg.limit, UINT32_MAX);
	assert_int_equal(get(GDT + KERNEL_DATA + 5, 1), 0x93); /* accessed */
	put(DATA, USER_DATA, 2);
	REFUSED(EXC_GP, USER_DATA & ~3u, 0x8e, 0x13);
	put(DATA, READ_ONLY, 2);
	REFUSED(EXC_GP, READ_ONLY, 0x8e, 0x13);
	DONE(0x8e, 0x1b); /* DS may be */
	put(DATA, ABSENT_DATA, 2);
	REFUSED(EXC_SS, ABSENT_DATA, 0x8e, 0x13);
	REFUSED(EXC_NP, ABSENT_DATA, 0x8e, 0x1b);
	put(DATA, TSS, 2);
	REFUSED(EXC_GP, TSS, 0x8e, 0x23);
	put(DATA, GDT_END, 2);
	REFUSED(EXC_GP, GDT_END, 0x8e, 0x23);
	put(DATA, 4, 2); /* there is no LDT */
	REFUSED(EXC_GP, 4, 0x8e, 0x2b);
	DONE(0x8c, 0x0b); /* mov [rbx],cs */
	assert_int_equal(get(DATA, 8), KERNEL64);

	start(EMUL_CODE32, 3);
	put(DATA, 0, 2);
	REFUSED(EXC_GP, 0, 0x8e, 0x13);
	DONE(0x8e, 0x1b);
	assert_true(f.reg[EMUL_DS].seg.attr & EMUL_SEG_UNUSABLE);
	start(EMUL_CODE32, 3);
	put(DATA, KERNEL_DATA, 2);
	REFUSED(EXC_GP, KERNEL_DATA, 0x8e, 0x1b);
	put(DATA, 0xaabbccdd, 4);
	put(DATA + 4, USER_DATA, 2);
	DONE(0x0f, 0xb4, 0x0b); /* lfs ecx,[ebx] */
	assert_int_equal(f.gpr[EMUL_RCX], 0xaabbccdd);
	assert_int_equal(f.reg[EMUL_FS].selector, USER_DATA);
	real_mode();
	put(DATA, 0x4321, 2);
	DONE(0x8e, 0x07 | 0x20); /* mov fs,[bx] */
	assert_int_equal(f.reg[EMUL_FS].seg.base, 0x43210);
	assert_int_equal(f.reg[EMUL_FS].seg.limit, UINT16_MAX);
}

static void far_jumps(void **state)
{
	static const struct {
		uint16_t selector;
		int vector;
	} bad[] = {{0, EXC_GP}, {KERNEL_DATA, EXC_GP}, {ABSENT_CODE, EXC_NP}, {USER32, EXC_GP},
		{BOTH_L_AND_D, EXC_GP}, {GDT_END, EXC_GP}};

	(void)state;
	start(EMUL_CODE64, 0);
	put(DATA, 0xffff900000001234, 8);
	put(DATA + 8, KERNEL64, 2);
	DONE(0x48, 0xff, 0x2b); /* jmp far qword [rbx] */
	assert_int_equal(f.ctx.rip, 0xffff900000001234);
	f.ctx.rip = CODE_RIP;
	put(DATA, 0x12345678, 4);
	put(DATA + 4, CONFORMING + 1, 2);
	DONE(0xff, 0x1b); /* call far dword [rbx] */
	assert_int_equal(f.ctx.rip, 0x12345678);
	assert_int_equal(f.reg[EMUL_CS].selector, CONFORMING);
	assert_int_equal(get(STACK - 4, 4), KERNEL64);
	assert_int_equal(get(STACK - 8, 4), CODE_RIP + 2);
	DONE(0xcb); /* and back */
	assert_int_equal(f.reg[EMUL_CS].selector, KERNEL64);
	assert_int_equal(f.ctx.rip, CODE_RIP + 2);
	assert_int_equal(f.gpr[EMUL_RSP], STACK);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		put(DATA + 4, bad[i].selector, 2);
		REFUSED(bad[i].vector, bad[i].selector & ~3u, 0xff, 0x2b);
	}
	put(DATA + 4, GATE, 2);
	assert_int_equal(RUN(0xff, 0x2b), EMUL_UNSUPPORTED);
	put(DATA, 0x0000800000000000, 8);
	put(DATA + 8, KERNEL64, 2);
	REFUSED(EXC_GP, 0, 0x48, 0xff, 0x2b);
	real_mode();
	put(DATA, 0x20001234, 4);
	DONE(0xff, 0x1f); /* call far [bx] */
	assert_int_equal(f.reg[EMUL_CS].seg.base, 0x20000);
	assert_int_equal(f.ctx.rip, 0x1234);
	assert_int_equal(get(STACK - 4, 4), RAM_BASE >> 4 << 16 | (CODE_RIP + 2));
}

static void put_frame(
	unsigned size, uint64_t rip, uint16_t cs, uint64_t flags, uint64_t rsp, uint16_t ss)
{
	const uint64_t frame[] = {rip, cs, flags, rsp, ss};

	for (unsigned i = 0; i < 5; i++)
		put(STACK + i * size, frame[i], size);
}

static void returns_to_user(void **state)
{
	(void)state;
	start(EMUL_CODE64, 0);
	f.reg[EMUL_GS].seg.base = 0x12345;
	put_frame(8, 0x401000, USER32, 0x3202, 0xfff0, USER_DATA);
	DONE(0x48, 0xcf); /* iretq into 32-bit code */
	assert_int_equal(f.ctx.rip, 0x401000);
	assert_int_equal(f.ctx.cpl, 3);
	assert_int_equal(f.ctx.rflags, 0x3202);
	assert_int_equal(f.gpr[EMUL_RSP], 0xfff0);
	assert_int_equal(f.reg[EMUL_SS].selector, USER_DATA);
	assert_true(f.reg[EMUL_DS].seg.attr & EMUL_SEG_UNUSABLE); /* it was ring 0's */
	assert_int_equal(f.reg[EMUL_GS].seg.base, 0x12345);
	assert_true(f.ctx.nmi_done);
	start(EMUL_CODE64, 0); /* the same ring: SS:RSP all the same, null here */
	put_frame(8, CODE_RIP, KERNEL64, 2, 0x9000, 0);
	DONE(0x48, 0xcf);
	assert_int_equal(f.gpr[EMUL_RSP], 0x9000);
	start(EMUL_CODE64, 0);
	put_frame(8, CODE_RIP, USER32, 2, 0x9000, KERNEL_DATA);
	REFUSED(EXC_GP, KERNEL_DATA, 0x48, 0xcf);
	f.ctx.rflags |= RFLAGS_NT;
	REFUSED(EXC_GP, 0, 0x48, 0xcf);
	start(EMUL_CODE32, 3); /* inward is no return */
	put_frame(4, CODE_RIP, KERNEL32, 2, 0, 0);
	REFUSED(EXC_GP, KERNEL32, 0xcf);
	start(EMUL_CODE32, 0); /* RET n drops n bytes of both stacks */
	put(STACK, 0x1000, 4);
	put(STACK + 4, USER32, 4);
	put(STACK + 12, 0x8000, 4);
	put(STACK + 16, USER_DATA, 4);
	DONE(0xca, 0x04, 0x00);
	assert_int_equal(f.gpr[EMUL_RSP], 0x8004);
	assert_int_equal(f.ctx.cpl, 3);
	real_mode();
	put(STACK, 0x1234, 2);
	put(STACK + 2, 0x5000, 2);
	put(STACK + 4, 0x0246, 2);
	DONE(0xcf);
	assert_int_equal(f.reg[EMUL_CS].seg.base, 0x50000);
	assert_int_equal(f.ctx.rflags, 0x246);
	assert_int_equal(f.gpr[EMUL_RSP], 0xabcd1006);
}

static void system_selectors(void **state)
{
	(void)state;
	start(EMUL_CODE64, 0);
	put(DATA, TSS, 2);
	DONE(0x0f, 0x00, 0x1b); /* ltr [rbx] */
	assert_int_equal(f.reg[EMUL_TR].seg.base, 0xffffffff12345678);
	assert_int_equal(f.reg[EMUL_TR].seg.attr, 0x8b);
	assert_int_equal(get(GDT + TSS + 5, 1), 0x8b);
	REFUSED(EXC_GP, TSS, 0x0f, 0x00, 0x1b); /* busy now */
	put(DATA, LDT, 2);
	REFUSED(EXC_GP, LDT, 0x0f, 0x00, 0x1b);
	DONE(0x0f, 0x00, 0x13); /* lldt [rbx] */
	assert_int_equal(f.reg[EMUL_LDTR].seg.limit, 0xfff);
	DONE(0x0f, 0x00, 0x03); /* sldt [rbx] */
	assert_int_equal(get(DATA, 4), LDT);
	put(GDT + LDT + 5, 0x02, 1);
	REFUSED(EXC_NP, LDT, 0x0f, 0x00, 0x13);
	put(DATA, 0, 2);
	REFUSED(EXC_GP, 0, 0x0f, 0x00, 0x1b);
	DONE(0x0f, 0x00, 0x13);
	assert_true(f.reg[EMUL_LDTR].seg.attr & EMUL_SEG_UNUSABLE);
	put(DATA, LDT | 4, 2);
	REFUSED(EXC_GP, LDT | 4, 0x0f, 0x00, 0x13);
	f.ctx.cpl = 3;
	REFUSED(EXC_GP, 0, 0x0f, 0x00, 0x13);
	f.ctx.cr4 = CR4_UMIP;
	REFUSED(EXC_GP, 0, 0x0f, 0x00, 0x0b);
	real_mode();
	REFUSED(EXC_UD, 0, 0x0f, 0x00, 0x17);
}

static void looking(void **state)
{
	(void)state;
	start(EMUL_CODE64, 3);
	put(DATA, USER_DATA, 2);
	DONE(0x0f, 0x00, 0x2b); /* verw */
	assert_true(f.ctx.rflags & RFLAGS_ZF);
	DONE(0x0f, 0x02, 0x03); /* lar eax,[rbx] */
	assert_int_equal(f.gpr[EMUL_RAX], 0x00c0f200);
	DONE(0x0f, 0x03, 0x03); /* lsl */
	assert_int_equal(f.gpr[EMUL_RAX], UINT32_MAX);
	put(DATA, KERNEL_DATA, 2);
	DONE(0x0f, 0x03, 0x03);
	assert_false(f.ctx.rflags & RFLAGS_ZF);
	f.ctx.cpl = 0;
	put(DATA, USER32 & ~3, 2);
	DONE(0x0f, 0x00, 0x2b); /* code is not writable */
	assert_false(f.ctx.rflags & RFLAGS_ZF);
	put(DATA, TSS, 2);
	DONE(0x0f, 0x03, 0x03);
	assert_int_equal(f.gpr[EMUL_RAX], 0x67);
}

static void tables(void **state)
{
	(void)state;
	start(EMUL_CODE64, 0);
	put(DATA, 0x1ff, 2);
	put(DATA + 2, 0xffff880012345678, 8);
	DONE(0x0f, 0x01, 0x1b); /* lidt */
	assert_int_equal(f.base[EMUL_IDT], 0xffff880012345678);
	assert_int_equal(f.limit[EMUL_IDT], 0x1ff);
	memset(f.ram, 0, 0x200);
	DONE(0x0f, 0x01, 0x0b); /* sidt */
	assert_int_equal(get(DATA, 2), 0x1ff);
	assert_int_equal(get(DATA + 2, 8), 0xffff880012345678);
	put(DATA + 2, 0x0000800000000000, 8);
	REFUSED(EXC_GP, 0, 0x0f, 0x01, 0x13); /* lgdt */
	f.ctx.cpl = 3;
	REFUSED(EXC_GP, 0, 0x0f, 0x01, 0x1b);
	real_mode();
	put(DATA, 0x3ff, 2);
	put(DATA + 2, 0x12345678, 4);
	DONE(0x0f, 0x01, 0x17);
	assert_int_equal(f.base[EMUL_GDT], 0x345678); /* 24 bits */
	DONE(0x66, 0x0f, 0x01, 0x17);
	assert_int_equal(f.base[EMUL_GDT], 0x12345678);
}

static void status_word(void **state)
{
	(void)state;
	start(EMUL_CODE64, 0);
	f.ctx.cr0 = CR0_PE | CR0_PG | CR0_NE;
	put(DATA, ~0ull, 8);
	DONE(0x0f, 0x01, 0x23); /* smsw [rbx] */
	assert_int_equal(get(DATA, 8), 0xffffffffffff0021);
	put(DATA, 0xfffa, 2);
	DONE(0x0f, 0x01, 0x33); /* lmsw [rbx] does not clear PE */
	assert_int_equal(f.ctx.cr0, CR0_PE | CR0_PG | CR0_NE | CR0_MP | CR0_TS);
	f.cr0_refused = true;
	REFUSED(EXC_GP, 0, 0x0f, 0x01, 0x33);
	f.cr0_refused = false;
	f.ctx.cpl = 1;
	REFUSED(EXC_GP, 0, 0x0f, 0x01, 0x33);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(near_transfers),
		cmocka_unit_test(stack_widths),
		cmocka_unit_test(flags_by_privilege),
		cmocka_unit_test(segment_loads),
		cmocka_unit_test(far_jumps),
		cmocka_unit_test(returns_to_user),
		cmocka_unit_test(system_selectors),
		cmocka_unit_test(looking),
		cmocka_unit_test(tables),
		cmocka_unit_test(status_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
