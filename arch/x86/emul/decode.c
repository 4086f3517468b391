/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder proper: opcode tables (decode_tables.c) give operation and operand form, the form
 * says what follows the opcode. See decode.h for what is covered and why.
 */
#include "arch/x86/emul/decode.h"
#include "arch/x86/emul/decode_parts.h"
#include "arch/x86/emul/decode_tables.h"
#include "hv/lib/string.h"

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

/* Of an operand that may be memory. */
static unsigned rm_size(const struct decoder *d, unsigned size)
{
	unsigned flags = d->opcode.flags;

	if (!d->modrm.is_memory)
		return size;
	if (flags & FLAG_WORD_MEM)
		return 2;
	if (flags & FLAG_TABLE)
		return 2 + (d->prefix.code == EMUL_CODE64 ? 8 : 4);
	return flags & FLAG_FAR ? size + 2 : size;
}

static unsigned source_size(const struct decoder *d)
{
	unsigned op_size = d->insn->op_size;

	if (d->opcode.flags & FLAG_SRC8)
		return 1;
	if (d->opcode.flags & FLAG_SRC16)
		return 2;
	return d->opcode.flags & FLAG_SRC32 ? MIN(op_size, 4u) : rm_size(d, op_size);
}

static struct emul_operand operand_seg(unsigned reg)
{
	return (struct emul_operand){.kind = EMUL_OPERAND_SEG, .size = 2, .reg = reg};
}

static struct emul_operand take_unsigned(struct decoder *d, unsigned size)
{
	struct emul_operand o = take_imm(d, size);

	d->insn->imm &= mask_bytes(size);
	return o;
}

static void take_port(struct decoder *d)
{
	if (!(d->insn->opcode & 8)) /* E4-E7: port number in the instruction */
		take_unsigned(d, 1);
}

/* Shift counts: the constant 1, or CL. */
static struct emul_operand shift_count(struct decoder *d)
{
	if (d->opcode.form == FORM_RM_CL)
		return operand_reg(d, EMUL_RCX, 1);
	d->insn->imm = 1;
	return (struct emul_operand){.kind = EMUL_OPERAND_IMM, .size = 1};
}

static void take_modrm_operands(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	unsigned size = insn->op_size, form = d->opcode.form;

	switch (form) {
	case FORM_REG_RM_IMM:
	case FORM_REG_RM_IMM8:
	case FORM_REG_RM:
		insn->dst = operand_reg(d, d->modrm.reg, size);
		insn->src = operand_rm(d, source_size(d));
		if (form != FORM_REG_RM)
			take_imm(d, form == FORM_REG_RM_IMM8 ? 1 : MIN(size, 4u));
		break;
	case FORM_SRC_RM: insn->src = operand_rm(d, source_size(d)); break;
	case FORM_SEG_RM:
		insn->dst = operand_seg(d->modrm.reg & 7);
		insn->src = operand_rm(d, 2);
		break;
	default: insn->dst = operand_rm(d, rm_size(d, size)); break;
	}
	switch (form) {
	case FORM_RM_REG_IMM8:
	case FORM_RM_REG:
		insn->src = operand_reg(d, d->modrm.reg, size);
		if (form == FORM_RM_REG_IMM8)
			take_unsigned(d, 1);
		break;
	case FORM_RM_IMM: insn->src = take_imm(d, MIN(size, 4u)); break;
	case FORM_RM_IMM8: insn->src = take_imm(d, 1); break;
	case FORM_RM_ONE:
	case FORM_RM_CL: insn->src = shift_count(d); break;
	case FORM_RM_SEG: insn->src = operand_seg(d->modrm.reg & 7); break;
	}
}

static void take_operands(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	unsigned size = insn->op_size;

	switch (d->opcode.form) {
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
	case FORM_IMM: insn->src = take_imm(d, MIN(size, 4u)); break;
	case FORM_IMM8: insn->src = take_imm(d, 1); break;
	case FORM_XLAT: /* [rBX + AL]: the executor adds AL */
		insn->mem = (struct emul_mem){.base = EMUL_RBX, .index = EMUL_REG_NONE, .scale = 1};
		insn->segment = decode_segment(&d->prefix, EMUL_DS);
		insn->src = (struct emul_operand){.kind = EMUL_OPERAND_MEM, .size = 1};
		break;
	default: break;
	}
}

