/* SPDX-License-Identifier: Apache-2.0 */
/* The half of emul_diff about instructions that a CPU intercepts: name, length, operands. */
#include <stdio.h>
#include <string.h>
#include "tests/fuzz/emul_diff.h"

/* Instructions that both took for the same, by kind and code size. */
static unsigned long agreed[EMUL_INTERCEPT_COUNT][EMUL_CODE64 + 1];

struct intercept_name {
	const char *name;
	uint8_t opcode[3];
	uint8_t length;
};

static const struct intercept_name intercept_names[EMUL_INTERCEPT_COUNT] = {
	[EMUL_INTERCEPT_CPUID] = {"cpuid", {0x0f, 0xa2}, 2},
	[EMUL_INTERCEPT_HLT] = {"hlt", {0xf4}, 1},
	[EMUL_INTERCEPT_RDMSR] = {"rdmsr", {0x0f, 0x32}, 2},
	[EMUL_INTERCEPT_WRMSR] = {"wrmsr", {0x0f, 0x30}, 2},
	[EMUL_INTERCEPT_RDTSC] = {"rdtsc", {0x0f, 0x31}, 2},
	[EMUL_INTERCEPT_RDTSCP] = {"rdtscp", {0x0f, 0x01, 0xf9}, 3},
	[EMUL_INTERCEPT_RDPMC] = {"rdpmc", {0x0f, 0x33}, 2},
	[EMUL_INTERCEPT_INVD] = {"invd", {0x0f, 0x08}, 2},
	[EMUL_INTERCEPT_WBINVD] = {"wbinvd", {0x0f, 0x09}, 2},
	[EMUL_INTERCEPT_XSETBV] = {"xsetbv", {0x0f, 0x01, 0xd1}, 3},
	[EMUL_INTERCEPT_VMCALL] = {"vmcall", {0x0f, 0x01, 0xc1}, 3},
	[EMUL_INTERCEPT_VMMCALL] = {"vmmcall", {0x0f, 0x01, 0xd9}, 3},
	[EMUL_INTERCEPT_VMRUN] = {"vmrun", {0x0f, 0x01, 0xd8}, 3},
	[EMUL_INTERCEPT_VMLOAD] = {"vmload", {0x0f, 0x01, 0xda}, 3},
	[EMUL_INTERCEPT_VMSAVE] = {"vmsave", {0x0f, 0x01, 0xdb}, 3},
	[EMUL_INTERCEPT_STGI] = {"stgi", {0x0f, 0x01, 0xdc}, 3},
	[EMUL_INTERCEPT_CLGI] = {"clgi", {0x0f, 0x01, 0xdd}, 3},
	[EMUL_INTERCEPT_SKINIT] = {"skinit", {0x0f, 0x01, 0xde}, 3},
	[EMUL_INTERCEPT_INVLPG] = {"invlpg", {0x0f, 0x01}, 2},
	[EMUL_INTERCEPT_INVLPGA] = {"invlpga", {0x0f, 0x01, 0xdf}, 3},
	[EMUL_INTERCEPT_MONITOR] = {"monitor", {0x0f, 0x01, 0xc8}, 3},
	[EMUL_INTERCEPT_MWAIT] = {"mwait", {0x0f, 0x01, 0xc9}, 3},
	[EMUL_INTERCEPT_PAUSE] = {"pause", {0xf3, 0x90}, 2},
	[EMUL_INTERCEPT_INT] = {"int", {0xcd}, 1},
	[EMUL_INTERCEPT_INT3] = {"int3", {0xcc}, 1},
	[EMUL_INTERCEPT_INTO] = {"into", {0xce}, 1},
	[EMUL_INTERCEPT_ICEBP] = {"int1", {0xf1}, 1},
	[EMUL_INTERCEPT_IRET] = {"iret", {0xcf}, 1},
	[EMUL_INTERCEPT_PUSHF] = {"pushf", {0x9c}, 1},
	[EMUL_INTERCEPT_POPF] = {"popf", {0x9d}, 1},
	[EMUL_INTERCEPT_RSM] = {"rsm", {0x0f, 0xaa}, 2},
	[EMUL_INTERCEPT_CLTS] = {"clts", {0x0f, 0x06}, 2},
	[EMUL_INTERCEPT_LMSW] = {"lmsw", {0x0f, 0x01}, 2},
	[EMUL_INTERCEPT_SMSW] = {"smsw", {0x0f, 0x01}, 2},
	[EMUL_INTERCEPT_MOV_FROM_CR] = {"mov", {0x0f, 0x20}, 2},
	[EMUL_INTERCEPT_MOV_TO_CR] = {"mov", {0x0f, 0x22}, 2},
	[EMUL_INTERCEPT_MOV_FROM_DR] = {"mov", {0x0f, 0x21}, 2},
	[EMUL_INTERCEPT_MOV_TO_DR] = {"mov", {0x0f, 0x23}, 2},
	[EMUL_INTERCEPT_IN] = {"in", {0xe4}, 1},
	[EMUL_INTERCEPT_OUT] = {"out", {0xe6}, 1},
	[EMUL_INTERCEPT_INS] = {"ins", {0x6c}, 1},
	[EMUL_INTERCEPT_OUTS] = {"outs", {0x6e}, 1},
};

