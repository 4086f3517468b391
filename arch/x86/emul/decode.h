/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction decoder for what guests use on device memory: moves, string moves, the ALU group, bit
 * tests and the atomic exchanges. Everything else is "not emulated", which stops the guest with a
 * report. A second entry point gives length and operands of instructions that a CPU intercepts
 * without saying how long they are. Bytes come from the guest and are hostile; at most 15 are read.
 * Pure, knows neither registers nor memory. Locking: none.
 */
#ifndef ARCH_X86_EMUL_DECODE_H
#define ARCH_X86_EMUL_DECODE_H

#include "hv/lib/types.h"

#define EMUL_INSN_MAX 15 /* SDM vol. 2, 2.3.11: longer is #GP */

/* Code size of the running mode: the default address size in bytes. */
enum emul_code { EMUL_CODE16 = 2, EMUL_CODE32 = 4, EMUL_CODE64 = 8 };

/* Segment registers in hardware numbering. */
enum emul_seg_reg { EMUL_ES, EMUL_CS, EMUL_SS, EMUL_DS, EMUL_FS, EMUL_GS, EMUL_SEG_COUNT };

/* General registers in hardware numbering. */
enum emul_gpr {
	EMUL_RAX,
	EMUL_RCX,
	EMUL_RDX,
	EMUL_RBX,
	EMUL_RSP,
	EMUL_RBP,
	EMUL_RSI,
	EMUL_RDI,
	EMUL_GPR_COUNT = 16,
};
#define EMUL_REG_NONE 0xff

enum emul_op {
	EMUL_OP_NONE,
	/* The eight ALU operations in the order of opcode bits 5:3. */
	EMUL_OP_ADD,
	EMUL_OP_OR,
	EMUL_OP_ADC,
	EMUL_OP_SBB,
	EMUL_OP_AND,
	EMUL_OP_SUB,
	EMUL_OP_XOR,
	EMUL_OP_CMP,
	EMUL_OP_TEST,
	EMUL_OP_NOT,
	EMUL_OP_NEG,
	EMUL_OP_INC,
	EMUL_OP_DEC,
	EMUL_OP_MOV,
	EMUL_OP_MOVZX,
	EMUL_OP_MOVSX,
	EMUL_OP_CMOV,
	EMUL_OP_SETCC,
	EMUL_OP_XCHG,
	EMUL_OP_XADD,
	EMUL_OP_CMPXCHG,
	EMUL_OP_BT,
	EMUL_OP_BTS,
	EMUL_OP_BTR,
	EMUL_OP_BTC,
	EMUL_OP_MOVS,
	EMUL_OP_CMPS,
	EMUL_OP_STOS,
	EMUL_OP_LODS,
	EMUL_OP_SCAS,
	EMUL_OP_INS,
	EMUL_OP_OUTS,
	EMUL_OP_IN,
	EMUL_OP_OUT,
	EMUL_OP_COUNT,
};

enum emul_operand_kind {
	EMUL_OPERAND_NONE,
	EMUL_OPERAND_REG,
	EMUL_OPERAND_MEM,
	EMUL_OPERAND_IMM,
};

struct emul_operand {
	uint8_t kind; /* enum emul_operand_kind */
	uint8_t size; /* bytes: 1, 2, 4, 8 */
	uint8_t reg;  /* kind REG: 0..15 */
	bool high;    /* kind REG: AH, CH, DH or BH, that is bits 15:8 of reg */
};

/* Effective address: base + index * scale + disp, cut to the address size. */
struct emul_mem {
	uint8_t base;      /* register or EMUL_REG_NONE */
	uint8_t index;     /* register or EMUL_REG_NONE */
	uint8_t scale;     /* 1, 2, 4, 8 */
	uint8_t disp_size; /* bytes in the encoding: 0, 1, 2, 4, 8 */
	bool rip_relative; /* disp counts from the next instruction */
	int64_t disp;      /* sign-extended */
};

enum emul_rep { EMUL_REP_NONE, EMUL_REP_E = 0xf3, EMUL_REP_NE = 0xf2 };

struct emul_insn {
	uint8_t bytes[EMUL_INSN_MAX];
	uint8_t length;
	uint8_t op;     /* enum emul_op */
	uint8_t code;   /* enum emul_code it was decoded for */
	uint8_t opcode; /* last opcode byte */
	bool two_byte;  /* opcode follows 0F */
	bool lock;
	uint8_t rep;       /* enum emul_rep: the last F2/F3 prefix seen */
	uint8_t rex;       /* REX byte in force, or 0 */
	uint8_t op_size;   /* operand size in bytes */
	uint8_t addr_size; /* address size in bytes: 2, 4, 8 */
	uint8_t segment;   /* enum emul_seg_reg of the memory operand, or of the string source */
	uint8_t cond;      /* CMOVcc, SETcc: condition number 0..15 */
	bool has_modrm;
	uint8_t modrm;
	uint8_t imm_size; /* bytes in the encoding */
	uint64_t imm;     /* sign-extended to 64 bits */
	struct emul_operand dst;
	struct emul_operand src;
	struct emul_mem mem; /* valid when dst or src is MEM */
};

