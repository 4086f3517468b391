/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prefixes and ModRM of an instruction (SDM vol. 2, chapter 2). The cursor never reads past what it
 * was given: missing bytes read as 0 and set `overrun`, which the caller looks at once at the end.
 */
#include "arch/x86/emul/decode_parts.h"

uint8_t decode_byte(struct decode_cursor *c)
{
	if (c->at >= c->count) {
		c->overrun = true;
		return 0;
	}
	return c->bytes[c->at++];
}

int64_t decode_signed(struct decode_cursor *c, unsigned size)
{
	uint64_t value = 0;
	unsigned shift = 64 - size * 8;

	if (size == 0)
		return 0;
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)decode_byte(c) << (i * 8);
	return (int64_t)(value << shift) >> shift;
}

static bool segment_prefix(uint8_t byte, uint8_t *segment)
{
	switch (byte) {
	case 0x26: *segment = EMUL_ES; return true;
	case 0x2e: *segment = EMUL_CS; return true;
	case 0x36: *segment = EMUL_SS; return true;
	case 0x3e: *segment = EMUL_DS; return true;
	case 0x64: *segment = EMUL_FS; return true;
	case 0x65: *segment = EMUL_GS; return true;
	default: return false;
	}
}

static bool legacy_prefix(uint8_t byte, struct decode_prefixes *p)
{
	uint8_t segment;

	if (segment_prefix(byte, &segment)) {
		/* SDM vol. 1 3.3.4: in 64-bit mode only FS and GS count, the others are null. */
		if (p->code != EMUL_CODE64 || segment >= EMUL_FS)
			p->segment = segment;
		return true;
	}
	switch (byte) {
	case 0x66: p->operand_size = true; return true;
	case 0x67: p->addr_size = p->code == EMUL_CODE32 ? 2 : 4; return true;
	case 0xf0: p->lock = true; return true;
	case 0xf2:
	case 0xf3: p->rep = byte; return true;
	default: return false;
	}
}

void decode_prefixes(struct decode_cursor *c, enum emul_code code, struct decode_prefixes *p)
{
	*p = (struct decode_prefixes){.code = code, .segment = EMUL_REG_NONE, .addr_size = code};
	for (; c->at < c->count; c->at++) {
		uint8_t byte = c->bytes[c->at];

		if (code == EMUL_CODE64 && (byte & 0xf0) == 0x40)
			p->rex = byte;
		else if (legacy_prefix(byte, p))
			p->rex = 0; /* REX counts only right before the opcode */
		else
			break;
	}
}

/* The eight 16-bit addressing forms; mod 0 with rm 6 is a bare disp16. */
static const struct {
	uint8_t base, index, segment;
} forms16[8] = {
	{EMUL_RBX, EMUL_RSI, EMUL_DS},
	{EMUL_RBX, EMUL_RDI, EMUL_DS},
	{EMUL_RBP, EMUL_RSI, EMUL_SS},
	{EMUL_RBP, EMUL_RDI, EMUL_SS},
	{EMUL_RSI, EMUL_REG_NONE, EMUL_DS},
	{EMUL_RDI, EMUL_REG_NONE, EMUL_DS},
	{EMUL_RBP, EMUL_REG_NONE, EMUL_SS},
	{EMUL_RBX, EMUL_REG_NONE, EMUL_DS},
};

static void modrm16(struct decode_cursor *c, struct decode_modrm *m)
{
	unsigned mod = m->byte >> 6, rm = m->byte & 7;

	m->mem.base = forms16[rm].base;
	m->mem.index = forms16[rm].index;
	m->segment = forms16[rm].segment;
	m->mem.disp_size = mod; /* 0, 1 or 2 */
	if (mod == 0 && rm == 6) {
		m->mem.base = EMUL_REG_NONE;
		m->mem.disp_size = 2;
		m->segment = EMUL_DS;
	}
	m->mem.disp = decode_signed(c, m->mem.disp_size);
}

static void modrm_sib(
	struct decode_cursor *c, const struct decode_prefixes *p, struct decode_modrm *m)
{
	uint8_t sib = decode_byte(c);
	unsigned index = ((sib >> 3) & 7) | (p->rex & REX_X ? 8 : 0);

	m->mem.scale = 1u << (sib >> 6);
	if (index != EMUL_RSP)
		m->mem.index = index;
	m->mem.base = (sib & 7) | (p->rex & REX_B ? 8 : 0);
	if ((sib & 7) == EMUL_RBP && m->byte >> 6 == 0) {
		m->mem.base = EMUL_REG_NONE;
		m->mem.disp_size = 4;
	}
}

static void modrm32(
	struct decode_cursor *c, const struct decode_prefixes *p, struct decode_modrm *m)
{
	unsigned mod = m->byte >> 6, rm = m->byte & 7;

	m->mem.disp_size = mod == 2 ? 4 : mod;
	if (rm == 4) {
		modrm_sib(c, p, m);
	} else if (mod == 0 && rm == 5) {
		m->mem.disp_size = 4;
		m->mem.rip_relative = p->code == EMUL_CODE64;
	} else {
		m->mem.base = m->rm;
	}
	if (m->mem.base == EMUL_RSP || m->mem.base == EMUL_RBP)
		m->segment = EMUL_SS;
	m->mem.disp = decode_signed(c, m->mem.disp_size);
}

void decode_modrm(struct decode_cursor *c, const struct decode_prefixes *p, struct decode_modrm *m)
{
	*m = (struct decode_modrm){.byte = decode_byte(c), .segment = EMUL_DS};
	m->mem = (struct emul_mem){.base = EMUL_REG_NONE, .index = EMUL_REG_NONE, .scale = 1};
	m->reg = ((m->byte >> 3) & 7) | (p->rex & REX_R ? 8 : 0);
	m->rm = (m->byte & 7) | (p->rex & REX_B ? 8 : 0);
	m->is_memory = m->byte >> 6 != 3;
	if (!m->is_memory)
		return;
	if (p->addr_size == 2)
		modrm16(c, m);
	else
		modrm32(c, p, m);
}

unsigned decode_op_size(const struct decode_prefixes *p)
{
	if (p->rex & REX_W)
		return 8;
	return (p->code == EMUL_CODE16) == p->operand_size ? 4 : 2;
}

uint8_t decode_segment(const struct decode_prefixes *p, uint8_t fallback)
{
	return p->segment == EMUL_REG_NONE ? fallback : p->segment;
}
