/* SPDX-License-Identifier: Apache-2.0 */
/* The opcode tables: operation, operand form and conditions. Private to arch/x86/emul. */
#ifndef ARCH_X86_EMUL_DECODE_TABLES_H
#define ARCH_X86_EMUL_DECODE_TABLES_H

#include "arch/x86/emul/decode.h"

/* Where the operands are. Operation 0 (EMUL_OP_NONE) marks what is not emulated. */
enum form {
	FORM_GROUP, /* a group's row: as the opcode's own row says */
	/* With ModRM: */
	FORM_RM_REG,
	FORM_REG_RM,
	FORM_RM,
	FORM_RM_IMM,  /* immediate as wide as the operand, at most 4 bytes */
	FORM_RM_IMM8, /* one byte, sign-extended */
	FORM_REG_RM_IMM,
	FORM_REG_RM_IMM8,
	FORM_RM_REG_IMM8,
	FORM_RM_ONE, /* shift by 1 */
	FORM_RM_CL,
	FORM_SRC_RM,
	FORM_RM_SEG,
	FORM_SEG_RM,
	FORM_MODRM_LAST = FORM_SEG_RM,
	/* Without: */
	FORM_NONE,
	FORM_ACC_IMM,
	FORM_ACC_MOFFS,
	FORM_MOFFS_ACC,
	FORM_STRING,
	FORM_IN,
	FORM_OUT,
	FORM_OPREG, /* register in the opcode's low bits */
	FORM_OPSEG, /* segment register in opcode bits 5:3 */
	FORM_IMM,   /* source only */
	FORM_IMM8,  /* likewise, sign-extended */
	FORM_IMM16, /* RET */
	FORM_ENTER, /* imm16, imm8 */
	FORM_FAR,   /* offset, selector */
	FORM_XLAT,
};

#define FLAG_BYTE     BIT(0) /* operand size is 1 */
#define FLAG_SRC8     BIT(1) /* size of the source, where it differs */
#define FLAG_SRC16    BIT(2)
#define FLAG_SRC32    BIT(3)
#define FLAG_NO64     BIT(4)  /* #UD in 64-bit mode */
#define FLAG_ONLY64   BIT(5)  /* something else outside 64-bit mode */
#define FLAG_DIRECT   BIT(6)  /* MOVNTI, MOVDIRI: no 66, F2 or F3, at least 4 bytes wide */
#define FLAG_GROUP    BIT(7)  /* op is the number of a group, selected by ModRM.reg */
#define FLAG_MEMORY   BIT(8)  /* #UD with a register */
#define FLAG_DEF64    BIT(9)  /* stack operand: in 64-bit mode 8 bytes, or 2 */
#define FLAG_FORCE64  BIT(10) /* near branch: in 64-bit mode 8 bytes */
#define FLAG_FAR      BIT(11) /* memory operand is a far pointer: 2 bytes more */
#define FLAG_TABLE    BIT(12) /* memory operand is limit and base */
#define FLAG_WORD_MEM BIT(13) /* memory operand is 2 bytes, a register op_size */
#define FLAG_F3       BIT(14) /* F3 is part of the opcode */
#define FLAG_NO_REG   BIT(15) /* with a register it is another instruction, not emulated */

struct opcode {
	uint8_t op;
	uint8_t form;
	uint16_t flags;
};

extern const struct opcode decode_one_byte[256], decode_two_byte[256];
/* Opcode maps with few rows. */
const struct opcode *decode_three_byte(uint8_t opcode);
const struct opcode *decode_group_row(unsigned group, unsigned reg);

/* May LOCK precede it when it writes memory (SDM vol. 2, LOCK)? */
bool decode_is_lockable(unsigned op);

#endif
