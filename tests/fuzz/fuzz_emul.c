/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: decoder, executor and guest page walk on arbitrary bytes. The input is a header of
 * control bytes, then registers, the instruction, and what memory, ports and page tables answer.
 * Besides what the sanitizers see, it checks the promises of execute.h: nothing changes unless the
 * instruction or a REP iteration is complete, and the work of one call is bounded.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "arch/x86/emul/execute.h"
#include "arch/x86/emul/walk.h"

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* REP CMPS reads twice per iteration; MOVS probes, reads and writes. */
#define ACCESSES_MAX   (3 * EMUL_REP_BATCH)
/* Five levels, read and updated, for every restart of the walk. */
#define WALK_CALLS_MAX 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
	const uint8_t *data;
	size_t size;
	unsigned calls;
	unsigned sets; /* of registers outside the context */
};

/* Bytes of the input; zeroes once it is used up. */
static void take(struct source *s, void *out, size_t size)
{
	size_t n = MIN(size, s->size);

	memset(out, 0, size);
	memcpy(out, s->data, n);
	s->data += n;
	s->size -= n;
}

static uint8_t take8(struct source *s)
{
	uint8_t value;

	take(s, &value, 1);
	return value;
}

static enum emul_result answer(struct emul_ctx *ctx, unsigned size)
{
	struct source *s = ctx->opaque;
	uint8_t choice = take8(s);

	EXPECT(size > 0 && size <= EMUL_ACCESS_MAX);
	EXPECT(++s->calls <= ACCESSES_MAX);
	switch (choice) {
	case 0xff: return EMUL_FAULT;
	case 0xfe: return EMUL_AGAIN;
	case 0xfd: return EMUL_STOP;
	default: return EMUL_DONE;
	}
}

static enum emul_result fuzz_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	enum emul_result r = answer(ctx, size);

	(void)access;
	(void)gva;
	if (r == EMUL_DONE)
		take(ctx->opaque, buf, size);
	return r;
}

static enum emul_result fuzz_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	uint8_t copy[EMUL_ACCESS_MAX];

	(void)gva;
	EXPECT(access & EMUL_ACCESS_WRITE);
	EXPECT(size <= sizeof(copy));
	memcpy(copy, buf, size);
	return answer(ctx, size);
}

static enum emul_result fuzz_probe(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	(void)access;
	(void)gva;
	return answer(ctx, size);
}

static enum emul_result fuzz_in(struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t *value)
{
	(void)port;
	EXPECT(size <= 4);
	take(ctx->opaque, value, size);
	return answer(ctx, size);
}

static enum emul_result fuzz_out(struct emul_ctx *ctx, uint16_t port, unsigned size, uint32_t value)
{
	(void)port;
	EXPECT(size <= 4 && value <= mask_bytes(size));
	return answer(ctx, size);
}

static void fuzz_segment(struct emul_ctx *ctx, enum emul_seg_reg reg, struct emul_seg *seg)
{
	EXPECT(reg < EMUL_SEG_COUNT);
	take(ctx->opaque, seg, sizeof(*seg));
}

static void fuzz_get(struct emul_ctx *ctx, unsigned reg, struct emul_selector *s)
{
	EXPECT(reg <= EMUL_TR);
	take(ctx->opaque, s, sizeof(*s));
}

static void fuzz_set(struct emul_ctx *ctx, unsigned reg, const struct emul_selector *s)
{
	(void)s;
	EXPECT(reg <= EMUL_TR);
	((struct source *)ctx->opaque)->sets++;
}

static void fuzz_table_get(
	struct emul_ctx *ctx, enum emul_table table, uint64_t *base, uint32_t *limit)
{
	(void)table;
	take(ctx->opaque, base, 8);
	take(ctx->opaque, limit, 4);
}

static void fuzz_table_set(
	struct emul_ctx *ctx, enum emul_table table, uint64_t base, uint32_t limit)
{
	(void)table;
	(void)base;
	EXPECT(limit <= UINT16_MAX);
	((struct source *)ctx->opaque)->sets++;
}

static bool fuzz_cr0_set(struct emul_ctx *ctx, uint64_t value)
{
	(void)value;
	return take8(ctx->opaque) & 1;
}

static enum emul_result fuzz_vector_get(
	struct emul_ctx *ctx, unsigned reg, void *buf, unsigned size)
{
	EXPECT(reg < 16 && (size == 8 || size == 16 || size == 32));
	take(ctx->opaque, buf, size);
	return EMUL_DONE;
}

static enum emul_result fuzz_vector_set(
	struct emul_ctx *ctx, unsigned reg, const void *buf, unsigned size, bool zero_upper)
{
	uint8_t copy[32];

	(void)zero_upper;
	EXPECT(reg < 16 && (size == 8 || size == 16 || size == 32));
	memcpy(copy, buf, size);
	return answer(ctx, size);
}

static enum emul_result fuzz_mxcsr_get(struct emul_ctx *ctx, uint32_t *value)
{
	take(ctx->opaque, value, 4);
	return EMUL_DONE;
}

static enum emul_result fuzz_mxcsr_set(struct emul_ctx *ctx, uint32_t value)
{
	EXPECT(value <= UINT16_MAX);
	return answer(ctx, 4);
}

static uint64_t fuzz_xcr0(struct emul_ctx *ctx)
{
	return take8(ctx->opaque);
}