/* IRET, PUSHF, POPF, INS and OUTS carry a size letter in the disassembler's names. */
static bool is_named(unsigned kind, const char *theirs)
{
	const char *ours = intercept_names[kind].name;
	size_t length = strlen(ours);
	bool sized = kind == EMUL_INTERCEPT_IRET || kind == EMUL_INTERCEPT_PUSHF ||
		     kind == EMUL_INTERCEPT_POPF || kind == EMUL_INTERCEPT_INS ||
		     kind == EMUL_INTERCEPT_OUTS;

	if (!sized || strlen(theirs) == length)
		return strcmp(ours, theirs) == 0;
	return strncmp(ours, theirs, length) == 0 && theirs[length + 1] == 0 &&
	       strchr("bwdq", theirs[length]);
}

static bool is_control(unsigned kind)
{
	return kind >= EMUL_INTERCEPT_MOV_FROM_CR && kind <= EMUL_INTERCEPT_MOV_TO_DR;
}

static void same_control(const struct sample *s, unsigned kind,
	const struct emul_intercept_insn *ours, struct theirs *t)
{
	bool to = kind == EMUL_INTERCEPT_MOV_TO_CR || kind == EMUL_INTERCEPT_MOV_TO_DR;
	bool cr = kind <= EMUL_INTERCEPT_MOV_TO_CR;
	unsigned gpr_size = s->code == EMUL_CODE64 ? 8 : 4;

	same(s, "control register", ours->reg,
		t->op[!to].reg.value - (cr ? ZYDIS_REGISTER_CR0 : ZYDIS_REGISTER_DR0));
	same_register(s, "general register", ours->gpr, gpr_size, false, t->op[to].reg.value);
}

static bool is_io(unsigned kind)
{
	return kind >= EMUL_INTERCEPT_IN && kind <= EMUL_INTERCEPT_OUTS;
}

/* What a port exit is made of: size, port number, and of strings address size, segment, REP. */
static void same_io(const struct sample *s, unsigned kind, const struct emul_intercept_insn *ours,
	struct theirs *t)
{
	bool out = kind == EMUL_INTERCEPT_OUT || kind == EMUL_INTERCEPT_OUTS;
	const ZydisDecodedOperand *port = &t->op[!out], *data = &t->op[out];

	same(s, "port size", ours->op_size * 8, data->size);
	if (port->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		same(s, "port number", ours->imm, port->imm.value.u);
	if (kind == EMUL_INTERCEPT_IN || kind == EMUL_INTERCEPT_OUT)
		return;
	same(s, "port address size", ours->addr_size * 8, t->insn.address_width);
	same(s, "port REP", ours->rep != EMUL_REP_NONE,
		!!(t->insn.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE)));
	if (out)
		same(s, "port segment", ours->segment, data->mem.segment - ZYDIS_REGISTER_ES);
}