enum emul_decode_result {
	EMUL_DECODE_OK,
	EMUL_DECODE_MORE,        /* needs more bytes than were given */
	EMUL_DECODE_TOO_LONG,    /* more than 15 bytes: #GP(0) */
	EMUL_DECODE_UD,          /* #UD in this mode */
	EMUL_DECODE_UNSUPPORTED, /* not in our tables: stop the guest with a report */
};

/*
 * Decode one instruction from `count` bytes. insn->bytes is always filled, so that a report can
 * show them; the rest is valid only after EMUL_DECODE_OK.
 */
enum emul_decode_result emul_decode(const uint8_t *bytes, unsigned count, enum emul_code code,
	struct emul_insn *insn) MUST_CHECK;

/* Instructions that are intercepted and for which some CPUs report neither length nor operands. */
enum emul_intercept {
	EMUL_INTERCEPT_CPUID,
	EMUL_INTERCEPT_HLT,
	EMUL_INTERCEPT_RDMSR,
	EMUL_INTERCEPT_WRMSR,
	EMUL_INTERCEPT_RDTSC,
	EMUL_INTERCEPT_RDTSCP,
	EMUL_INTERCEPT_RDPMC,
	EMUL_INTERCEPT_INVD,
	EMUL_INTERCEPT_WBINVD,
	EMUL_INTERCEPT_XSETBV,
	EMUL_INTERCEPT_VMCALL,
	EMUL_INTERCEPT_VMMCALL,
	EMUL_INTERCEPT_VMRUN,
	EMUL_INTERCEPT_VMLOAD,
	EMUL_INTERCEPT_VMSAVE,
	EMUL_INTERCEPT_STGI,
	EMUL_INTERCEPT_CLGI,
	EMUL_INTERCEPT_SKINIT,
	EMUL_INTERCEPT_INVLPG,
	EMUL_INTERCEPT_INVLPGA,
	EMUL_INTERCEPT_MONITOR,
	EMUL_INTERCEPT_MWAIT,
	EMUL_INTERCEPT_PAUSE,
	EMUL_INTERCEPT_INT,   /* INT n; operand: imm */
	EMUL_INTERCEPT_INT3,  /* CC */
	EMUL_INTERCEPT_INTO,  /* CE */
	EMUL_INTERCEPT_ICEBP, /* F1 */
	EMUL_INTERCEPT_IRET,
	EMUL_INTERCEPT_PUSHF,
	EMUL_INTERCEPT_POPF,
	EMUL_INTERCEPT_RSM,
	EMUL_INTERCEPT_CLTS,
	EMUL_INTERCEPT_LMSW,
	EMUL_INTERCEPT_SMSW,
	EMUL_INTERCEPT_MOV_FROM_CR,
	EMUL_INTERCEPT_MOV_TO_CR,
	EMUL_INTERCEPT_MOV_FROM_DR,
	EMUL_INTERCEPT_MOV_TO_DR,
	EMUL_INTERCEPT_IN,   /* E4 E5 EC ED; operand: imm port or DX */
	EMUL_INTERCEPT_OUT,  /* E6 E7 EE EF */
	EMUL_INTERCEPT_INS,  /* 6C 6D */
	EMUL_INTERCEPT_OUTS, /* 6E 6F */
	EMUL_INTERCEPT_COUNT,
};

struct emul_intercept_insn {
	uint8_t length;
	uint8_t reg;     /* ModRM.reg with REX.R: CR or DR number; LOCK MOV CR0 is CR8 */
	uint8_t gpr;     /* ModRM.rm with REX.B */
	bool is_memory;  /* LMSW, SMSW, INVLPG: mem and segment are valid */
	uint8_t imm;     /* INT n, IN and OUT with a port number */
	uint8_t op_size; /* SMSW, IN, OUT: bytes */
	uint8_t addr_size;
	uint8_t segment;
	uint8_t rep;
	struct emul_mem mem;
};

/*
 * Check that the bytes are the intercepted instruction and give its length and operands.
 * UNSUPPORTED when they are something else: the guest has changed its code behind the exit, so run
 * it again.
 */
enum emul_decode_result emul_decode_intercept(const uint8_t *bytes, unsigned count,
	enum emul_code code, enum emul_intercept kind, struct emul_intercept_insn *out) MUST_CHECK;

#endif
