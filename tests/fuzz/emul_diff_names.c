/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the instructions are called by the disassembler, and which of them decode.h promises: the
 * decoder's tables written down a second time and independently of them.
 */
#include <stdio.h>
#include <string.h>
#include "tests/fuzz/emul_diff.h"

static const char *const op_names[EMUL_OP_COUNT] = {
	[EMUL_OP_ADD] = "add",
	[EMUL_OP_OR] = "or",
	[EMUL_OP_ADC] = "adc",
	[EMUL_OP_SBB] = "sbb",
	[EMUL_OP_AND] = "and",
	[EMUL_OP_SUB] = "sub",
	[EMUL_OP_XOR] = "xor",
	[EMUL_OP_CMP] = "cmp",
	[EMUL_OP_TEST] = "test",
	[EMUL_OP_NOT] = "not",
	[EMUL_OP_NEG] = "neg",
	[EMUL_OP_INC] = "inc",
	[EMUL_OP_DEC] = "dec",
	[EMUL_OP_MOV] = "mov",
	[EMUL_OP_MOVZX] = "movzx",
	[EMUL_OP_MOVSX] = "movsx",
	[EMUL_OP_CMOV] = "cmov",
	[EMUL_OP_SETCC] = "set",
	[EMUL_OP_XCHG] = "xchg",
	[EMUL_OP_XADD] = "xadd",
	[EMUL_OP_CMPXCHG] = "cmpxchg",
	[EMUL_OP_BT] = "bt",
	[EMUL_OP_BTS] = "bts",
	[EMUL_OP_BTR] = "btr",
	[EMUL_OP_BTC] = "btc",
	[EMUL_OP_MOVS] = "movs",
	[EMUL_OP_CMPS] = "cmps",
	[EMUL_OP_STOS] = "stos",
	[EMUL_OP_LODS] = "lods",
	[EMUL_OP_SCAS] = "scas",
	[EMUL_OP_INS] = "ins",
	[EMUL_OP_OUTS] = "outs",
	[EMUL_OP_IN] = "in",
	[EMUL_OP_OUT] = "out",
	[EMUL_OP_ROL] = "rol",
	[EMUL_OP_ROR] = "ror",
	[EMUL_OP_RCL] = "rcl",
	[EMUL_OP_RCR] = "rcr",
	[EMUL_OP_SHL] = "shl",
	[EMUL_OP_SHR] = "shr",
	[EMUL_OP_SAR] = "sar",
	[EMUL_OP_SHLD] = "shld",
	[EMUL_OP_SHRD] = "shrd",
	[EMUL_OP_MUL] = "mul",
	[EMUL_OP_IMUL_WIDE] = "imul",
	[EMUL_OP_DIV] = "div",
	[EMUL_OP_IDIV] = "idiv",
	[EMUL_OP_IMUL] = "imul",
	[EMUL_OP_BSF] = "bsf",
	[EMUL_OP_BSR] = "bsr",
	[EMUL_OP_TZCNT] = "tzcnt",
	[EMUL_OP_LZCNT] = "lzcnt",
	[EMUL_OP_POPCNT] = "popcnt",
	[EMUL_OP_MOVBE] = "movbe",
	[EMUL_OP_CRC32] = "crc32",
	[EMUL_OP_CMPXCHG_WIDE] = "cmpxchg",
	[EMUL_OP_XLAT] = "xlat",
	[EMUL_OP_TOUCH] = "clflush",
	[EMUL_OP_PUSH] = "push",
	[EMUL_OP_POP] = "pop",
	[EMUL_OP_PUSH_SEG] = "push",
	[EMUL_OP_POP_SEG] = "pop",
	[EMUL_OP_PUSHA] = "pusha",
	[EMUL_OP_POPA] = "popa",
	[EMUL_OP_PUSHF] = "pushf",
	[EMUL_OP_POPF] = "popf",
	[EMUL_OP_ENTER] = "enter",
	[EMUL_OP_LEAVE] = "leave",
	[EMUL_OP_CALL] = "call",
	[EMUL_OP_CALL_REL] = "call",
	[EMUL_OP_JMP] = "jmp",
	[EMUL_OP_RET] = "ret",
	[EMUL_OP_CALL_FAR] = "call",
	[EMUL_OP_JMP_FAR] = "jmp",
	[EMUL_OP_RET_FAR] = "ret",
	[EMUL_OP_IRET] = "iret",
	[EMUL_OP_MOV_FROM_SEG] = "mov",
	[EMUL_OP_MOV_TO_SEG] = "mov",
	[EMUL_OP_LOAD_FAR] = "l",
	[EMUL_OP_SLDT] = "sldt",
	[EMUL_OP_STR] = "str",
	[EMUL_OP_LLDT] = "lldt",
	[EMUL_OP_LTR] = "ltr",
	[EMUL_OP_VERR] = "verr",
	[EMUL_OP_VERW] = "verw",
	[EMUL_OP_LAR] = "lar",
	[EMUL_OP_LSL] = "lsl",
	[EMUL_OP_SGDT] = "sgdt",
	[EMUL_OP_SIDT] = "sidt",
	[EMUL_OP_LGDT] = "lgdt",
	[EMUL_OP_LIDT] = "lidt",
	[EMUL_OP_SMSW] = "smsw",
	[EMUL_OP_LMSW] = "lmsw",
	[EMUL_OP_LDMXCSR] = "ldmxcsr",
	[EMUL_OP_STMXCSR] = "stmxcsr",
};

