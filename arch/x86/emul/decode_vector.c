/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector moves between memory and MMX, XMM and YMM registers, with legacy and VEX encoding (SDM
 * vol. 2, "Opcode Map" and the instructions' pages). Forms between registers never touch a device
 * and are left out, EVEX too.
 */
#include "arch/x86/emul/decode_parts.h"

enum { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };

#define STORE      BIT(0)
#define MUST_ALIGN BIT(1)
#define MMX        BIT(2)
#define NO_VEX     BIT(3) /* legacy encoding only */
#define VEX_ONLY   BIT(4)
#define ONLY128    BIT(5) /* #UD with VEX.L */
#define ONLY256    BIT(6) /* #UD without */
#define MERGES     BIT(7) /* VEX: a second source gives the other half */

/* Sizes of the memory operand. */
#define SIZE_FULL 0 /* as the register */
#define SIZE_GPR  1 /* 8 with W, else 4 */
#define SIZE_BYTE 255

struct vector_row {
	uint8_t map, opcode, prefix;
	uint8_t size; /* bytes, or SIZE_* */
	uint8_t part; /* enum emul_vector_part */
	uint8_t flags;
};

#define LOW   EMUL_VECTOR_LOW
#define HALF0 EMUL_VECTOR_HALF0
#define HALF1 EMUL_VECTOR_HALF1
#define EACH  EMUL_VECTOR_EACH

static const struct vector_row rows[] = {
	{EMUL_MAP_0F, 0x10, PREFIX_NONE, SIZE_FULL, LOW, 0}, /* MOVUPS */
	{EMUL_MAP_0F, 0x10, PREFIX_66, SIZE_FULL, LOW, 0},
	{EMUL_MAP_0F, 0x10, PREFIX_F3, 4, LOW, 0}, /* MOVSS */
	{EMUL_MAP_0F, 0x10, PREFIX_F2, 8, LOW, 0}, /* MOVSD */
	{EMUL_MAP_0F, 0x11, PREFIX_NONE, SIZE_FULL, LOW, STORE},
	{EMUL_MAP_0F, 0x11, PREFIX_66, SIZE_FULL, LOW, STORE},
	{EMUL_MAP_0F, 0x11, PREFIX_F3, 4, LOW, STORE},
	{EMUL_MAP_0F, 0x11, PREFIX_F2, 8, LOW, STORE},
	{EMUL_MAP_0F, 0x12, PREFIX_NONE, 8, HALF0, ONLY128 | MERGES}, /* MOVLPS */
	{EMUL_MAP_0F, 0x12, PREFIX_66, 8, HALF0, ONLY128 | MERGES},
	{EMUL_MAP_0F, 0x12, PREFIX_F3, SIZE_FULL, EMUL_VECTOR_EVEN4, MUST_ALIGN}, /* MOVSLDUP */
	{EMUL_MAP_0F, 0x12, PREFIX_F2, SIZE_FULL, EMUL_VECTOR_EVEN8, 0},          /* MOVDDUP */
	{EMUL_MAP_0F, 0x13, PREFIX_NONE, 8, HALF0, STORE | ONLY128},
	{EMUL_MAP_0F, 0x13, PREFIX_66, 8, HALF0, STORE | ONLY128},
	{EMUL_MAP_0F, 0x16, PREFIX_NONE, 8, HALF1, ONLY128 | MERGES}, /* MOVHPS */
	{EMUL_MAP_0F, 0x16, PREFIX_66, 8, HALF1, ONLY128 | MERGES},
	{EMUL_MAP_0F, 0x16, PREFIX_F3, SIZE_FULL, EMUL_VECTOR_ODD4, MUST_ALIGN}, /* MOVSHDUP */
	{EMUL_MAP_0F, 0x17, PREFIX_NONE, 8, HALF1, STORE | ONLY128},
	{EMUL_MAP_0F, 0x17, PREFIX_66, 8, HALF1, STORE | ONLY128},
	{EMUL_MAP_0F, 0x28, PREFIX_NONE, SIZE_FULL, LOW, MUST_ALIGN}, /* MOVAPS */
	{EMUL_MAP_0F, 0x28, PREFIX_66, SIZE_FULL, LOW, MUST_ALIGN},
	{EMUL_MAP_0F, 0x29, PREFIX_NONE, SIZE_FULL, LOW, STORE | MUST_ALIGN},
	{EMUL_MAP_0F, 0x29, PREFIX_66, SIZE_FULL, LOW, STORE | MUST_ALIGN},
	{EMUL_MAP_0F, 0x2b, PREFIX_NONE, SIZE_FULL, LOW, STORE | MUST_ALIGN}, /* MOVNTPS */
	{EMUL_MAP_0F, 0x2b, PREFIX_66, SIZE_FULL, LOW, STORE | MUST_ALIGN},
	{EMUL_MAP_0F, 0x6e, PREFIX_NONE, SIZE_GPR, LOW, MMX | NO_VEX}, /* MOVD, MOVQ */
	{EMUL_MAP_0F, 0x6e, PREFIX_66, SIZE_GPR, LOW, ONLY128},
	{EMUL_MAP_0F, 0x6f, PREFIX_NONE, 8, LOW, MMX | NO_VEX},
	{EMUL_MAP_0F, 0x6f, PREFIX_66, SIZE_FULL, LOW, MUST_ALIGN}, /* MOVDQA */
	{EMUL_MAP_0F, 0x6f, PREFIX_F3, SIZE_FULL, LOW, 0},          /* MOVDQU */
	{EMUL_MAP_0F, 0x7e, PREFIX_NONE, SIZE_GPR, LOW, STORE | MMX | NO_VEX},
	{EMUL_MAP_0F, 0x7e, PREFIX_66, SIZE_GPR, LOW, STORE | ONLY128},
	{EMUL_MAP_0F, 0x7e, PREFIX_F3, 8, LOW, ONLY128},
	{EMUL_MAP_0F, 0x7f, PREFIX_NONE, 8, LOW, STORE | MMX | NO_VEX},
	{EMUL_MAP_0F, 0x7f, PREFIX_66, SIZE_FULL, LOW, STORE | MUST_ALIGN},
	{EMUL_MAP_0F, 0x7f, PREFIX_F3, SIZE_FULL, LOW, STORE},
	{EMUL_MAP_0F, 0xd6, PREFIX_66, 8, LOW, STORE | ONLY128},
	{EMUL_MAP_0F, 0xe7, PREFIX_NONE, 8, LOW, STORE | MMX | NO_VEX},     /* MOVNTQ */
	{EMUL_MAP_0F, 0xe7, PREFIX_66, SIZE_FULL, LOW, STORE | MUST_ALIGN}, /* MOVNTDQ */
	{EMUL_MAP_0F, 0xf0, PREFIX_F2, SIZE_FULL, LOW, 0},                  /* LDDQU */
	{EMUL_MAP_0F38, 0x18, PREFIX_66, 4, EACH, VEX_ONLY},                /* VBROADCASTSS */
	{EMUL_MAP_0F38, 0x19, PREFIX_66, 8, EACH, VEX_ONLY | ONLY256},      /* VBROADCASTSD */
	{EMUL_MAP_0F38, 0x1a, PREFIX_66, 16, EACH, VEX_ONLY | ONLY256},     /* VBROADCASTF128 */
	{EMUL_MAP_0F38, 0x2a, PREFIX_66, SIZE_FULL, LOW, MUST_ALIGN},       /* MOVNTDQA */
	{EMUL_MAP_0F38, 0x58, PREFIX_66, 4, EACH, VEX_ONLY},                /* VPBROADCASTD */
	{EMUL_MAP_0F38, 0x59, PREFIX_66, 8, EACH, VEX_ONLY},                /* VPBROADCASTQ */
	{EMUL_MAP_0F38, 0x5a, PREFIX_66, 16, EACH, VEX_ONLY | ONLY256},     /* VBROADCASTI128 */
	{EMUL_MAP_0F38, 0x78, PREFIX_66, SIZE_BYTE, EACH, VEX_ONLY},        /* VPBROADCASTB */
	{EMUL_MAP_0F38, 0x79, PREFIX_66, 2, EACH, VEX_ONLY},                /* VPBROADCASTW */
};

static const struct vector_row *find_row(unsigned map, unsigned opcode, unsigned prefix, bool vex)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct vector_row *row = &rows[i];

		if (row->map == map && row->opcode == opcode && row->prefix == prefix &&
			!(row->flags & (vex ? NO_VEX : VEX_ONLY)))
			return row;
	}
	return NULL;
}

