/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder proper: two opcode tables give operation and operand form, the form says what follows
 * the opcode. See decode.h for what is covered and why.
 */
#include "arch/x86/emul/decode.h"
#include "arch/x86/emul/decode_parts.h"
#include "hv/lib/string.h"

/* Where the operands are. Operation 0 (EMUL_OP_NONE) marks what is not emulated. */
enum form {
	FORM_RM_REG,
	FORM_REG_RM,
	FORM_RM,
	FORM_RM_IMM,  /* immediate as wide as the operand, at most 4 bytes */
	FORM_RM_IMM8, /* one byte, sign-extended */
	FORM_ACC_IMM,
	FORM_ACC_MOFFS,
	FORM_MOFFS_ACC,
	FORM_STRING,
	FORM_IN,
	FORM_OUT,
};

#define FLAG_BYTE   BIT(0) /* operand size is 1 */
#define FLAG_SRC8   BIT(1) /* size of the source, where it differs */
#define FLAG_SRC16  BIT(2)
#define FLAG_SRC32  BIT(3)
#define FLAG_NO64   BIT(4) /* #UD in 64-bit mode */
#define FLAG_ONLY64 BIT(5) /* something else outside 64-bit mode */
#define FLAG_MOVNTI BIT(6) /* memory only, no 66, F2 or F3, at least 4 bytes wide */
#define FLAG_GROUP  BIT(7) /* op is the number of a group, selected by ModRM.reg */

struct opcode {
	uint8_t op;
	uint8_t form;
	uint8_t flags;
};

enum group { GROUP_ALU, GROUP_3, GROUP_4, GROUP_11, GROUP_8 };

static const uint8_t group_ops[][8] = {
	[GROUP_ALU] = {EMUL_OP_ADD, EMUL_OP_OR, EMUL_OP_ADC, EMUL_OP_SBB, EMUL_OP_AND, EMUL_OP_SUB,
		EMUL_OP_XOR, EMUL_OP_CMP},
	[GROUP_3] = {EMUL_OP_TEST, EMUL_OP_TEST, EMUL_OP_NOT, EMUL_OP_NEG},
	[GROUP_4] = {EMUL_OP_INC, EMUL_OP_DEC},
	[GROUP_11] = {EMUL_OP_MOV},
	[GROUP_8] = {0, 0, 0, 0, EMUL_OP_BT, EMUL_OP_BTS, EMUL_OP_BTR, EMUL_OP_BTC},
};

#define BOTH(n, op, form, flags)                                                                   \
	[n] = {op, form, (flags) | FLAG_BYTE}, [(n) + 1] = {op, form, flags}
#define ALU(n, op)                                                                                 \
	BOTH(n, op, FORM_RM_REG, 0), BOTH((n) + 2, op, FORM_REG_RM, 0),                            \
		BOTH((n) + 4, op, FORM_ACC_IMM, 0)