/* LMSW and SMSW with a register; SDM vol. 2, LMSW: always 16 bits of it. */
static void same_status_word(const struct sample *s, unsigned kind,
	const struct emul_intercept_insn *ours, struct theirs *t)
{
	unsigned size = kind == EMUL_INTERCEPT_LMSW ? 2 : ours->op_size;

	same_register(s, "status word register", ours->gpr, size, false, t->op[0].reg.value);
}

static void same_intercept_operands(const struct sample *s, unsigned kind,
	const struct emul_intercept_insn *ours, struct theirs *t)
{
	bool memory = t->op[0].type == ZYDIS_OPERAND_TYPE_MEMORY;

	if (is_control(kind))
		same_control(s, kind, ours, t);
	else if (is_io(kind))
		same_io(s, kind, ours, t);
	else if (kind == EMUL_INTERCEPT_INT)
		same(s, "interrupt number", ours->imm, t->op[0].imm.value.u);
	else if (kind == EMUL_INTERCEPT_LMSW || kind == EMUL_INTERCEPT_SMSW ||
		 kind == EMUL_INTERCEPT_INVLPG) {
		if (!same(s, "is memory", ours->is_memory, memory))
			return;
		if (memory)
			same_memory(s, &ours->mem, ours->addr_size, ours->segment, &t->op[0].mem);
		else
			same_status_word(s, kind, ours, t);
	}
}

static bool compare_intercept(const struct sample *s, unsigned kind)
{
	struct emul_intercept_insn ours;
	struct theirs t;
	enum emul_decode_result r;

	r = emul_decode_intercept(s->bytes, s->count, s->code, kind, &ours);
	theirs_decode(s, &t);
	if (!t.ok)
		return false; /* such bytes do not exit */
	if (!same(s, intercept_names[kind].name, r == EMUL_DECODE_OK,
		    is_named(kind, ZydisMnemonicGetString(t.insn.mnemonic))) ||
		r != EMUL_DECODE_OK)
		return true;
	same(s, "intercept length", ours.length, t.insn.length);
	same_intercept_operands(s, kind, &ours, &t);
	agreed[kind][s->code]++;
	/* One byte less than it has is not enough to know it. */
	r = emul_decode_intercept(s->bytes, t.insn.length - 1, s->code, kind, &ours);
	same(s, "cut off", r, EMUL_DECODE_MORE);
	return true;
}

bool intercept_round(void)
{
	unsigned kind = pick(EMUL_INTERCEPT_COUNT);
	const struct intercept_name *n = &intercept_names[kind];
	struct sample s;
	unsigned at;

	sample_start(&s);
	s.count = EMUL_INSN_MAX;
	at = sample_add_prefixes(&s);
	for (unsigned i = 0; i < n->length && at < EMUL_INSN_MAX; i++)
		s.bytes[at++] = n->opcode[i];
	if (kind >= EMUL_INTERCEPT_IN)
		s.bytes[at - 1] ^= pick(2) | (kind < EMUL_INTERCEPT_INS ? pick(2) << 3 : 0);
	return compare_intercept(&s, kind);
}

/* In each mode that has them. A kind that the generator never hits would be compared in vain. */
unsigned intercept_kinds_missed(void)
{
	static const enum emul_code codes[] = {EMUL_CODE16, EMUL_CODE32, EMUL_CODE64};
	unsigned missed = 0;

	for (unsigned kind = 0; kind < EMUL_INTERCEPT_COUNT; kind++) {
		for (unsigned i = 0; i < 3; i++) {
			if (agreed[kind][codes[i]] ||
				(kind == EMUL_INTERCEPT_INTO && codes[i] == EMUL_CODE64))
				continue;
			printf("%s was never compared in %u-bit code\n", intercept_names[kind].name,
				codes[i] * 8);
			missed++;
		}
	}
	return missed;
}