bool decode_is_vex(const struct decode_cursor *c, enum emul_code code)
{
	if (c->at >= c->count || (c->bytes[c->at] & 0xfe) != 0xc4)
		return false;
	/* LES and LDS have no register form, so those bits tell VEX from them. */
	return code == EMUL_CODE64 || (c->at + 1 < c->count && c->bytes[c->at + 1] >= 0xc0);
}

bool decode_take_vex(struct decode_cursor *c, struct decode_prefixes *p, struct decode_vex *vex,
	struct emul_insn *insn)
{
	bool three = decode_byte(c) == 0xc4;
	uint8_t first = decode_byte(c), last = first;
	bool code64 = p->code == EMUL_CODE64;

	insn->map = EMUL_MAP_0F;
	if (p->rex || p->lock || p->rep || p->operand_size)
		return false;
	if (three) {
		last = decode_byte(c);
		insn->map = first & 0x1f;
	}
	/* Register bits are stored inverted, and have to be 0 outside 64-bit mode. */
	p->rex = 0x40 | (first & 0x80 ? 0 : REX_R);
	if (three)
		p->rex |= (first & 0x40 ? 0 : REX_X) | (first & 0x20 ? 0 : REX_B) |
			  (last & 0x80 ? REX_W : 0);
	if (!code64)
		p->rex = 0;
	vex->vvvv = (~last >> 3) & 0xf;
	vex->w = three && (last & 0x80);
	vex->wide = last & 4;
	vex->prefix = last & 3;
	insn->opcode = decode_byte(c);
	return !c->overrun;
}

