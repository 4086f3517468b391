/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of the encoding that both decoders share: byte cursor, prefixes, ModRM with SIB and
 * displacement. Private to arch/x86/emul.
 */
#ifndef ARCH_X86_EMUL_DECODE_PARTS_H
#define ARCH_X86_EMUL_DECODE_PARTS_H

#include "arch/x86/emul/decode.h"

struct decode_cursor {
	const uint8_t *bytes;
	unsigned count; /* usable bytes, at most EMUL_INSN_MAX */
	unsigned at;
	bool overrun; /* a byte beyond count was wanted; it read as 0 */
};

#define REX_B BIT(0)
#define REX_X BIT(1)
#define REX_R BIT(2)
#define REX_W BIT(3)

struct decode_prefixes {
	enum emul_code code;
	bool operand_size;
	bool lock;
	uint8_t rep; /* enum emul_rep */
	uint8_t rex;
	uint8_t segment; /* enum emul_seg_reg or EMUL_REG_NONE */
	uint8_t addr_size;
};

struct decode_modrm {
	uint8_t byte;
	uint8_t reg; /* with REX.R */
	uint8_t rm;  /* with REX.B; a register number when !is_memory */
	bool is_memory;
	uint8_t segment; /* default of the base register */
	struct emul_mem mem;
};

uint8_t decode_byte(struct decode_cursor *c);
/* A little-endian value of 0, 1, 2, 4 or 8 bytes, sign-extended. */
int64_t decode_signed(struct decode_cursor *c, unsigned size);

/* Consumes the prefixes; the cursor stands at the first opcode byte afterwards. */
void decode_prefixes(struct decode_cursor *c, enum emul_code code, struct decode_prefixes *p);
void decode_modrm(struct decode_cursor *c, const struct decode_prefixes *p, struct decode_modrm *m);

/* Operand size of a non-byte instruction. */
unsigned decode_op_size(const struct decode_prefixes *p);
/* The override in force, or `fallback`. */
uint8_t decode_segment(const struct decode_prefixes *p, uint8_t fallback);

/* What a VEX prefix says beyond what REX and the legacy prefixes can. */
struct decode_vex {
	uint8_t prefix; /* 0 none, 1 66, 2 F3, 3 F2 */
	uint8_t vvvv;   /* the register number, not inverted */
	bool wide;      /* 256 bits */
	bool w;
};

/*
 * Does a VEX prefix begin here, or one that is not known? Outside 64-bit mode it may be LES, LDS.
 */
bool decode_is_vex(const struct decode_cursor *c, enum emul_code code);
/*
 * Take it, opcode included; insn->map and opcode are set, p->rex has its register bits. False: #UD,
 * or too few bytes.
 */
bool decode_take_vex(struct decode_cursor *c, struct decode_prefixes *p, struct decode_vex *vex,
	struct emul_insn *insn);
/* A vector move behind its opcode; vex NULL: SSE or MMX. */
enum emul_decode_result decode_vector(struct decode_cursor *c, const struct decode_prefixes *p,
	const struct decode_vex *vex, struct emul_insn *insn);

/* What running out of bytes means. */
static inline enum emul_decode_result decode_overrun(const struct decode_cursor *c)
{
	return c->count >= EMUL_INSN_MAX ? EMUL_DECODE_TOO_LONG : EMUL_DECODE_MORE;
}

#endif
