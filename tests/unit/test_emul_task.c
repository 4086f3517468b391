/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hardware task switches (SDM vol. 3, "Task Management"): what both tasks, both TSSs and the GDT
 * hold afterwards; refusals, which must leave no trace until the switch is committed; faults of the
 * new task behind that.
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
#include "arch/x86/emul/task.h"

#define RAM_BASE   0x10000ull
#define PAGE       0x1000ull
#define PAGES      6u
#define GDT        RAM_BASE
#define OLD_AT     (RAM_BASE + 2 * PAGE - 0x40) /* 32-bit TSSs lie in two pages each */
#define NEW_AT     (RAM_BASE + 4 * PAGE - 0x40)
#define LDT_AT     (RAM_BASE + 4 * PAGE + 0x800)
#define STACK_PAGE (RAM_BASE + 5 * PAGE)
#define STACK      (STACK_PAGE + 0x800)
#define OLD_RIP    0x12345678ull
#define OLD_FLAGS  (RFLAGS_RESERVED | RFLAGS_IF | RFLAGS_ID | RFLAGS_CF)
#define NEW_FLAGS  (RFLAGS_RESERVED | RFLAGS_DF | RFLAGS_ZF)
#define OLD_CR3    0x5000u
#define NEW_CR3    0x6018u
#define LINK       0x7778u
#define AGAIN_MAX  1000u /* what a retry may try */

/* Selectors of the test's GDT. */
enum {
	KERNEL_CODE = 0x08,
	KERNEL_DATA = 0x10,
	USER_CODE = 0x1b,
	USER_DATA = 0x23,
	OLD = 0x28,
	NEW = 0x30,
	OLD16 = 0x38,
	NEW16 = 0x40,
	LDT = 0x48,
	ABSENT_CODE = 0x50,
	ABSENT_DATA = 0x58,
	ABSENT_LDT = 0x60,
	READ_ONLY = 0x68,
	EXECUTE_ONLY = 0x70,
	CONFORMING = 0x78,
	CONFORMING_USER = 0x80,
	STACK16 = 0x88,
	SMALL_STACK = 0x90,
	GDT_END = 0x98,
	IN_LDT = 0x0c, /* the one of the LDT */
};

#define TYPE_AVAILABLE 1u
#define TYPE_BUSY      3u
#define TYPE_32        8u
#define DESCRIPTOR(access, base, limit)                                                            \
	((uint64_t)(access) << 40 | (uint64_t)(base) << 16 | (uint64_t)(limit))

static const uint64_t gdt[GDT_END / 8] = {
	[KERNEL_CODE / 8] = 0x00cf9b000000ffff,
	[KERNEL_DATA / 8] = 0x00cf93000000ffff,
	[USER_CODE / 8] = 0x00cffb000000ffff,
	[USER_DATA / 8] = 0x00cff3000000ffff,
	[OLD / 8] = DESCRIPTOR(0x8b, OLD_AT, 103),
	[NEW / 8] = DESCRIPTOR(0x89, NEW_AT, 103),
	[OLD16 / 8] = DESCRIPTOR(0x83, OLD_AT, 43),
	[NEW16 / 8] = DESCRIPTOR(0x81, NEW_AT, 43),
	[LDT / 8] = DESCRIPTOR(0x82, LDT_AT, 0xf),
	[ABSENT_CODE / 8] = 0x00cf1b000000ffff,
	[ABSENT_DATA / 8] = 0x00cf13000000ffff,
	[ABSENT_LDT / 8] = DESCRIPTOR(0x02, LDT_AT, 0xf),
	[READ_ONLY / 8] = 0x00cf91000000ffff,
	[EXECUTE_ONLY / 8] = 0x00cf99000000ffff,
	[CONFORMING / 8] = 0x00cf9f000000ffff,
	[CONFORMING_USER / 8] = 0x00cfff000000ffff,
	[STACK16 / 8] = DESCRIPTOR(0x93, STACK_PAGE, 0xffff),
	[SMALL_STACK / 8] = DESCRIPTOR(0x93, STACK_PAGE, 1) | 1ull << 54,
};

/* SDM vol. 3, "32-Bit Task-State Segment", "16-Bit Task-State Segment". */
static const struct layout {
	uint8_t width, ip, flags, gpr, segment, segments, ldt;
} layout32 = {4, 0x20, 0x24, 0x28, 0x48, 6, 0x60}, layout16 = {2, 14, 16, 18, 34, 4, 42};
#define CR3_AT  (NEW_AT + 0x1c)
#define TRAP_AT (NEW_AT + 0x64)

/* All that a refused switch must leave alone. */
static struct fixture {
	struct emul_ctx ctx;
	uint64_t gpr[EMUL_GPR_COUNT];
	struct emul_selector reg[EMUL_TR + 1];
	uint64_t cr3;
	uint8_t ram[PAGES * PAGE];
} f, before;

static struct {
	unsigned absent, read_only; /* pages, as bits: #PF */
	uint64_t root[PAGES];       /* not 0: mapped with this CR3 only */
	uint32_t gdt_limit;
	gva_t gdt_base;
	unsigned cr3_sets;
	bool cr3_refused;
	gva_t locked;   /* the first half of an access was there */
	gva_t again_at; /* writes there fail so many times */
	unsigned again, agains;
} w;

static struct emul_task task;