static unsigned legacy_prefix(const struct decode_prefixes *p)
{
	if (p->rep)
		return p->rep == EMUL_REP_E ? PREFIX_F3 : PREFIX_F2;
	return p->operand_size ? PREFIX_66 : PREFIX_NONE;
}

/* VEX.L means nothing to VMOVSS and VMOVSD. */
static bool is_scalar(const struct vector_row *row)
{
	return row->size != SIZE_FULL && row->part == EMUL_VECTOR_LOW;
}

static unsigned memory_size(
	const struct vector_row *row, const struct decode_prefixes *p, unsigned register_size)
{
	switch (row->size) {
	case SIZE_GPR: return p->rex & REX_W ? 8 : 4;
	case SIZE_BYTE: return 1;
	case SIZE_FULL:
		/* MOVDDUP of 128 bits reads half of them. */
		return row->part == EMUL_VECTOR_EVEN8 && register_size == 16 ? 8 : register_size;
	default: return row->size;
	}
}

static bool vex_is_undefined(
	const struct vector_row *row, const struct decode_vex *vex, unsigned map)
{
	if (vex->wide ? row->flags & ONLY128 : row->flags & ONLY256)
		return true;
	if (map == EMUL_MAP_0F38 && row->part == EMUL_VECTOR_EACH && vex->w)
		return true;
	return vex->vvvv != 0 && !(row->flags & MERGES);
}

enum emul_decode_result decode_vector(struct decode_cursor *c, const struct decode_prefixes *p,
	const struct decode_vex *vex, struct emul_insn *insn)
{
	const struct vector_row *row = find_row(
		insn->map, insn->opcode, vex ? vex->prefix : legacy_prefix(p), vex != NULL);
	struct emul_operand reg = {.kind = EMUL_OPERAND_VECTOR}, mem = {.kind = EMUL_OPERAND_MEM};
	struct decode_modrm modrm;
	bool store;

	if (!row)
		return EMUL_DECODE_UNSUPPORTED;
	decode_modrm(c, p, &modrm);
	if (c->overrun)
		return decode_overrun(c);
	if (!modrm.is_memory)
		return EMUL_DECODE_UNSUPPORTED;
	if (p->lock || (vex && vex_is_undefined(row, vex, insn->map)))
		return EMUL_DECODE_UD;
	store = row->flags & STORE;
	reg.size = row->flags & MMX ? 8 : vex && vex->wide && !is_scalar(row) ? 32 : 16;
	reg.reg = row->flags & MMX ? modrm.reg & 7 : modrm.reg;
	mem.size = memory_size(row, p, reg.size);
	insn->op = store ? EMUL_OP_VECTOR_STORE : EMUL_OP_VECTOR_LOAD;
	insn->dst = store ? mem : reg;
	insn->src = store ? reg : mem;
	insn->has_modrm = true;
	insn->modrm = modrm.byte;
	insn->mem = modrm.mem;
	insn->segment = decode_segment(p, modrm.segment);
	insn->op_size = mem.size;
	insn->vector = (struct emul_vector){.part = row->part,
		.other = vex ? vex->vvvv & (p->code == EMUL_CODE64 ? 15 : 7) : reg.reg,
		.vex = vex != NULL,
		.aligned = (row->flags & MUST_ALIGN) && (!vex || (row->part == EMUL_VECTOR_LOW))};
	insn->length = c->at;
	return EMUL_DECODE_OK;
}
