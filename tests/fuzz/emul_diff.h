/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of emul_diff share: samples, the disassembler's answer, comparisons. */
#ifndef TESTS_FUZZ_EMUL_DIFF_H
#define TESTS_FUZZ_EMUL_DIFF_H

#include <Zydis/Zydis.h>
#include "arch/x86/emul/decode.h"

struct sample {
	uint8_t bytes[EMUL_INSN_MAX];
	unsigned count;
	enum emul_code code;
};

struct theirs {
	bool ok;
	ZyanStatus status;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* A number below n; the sequence depends on the seed alone. */
unsigned pick(unsigned n);
/* Random bytes in a random mode, then prefixes over the first of them: the index behind those. */
void sample_start(struct sample *s);
unsigned sample_add_prefixes(struct sample *s);

void theirs_decode(const struct sample *s, struct theirs *t);

/* Each difference counts as a mismatch and is printed, up to a limit. */
bool same(const struct sample *s, const char *what, long long ours, long long theirs);
void same_register(const struct sample *s, const char *what, unsigned reg, unsigned size, bool high,
	ZydisRegister theirs);
void same_memory(const struct sample *s, const struct emul_mem *mem, unsigned addr_size,
	unsigned segment, const ZydisDecodedOperandMem *z);

/* emul_diff_names.c */
const char *op_name(unsigned op);
/* The disassembler's name of what we decoded; vector moves have many, one of which it must be. */
void our_name(const struct emul_insn *insn, char *out, size_t size);
bool is_vector(const struct emul_insn *insn);
bool is_vector_name(const char *name);
/* An instruction that must decode. */
bool promised(const struct theirs *t);

/* emul_diff_intercept.c: one random intercepted instruction; true if it was one that decodes. */
bool intercept_round(void);
/* How many intercepted instructions never came up in a mode that has them; names them. */
unsigned intercept_kinds_missed(void);

#endif