static enum emul_result check(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	bool write = access & EMUL_ACCESS_WRITE;

	assert_true(range_within(gva - RAM_BASE, size, sizeof(f.ram)));
	/* Everything but the error code is the CPU's own access. */
	assert_int_equal(!(access & EMUL_ACCESS_SYSTEM), gva >= STACK_PAGE);
	for (gva_t at = gva; at < gva + size; at = (at | (PAGE - 1)) + 1) {
		unsigned page = (unsigned)((at - RAM_BASE) / PAGE);

		if (!(w.absent >> page & 1) && !(write && (w.read_only >> page & 1)) &&
			(!w.root[page] || w.root[page] == f.cr3))
			continue;
		ctx->fault = (struct emul_fault){EXC_PF, true, write ? PF_ERR_W : 0, at};
		return EMUL_FAULT;
	}
	return EMUL_DONE;
}

static enum emul_result f_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	assert_true(size <= EMUL_ACCESS_MAX);
	if (check(ctx, gva, size, access) != EMUL_DONE)
		return EMUL_FAULT;
	memcpy(buf, f.ram + (gva - RAM_BASE), size);
	if (access & EMUL_ACCESS_LOCKED) {
		assert_true(access & EMUL_ACCESS_WRITE);
		w.locked = gva;
	}
	return EMUL_DONE;
}

static enum emul_result f_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	assert_true((access & EMUL_ACCESS_WRITE) && size <= EMUL_ACCESS_MAX);
	if (check(ctx, gva, size, access) != EMUL_DONE)
		return EMUL_FAULT;
	/* Types of descriptors change with locked accesses, and nothing else does. */
	assert_int_equal(!!(access & EMUL_ACCESS_LOCKED),
		gva < GDT + PAGE + 0x100 || (gva >= LDT_AT && gva < LDT_AT + 0x40));
	assert_true(!(access & EMUL_ACCESS_LOCKED) || w.locked == gva);
	w.locked = 0;
	if (w.again_at == gva && w.again) {
		w.again--;
		assert_true(++w.agains < AGAIN_MAX);
		return EMUL_AGAIN;
	}
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
}

static void f_table_get(
	struct emul_ctx *ctx, enum emul_table table, uint64_t *base, uint32_t *limit)
{
	(void)ctx;
	assert_int_equal(table, EMUL_GDT);
	*base = w.gdt_base;
	*limit = w.gdt_limit;
}

static bool f_cr3_set(struct emul_ctx *ctx, uint64_t value)
{
	(void)ctx;
	w.cr3_sets++;
	if (!w.cr3_refused)
		f.cr3 = value;
	return !w.cr3_refused;
}

static const struct emul_system sys = {
	.get = f_get, .set = f_set, .table_get = f_table_get, .cr3_set = f_cr3_set};
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

/* Access byte of a descriptor in the GDT. */
static uint8_t *access_of(uint16_t selector)
{
	return &f.ram[(selector & ~7u) + 5];
}

static uint16_t new_selector(const struct layout *l, unsigned segment)
{
	return (uint16_t)get(NEW_AT + l->segment + segment * l->width, 2);
}

/* What the new task starts with. */
static void make_new(const struct layout *l)
{
	static const uint16_t selectors[] = {
		KERNEL_DATA, KERNEL_CODE, KERNEL_DATA, IN_LDT, KERNEL_DATA, 0};

	memset(f.ram + (NEW_AT - RAM_BASE), 0xee, 104);
	put(NEW_AT, LINK, 2);
	put(NEW_AT + l->ip, 0x87654321, l->width);
	put(NEW_AT + l->flags, NEW_FLAGS, l->width);
	for (unsigned i = 0; i < 8; i++)
		put(NEW_AT + l->gpr + i * l->width, 0xb0b10000 + i, l->width);
	put(NEW_AT + l->gpr + EMUL_RSP * l->width, STACK, l->width);
	for (unsigned i = 0; i < l->segments; i++)
		put(NEW_AT + l->segment + i * l->width, selectors[i], 2);
	put(NEW_AT + l->ldt, LDT, 2);
	if (l->width == 2)
		return;
	put(CR3_AT, NEW_CR3, 4);
	put(TRAP_AT, 0, 2);
}

static void start(enum emul_task_cause cause, bool old16, bool new16)
{
	uint16_t old = old16 ? OLD16 : OLD, new = new16 ? NEW16 : NEW;

	memset(&f, 0, sizeof(f));
	memset(&w, 0, sizeof(w));
	w.gdt_limit = GDT_END - 1;
	w.gdt_base = GDT;
	f.ctx = (struct emul_ctx){.gpr = f.gpr,
		.rip = OLD_RIP,
		.rflags = OLD_FLAGS,
		.cr0 = CR0_PE | CR0_PG,
		.code = EMUL_CODE32,
		.env = &env};
	for (unsigned i = 0; i < EMUL_GPR_COUNT; i++)
		f.gpr[i] = 0xaaaa0000a1a20000 + i;
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		f.reg[i] = (struct emul_selector){
			(uint16_t)(0xc0c0 + i), {0x1000 * i, UINT32_MAX, 0xc093}};
	f.reg[EMUL_CS].seg.attr = 0xc09b;
	f.reg[EMUL_LDTR] = (struct emul_selector){0xbcb0, {LDT_AT, 0x7f, 0x82}};
	f.reg[EMUL_TR] = (struct emul_selector){
		old, {OLD_AT, old16 ? 43 : 103, old16 ? 0x83 : 0x8b}};
	f.cr3 = OLD_CR3;
	memcpy(f.ram, gdt, sizeof(gdt));
	put(LDT_AT + 8, 0x00cf92000000ffff | DESCRIPTOR(0, 0x1000, 0), 8); /* not accessed yet */
	memset(f.ram + (OLD_AT - RAM_BASE), 0xdd, 104);
	make_new(new16 ? &layout16 : &layout32);
	if (cause == EMUL_TASK_IRET)
		*access_of(new) |= 2;
	task = (struct emul_task){
		.selector = new, .cause = (uint8_t)cause, .committed = true, .trap = true};
}