static const struct opcode one_byte[256] = {
	ALU(0x00, EMUL_OP_ADD),
	ALU(0x08, EMUL_OP_OR),
	ALU(0x10, EMUL_OP_ADC),
	ALU(0x18, EMUL_OP_SBB),
	ALU(0x20, EMUL_OP_AND),
	ALU(0x28, EMUL_OP_SUB),
	ALU(0x30, EMUL_OP_XOR),
	ALU(0x38, EMUL_OP_CMP),
	[0x63] = {EMUL_OP_MOVSX, FORM_REG_RM, FLAG_SRC32 | FLAG_ONLY64}, /* MOVSXD */
	BOTH(0x6c, EMUL_OP_INS, FORM_STRING, 0),
	BOTH(0x6e, EMUL_OP_OUTS, FORM_STRING, 0),
	BOTH(0x80, GROUP_ALU, FORM_RM_IMM, FLAG_GROUP),
	[0x82] = {GROUP_ALU, FORM_RM_IMM, FLAG_GROUP | FLAG_BYTE | FLAG_NO64},
	[0x83] = {GROUP_ALU, FORM_RM_IMM8, FLAG_GROUP},
	BOTH(0x84, EMUL_OP_TEST, FORM_RM_REG, 0),
	BOTH(0x86, EMUL_OP_XCHG, FORM_RM_REG, 0),
	BOTH(0x88, EMUL_OP_MOV, FORM_RM_REG, 0),
	BOTH(0x8a, EMUL_OP_MOV, FORM_REG_RM, 0),
	BOTH(0xa0, EMUL_OP_MOV, FORM_ACC_MOFFS, 0),
	BOTH(0xa2, EMUL_OP_MOV, FORM_MOFFS_ACC, 0),
	BOTH(0xa4, EMUL_OP_MOVS, FORM_STRING, 0),
	BOTH(0xa6, EMUL_OP_CMPS, FORM_STRING, 0),
	BOTH(0xa8, EMUL_OP_TEST, FORM_ACC_IMM, 0),
	BOTH(0xaa, EMUL_OP_STOS, FORM_STRING, 0),
	BOTH(0xac, EMUL_OP_LODS, FORM_STRING, 0),
	BOTH(0xae, EMUL_OP_SCAS, FORM_STRING, 0),
	BOTH(0xc6, GROUP_11, FORM_RM_IMM, FLAG_GROUP),
	BOTH(0xe4, EMUL_OP_IN, FORM_IN, 0),
	BOTH(0xe6, EMUL_OP_OUT, FORM_OUT, 0),
	BOTH(0xec, EMUL_OP_IN, FORM_IN, 0),
	BOTH(0xee, EMUL_OP_OUT, FORM_OUT, 0),
	BOTH(0xf6, GROUP_3, FORM_RM, FLAG_GROUP),
	BOTH(0xfe, GROUP_4, FORM_RM, FLAG_GROUP),
};

#define ROW16(n, op, form, flags) [(n)...(n) + 15] = {op, form, flags}

static const struct opcode two_byte[256] = {
	ROW16(0x40, EMUL_OP_CMOV, FORM_REG_RM, 0),
	ROW16(0x90, EMUL_OP_SETCC, FORM_RM, FLAG_BYTE),
	[0xa3] = {EMUL_OP_BT, FORM_RM_REG, 0},
	[0xab] = {EMUL_OP_BTS, FORM_RM_REG, 0},
	BOTH(0xb0, EMUL_OP_CMPXCHG, FORM_RM_REG, 0),
	[0xb3] = {EMUL_OP_BTR, FORM_RM_REG, 0},
	[0xb6] = {EMUL_OP_MOVZX, FORM_REG_RM, FLAG_SRC8},
	[0xb7] = {EMUL_OP_MOVZX, FORM_REG_RM, FLAG_SRC16},
	[0xba] = {GROUP_8, FORM_RM_IMM8, FLAG_GROUP},
	[0xbb] = {EMUL_OP_BTC, FORM_RM_REG, 0},
	[0xbe] = {EMUL_OP_MOVSX, FORM_REG_RM, FLAG_SRC8},
	[0xbf] = {EMUL_OP_MOVSX, FORM_REG_RM, FLAG_SRC16},
	BOTH(0xc0, EMUL_OP_XADD, FORM_RM_REG, 0),
	[0xc3] = {EMUL_OP_MOV, FORM_RM_REG, FLAG_MOVNTI},
};

/* Operations that LOCK may precede when they write memory (SDM vol. 2, LOCK). */
#define LOCKABLE                                                                                   \
	(BIT(EMUL_OP_ADD) | BIT(EMUL_OP_OR) | BIT(EMUL_OP_ADC) | BIT(EMUL_OP_SBB) |                \
		BIT(EMUL_OP_AND) | BIT(EMUL_OP_SUB) | BIT(EMUL_OP_XOR) | BIT(EMUL_OP_NOT) |        \
		BIT(EMUL_OP_NEG) | BIT(EMUL_OP_INC) | BIT(EMUL_OP_DEC) | BIT(EMUL_OP_XCHG) |       \
		BIT(EMUL_OP_XADD) | BIT(EMUL_OP_CMPXCHG) | BIT(EMUL_OP_BTS) | BIT(EMUL_OP_BTR) |   \
		BIT(EMUL_OP_BTC))