const char *op_name(unsigned op)
{
	return op_names[op] ? op_names[op] : "a vector move";
}

/* Vector moves have many names; which one is not ours to know. */
static const char *const vector_names[] = {"movups", "movupd", "movss", "movsd", "movlps", "movlpd",
	"movsldup", "movddup", "movhps", "movhpd", "movshdup", "movaps", "movapd", "movntps",
	"movntpd", "movd", "movq", "movdqa", "movdqu", "movntq", "movntdq", "lddqu", "movntdqa",
	"vbroadcastss", "vbroadcastsd", "vbroadcastf128", "vbroadcasti128", "vpbroadcastb",
	"vpbroadcastw", "vpbroadcastd", "vpbroadcastq"};

bool is_vector(const struct emul_insn *insn)
{
	return insn->op == EMUL_OP_VECTOR_LOAD || insn->op == EMUL_OP_VECTOR_STORE;
}

bool is_vector_name(const char *name)
{
	for (unsigned i = 0; i < sizeof(vector_names) / sizeof(vector_names[0]); i++) {
		if (strcmp(name, vector_names[i]) == 0 ||
			(name[0] == 'v' && strcmp(name + 1, vector_names[i]) == 0))
			return true;
	}
	return false;
}

static const char *const condition_names[16] = {
	"o", "no", "b", "nb", "z", "nz", "be", "nbe", "s", "ns", "p", "np", "l", "nl", "le", "nle"};

static const char *size_suffix(unsigned size)
{
	return size == 1 ? "b" : size == 2 ? "w" : size == 4 ? "d" : "q";
}

static bool has_prefix_66(const struct emul_insn *insn)
{
	for (unsigned i = 0; insn->bytes[i] != 0x0f; i++) {
		if (insn->bytes[i] == 0x66)
			return true;
	}
	return false;
}