static enum emul_result run(void)
{
	memcpy(&before, &f, sizeof(f));
	return emul_task_switch(&f.ctx, &task);
}

/* But for what says which fault it was, nothing has changed. */
static void expect_no_trace(void)
{
	assert_false(task.committed);
	assert_false(task.trap);
	memcpy(&before.ctx.fault, &f.ctx.fault, sizeof(f.ctx.fault));
	assert_memory_equal(&before, &f, sizeof(f));
	assert_int_equal(w.cr3_sets, 0);
}

static void expect_fault(unsigned vector, uint32_t error)
{
	if (f.ctx.fault.vector != vector || f.ctx.fault.error_code != error)
		fail_msg("fault %u(0x%x), not %u(0x%x)", f.ctx.fault.vector, f.ctx.fault.error_code,
			vector, error);
	assert_true(f.ctx.fault.has_error);
}

static void expect_segment(
	unsigned reg, uint16_t selector, uint64_t base, uint32_t limit, uint32_t attr)
{
	const struct emul_selector *s = &f.reg[reg];

	if (s->selector != selector || s->seg.base != base || s->seg.limit != limit ||
		s->seg.attr != attr)
		fail_msg("register %u: 0x%x, base 0x%lx, limit 0x%x, attributes 0x%x", reg,
			s->selector, (unsigned long)s->seg.base, s->seg.limit, s->seg.attr);
}

/* ---- What links the two tasks ---- */

static void expect_links(unsigned cause, bool old16, bool new16, unsigned nt)
{
	const struct layout *from = old16 ? &layout16 : &layout32;
	bool nests = cause == EMUL_TASK_CALL || cause == EMUL_TASK_GATE;
	uint64_t saved = f.ctx.rflags, loaded = NEW_FLAGS | (nests || nt & 2 ? RFLAGS_NT : 0);
	uint16_t old = f.reg[EMUL_TR].selector;

	if (cause == EMUL_TASK_IRET)
		saved &= ~RFLAGS_NT;
	assert_int_equal(run(), EMUL_DONE);
	assert_true(task.committed);
	assert_int_equal(*access_of(old) & 7, nests ? TYPE_BUSY : TYPE_AVAILABLE);
	assert_int_equal(*access_of(task.selector) & 7, TYPE_BUSY);
	assert_int_equal(get(NEW_AT, 2), nests ? old : LINK);
	assert_int_equal(get(OLD_AT + from->flags, from->width), saved & mask_bytes(from->width));
	assert_int_equal(f.ctx.rflags, loaded);
	if (new16)
		expect_segment(EMUL_TR, NEW16, NEW_AT, 43, 0x83);
	else
		expect_segment(EMUL_TR, NEW, NEW_AT, 103, 0x8b);
	expect_segment(EMUL_LDTR, LDT, LDT_AT, 0xf, 0x82);
	assert_int_equal(w.cr3_sets, !new16);
	assert_int_equal(f.cr3, new16 ? OLD_CR3 : NEW_CR3);
}

/* Busy bits, link, NT in the saved and in the loaded flags, TR, LDTR, CR3. */
static void links(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		enum emul_task_cause cause = i & 3;
		bool old16 = i & 4, new16 = i & 8;
		unsigned nt = i >> 4; /* 1: in the old flags, 2: in the new ones */
		const struct layout *l = new16 ? &layout16 : &layout32;

		start(cause, old16, new16);
		if (nt & 1)
			f.ctx.rflags |= RFLAGS_NT;
		if (nt & 2)
			put(NEW_AT + l->flags, NEW_FLAGS | RFLAGS_NT, l->width);
		expect_links(cause, old16, new16, nt);
	}
}

/* The selector's RPL counts for nothing but TR. */
static void selector_with_rpl(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	task.selector = NEW | 3;
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.reg[EMUL_TR].selector, NEW | 3);
	assert_int_equal(*access_of(NEW), 0x8b);
}

/* ---- Registers ---- */

/* Memory afterwards: the old state, the link, busy and accessed bits, and not a byte more. */
static void saved_state(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		bool old16 = i & 1, new16 = i & 2;
		const struct layout *l = old16 ? &layout16 : &layout32;
		static uint8_t after[sizeof(f.ram)];

		start(i & 4 ? EMUL_TASK_JMP : EMUL_TASK_CALL, old16, new16);
		assert_int_equal(run(), EMUL_DONE);
		memcpy(after, f.ram, sizeof(after));
		memcpy(f.ram, before.ram, sizeof(f.ram));
		put(OLD_AT + l->ip, OLD_RIP, l->width);
		put(OLD_AT + l->flags, OLD_FLAGS, l->width);
		for (unsigned r = 0; r < 8; r++)
			put(OLD_AT + l->gpr + r * l->width, 0xa1a20000 + r, l->width);
		for (unsigned r = 0; r < l->segments; r++)
			put(OLD_AT + l->segment + r * l->width, 0xc0c0 + r, 2);
		if (i & 4)
			*access_of(old16 ? OLD16 : OLD) &= ~2;
		else
			put(NEW_AT, old16 ? OLD16 : OLD, 2);
		*access_of(new16 ? NEW16 : NEW) |= 2;
		put(LDT_AT + 13, 0x93, 1);
		assert_memory_equal(f.ram, after, sizeof(after));
	}
}

