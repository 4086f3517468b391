/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor: one table row per operation says what it does with its first operand, one function
 * per family does it. Memory is written before registers and flags change, because a write can fail
 * and they cannot.
 */
#include "arch/x86/emul/execute.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/emul/alu.h"
#include "arch/x86/emul/execute_parts.h"

struct operation {
	execute_fn fn;
	uint8_t flags;
};

#define WRITES BIT(0) /* the first operand */
#define JUMPS  BIT(1) /* sets RIP itself */

enum emul_result emul_operand_get(
	struct execution *x, const struct emul_operand *o, uint64_t *value)
{
	*value = 0;
	switch (o->kind) {
	case EMUL_OPERAND_REG:
		*value = x->ctx->gpr[o->reg & 15] >> (o->high ? 8 : 0) & mask_bytes(o->size);
		return EMUL_DONE;
	case EMUL_OPERAND_IMM: *value = x->insn->imm & mask_bytes(o->size); return EMUL_DONE;
	case EMUL_OPERAND_MEM:
		return x->ctx->env->read(
			x->ctx, x->linear, value, o->size, o == &x->insn->dst ? x->access : 0);
	default: return EMUL_DONE;
	}
}

enum emul_result emul_operand_set(struct execution *x, const struct emul_operand *o, uint64_t value)
{
	uint64_t *reg = &x->ctx->gpr[o->reg & 15];

	if (o->kind == EMUL_OPERAND_MEM)
		return x->ctx->env->write(
			x->ctx, x->linear, &value, o->size, x->access | EMUL_ACCESS_WRITE);
	if (o->high)
		*reg = (*reg & ~0xff00ull) | (value & 0xff) << 8;
	else
		emul_reg_set(x->ctx, o->reg, o->size, value);
	return EMUL_DONE;
}

static enum emul_result get_both(struct execution *x, uint64_t *a, uint64_t *b)
{
	enum emul_result r = emul_operand_get(x, &x->insn->dst, a);

	return r == EMUL_DONE ? emul_operand_get(x, &x->insn->src, b) : r;
}

static enum emul_result execute_alu(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t a, b, result, rflags = x->ctx->rflags;
	enum emul_result r = get_both(x, &a, &b);

	if (r != EMUL_DONE)
		return r;
	result = alu_compute(insn->op, a, b, insn->dst.size, &rflags);
	if (insn->op != EMUL_OP_CMP && insn->op != EMUL_OP_TEST)
		r = emul_operand_set(x, &insn->dst, result);
	if (r == EMUL_DONE)
		x->ctx->rflags = rflags;
	return r;
}

static enum emul_result execute_mov(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t value;
	enum emul_result r = emul_operand_get(x, &insn->src, &value);

	if (r != EMUL_DONE)
		return r;
	if (insn->op == EMUL_OP_MOVSX)
		value = alu_sign_extend(value, insn->src.size);
	return emul_operand_set(x, &insn->dst, value);
}

/* The source is read, and a 32-bit destination zero-extended, whatever the condition. */
static enum emul_result execute_cmov(struct execution *x)
{
	uint64_t a, b;
	enum emul_result r = get_both(x, &a, &b);

	if (r != EMUL_DONE)
		return r;
	return emul_operand_set(
		x, &x->insn->dst, alu_condition(x->insn->cond, x->ctx->rflags) ? b : a);
}

static enum emul_result execute_setcc(struct execution *x)
{
	return emul_operand_set(x, &x->insn->dst, alu_condition(x->insn->cond, x->ctx->rflags));
}

/* XCHG and XADD: the old first operand goes to the second. */
static enum emul_result execute_xchg(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t a, b, result, rflags = x->ctx->rflags;
	enum emul_result r = get_both(x, &a, &b);

	if (r != EMUL_DONE)
		return r;
	result = b;
	if (insn->op == EMUL_OP_XADD)
		result = alu_compute(EMUL_OP_ADD, a, b, insn->dst.size, &rflags);
	if (insn->dst.kind == EMUL_OPERAND_MEM)
		r = emul_operand_set(x, &insn->dst, result);
	if (r != EMUL_DONE)
		return r;
	r = emul_operand_set(x, &insn->src, a);
	if (insn->dst.kind == EMUL_OPERAND_REG) /* last: both may be the same register */
		r = emul_operand_set(x, &insn->dst, result);
	x->ctx->rflags = rflags;
	return r;
}

/* Memory is written in either case (SDM vol. 2, CMPXCHG), a register only if the values match. */
static enum emul_result execute_cmpxchg(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	unsigned size = insn->dst.size;
	uint64_t old, value, acc = emul_reg_get(x->ctx, EMUL_RAX, size);
	uint64_t rflags = x->ctx->rflags;
	enum emul_result r = get_both(x, &old, &value);
	bool equal;

	if (r != EMUL_DONE)
		return r;
	alu_compute(EMUL_OP_CMP, acc, old, size, &rflags);
	equal = rflags & RFLAGS_ZF;
	if (equal || insn->dst.kind == EMUL_OPERAND_MEM)
		r = emul_operand_set(x, &insn->dst, equal ? value : old);
	if (r != EMUL_DONE)
		return r;
	if (!equal)
		emul_reg_set(x->ctx, EMUL_RAX, size, old);
	x->ctx->rflags = rflags;
	return EMUL_DONE;
}

