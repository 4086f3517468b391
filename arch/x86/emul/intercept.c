/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Length and operands of instructions that exit without hardware saying how long they are (CPUs
 * without next-RIP save or decode assists). One table row per instruction: the opcode it must have.
 */
#include "arch/x86/emul/decode.h"
#include "arch/x86/emul/decode_parts.h"

#define FLAG_0F     BIT(0) /* two-byte opcode */
#define FLAG_MODRM  BIT(1)
#define FLAG_REG    BIT(2) /* ModRM names registers whatever its mod bits say (MOV CR and DR) */
#define FLAG_MEMORY BIT(3) /* only the memory forms */
#define FLAG_IMM8   BIT(4)
#define FLAG_PORT   BIT(5) /* bit 3 of the opcode clear: a port number follows; bit 0: size */
#define FLAG_SIZE   BIT(6) /* bit 0 of the opcode: byte or operand size, at most 4 */
#define FLAG_REP    BIT(7) /* F3 is part of the opcode */

struct intercept_row {
	uint8_t opcode;
	uint8_t opcode_mask;
	uint8_t modrm;
	uint8_t modrm_mask;
	uint8_t flags;
};

#define ONE(op)                                                                                    \
	{                                                                                          \
		op, 0xff, 0, 0, 0                                                                  \
	}
#define TWO(op)                                                                                    \
	{                                                                                          \
		op, 0xff, 0, 0, FLAG_0F                                                            \
	}
#define EXACT(modrm)                                                                               \
	{                                                                                          \
		0x01, 0xff, modrm, 0xff, FLAG_0F | FLAG_MODRM                                      \
	}
#define SLASH(n, flag)                                                                             \
	{                                                                                          \
		0x01, 0xff, (n) << 3, 0x38, FLAG_0F | FLAG_MODRM | (flag)                          \
	}
#define CONTROL(op)                                                                                \
	{                                                                                          \
		op, 0xff, 0, 0, FLAG_0F | FLAG_MODRM | FLAG_REG                                    \
	}

static const struct intercept_row rows[EMUL_INTERCEPT_COUNT] = {
	[EMUL_INTERCEPT_CPUID] = TWO(0xa2),
	[EMUL_INTERCEPT_HLT] = ONE(0xf4),
	[EMUL_INTERCEPT_RDMSR] = TWO(0x32),
	[EMUL_INTERCEPT_WRMSR] = TWO(0x30),
	[EMUL_INTERCEPT_RDTSC] = TWO(0x31),
	[EMUL_INTERCEPT_RDTSCP] = EXACT(0xf9),
	[EMUL_INTERCEPT_RDPMC] = TWO(0x33),
	[EMUL_INTERCEPT_INVD] = TWO(0x08),
	[EMUL_INTERCEPT_WBINVD] = TWO(0x09),
	[EMUL_INTERCEPT_XSETBV] = EXACT(0xd1),
	[EMUL_INTERCEPT_VMCALL] = EXACT(0xc1),
	[EMUL_INTERCEPT_VMMCALL] = EXACT(0xd9),
	[EMUL_INTERCEPT_VMRUN] = EXACT(0xd8),
	[EMUL_INTERCEPT_VMLOAD] = EXACT(0xda),
	[EMUL_INTERCEPT_VMSAVE] = EXACT(0xdb),
	[EMUL_INTERCEPT_STGI] = EXACT(0xdc),
	[EMUL_INTERCEPT_CLGI] = EXACT(0xdd),
	[EMUL_INTERCEPT_SKINIT] = EXACT(0xde),
	[EMUL_INTERCEPT_INVLPG] = SLASH(7, FLAG_MEMORY),
	[EMUL_INTERCEPT_INVLPGA] = EXACT(0xdf),
	[EMUL_INTERCEPT_MONITOR] = EXACT(0xc8),
	[EMUL_INTERCEPT_MWAIT] = EXACT(0xc9),
	[EMUL_INTERCEPT_PAUSE] = {0x90, 0xff, 0, 0, FLAG_REP},
	[EMUL_INTERCEPT_INT] = {0xcd, 0xff, 0, 0, FLAG_IMM8},
	[EMUL_INTERCEPT_INT3] = ONE(0xcc),
	[EMUL_INTERCEPT_INTO] = ONE(0xce),
	[EMUL_INTERCEPT_ICEBP] = ONE(0xf1),
	[EMUL_INTERCEPT_IRET] = ONE(0xcf),
	[EMUL_INTERCEPT_PUSHF] = ONE(0x9c),
	[EMUL_INTERCEPT_POPF] = ONE(0x9d),
	[EMUL_INTERCEPT_RSM] = TWO(0xaa),
	[EMUL_INTERCEPT_CLTS] = TWO(0x06),
	[EMUL_INTERCEPT_LMSW] = SLASH(6, 0),
	[EMUL_INTERCEPT_SMSW] = SLASH(4, 0),
	[EMUL_INTERCEPT_MOV_FROM_CR] = CONTROL(0x20),
	[EMUL_INTERCEPT_MOV_TO_CR] = CONTROL(0x22),
	[EMUL_INTERCEPT_MOV_FROM_DR] = CONTROL(0x21),
	[EMUL_INTERCEPT_MOV_TO_DR] = CONTROL(0x23),
	[EMUL_INTERCEPT_IN] = {0xe4, 0xf6, 0, 0, FLAG_PORT | FLAG_SIZE},
	[EMUL_INTERCEPT_OUT] = {0xe6, 0xf6, 0, 0, FLAG_PORT | FLAG_SIZE},
	[EMUL_INTERCEPT_INS] = {0x6c, 0xfe, 0, 0, FLAG_SIZE},
	[EMUL_INTERCEPT_OUTS] = {0x6e, 0xfe, 0, 0, FLAG_SIZE},
};