static void take_stack_operands(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	struct emul_operand o;

	switch (d->opcode.form) {
	case FORM_OPREG:
		o = operand_reg(d, (insn->opcode & 7) | (insn->rex & REX_B ? 8 : 0), insn->op_size);
		*(insn->op == EMUL_OP_PUSH ? &insn->src : &insn->dst) = o;
		break;
	case FORM_OPSEG:
		o = operand_seg((insn->opcode >> 3) & 7);
		*(insn->op == EMUL_OP_PUSH_SEG ? &insn->src : &insn->dst) = o;
		break;
	case FORM_IMM16: insn->src = take_unsigned(d, 2); break;
	case FORM_ENTER:
		insn->src = take_unsigned(d, 2);
		insn->imm2 = decode_byte(&d->cursor);
		break;
	case FORM_FAR:
		insn->src = take_unsigned(d, insn->op_size);
		insn->imm2 = (uint16_t)decode_signed(&d->cursor, 2);
		break;
	default: break;
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

/* Opcodes that F2 or F3 makes another instruction of. */
static void refine_by_prefix(struct decoder *d)
{
	struct emul_insn *insn = d->insn;
	struct opcode *o = &d->opcode;

	if (insn->map == EMUL_MAP_0F38 && insn->rep == EMUL_REP_NE &&
		(insn->opcode & 0xfe) == 0xf0) {
		unsigned source = insn->opcode == 0xf0              ? FLAG_SRC8
				  : insn->rex & REX_W               ? 0
				  : decode_op_size(&d->prefix) == 2 ? FLAG_SRC16
								    : 0;

		*o = (struct opcode){EMUL_OP_CRC32, FORM_REG_RM, source};
	} else if (insn->map == EMUL_MAP_0F38 && o->op == EMUL_OP_MOVBE && insn->rep) {
		o->op = EMUL_OP_NONE;
	}
	if ((o->op == EMUL_OP_BSF || o->op == EMUL_OP_BSR) && insn->rep == EMUL_REP_E)
		o->op = o->op == EMUL_OP_BSF ? EMUL_OP_TZCNT : EMUL_OP_LZCNT;
	if ((o->flags & FLAG_F3) && insn->rep != EMUL_REP_E)
		*o = (struct opcode){0};
}

static void take_group(struct decoder *d)
{
	const struct opcode *row = decode_group_row(d->opcode.op, d->modrm.byte >> 3);

	d->insn->op = row->op;
	d->opcode.flags |= row->flags;
	if (row->form != FORM_GROUP)
		d->opcode.form = row->form;
}

static unsigned operand_size(const struct decoder *d)
{
	unsigned flags = d->opcode.flags, op = d->insn->op;
	unsigned size = flags & FLAG_BYTE ? 1 : decode_op_size(&d->prefix);
	bool port = op == EMUL_OP_IN || op == EMUL_OP_OUT || op == EMUL_OP_INS ||
		    op == EMUL_OP_OUTS;

	if ((flags & FLAG_DIRECT) || op == EMUL_OP_CRC32 || op == EMUL_OP_CMPXCHG_WIDE ||
		op == EMUL_OP_LDMXCSR || op == EMUL_OP_STMXCSR)
		size = MAX(size, 4u);
	if (d->prefix.code == EMUL_CODE64 &&
		((flags & FLAG_FORCE64) || ((flags & FLAG_DEF64) && size != 2)))
		size = 8;
	/* Ports are at most 32 bits wide: REX.W means nothing to them, nor to MXCSR. */
	if (port || op == EMUL_OP_LDMXCSR || op == EMUL_OP_STMXCSR)
		size = MIN(size, 4u);
	return size;
}

static struct opcode opcode_row(struct decoder *d)
{
	struct emul_insn *insn = d->insn;

	insn->opcode = decode_byte(&d->cursor);
	if (insn->opcode != 0x0f)
		return decode_one_byte[insn->opcode];
	insn->map = EMUL_MAP_0F;
	insn->opcode = decode_byte(&d->cursor);
	if (insn->opcode != 0x38)
		return decode_two_byte[insn->opcode];
	insn->map = EMUL_MAP_0F38;
	insn->opcode = decode_byte(&d->cursor);
	return *decode_three_byte(insn->opcode);
}

static void take_opcode(struct decoder *d)
{
	struct emul_insn *insn = d->insn;

	d->opcode = opcode_row(d);
	refine_by_prefix(d);
	insn->op = d->opcode.op;
	if ((insn->op != EMUL_OP_NONE || d->opcode.flags) && d->opcode.form <= FORM_MODRM_LAST)
		take_modrm(d);
	if (d->opcode.flags & FLAG_GROUP)
		take_group(d);
	insn->cond = insn->opcode & 0xf;
	insn->op_size = operand_size(d);
}

/* Conditions under which the encoding is another instruction, which is not emulated. */
static bool is_other(const struct decoder *d)
{
	const struct emul_insn *insn = d->insn;
	unsigned flags = d->opcode.flags;

	if ((flags & FLAG_ONLY64) && d->prefix.code != EMUL_CODE64)
		return true;
	if ((flags & FLAG_NO_REG) && !d->modrm.is_memory)
		return true;
	/* Group 15 has other instructions with 66, F2 and F3; CLFLUSHOPT touches like CLFLUSH. */
	return insn->map == EMUL_MAP_0F && insn->opcode == 0xae &&
	       (insn->rep || (d->prefix.operand_size && insn->op != EMUL_OP_TOUCH));
}

static enum emul_decode_result check_mode(const struct decoder *d)
{
	const struct emul_insn *insn = d->insn;
	unsigned flags = d->opcode.flags;

	if ((flags & FLAG_NO64) && d->prefix.code == EMUL_CODE64)
		return EMUL_DECODE_UD;
	if ((flags & FLAG_MEMORY) && !d->modrm.is_memory)
		return EMUL_DECODE_UD;
	if ((flags & FLAG_DIRECT) && (d->prefix.rep || d->prefix.operand_size))
		return EMUL_DECODE_UD;
	if (insn->dst.kind == EMUL_OPERAND_SEG &&
		(insn->dst.reg == EMUL_CS || insn->dst.reg >= EMUL_SEG_COUNT))
		return EMUL_DECODE_UD;
	if (insn->src.kind == EMUL_OPERAND_SEG && insn->src.reg >= EMUL_SEG_COUNT)
		return EMUL_DECODE_UD;
	if (insn->lock && (insn->dst.kind != EMUL_OPERAND_MEM || !decode_is_lockable(insn->op)))
		return EMUL_DECODE_UD;
	return EMUL_DECODE_OK;
}

static enum emul_decode_result decode_integer(struct decoder *d)
{
	struct emul_insn *insn = d->insn;

	take_opcode(d);
	if (d->cursor.overrun)
		return decode_overrun(&d->cursor);
	if (insn->op == EMUL_OP_NONE)
		return decode_vector(&d->cursor, &d->prefix, NULL, insn);
	if (is_other(d))
		return EMUL_DECODE_UNSUPPORTED;
	if (d->opcode.form <= FORM_MODRM_LAST)
		take_modrm_operands(d);
	take_operands(d);
	take_stack_operands(d);
	if (insn->op == EMUL_OP_CMPXCHG_WIDE)
		insn->dst.size = 2 * insn->op_size;
	if (d->cursor.overrun)
		return decode_overrun(&d->cursor);
	insn->length = d->cursor.at;
	return check_mode(d);
}

enum emul_decode_result emul_decode(
	const uint8_t *bytes, unsigned count, enum emul_code code, struct emul_insn *insn)
{
	struct decoder d = {.insn = insn};
	struct decode_vex vex;

	count = MIN(count, (unsigned)EMUL_INSN_MAX);
	*insn = (struct emul_insn){.code = code};
	memcpy(insn->bytes, bytes, count);
	d.cursor = (struct decode_cursor){.bytes = insn->bytes, .count = count};

	decode_prefixes(&d.cursor, code, &d.prefix);
	insn->lock = d.prefix.lock;
	insn->rep = d.prefix.rep;
	insn->rex = d.prefix.rex;
	insn->addr_size = d.prefix.addr_size;
	if (!decode_is_vex(&d.cursor, code))
		return decode_integer(&d);
	if (!decode_take_vex(&d.cursor, &d.prefix, &vex, insn))
		return d.cursor.overrun ? decode_overrun(&d.cursor) : EMUL_DECODE_UD;
	return decode_vector(&d.cursor, &d.prefix, &vex, insn);
}