static void loaded_state_32(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	put(NEW_AT + layout32.flags, UINT32_MAX & ~RFLAGS_VM, 4);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.ctx.rip, 0x87654321);
	assert_int_equal(f.ctx.rflags, 0x3f7fd7 & ~RFLAGS_VM);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(f.gpr[i], i == EMUL_RSP ? STACK : 0xb0b10000 + i);
	assert_memory_equal(f.gpr + 8, before.gpr + 8, 8 * sizeof(f.gpr[0]));
	expect_segment(EMUL_ES, KERNEL_DATA, 0, UINT32_MAX, 0xc093);
	expect_segment(EMUL_CS, KERNEL_CODE, 0, UINT32_MAX, 0xc09b);
	expect_segment(EMUL_SS, KERNEL_DATA, 0, UINT32_MAX, 0xc093);
	expect_segment(EMUL_DS, IN_LDT, 0x1000, UINT32_MAX, 0xc093);
	expect_segment(EMUL_FS, KERNEL_DATA, 0, UINT32_MAX, 0xc093);
	assert_int_equal(f.reg[EMUL_GS].selector, 0);
	assert_true(f.reg[EMUL_GS].seg.attr & EMUL_SEG_UNUSABLE);
	assert_int_equal(f.ctx.cpl, 0);
	assert_int_equal(f.ctx.cr0, CR0_PE | CR0_PG); /* TS is the owner's */
}

/* The upper halves of registers stay, FS and GS are null. */
static void loaded_state_16(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, true);
	put(NEW_AT + layout16.flags, 0xffff, 2);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.ctx.rip, 0x4321);
	assert_int_equal(f.ctx.rflags, 0x7fd7);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(
			f.gpr[i], 0xaaaa0000a1a20000 + (i == EMUL_RSP ? STACK & 0xffff : i));
	expect_segment(EMUL_CS, KERNEL_CODE, 0, UINT32_MAX, 0xc09b);
	expect_segment(EMUL_DS, IN_LDT, 0x1000, UINT32_MAX, 0xc093);
	for (unsigned i = EMUL_FS; i <= EMUL_GS; i++) {
		assert_int_equal(f.reg[i].selector, 0);
		assert_true(f.reg[i].seg.attr & EMUL_SEG_UNUSABLE);
	}
}

static void put_segment(unsigned reg, uint16_t selector)
{
	put(NEW_AT + layout32.segment + reg * 4, selector, 2);
}

static void use_user_segments(void)
{
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		put_segment(i, i == EMUL_CS ? USER_CODE : USER_DATA);
}

/* The CPL is CS's RPL, also where the segment is conforming. */
static void privilege(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	use_user_segments();
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.ctx.cpl, 3);
	expect_segment(EMUL_SS, USER_DATA, 0, UINT32_MAX, 0xc0f3);
	start(EMUL_TASK_CALL, false, false);
	use_user_segments();
	put_segment(EMUL_CS, CONFORMING | 3);
	put_segment(EMUL_DS, CONFORMING); /* that can be read from any CPL */
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.ctx.cpl, 3);
	expect_segment(EMUL_CS, CONFORMING | 3, 0, UINT32_MAX, 0xc09f);
	expect_segment(EMUL_DS, CONFORMING, 0, UINT32_MAX, 0xc09f);
	start(EMUL_TASK_JMP, false, false);
	f.ctx.cpl = 3;
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.ctx.cpl, 0);
}

/*
 * A 16-bit TSS has no CR3, and without paging CR3 is not loaded. Where it is, the old TSS is
 * reached by the old one, and descriptors by the new.
 */
static void page_tables(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	f.ctx.cr0 = CR0_PE;
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(w.cr3_sets, 0);
	start(EMUL_TASK_JMP, false, false);
	w.root[(OLD_AT - RAM_BASE) / PAGE] = OLD_CR3;
	w.root[(LDT_AT - RAM_BASE) / PAGE] = NEW_CR3;
	put(GDT + NEW, DESCRIPTOR(0x89, NEW_AT - 0x40, 103), 8); /* away from the LDT */
	memmove(f.ram + (NEW_AT - 0x40 - RAM_BASE), f.ram + (NEW_AT - RAM_BASE), 104);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.reg[EMUL_DS].selector, IN_LDT);
}

static void cr3_refused(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	w.cr3_refused = true;
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_GP, 0);
	assert_true(task.committed);
	assert_int_equal(f.cr3, OLD_CR3);
	assert_int_equal(f.reg[EMUL_TR].selector, NEW);
	assert_int_equal(f.ctx.rip, 0x87654321);
	assert_true(f.reg[EMUL_LDTR].seg.attr & EMUL_SEG_UNUSABLE);
}

/* The T flag: bit 0 of its word, of a 32-bit TSS, once the switch is done. */
static void trap_flag(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	put(TRAP_AT, 0xffff, 2);
	assert_int_equal(run(), EMUL_DONE);
	assert_true(task.trap);
	start(EMUL_TASK_JMP, false, true);
	put(TRAP_AT, 0xffff, 2);
	assert_int_equal(run(), EMUL_DONE);
	assert_false(task.trap);
	start(EMUL_TASK_JMP, false, false);
	put(TRAP_AT, 0xfffe, 2);
	assert_int_equal(run(), EMUL_DONE);
	assert_false(task.trap);
}

/* ---- Virtual-8086 mode ---- */