/* The disassembler's name of what we decoded. */
void our_name(const struct emul_insn *insn, char *out, size_t size)
{
	const char *suffix = "";

	if (insn->op == EMUL_OP_CMOV || insn->op == EMUL_OP_SETCC)
		suffix = condition_names[insn->cond];
	else if (insn->op >= EMUL_OP_MOVS && insn->op <= EMUL_OP_OUTS)
		suffix = size_suffix(insn->op_size);
	else if (insn->op == EMUL_OP_MOVSX && insn->opcode == 0x63)
		suffix = "d";
	else if (insn->op == EMUL_OP_MOV && insn->map == EMUL_MAP_0F)
		suffix = "nti";
	else if (insn->op == EMUL_OP_MOV && insn->map == EMUL_MAP_0F38)
		suffix = "diri";
	else if (insn->op == EMUL_OP_CMPXCHG_WIDE)
		suffix = insn->op_size == 8 ? "16b" : "8b";
	else if (insn->op == EMUL_OP_PUSHA || insn->op == EMUL_OP_POPA)
		suffix = insn->op_size == 4 ? "d" : "";
	else if (insn->op == EMUL_OP_PUSHF || insn->op == EMUL_OP_POPF || insn->op == EMUL_OP_IRET)
		suffix = insn->op_size == 2 ? "" : insn->op_size == 4 ? "d" : "q";
	else if (insn->op == EMUL_OP_LOAD_FAR)
		suffix = insn->opcode == 0xc4   ? "es"
			 : insn->opcode == 0xc5 ? "ds"
			 : insn->opcode == 0xb2 ? "ss"
			 : insn->opcode == 0xb4 ? "fs"
						: "gs";
	else if (insn->op == EMUL_OP_TOUCH && has_prefix_66(insn))
		suffix = "opt";
	snprintf(out, size, "%s%s", op_names[insn->op], suffix);
}

/* Opcodes promised in decode.h, written down a second time and independently of its tables. */
static bool promised_by_name(const struct theirs *t)
{
	/* What has no memory operand is promised for its stack, or for a descriptor. */
	static const char *const always[] = {"rol", "ror", "rcl", "rcr", "shl", "shr", "sar",
		"shld", "shrd", "mul", "imul", "div", "idiv", "bsf", "bsr", "tzcnt", "lzcnt",
		"popcnt", "crc32", "cmpxchg8b", "cmpxchg16b", "movbe", "movdiri", "xlat", "push",
		"pop", "pusha", "pushad", "popa", "popad", "pushf", "pushfd", "pushfq", "popf",
		"popfd", "popfq", "enter", "leave", "call", "ret", "iret", "iretd", "iretq", "les",
		"lds", "lss", "lfs", "lgs", "sldt", "str", "lldt", "ltr", "verr", "verw", "lar",
		"lsl", "sgdt", "sidt", "lgdt", "lidt", "smsw", "lmsw", "ldmxcsr", "stmxcsr",
		"clflush", "clflushopt"};
	const char *name = ZydisMnemonicGetString(t->insn.mnemonic);

	for (unsigned i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		if (strcmp(name, always[i]) == 0)
			return t->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY;
	}
	if (t->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
		t->insn.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return false;
	return t->insn.raw.modrm.mod != 3 && is_vector_name(name) &&
	       t->insn.attributes & ZYDIS_ATTRIB_HAS_MODRM;
}

bool promised(const struct theirs *t)
{
	const ZydisDecodedInstruction *z = &t->insn;
	unsigned op = z->opcode, reg = z->raw.modrm.reg;

	if (promised_by_name(t))
		return true;

	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	if (z->opcode_map == ZYDIS_OPCODE_MAP_0F) {
		if ((op & 0xf0) == 0x40 || (op & 0xf0) == 0x90)
			return true;
		return memchr("\xa3\xab\xb0\xb1\xb3\xb6\xb7\xba\xbb\xbe\xbf\xc0\xc1\xc3", op, 14) &&
		       z->mnemonic != ZYDIS_MNEMONIC_INVALID;
	}
	if (z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	if (op < 0x40)
		return (op & 7) < 6;
	if (op == 0x63)
		return z->mnemonic == ZYDIS_MNEMONIC_MOVSXD;
	if (op == 0xc6 || op == 0xc7)
		return z->mnemonic == ZYDIS_MNEMONIC_MOV;
	if (op == 0xf6 || op == 0xf7)
		return reg < 4;
	if (op == 0xfe || op == 0xff)
		return reg < 2;
	return (op >= 0x6c && op <= 0x6f) || (op >= 0x80 && op <= 0x8b) ||
	       (op >= 0xa0 && op <= 0xaf) || (op >= 0xe4 && op <= 0xe7) ||
	       (op >= 0xec && op <= 0xef);
}