static enum emul_result execute_bit(struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	uint64_t a, bit, result, rflags = x->ctx->rflags;
	enum emul_result r = get_both(x, &a, &bit);

	if (r != EMUL_DONE)
		return r;
	result = alu_bit(insn->op, a, bit, insn->dst.size, &rflags);
	if (insn->op != EMUL_OP_BT)
		r = emul_operand_set(x, &insn->dst, result);
	if (r == EMUL_DONE)
		x->ctx->rflags = rflags;
	return r;
}

static uint16_t port_number(const struct execution *x)
{
	return x->insn->imm_size ? x->insn->imm : emul_reg_get(x->ctx, EMUL_RDX, 2);
}

static enum emul_result execute_in(struct execution *x)
{
	uint32_t value = 0;
	enum emul_result r = x->ctx->env->io_in(x->ctx, port_number(x), x->insn->op_size, &value);

	return r == EMUL_DONE ? emul_operand_set(x, &x->insn->dst, value) : r;
}

static enum emul_result execute_out(struct execution *x)
{
	return x->ctx->env->io_out(x->ctx, port_number(x), x->insn->op_size,
		emul_reg_get(x->ctx, EMUL_RAX, x->insn->op_size));
}

/* CLFLUSH: what a read of a byte may raise, and no more. */
static enum emul_result execute_touch(struct execution *x)
{
	return x->ctx->env->probe(x->ctx, x->linear, 1, 0);
}

static const struct operation operations[EMUL_OP_COUNT] = {
	[EMUL_OP_ADD... EMUL_OP_XOR] = {execute_alu, WRITES},
	[EMUL_OP_CMP... EMUL_OP_TEST] = {execute_alu, 0},
	[EMUL_OP_NOT... EMUL_OP_DEC] = {execute_alu, WRITES},
	[EMUL_OP_MOV... EMUL_OP_MOVSX] = {execute_mov, WRITES},
	[EMUL_OP_CMOV] = {execute_cmov, WRITES},
	[EMUL_OP_SETCC] = {execute_setcc, WRITES},
	[EMUL_OP_XCHG... EMUL_OP_XADD] = {execute_xchg, WRITES},
	[EMUL_OP_CMPXCHG] = {execute_cmpxchg, WRITES},
	[EMUL_OP_BT] = {execute_bit, 0},
	[EMUL_OP_BTS... EMUL_OP_BTC] = {execute_bit, WRITES},
	[EMUL_OP_MOVS... EMUL_OP_OUTS] = {emul_string, 0},
	[EMUL_OP_IN] = {execute_in, WRITES},
	[EMUL_OP_OUT] = {execute_out, 0},
	[EMUL_OP_ROL... EMUL_OP_SAR] = {execute_shift, WRITES},
	[EMUL_OP_SHLD... EMUL_OP_SHRD] = {execute_double_shift, WRITES},
	[EMUL_OP_MUL... EMUL_OP_IMUL_WIDE] = {execute_multiply, 0},
	[EMUL_OP_DIV... EMUL_OP_IDIV] = {execute_divide, 0},
	[EMUL_OP_IMUL] = {execute_imul, WRITES},
	[EMUL_OP_BSF... EMUL_OP_POPCNT] = {execute_scan, WRITES},
	[EMUL_OP_MOVBE] = {execute_movbe, WRITES},
	[EMUL_OP_CRC32] = {execute_crc32, WRITES},
	[EMUL_OP_CMPXCHG_WIDE] = {execute_cmpxchg_wide, WRITES},
	[EMUL_OP_XLAT] = {execute_xlat, 0},
	[EMUL_OP_TOUCH] = {execute_touch, 0},
	[EMUL_OP_PUSH] = {execute_push, 0},
	[EMUL_OP_POP] = {execute_pop, WRITES},
	[EMUL_OP_PUSH_SEG] = {execute_push_seg, 0},
	[EMUL_OP_POP_SEG] = {execute_pop_seg, 0},
	[EMUL_OP_PUSHA] = {execute_pusha, 0},
	[EMUL_OP_POPA] = {execute_popa, 0},
	[EMUL_OP_PUSHF] = {execute_pushf, 0},
	[EMUL_OP_POPF] = {execute_popf, 0},
	[EMUL_OP_ENTER] = {execute_enter, 0},
	[EMUL_OP_LEAVE] = {execute_leave, 0},
	[EMUL_OP_CALL... EMUL_OP_CALL_REL] = {execute_call, JUMPS},
	[EMUL_OP_JMP] = {execute_jmp, JUMPS},
	[EMUL_OP_RET] = {execute_ret, JUMPS},
	[EMUL_OP_CALL_FAR] = {execute_call_far, JUMPS},
	[EMUL_OP_JMP_FAR] = {execute_jmp_far, JUMPS},
	[EMUL_OP_RET_FAR] = {execute_ret_far, JUMPS},
	[EMUL_OP_IRET] = {execute_iret, JUMPS},
	[EMUL_OP_MOV_FROM_SEG... EMUL_OP_MOV_TO_SEG] = {execute_mov_seg, WRITES},
	[EMUL_OP_LOAD_FAR] = {execute_load_far, WRITES},
	[EMUL_OP_SLDT... EMUL_OP_STR] = {execute_store_selector, WRITES},
	[EMUL_OP_LLDT... EMUL_OP_LTR] = {execute_load_selector, 0},
	[EMUL_OP_VERR... EMUL_OP_LSL] = {execute_verify, 0},
	[EMUL_OP_SGDT... EMUL_OP_SIDT] = {execute_table, WRITES},
	[EMUL_OP_LGDT... EMUL_OP_LIDT] = {execute_table, 0},
	[EMUL_OP_SMSW] = {execute_msw, WRITES},
	[EMUL_OP_LMSW] = {execute_msw, 0},
	[EMUL_OP_LDMXCSR] = {execute_mxcsr, 0},
	[EMUL_OP_STMXCSR] = {execute_mxcsr, WRITES},
	[EMUL_OP_VECTOR_LOAD] = {execute_vector, 0},
	[EMUL_OP_VECTOR_STORE] = {execute_vector, WRITES},
};