_Static_assert(EMUL_OP_COUNT <= 64, "operations fit a bit mask");

struct decoder {
	struct decode_cursor cursor;
	struct decode_prefixes prefix;
	struct decode_modrm modrm;
	struct opcode opcode;
	struct emul_insn *insn;
};

static struct emul_operand operand_reg(const struct decoder *d, unsigned reg, unsigned size)
{
	struct emul_operand o = {.kind = EMUL_OPERAND_REG, .size = size, .reg = reg};

	if (size == 1 && !d->prefix.rex && reg >= 4) {
		o.reg = reg - 4;
		o.high = true;
	}
	return o;
}

static struct emul_operand operand_rm(const struct decoder *d, unsigned size)
{
	if (!d->modrm.is_memory)
		return operand_reg(d, d->modrm.rm, size);
	return (struct emul_operand){.kind = EMUL_OPERAND_MEM, .size = size};
}

static struct emul_operand take_imm(struct decoder *d, unsigned size)
{
	d->insn->imm_size = size;
	d->insn->imm = (uint64_t)decode_signed(&d->cursor, size);
	return (struct emul_operand){.kind = EMUL_OPERAND_IMM, .size = d->insn->op_size};
}

static struct emul_operand take_moffs(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	unsigned size = insn->addr_size;

	insn->mem = (struct emul_mem){.base = EMUL_REG_NONE,
		.index = EMUL_REG_NONE,
		.scale = 1,
		.disp_size = size,
		.disp = decode_signed(&d->cursor, size)};
	insn->segment = decode_segment(&d->prefix, EMUL_DS);
	return (struct emul_operand){.kind = EMUL_OPERAND_MEM, .size = insn->op_size};
}

static unsigned source_size(const struct decoder *d)
{
	unsigned op_size = d->insn->op_size;

	if (d->opcode.flags & FLAG_SRC8)
		return 1;
	if (d->opcode.flags & FLAG_SRC16)
		return 2;
	return d->opcode.flags & FLAG_SRC32 ? MIN(op_size, 4u) : op_size;
}

static void take_port(struct decoder *d)
{
	if (!(d->insn->opcode & 8)) { /* E4-E7: port number in the instruction */
		take_imm(d, 1);
		d->insn->imm &= 0xff;
	}
}

/* Ports are at most 32 bits wide: REX.W means nothing to them. */
static void limit_port_size(struct emul_insn *insn)
{
	bool port = insn->op == EMUL_OP_IN || insn->op == EMUL_OP_OUT || insn->op == EMUL_OP_INS ||
		    insn->op == EMUL_OP_OUTS;

	if (port && insn->op_size == 8)
		insn->op_size = 4;
}

static void take_operands(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	unsigned size = insn->op_size;

	switch (d->opcode.form) {
	case FORM_RM_REG:
		insn->dst = operand_rm(d, size);
		insn->src = operand_reg(d, d->modrm.reg, size);
		break;
	case FORM_REG_RM:
		insn->dst = operand_reg(d, d->modrm.reg, size);
		insn->src = operand_rm(d, source_size(d));
		break;
	case FORM_RM: insn->dst = operand_rm(d, size); break;
	case FORM_RM_IMM:
	case FORM_RM_IMM8:
		insn->dst = operand_rm(d, size);
		insn->src = take_imm(d, d->opcode.form == FORM_RM_IMM8 ? 1 : MIN(size, 4u));
		break;
	case FORM_ACC_IMM:
		insn->dst = operand_reg(d, EMUL_RAX, size);
		insn->src = take_imm(d, MIN(size, 4u));
		break;
	case FORM_ACC_MOFFS:
		insn->dst = operand_reg(d, EMUL_RAX, size);
		insn->src = take_moffs(d);
		break;
	case FORM_MOFFS_ACC:
		insn->dst = take_moffs(d);
		insn->src = operand_reg(d, EMUL_RAX, size);
		break;
	case FORM_STRING: insn->segment = decode_segment(&d->prefix, EMUL_DS); break;
	case FORM_IN:
		insn->dst = operand_reg(d, EMUL_RAX, size);
		take_port(d);
		break;
	case FORM_OUT:
		insn->src = operand_reg(d, EMUL_RAX, size);
		take_port(d);
		break;
	}
}