static const struct emul_system fuzz_system = {
	fuzz_get, fuzz_set, fuzz_table_get, fuzz_table_set, fuzz_cr0_set};
static const struct emul_vector_regs fuzz_vectors = {
	fuzz_vector_get, fuzz_vector_set, fuzz_mxcsr_get, fuzz_mxcsr_set, fuzz_xcr0};

static const struct emul_env fuzz_env = {
	.system = &fuzz_system,
	.vectors = &fuzz_vectors,
	.read = fuzz_read,
	.write = fuzz_write,
	.probe = fuzz_probe,
	.io_in = fuzz_in,
	.io_out = fuzz_out,
	.segment = fuzz_segment,
};

static bool is_rep_string(const struct emul_insn *insn)
{
	return insn->op >= EMUL_OP_MOVS && insn->op <= EMUL_OP_OUTS && insn->rep;
}

static void fuzz_execute(struct source *s, const struct emul_insn *insn)
{
	uint64_t gpr[EMUL_GPR_COUNT], before[EMUL_GPR_COUNT];
	struct emul_ctx ctx = {.gpr = gpr, .code = insn->code, .env = &fuzz_env, .opaque = s};
	uint64_t rip, rflags;
	enum emul_result r;

	take(s, gpr, sizeof(gpr));
	take(s, &ctx.rip, 8);
	take(s, &ctx.rflags, 8);
	take(s, &ctx.cr0, 8);
	take(s, &ctx.cr4, 8);
	ctx.cpl = take8(s) & 3;
	ctx.long_mode = insn->code == EMUL_CODE64 || (take8(s) & 1);
	memcpy(before, gpr, sizeof(gpr));
	rip = ctx.rip;
	rflags = ctx.rflags;

	r = emul_execute(&ctx, insn);
	if (r == EMUL_DONE)
		return;
	EXPECT(ctx.rip == rip);
	if (is_rep_string(insn))
		return;
	EXPECT(r != EMUL_DONE && ctx.rflags == rflags);
	EXPECT(s->sets == 0);
	EXPECT(memcmp(before, gpr, sizeof(gpr)) == 0);
}

static void fuzz_decode(struct source *s)
{
	static const enum emul_code codes[] = {EMUL_CODE16, EMUL_CODE32, EMUL_CODE64, EMUL_CODE64};
	enum emul_code code = codes[take8(s) & 3];
	unsigned kind = take8(s) % EMUL_INTERCEPT_COUNT;
	uint8_t bytes[EMUL_INSN_MAX];
	struct emul_insn insn;
	struct emul_intercept_insn intercept;

	take(s, bytes, sizeof(bytes));
	if (emul_decode_intercept(bytes, sizeof(bytes), code, kind, &intercept) == EMUL_DECODE_OK)
		EXPECT(intercept.length > 0 && intercept.length <= EMUL_INSN_MAX);
	if (emul_decode(bytes, sizeof(bytes), code, &insn) != EMUL_DECODE_OK)
		return;
	EXPECT(insn.length > 0 && insn.length <= EMUL_INSN_MAX);
	fuzz_execute(s, &insn);
}

static int walk_read(void *opaque, gpa_t gpa, unsigned size, uint64_t *value)
{
	struct source *s = opaque;

	EXPECT(gpa % size == 0 && gpa <= BIT(52));
	EXPECT(++s->calls <= WALK_CALLS_MAX);
	take(s, value, size);
	if (take8(s) >= 0x10) /* mostly present, so that walks get somewhere */
		*value |= 1;
	return take8(s) == 0xff ? E_RANGE : 0;
}

static int walk_cmpxchg(void *opaque, gpa_t gpa, unsigned size, uint64_t old, uint64_t value)
{
	struct source *s = opaque;
	uint8_t choice = take8(s);

	EXPECT(gpa % size == 0 && (old & ~value) == 0 && (value & ~old & ~0x60ull) == 0);
	EXPECT(++s->calls <= WALK_CALLS_MAX);
	return choice == 0xff ? E_RANGE : choice >= 0xf0 ? E_BUSY : 0;
}

static void fuzz_walk(struct source *s)
{
	struct walk_env env = {.opaque = s, .read = walk_read};
	struct walk_out out;
	uint8_t flags = take8(s), access = take8(s) & 0xf;
	gva_t gva;
	int err;

	take(s, &gva, 8);
	take(s, &env.cr0, 8);
	take(s, &env.cr3, 8);
	take(s, &env.cr4, 8);
	take(s, &env.efer, 8);
	take(s, &env.rflags, 8);
	take(s, &env.pkru, 4);
	take(s, &env.pkrs, 4);
	take(s, env.pdpte, sizeof(env.pdpte));
	env.phys_bits = take8(s) % 64;
	env.gib_pages = flags & 1;
	env.pdptes_valid = flags & 2;
	if (flags & 4)
		env.cmpxchg = walk_cmpxchg;
	err = walk_translate(&env, gva, access, &out);
	EXPECT(out.depth <= WALK_LEVELS_MAX);
	if (err == 0) {
		EXPECT(out.gpa < BIT(env.phys_bits < 40 ? 40 : env.phys_bits));
		EXPECT(out.left > 0 && out.left <= out.page_size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct source s = {.data = data, .size = size};

	if (take8(&s) & 1)
		fuzz_walk(&s);
	else
		fuzz_decode(&s);
	return 0;
}
