/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instruction decoder for what guests use on device memory: integer instructions with a memory
 * operand or a stack access, segment and table loads, SSE and AVX moves. Everything else (x87,
 * EVEX, vector arithmetic, state saving) is "not emulated", which stops the guest with a report. A
 * second entry point gives length and operands of instructions that a CPU intercepts without saying
 * how long they are. Bytes come from the guest and are hostile; at most 15 are read. Pure, knows
 * neither registers nor memory. Locking: none.
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
	/* Group 2 in the order of ModRM.reg; /6 is SHL once more. */
	EMUL_OP_ROL,
	EMUL_OP_ROR,
	EMUL_OP_RCL,
	EMUL_OP_RCR,
	EMUL_OP_SHL,
	EMUL_OP_SHR,
	EMUL_OP_SAR,
	EMUL_OP_SHLD,
	EMUL_OP_SHRD,
	EMUL_OP_MUL,
	EMUL_OP_IMUL_WIDE, /* one operand: rDX:rAX */
	EMUL_OP_DIV,
	EMUL_OP_IDIV,
	EMUL_OP_IMUL, /* two operands, or three when imm_size is not 0 */
	EMUL_OP_BSF,
	EMUL_OP_BSR,
	EMUL_OP_TZCNT, /* BSF and BSR on CPUs that do not have them */
	EMUL_OP_LZCNT,
	EMUL_OP_POPCNT,
	EMUL_OP_MOVBE,
	EMUL_OP_CRC32,
	EMUL_OP_CMPXCHG_WIDE, /* CMPXCHG8B, CMPXCHG16B */
	EMUL_OP_XLAT,
	EMUL_OP_TOUCH, /* CLFLUSH and its kin: an access without data */
	EMUL_OP_PUSH,
	EMUL_OP_POP,
	EMUL_OP_PUSH_SEG,
	EMUL_OP_POP_SEG,
	EMUL_OP_PUSHA,
	EMUL_OP_POPA,
	EMUL_OP_PUSHF,
	EMUL_OP_POPF,
	EMUL_OP_ENTER,
	EMUL_OP_LEAVE,
	EMUL_OP_CALL,
	EMUL_OP_CALL_REL,
	EMUL_OP_JMP,
	EMUL_OP_RET,
	EMUL_OP_CALL_FAR,
	EMUL_OP_JMP_FAR,
	EMUL_OP_RET_FAR,
	EMUL_OP_IRET,
	EMUL_OP_MOV_FROM_SEG,
	EMUL_OP_MOV_TO_SEG,
	EMUL_OP_LOAD_FAR, /* LDS, LES, LSS, LFS, LGS */
	EMUL_OP_SLDT,
	EMUL_OP_STR,
	EMUL_OP_LLDT,
	EMUL_OP_LTR,
	EMUL_OP_VERR,
	EMUL_OP_VERW,
	EMUL_OP_LAR,
	EMUL_OP_LSL,
	EMUL_OP_SGDT,
	EMUL_OP_SIDT,
	EMUL_OP_LGDT,
	EMUL_OP_LIDT,
	EMUL_OP_SMSW,
	EMUL_OP_LMSW,
	EMUL_OP_LDMXCSR,
	EMUL_OP_STMXCSR,
	EMUL_OP_VECTOR_LOAD, /* insn->vector says more */
	EMUL_OP_VECTOR_STORE,
	EMUL_OP_COUNT,
};

enum emul_operand_kind {
	EMUL_OPERAND_NONE,
	EMUL_OPERAND_REG,
	EMUL_OPERAND_MEM,
	EMUL_OPERAND_IMM,
	EMUL_OPERAND_SEG,    /* reg: enum emul_seg_reg */
	EMUL_OPERAND_VECTOR, /* size 8: MMX register, 16: XMM, 32: YMM */
};

struct emul_operand {
	uint8_t kind; /* enum emul_operand_kind */
	uint8_t size; /* bytes: 1, 2, 4, 8; memory also 6, 10 (far pointers, tables), 16, 32 */
	uint8_t reg;  /* kind REG, SEG, VECTOR: number */
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

/* Which part of a vector register goes to or comes from memory. */
enum emul_vector_part {
	EMUL_VECTOR_LOW,   /* from byte 0; a load clears what it does not fill */
	EMUL_VECTOR_HALF0, /* 8 bytes at 0, the other half is `other`'s */
	EMUL_VECTOR_HALF1, /* 8 bytes at 8, likewise */
	EMUL_VECTOR_EACH,  /* the memory operand again and again */
	EMUL_VECTOR_EVEN4, /* MOVSLDUP: each even doubleword twice */
	EMUL_VECTOR_ODD4,  /* MOVSHDUP */
	EMUL_VECTOR_EVEN8, /* MOVDDUP */
};

struct emul_vector {
	uint8_t part;  /* enum emul_vector_part */
	uint8_t other; /* register that gives the other half */
	bool vex;      /* clears the register above what is written */
	bool aligned;  /* #GP if the memory operand is not */
};

enum emul_rep { EMUL_REP_NONE, EMUL_REP_E = 0xf3, EMUL_REP_NE = 0xf2 };

enum emul_map { EMUL_MAP_ONE, EMUL_MAP_0F, EMUL_MAP_0F38 };

struct emul_insn {
	uint8_t bytes[EMUL_INSN_MAX];
	uint8_t length;
	uint8_t op;     /* enum emul_op */
	uint8_t code;   /* enum emul_code it was decoded for */
	uint8_t opcode; /* last opcode byte */
	uint8_t map;    /* enum emul_map */
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
	uint16_t imm2;    /* selector of a far pointer, nesting level of ENTER */
	struct emul_vector vector;
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