static void to_virtual8086(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	put(NEW_AT + layout32.flags, NEW_FLAGS | RFLAGS_VM, 4);
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		put_segment(i, (uint16_t)(0x1230 + i)); /* means nothing in the GDT */
	assert_int_equal(run(), EMUL_DONE);
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		expect_segment(i, (uint16_t)(0x1230 + i), 0x12300 + 16 * i, UINT16_MAX, 0xf3);
	assert_int_equal(f.ctx.cpl, 3);
	assert_int_equal(f.ctx.rflags, NEW_FLAGS | RFLAGS_VM | RFLAGS_NT);
	expect_segment(EMUL_LDTR, LDT, LDT_AT, 0xf, 0x82);
	/* Of the descriptors, only the LDT's is looked at. */
	start(EMUL_TASK_CALL, false, false);
	put(NEW_AT + layout32.flags, NEW_FLAGS | RFLAGS_VM, 4);
	put(NEW_AT + layout32.ldt, KERNEL_DATA, 2);
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_TS, KERNEL_DATA);
	assert_true(task.committed);
}

static void from_virtual8086(void **state)
{
	(void)state;
	start(EMUL_TASK_GATE, false, false);
	f.ctx.rflags |= RFLAGS_VM;
	f.ctx.cpl = 3;
	f.ctx.code = EMUL_CODE16;
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(get(OLD_AT + layout32.flags, 4), OLD_FLAGS | RFLAGS_VM);
	assert_int_equal(f.ctx.rflags, NEW_FLAGS | RFLAGS_NT);
	expect_segment(EMUL_CS, KERNEL_CODE, 0, UINT32_MAX, 0xc09b);
	assert_int_equal(f.ctx.cpl, 0);
}

/* ---- Refusals before the commit ---- */

#define TSS_LIMIT(type, limit) DESCRIPTOR(0x80 | (type), NEW_AT, limit)

static const struct {
	uint8_t cause;
	bool external;
	uint16_t selector;
	uint64_t descriptor; /* 0: the GDT's own */
	uint8_t vector;
	uint16_t error;
} refusals[] = {
	{EMUL_TASK_CALL, false, 0, 0, EXC_GP, 0},
	{EMUL_TASK_JMP, false, 3, 0, EXC_GP, 0},
	{EMUL_TASK_IRET, false, 0, 0, EXC_TS, 0},
	{EMUL_TASK_CALL, false, NEW | 4, 0, EXC_GP, NEW | 4},
	{EMUL_TASK_JMP, false, NEW | 7, 0, EXC_GP, NEW | 4},
	{EMUL_TASK_IRET, false, NEW | 4, 0, EXC_TS, NEW | 4},
	{EMUL_TASK_CALL, false, GDT_END, 0, EXC_GP, GDT_END},
	{EMUL_TASK_JMP, false, 0xfff8, 0, EXC_GP, 0xfff8},
	{EMUL_TASK_IRET, false, GDT_END, 0, EXC_TS, GDT_END},
	/* SDM vol. 2, "INT n", TASK-GATE: only IRET's is #TS. */
	{EMUL_TASK_GATE, true, 0, 0, EXC_GP, 1},
	{EMUL_TASK_GATE, false, NEW | 4, 0, EXC_GP, NEW | 4},
	{EMUL_TASK_GATE, true, GDT_END, 0, EXC_GP, GDT_END | 1},
	{EMUL_TASK_GATE, true, NEW, DESCRIPTOR(0x8b, NEW_AT, 103), EXC_GP, NEW | 1},
	{EMUL_TASK_CALL, false, NEW, DESCRIPTOR(0x09, NEW_AT, 103), EXC_NP, NEW},
	{EMUL_TASK_JMP, false, NEW | 3, DESCRIPTOR(0x09, NEW_AT, 103), EXC_NP, NEW},
	{EMUL_TASK_IRET, false, NEW, DESCRIPTOR(0x0b, NEW_AT, 103), EXC_NP, NEW},
	{EMUL_TASK_GATE, false, NEW, DESCRIPTOR(0x09, NEW_AT, 103), EXC_NP, NEW},
	{EMUL_TASK_GATE, true, NEW, DESCRIPTOR(0x09, NEW_AT, 103), EXC_NP, NEW | 1},
	{EMUL_TASK_CALL, false, NEW, TSS_LIMIT(0x9, 102), EXC_TS, NEW},
	{EMUL_TASK_JMP, false, NEW16, TSS_LIMIT(0x1, 42), EXC_TS, NEW16},
	{EMUL_TASK_IRET, false, NEW, TSS_LIMIT(0xb, 102), EXC_TS, NEW},
	{EMUL_TASK_GATE, false, NEW16, TSS_LIMIT(0x1, 42), EXC_TS, NEW16},
	{EMUL_TASK_GATE, true, NEW, TSS_LIMIT(0x9, 102), EXC_TS, NEW | 1},
};

static void refused_selectors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refusals); i++) {
		start(refusals[i].cause, false, false);
		task.selector = refusals[i].selector;
		task.external = refusals[i].external;
		if (refusals[i].descriptor)
			put(GDT + (task.selector & ~7u), refusals[i].descriptor, 8);
		put(LDT_AT + NEW, get(GDT + NEW, 8), 8); /* where no TSS may be */
		assert_int_equal(run(), EMUL_FAULT);
		expect_fault(refusals[i].vector, refusals[i].error);
		expect_no_trace();
	}
}