/* False: the ModRM byte belongs to another instruction. */
static bool take_modrm(struct decode_cursor *c, const struct decode_prefixes *p,
	const struct intercept_row *row, struct emul_intercept_insn *out)
{
	struct decode_modrm m;
	struct decode_cursor start = *c;

	decode_modrm(c, p, &m);
	if ((m.byte & row->modrm_mask) != row->modrm)
		return false;
	if ((row->flags & FLAG_MEMORY) && !m.is_memory)
		return false;
	if ((row->flags & FLAG_REG) && m.is_memory) {
		*c = start;
		decode_byte(c); /* no SIB, no displacement */
		m.is_memory = false;
	}
	out->reg = m.reg;
	out->gpr = m.rm;
	out->is_memory = m.is_memory;
	out->mem = m.mem;
	out->segment = decode_segment(p, m.segment);
	/* APM vol. 3, MOV CRn: LOCK stands for the fourth bit of the number, without REX too. */
	if ((row->flags & FLAG_REG) && p->lock && !(row->opcode & 1))
		out->reg |= 8;
	return true;
}

static bool is_row_opcode(
	struct decode_cursor *c, const struct decode_prefixes *p, const struct intercept_row *row)
{
	uint8_t opcode = decode_byte(c);

	if (row->flags & FLAG_0F) {
		if (opcode != 0x0f)
			return false;
		opcode = decode_byte(c);
	}
	if ((row->flags & FLAG_REP) && p->rep != EMUL_REP_E)
		return false;
	return (opcode & row->opcode_mask) == row->opcode;
}

static void take_size(uint8_t opcode, const struct decode_prefixes *p,
	const struct intercept_row *row, struct emul_intercept_insn *out)
{
	out->op_size = decode_op_size(p);
	if (!(row->flags & FLAG_SIZE))
		return;
	out->op_size = opcode & 1 ? MIN(out->op_size, 4) : 1;
}

enum emul_decode_result emul_decode_intercept(const uint8_t *bytes, unsigned count,
	enum emul_code code, enum emul_intercept kind, struct emul_intercept_insn *out)
{
	const struct intercept_row *row = &rows[kind];
	struct decode_cursor c = {.bytes = bytes, .count = MIN(count, (unsigned)EMUL_INSN_MAX)};
	struct decode_prefixes p;
	uint8_t opcode;
	bool match;

	*out = (struct emul_intercept_insn){.segment = EMUL_DS};
	decode_prefixes(&c, code, &p);
	match = is_row_opcode(&c, &p, row);
	if (c.overrun)
		return decode_overrun(&c);
	if (!match)
		return EMUL_DECODE_UNSUPPORTED;

	opcode = c.bytes[c.at - 1];
	out->segment = decode_segment(&p, EMUL_DS);
	out->addr_size = p.addr_size;
	out->rep = p.rep;
	take_size(opcode, &p, row, out);
	match = !(row->flags & FLAG_MODRM) || take_modrm(&c, &p, row, out);
	if ((row->flags & FLAG_IMM8) || ((row->flags & FLAG_PORT) && !(opcode & 8)))
		out->imm = decode_byte(&c);
	if (c.overrun)
		return decode_overrun(&c);
	out->length = c.at;
	return match ? EMUL_DECODE_OK : EMUL_DECODE_UNSUPPORTED;
}