static void take_modrm(struct decoder *d)
{
	struct emul_insn *insn = d->insn;

	decode_modrm(&d->cursor, &d->prefix, &d->modrm);
	insn->has_modrm = true;
	insn->modrm = d->modrm.byte;
	insn->mem = d->modrm.mem;
	insn->segment = decode_segment(&d->prefix, d->modrm.segment);
}

static void take_opcode(struct decoder *d)
{
	struct emul_insn *insn = d->insn;

	insn->opcode = decode_byte(&d->cursor);
	if (insn->opcode == 0x0f) {
		insn->two_byte = true;
		insn->opcode = decode_byte(&d->cursor);
	}
	d->opcode = insn->two_byte ? two_byte[insn->opcode] : one_byte[insn->opcode];
	insn->op = d->opcode.op;
	if ((insn->op != EMUL_OP_NONE || d->opcode.flags) && d->opcode.form <= FORM_RM_IMM8)
		take_modrm(d);
	if (d->opcode.flags & FLAG_GROUP) {
		insn->op = group_ops[d->opcode.op][(d->modrm.byte >> 3) & 7];
		if (insn->op == EMUL_OP_TEST) /* alone in group 3 to have an immediate */
			d->opcode.form = FORM_RM_IMM;
	}
	insn->cond = insn->opcode & 0xf;
	insn->op_size = d->opcode.flags & FLAG_BYTE ? 1 : decode_op_size(&d->prefix);
	if (d->opcode.flags & FLAG_MOVNTI)
		insn->op_size = MAX(insn->op_size, 4);
	limit_port_size(insn);
}

static enum emul_decode_result check_mode(const struct decoder *d)
{
	const struct emul_insn *insn = d->insn;
	unsigned flags = d->opcode.flags;
	bool code64 = d->prefix.code == EMUL_CODE64;

	if ((flags & FLAG_NO64) && code64)
		return EMUL_DECODE_UD;
	if ((flags & FLAG_ONLY64) && !code64)
		return EMUL_DECODE_UNSUPPORTED;
	if ((flags & FLAG_MOVNTI) &&
		(!d->modrm.is_memory || d->prefix.rep || d->prefix.operand_size))
		return EMUL_DECODE_UD;
	if (insn->lock && (insn->dst.kind != EMUL_OPERAND_MEM || !(LOCKABLE & BIT(insn->op))))
		return EMUL_DECODE_UD;
	return EMUL_DECODE_OK;
}

enum emul_decode_result emul_decode(
	const uint8_t *bytes, unsigned count, enum emul_code code, struct emul_insn *insn)
{
	struct decoder d = {.insn = insn};

	count = MIN(count, (unsigned)EMUL_INSN_MAX);
	*insn = (struct emul_insn){.code = code};
	memcpy(insn->bytes, bytes, count);
	d.cursor = (struct decode_cursor){.bytes = insn->bytes, .count = count};

	decode_prefixes(&d.cursor, code, &d.prefix);
	insn->lock = d.prefix.lock;
	insn->rep = d.prefix.rep;
	insn->rex = d.prefix.rex;
	insn->addr_size = d.prefix.addr_size;
	take_opcode(&d);
	if (d.cursor.overrun)
		return decode_overrun(&d.cursor);
	if (insn->op == EMUL_OP_NONE)
		return EMUL_DECODE_UNSUPPORTED;

	take_operands(&d);
	if (d.cursor.overrun)
		return decode_overrun(&d.cursor);
	insn->length = d.cursor.at;
	return check_mode(&d);
}