/* The whole descriptor lies within the table, and G scales the limit of the TSS. */
static void limits_that_do(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	w.gdt_limit = NEW + 6;
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_GP, NEW);
	expect_no_trace();
	start(EMUL_TASK_CALL, false, false);
	w.gdt_limit = NEW + 7; /* the LDT's is beyond it */
	put(GDT + NEW, TSS_LIMIT(0x9, 0) | 1ull << 55, 8);
	put(NEW_AT + layout32.ldt, 0, 2);
	put_segment(EMUL_DS, 0);
	assert_int_equal(run(), EMUL_DONE);
	expect_segment(EMUL_TR, NEW, NEW_AT, 0xfff, 0x808b);
	assert_true(f.reg[EMUL_LDTR].seg.attr & EMUL_SEG_UNUSABLE);
}

/* Available ones can be entered, busy ones returned to; anything else is no TSS. */
static void every_type(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * 32; i++) {
		enum emul_task_cause cause = i / 32; /* CALL, IRET, JMP */
		unsigned type = i % 32, wanted = cause == EMUL_TASK_IRET ? 3 : 1;

		start(cause, false, false);
		*access_of(NEW) = (uint8_t)(0x80 | type);
		if ((type & ~TYPE_32) == wanted) {
			if (!(type & TYPE_32))
				make_new(&layout16);
			assert_int_equal(run(), EMUL_DONE);
			continue;
		}
		assert_int_equal(run(), EMUL_FAULT);
		expect_fault(cause == EMUL_TASK_IRET ? EXC_TS : EXC_GP, NEW);
		expect_no_trace();
	}
}

/* Both TSSs and the GDT are touched before anything changes. */
static void pages_that_fault(void **state)
{
	static const struct {
		uint8_t page;
		bool read_only;
		gva_t cr2;
		uint32_t error;
	} rows[] = {
		{0, false, GDT + NEW, 0}, {1, false, OLD_AT, PF_ERR_W}, {1, true, OLD_AT, PF_ERR_W},
		{2, false, OLD_AT + 0x40, PF_ERR_W}, /* the second page of it */
		{2, true, OLD_AT + 0x40, PF_ERR_W}, {3, false, NEW_AT, PF_ERR_W},
		{3, true, NEW_AT, PF_ERR_W},                                      /* the link */
		{4, false, NEW_AT + 0x40, 0}, {0, true, GDT + NEW + 5, PF_ERR_W}, /* busy */
	};

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		unsigned row = i / 2;

		start(i & 1 ? EMUL_TASK_GATE : EMUL_TASK_CALL, false, false);
		task.external = i & 1; /* page faults have another error code */
		if (rows[row].read_only)
			w.read_only = 1u << rows[row].page;
		else
			w.absent = 1u << rows[row].page;
		assert_int_equal(run(), EMUL_FAULT);
		expect_fault(EXC_PF, rows[row].error);
		assert_int_equal(f.ctx.fault.cr2, rows[row].cr2);
		expect_no_trace();
	}
}

/* JMP: the old task's busy bit in one page of the GDT, the new one's in the next. */
static void busy_bits_in_two_pages(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	w.gdt_base = GDT + PAGE - NEW;
	memcpy(f.ram + PAGE - NEW, gdt, sizeof(gdt));
	f.reg[EMUL_TR].seg.base = NEW_AT + 0x200;
	w.read_only = 2;
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_PF, PF_ERR_W);
	assert_int_equal(get(w.gdt_base + OLD + 5, 1), 0x8b);
	expect_no_trace();
}

/* The old TSS has no room for the state. */
static void old_tss_too_small(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	f.reg[EMUL_TR].seg.limit = 0x20;
	assert_int_equal(run(), EMUL_FAULT);
	assert_int_equal(f.ctx.fault.vector, EXC_TS);
	expect_no_trace();
}

/* GDT cut after LTR. */
static void old_tss_beyond_gdt(void **state)
{
	(void)state;
	start(EMUL_TASK_JMP, false, false);
	f.reg[EMUL_TR].selector = GDT_END;
	assert_int_equal(run(), EMUL_FAULT);
	expect_no_trace();
}

/* The CPU raises #GP by itself where there are no such tasks. */
static void other_modes(void **state)
{
	(void)state;
	start(EMUL_TASK_CALL, false, false);
	f.ctx.long_mode = true;
	assert_int_equal(run(), EMUL_UNSUPPORTED);
	expect_no_trace();
	start(EMUL_TASK_CALL, false, false);
	f.ctx.cr0 = 0;
	assert_int_equal(run(), EMUL_UNSUPPORTED);
	expect_no_trace();
}

/* ---- Faults of the new task ---- */