/* BT with a register bit number reaches memory before and after its operand (SDM vol. 2, BT). */
static uint64_t bit_string_offset(const struct execution *x)
{
	const struct emul_insn *insn = x->insn;
	unsigned size = insn->op_size;
	int64_t bit;

	if (insn->op < EMUL_OP_BT || insn->op > EMUL_OP_BTC || insn->src.kind != EMUL_OPERAND_REG)
		return 0;
	bit = (int64_t)alu_sign_extend(emul_reg_get(x->ctx, insn->src.reg, size), size);
	return (uint64_t)(bit >> (3 + __builtin_ctz(size))) * size;
}

static uint64_t effective_address(const struct execution *x)
{
	const struct emul_mem *mem = &x->insn->mem;
	uint64_t address = (uint64_t)mem->disp + bit_string_offset(x);

	if (mem->rip_relative)
		address += x->ctx->rip + x->insn->length;
	if (mem->base != EMUL_REG_NONE)
		address += x->ctx->gpr[mem->base & 15];
	if (mem->index != EMUL_REG_NONE)
		address += x->ctx->gpr[mem->index & 15] * mem->scale;
	if (x->insn->op == EMUL_OP_POP && mem->base == EMUL_RSP) /* as POP leaves it */
		address += x->insn->op_size;
	if (x->insn->op == EMUL_OP_XLAT)
		address += x->ctx->gpr[EMUL_RAX] & 0xff;
	return address & mask_bytes(x->insn->addr_size);
}

static enum emul_result resolve_memory(struct execution *x, bool writes)
{
	const struct emul_insn *insn = x->insn;
	const struct emul_operand *o = &insn->dst;

	if (o->kind != EMUL_OPERAND_MEM) {
		o = &insn->src;
		writes = false;
	}
	if (o->kind != EMUL_OPERAND_MEM)
		return EMUL_DONE;
	if (writes)
		x->access = EMUL_ACCESS_WRITE;
	if (insn->lock || (writes && insn->op == EMUL_OP_XCHG)) /* XCHG locks unasked */
		x->access |= EMUL_ACCESS_LOCKED;
	return emul_linear(
		x->ctx, insn->segment, effective_address(x), o->size, x->access, &x->linear);
}

static void advance_rip(struct emul_ctx *ctx, const struct emul_insn *insn)
{
	ctx->rip += insn->length;
	if (ctx->code != EMUL_CODE64)
		ctx->rip &= UINT32_MAX;
}

enum emul_result emul_execute(struct emul_ctx *ctx, const struct emul_insn *insn)
{
	struct execution x = {.ctx = ctx, .insn = insn};
	const struct operation *operation;
	enum emul_result r;

	if (insn->op >= EMUL_OP_COUNT || insn->code != ctx->code)
		return EMUL_UNSUPPORTED;
	operation = &operations[insn->op];
	if (!operation->fn)
		return EMUL_UNSUPPORTED;
	r = resolve_memory(&x, operation->flags & WRITES);
	if (r == EMUL_DONE)
		r = operation->fn(&x);
	if (r != EMUL_DONE)
		return r;
	if (!(operation->flags & JUMPS))
		advance_rip(ctx, insn);
	if (insn->op != EMUL_OP_IRET) /* which may set it */
		ctx->rflags &= ~RFLAGS_RF;
	return EMUL_DONE;
}
