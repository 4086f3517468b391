/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the executor share. Private to arch/x86/emul. */
#ifndef ARCH_X86_EMUL_EXECUTE_PARTS_H
#define ARCH_X86_EMUL_EXECUTE_PARTS_H

#include "arch/x86/defs/cr.h"
#include "arch/x86/emul/execute.h"

/* Registers by width: 4 bytes zero-extend, 1 and 2 leave the rest alone. */
static inline uint64_t emul_reg_get(const struct emul_ctx *ctx, unsigned reg, unsigned size)
{
	return ctx->gpr[reg & 15] & mask_bytes(size);
}

static inline void emul_reg_set(struct emul_ctx *ctx, unsigned reg, unsigned size, uint64_t value)
{
	uint64_t keep = size == 4 ? 0 : ~mask_bytes(size);

	ctx->gpr[reg & 15] = (ctx->gpr[reg & 15] & keep) | (value & mask_bytes(size));
}

struct execution {
	struct emul_ctx *ctx;
	const struct emul_insn *insn;
	gva_t linear;    /* of the memory operand */
	unsigned access; /* EMUL_ACCESS_*, for reading the first operand */
};

typedef enum emul_result (*execute_fn)(struct execution *x);

/* Operands of at most 8 bytes. Setting a register cannot fail. */
enum emul_result emul_operand_get(
	struct execution *x, const struct emul_operand *o, uint64_t *value) MUST_CHECK;
enum emul_result emul_operand_set(
	struct execution *x, const struct emul_operand *o, uint64_t value) MUST_CHECK;

static inline bool emul_is_protected(const struct emul_ctx *ctx)
{
	return (ctx->cr0 & CR0_PE) && !(ctx->rflags & RFLAGS_VM);
}

/* EMUL_FAULT with ctx->fault filled in; the error code is dropped where real mode has none. */
enum emul_result emul_raise(struct emul_ctx *ctx, uint8_t vector, uint32_t error);
enum emul_result emul_raise_plain(struct emul_ctx *ctx, uint8_t vector);

/* MOVS, CMPS, STOS, LODS, SCAS, INS and OUTS, with or without REP; moves RIP on no account. */
enum emul_result emul_string(struct execution *x);

/* A stack between reading and setting RSP, so that nothing has changed when an access faults. */
struct emul_stack {
	struct emul_ctx *ctx;
	unsigned width; /* of the stack pointer: 2, 4, 8 */
	uint64_t pointer;
};

void emul_stack_open(struct emul_stack *s, struct emul_ctx *ctx);
/* Move by `slot` bytes and write the low `size` ones. */
enum emul_result emul_stack_push(
	struct emul_stack *s, uint64_t value, unsigned slot, unsigned size) MUST_CHECK;
enum emul_result emul_stack_pop(struct emul_stack *s, uint64_t *value, unsigned size) MUST_CHECK;
void emul_stack_move(struct emul_stack *s, uint64_t by);
void emul_stack_close(const struct emul_stack *s);

/* selector.c: what a segment register becomes, with every check; accessed bits are set already. */
enum emul_result emul_selector_data(struct emul_ctx *ctx, unsigned reg, uint16_t selector,
	struct emul_selector *out) MUST_CHECK;
/* SS for a CPL that need not be the present one, and code of that size. */
enum emul_result emul_selector_stack(struct emul_ctx *ctx, uint16_t selector, unsigned cpl,
	bool code64, struct emul_selector *out) MUST_CHECK;
/* CS of a far jump or call, or of a return. */
enum emul_result emul_selector_code(struct emul_ctx *ctx, uint16_t selector, bool is_return,
	struct emul_selector *out) MUST_CHECK;
/* An instruction's selector that nothing is loaded from; *valid false: outside the table. */
enum emul_result emul_descriptor_read(
	struct emul_ctx *ctx, uint16_t selector, uint64_t raw[2], bool *valid) MUST_CHECK;
enum emul_result emul_selector_system(
	struct emul_ctx *ctx, uint16_t selector, bool task, struct emul_selector *out) MUST_CHECK;
void emul_selector_split(uint64_t raw, struct emul_seg *seg);
/* Accessed and busy bits change with a locked access, as the CPU does it. */
enum emul_result emul_descriptor_type(
	struct emul_ctx *ctx, uint16_t selector, uint32_t set, uint32_t clear) MUST_CHECK;

/* stack.c */
enum emul_result execute_push(struct execution *x);
enum emul_result execute_pop(struct execution *x);
enum emul_result execute_push_seg(struct execution *x);
enum emul_result execute_pop_seg(struct execution *x);
enum emul_result execute_pusha(struct execution *x);
enum emul_result execute_popa(struct execution *x);
enum emul_result execute_pushf(struct execution *x);
enum emul_result execute_popf(struct execution *x);
enum emul_result execute_enter(struct execution *x);
enum emul_result execute_leave(struct execution *x);

/* control.c */
enum emul_result execute_call(struct execution *x);
enum emul_result execute_jmp(struct execution *x);
enum emul_result execute_ret(struct execution *x);
enum emul_result execute_call_far(struct execution *x);
enum emul_result execute_jmp_far(struct execution *x);
enum emul_result execute_ret_far(struct execution *x);
enum emul_result execute_iret(struct execution *x);
/* POPF and IRET: RFLAGS after loading `value` of `size` bytes at the present CPL. */
uint64_t emul_flags_loaded(const struct emul_ctx *ctx, uint64_t value, unsigned size);

/* system.c */
enum emul_result execute_mov_seg(struct execution *x);
enum emul_result execute_load_far(struct execution *x);
enum emul_result execute_store_selector(struct execution *x);
enum emul_result execute_load_selector(struct execution *x);
enum emul_result execute_verify(struct execution *x);
enum emul_result execute_table(struct execution *x);
enum emul_result execute_msw(struct execution *x);

/* vector.c */
enum emul_result execute_vector(struct execution *x);
enum emul_result execute_mxcsr(struct execution *x);

/* arith.c */
enum emul_result execute_multiply(struct execution *x);
enum emul_result execute_imul(struct execution *x);
enum emul_result execute_divide(struct execution *x);
enum emul_result execute_shift(struct execution *x);
enum emul_result execute_double_shift(struct execution *x);
enum emul_result execute_scan(struct execution *x);
enum emul_result execute_movbe(struct execution *x);
enum emul_result execute_crc32(struct execution *x);
enum emul_result execute_cmpxchg_wide(struct execution *x);
enum emul_result execute_xlat(struct execution *x);

#endif