#define LDT_ROW EMUL_SEG_COUNT
static const struct {
	uint8_t reg; /* EMUL_ES to GS, or LDT_ROW */
	bool user;   /* the new task's CPL is 3 */
	uint16_t selector;
	uint8_t vector;
	uint16_t error;
} bad_segments[] = {
	{LDT_ROW, false, LDT | 4, EXC_TS, LDT | 4},
	{LDT_ROW, false, KERNEL_DATA, EXC_TS, KERNEL_DATA},
	{LDT_ROW, false, OLD, EXC_TS, OLD},
	{LDT_ROW, false, ABSENT_LDT, EXC_TS, ABSENT_LDT},
	{LDT_ROW, false, GDT_END, EXC_TS, GDT_END},
	{EMUL_CS, false, 0, EXC_TS, 0},
	{EMUL_CS, false, KERNEL_DATA, EXC_TS, KERNEL_DATA},
	{EMUL_CS, false, LDT, EXC_TS, LDT},
	{EMUL_CS, false, NEW, EXC_TS, NEW},
	{EMUL_CS, false, GDT_END, EXC_TS, GDT_END},
	{EMUL_CS, false, 0x14, EXC_TS, 0x14}, /* beyond the LDT */
	{EMUL_CS, false, KERNEL_CODE | 3, EXC_TS, KERNEL_CODE},
	{EMUL_CS, false, USER_CODE & ~3, EXC_TS, USER_CODE & ~3},
	{EMUL_CS, false, CONFORMING_USER, EXC_TS, CONFORMING_USER},
	{EMUL_CS, false, ABSENT_CODE, EXC_NP, ABSENT_CODE},
	{EMUL_SS, false, 0, EXC_TS, 0},
	{EMUL_SS, false, KERNEL_CODE, EXC_TS, KERNEL_CODE},
	{EMUL_SS, false, READ_ONLY, EXC_TS, READ_ONLY},
	{EMUL_SS, false, GDT_END, EXC_TS, GDT_END},
	{EMUL_SS, false, KERNEL_DATA | 3, EXC_TS, KERNEL_DATA},
	{EMUL_SS, false, USER_DATA & ~3, EXC_TS, USER_DATA & ~3},
	{EMUL_SS, true, KERNEL_DATA | 3, EXC_TS, KERNEL_DATA},
	{EMUL_SS, true, USER_DATA & ~3, EXC_TS, USER_DATA & ~3},
	{EMUL_SS, false, ABSENT_DATA, EXC_SS, ABSENT_DATA},
	{EMUL_ES, false, EXECUTE_ONLY, EXC_TS, EXECUTE_ONLY},
	{EMUL_DS, false, LDT, EXC_TS, LDT},
	{EMUL_DS, true, KERNEL_DATA, EXC_TS, KERNEL_DATA},
	{EMUL_DS, false, KERNEL_DATA | 3, EXC_TS, KERNEL_DATA},
	{EMUL_FS, false, GDT_END | 3, EXC_TS, GDT_END},
	{EMUL_GS, true, KERNEL_CODE | 3, EXC_TS, KERNEL_CODE},
	{EMUL_DS, false, ABSENT_DATA, EXC_NP, ABSENT_DATA},
	{EMUL_ES, false, ABSENT_DATA, EXC_NP, ABSENT_DATA},
	{EMUL_FS, false, ABSENT_DATA, EXC_NP, ABSENT_DATA},
	{EMUL_GS, false, ABSENT_CODE, EXC_NP, ABSENT_CODE},
};

/* What could not be loaded has its selector, and nothing that would let the guest use it. */
static void expect_not_loaded(unsigned reg, uint16_t selector)
{
	unsigned cpl = new_selector(&layout32, EMUL_CS) & 3;

	if (reg == LDT_ROW)
		assert_true(f.reg[EMUL_LDTR].seg.attr & EMUL_SEG_UNUSABLE);
	else if (reg == EMUL_CS || reg == EMUL_SS)
		expect_segment(reg, selector, 0, UINT32_MAX,
			(reg == EMUL_CS ? 0xc09b : 0xc093) | cpl << 5);
	else
		assert_true(f.reg[reg].selector == selector &&
			    (f.reg[reg].seg.attr & EMUL_SEG_UNUSABLE));
}

static void bad_segment(unsigned row, bool external)
{
	unsigned reg = bad_segments[row].reg;
	uint16_t selector = bad_segments[row].selector;

	start(EMUL_TASK_GATE, false, false);
	if (bad_segments[row].user)
		use_user_segments();
	if (reg == LDT_ROW)
		put(NEW_AT + layout32.ldt, selector, 2);
	else
		put_segment(reg, selector);
	put(TRAP_AT, 1, 2);
	task.external = external;
	task.has_error = true; /* is not pushed behind a fault */
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(bad_segments[row].vector, bad_segments[row].error | external);
	assert_true(task.committed);
	assert_int_equal(f.ctx.cpl, new_selector(&layout32, EMUL_CS) & 3);
	expect_segment(EMUL_TR, NEW, NEW_AT, 103, 0x8b);
	assert_int_equal(get(NEW_AT, 2), OLD);
	assert_int_equal(f.cr3, NEW_CR3);
	assert_int_equal(f.ctx.rip, 0x87654321);
	assert_int_equal(f.gpr[EMUL_RSP], STACK);
	for (unsigned i = 0; i < EMUL_SEG_COUNT; i++)
		assert_int_equal(f.reg[i].selector, new_selector(&layout32, i));
	expect_not_loaded(reg, selector);
}

static void bad_segments_of_the_new_task(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad_segments); i++) {
		bad_segment(i, false);
		bad_segment(i, true);
	}
}

/* A descriptor that the new task's page tables do not map. */
static void descriptor_not_mapped(void **state)
{
	(void)state;
	start(EMUL_TASK_GATE, false, false);
	task.external = true;
	w.root[0] = OLD_CR3;
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_PF, 0);
	assert_int_equal(f.ctx.fault.cr2, GDT + LDT);
	assert_true(task.committed);
}

/* ---- The error code ---- */

static void start_with_error(bool new16, uint16_t ss, uint64_t sp)
{
	const struct layout *l = new16 ? &layout16 : &layout32;

	start(EMUL_TASK_GATE, false, new16);
	task.external = task.has_error = true;
	task.error = 0xabcd1234;
	put(NEW_AT + l->segment + EMUL_SS * l->width, ss, 2);
	put(NEW_AT + l->gpr + EMUL_RSP * l->width, sp, l->width);
	put(STACK - 8, 0x5555555555555555, 8);
}

static void error_code(void **state)
{
	(void)state;
	start_with_error(false, KERNEL_DATA, STACK);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RSP], STACK - 4);
	assert_int_equal(get(STACK - 8, 8), 0xabcd123455555555);
	/* Its width is the TSS's, that of the stack pointer the stack's. */
	start_with_error(false, STACK16, 0x77770800);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RSP], 0x777707fc);
	assert_int_equal(get(STACK - 8, 8), 0xabcd123455555555);
	start_with_error(true, STACK16, 0x800);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RSP], 0xaaaa0000a1a207fe);
	assert_int_equal(get(STACK - 8, 8), 0x1234555555555555);
	/* On the stack of a virtual-8086 task. */
	start_with_error(false, STACK_PAGE >> 4, 0x800);
	put(NEW_AT + layout32.flags, NEW_FLAGS | RFLAGS_VM, 4);
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RSP], 0x7fc);
	assert_int_equal(get(STACK - 8, 8), 0xabcd123455555555);
	/* Only if there is one. */
	start_with_error(false, KERNEL_DATA, STACK);
	task.has_error = false;
	assert_int_equal(run(), EMUL_DONE);
	assert_int_equal(f.gpr[EMUL_RSP], STACK);
	assert_int_equal(get(STACK - 8, 8), 0x5555555555555555);
}

static void error_code_faults(void **state)
{
	(void)state;
	start_with_error(false, KERNEL_DATA, STACK);
	w.absent = 1u << 5;
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_PF, PF_ERR_W);
	assert_int_equal(f.ctx.fault.cr2, STACK - 4);
	assert_true(task.committed);
	assert_int_equal(f.gpr[EMUL_RSP], STACK);
	expect_segment(EMUL_DS, IN_LDT, 0x1000, UINT32_MAX, 0xc093); /* all had been loaded */
	start_with_error(false, SMALL_STACK, 4);
	assert_int_equal(run(), EMUL_FAULT);
	expect_fault(EXC_SS, 1); /* EXT */
	assert_true(task.committed);
	assert_int_equal(f.gpr[EMUL_RSP], 4);
}

/* ---- Others write where a locked access or a walk does ---- */

/* Until it is committed, the guest does it again; the state is that of the old task. */
static void again_before_the_commit(void **state)
{
	const gva_t at[] = {GDT + OLD + 5, GDT + NEW + 5};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		start(EMUL_TASK_JMP, false, false);
		w.again_at = at[i];
		w.again = 1;
		assert_int_equal(run(), EMUL_AGAIN);
		assert_false(task.committed);
		assert_memory_equal(f.gpr, before.gpr, sizeof(f.gpr));
		assert_memory_equal(f.reg, before.reg, sizeof(f.reg));
		assert_memory_equal(&f.ctx, &before.ctx, sizeof(f.ctx));
		/* And that works. */
		assert_int_equal(run(), EMUL_DONE);
		assert_true(task.committed);
		assert_int_equal(*access_of(OLD), 0x89);
		assert_int_equal(*access_of(NEW), 0x8b);
		assert_int_equal(get(OLD_AT + layout32.ip, 4), OLD_RIP);
	}
}

/* Afterwards there is no way back: it is tried again at once, but not for ever. */
static void again_behind_the_commit(void **state)
{
	const gva_t at[] = {LDT_AT + 13, STACK - 4};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		start_with_error(false, KERNEL_DATA, STACK);
		w.again_at = at[i];
		w.again = 5;
		assert_int_equal(run(), EMUL_DONE);
		assert_int_equal(w.agains, 5);
		assert_int_equal(f.reg[EMUL_DS].selector, IN_LDT);
		assert_int_equal(f.reg[EMUL_DS].seg.attr, 0xc093);
		assert_int_equal(get(LDT_AT + 13, 1), 0x93);
		assert_int_equal(get(STACK - 4, 4), 0xabcd1234);
		assert_int_equal(f.gpr[EMUL_RSP], STACK - 4);
		start_with_error(false, KERNEL_DATA, STACK);
		w.again_at = at[i];
		w.again = UINT32_MAX;
		assert_int_equal(run(), EMUL_AGAIN);
		assert_true(task.committed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links),
		cmocka_unit_test(selector_with_rpl),
		cmocka_unit_test(saved_state),
		cmocka_unit_test(loaded_state_32),
		cmocka_unit_test(loaded_state_16),
		cmocka_unit_test(privilege),
		cmocka_unit_test(page_tables),
		cmocka_unit_test(cr3_refused),
		cmocka_unit_test(trap_flag),
		cmocka_unit_test(to_virtual8086),
		cmocka_unit_test(from_virtual8086),
		cmocka_unit_test(refused_selectors),
		cmocka_unit_test(limits_that_do),
		cmocka_unit_test(every_type),
		cmocka_unit_test(pages_that_fault),
		cmocka_unit_test(busy_bits_in_two_pages),
		cmocka_unit_test(old_tss_too_small),
		cmocka_unit_test(old_tss_beyond_gdt),
		cmocka_unit_test(other_modes),
		cmocka_unit_test(bad_segments_of_the_new_task),
		cmocka_unit_test(descriptor_not_mapped),
		cmocka_unit_test(error_code),
		cmocka_unit_test(error_code_faults),
		cmocka_unit_test(again_before_the_commit),
		cmocka_unit_test(again_behind_the_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
