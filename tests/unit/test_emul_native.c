/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The emulator against the processor that runs the tests: random instructions with random
 * registers, flags and memory are executed by both, and everything they leave behind is compared.
 * Instructions go to the processor only after the emulator has confined their accesses to the
 * test's buffer. RSP as an operand, but of stack instructions, and RIP-relative ones are left out.
 * Flags that the manual leaves undefined are compared where CPUs agree on them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/emul/execute.h"

#define ROUNDS      150000
#define BUFFER_SIZE 4096
#define MIDDLE      2048

#define FLAGS_TESTED                                                                               \
	(RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF | RFLAGS_DF)

struct native {
	uint64_t gpr[16];
	uint64_t rflags;
	void *code;
};

/* Loads n's registers, runs n->code (it jumps to native_back), stores them again. */
void native_run(struct native *n);
extern char native_back[];
__asm__(".pushsection .text\n"
	".globl native_run, native_back\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rdi, native_state(%rip)\n"
	"	mov 136(%rdi), %rax; mov %rax, native_code(%rip)\n"
	"	pushq 128(%rdi); popfq\n"
	"	mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 64(%rdi), %r8; mov 72(%rdi), %r9\n"
	"	mov 80(%rdi), %r10; mov 88(%rdi), %r11; mov 96(%rdi), %r12\n"
	"	mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	mov 32(%rdi), %rsp\n"
	"	mov 56(%rdi), %rdi\n"
	"	jmp *native_code(%rip)\n"
	"native_back:\n"
	"	mov %rdi, native_rdi(%rip)\n"
	"	mov native_state(%rip), %rdi\n"
	"	mov %rsp, 32(%rdi)\n"
	"	mov native_stack(%rip), %rsp\n"
	"	mov native_state(%rip), %rdi\n"
	"	mov %rax, (%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov %rbp, 40(%rdi); mov %rsi, 48(%rdi); mov %r8, 64(%rdi); mov %r9, 72(%rdi)\n"
	"	mov %r10, 80(%rdi); mov %r11, 88(%rdi); mov %r12, 96(%rdi)\n"
	"	mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	mov native_rdi(%rip), %rax\n"
	"	mov %rax, 56(%rdi)\n"
	"	pushfq; popq 128(%rdi)\n"
	"	cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".popsection\n"
	".pushsection .bss\n"
	"native_state: .quad 0\n"
	"native_rdi: .quad 0\n"
	"native_stack: .quad 0\n"
	"native_code: .quad 0\n"
	".popsection\n");
_Static_assert(offsetof(struct native, rflags) == 128, "used by native_run");
_Static_assert(offsetof(struct native, code) == 136, "used by native_run");

struct fixture {
	uint8_t *code;             /* executable page */
	uint8_t *real;             /* the buffer that the processor sees */
	uint8_t copy[BUFFER_SIZE]; /* the emulator's copy of it */
};

static struct fixture fixture;
static uint64_t random_state = 88172645463325252ull;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static unsigned pick(unsigned n)
{
	return (random64() >> 20) % n;
}

/* Values near the edges are where flags go wrong. */
static uint64_t random_value(void)
{
	static const uint64_t edges[] = {0, 1, UINT64_MAX, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff,
		0x7fffffff, 0x80000000, 0xffffffff, INT64_MAX, 1ull << 63, 0xf, 0x10};

	return pick(2) ? edges[pick(ARRAY_SIZE(edges))] : random64();
}

static enum emul_result locate(gva_t gva, unsigned size, uint8_t **p)
{
	uint64_t offset = gva - (uintptr_t)fixture.real;

	if (!range_within(offset, size, BUFFER_SIZE))
		return EMUL_STOP;
	*p = fixture.copy + offset;
	return EMUL_DONE;
}

static enum emul_result copy_read(
	struct emul_ctx *ctx, gva_t gva, void *buf, unsigned size, unsigned access)
{
	uint8_t *p;

	(void)ctx;
	(void)access;
	if (locate(gva, size, &p) != EMUL_DONE)
		return EMUL_STOP;
	memcpy(buf, p, size);
	return EMUL_DONE;
}

static enum emul_result copy_write(
	struct emul_ctx *ctx, gva_t gva, const void *buf, unsigned size, unsigned access)
{
	uint8_t *p;

	(void)ctx;
	(void)access;
	if (locate(gva, size, &p) != EMUL_DONE)
		return EMUL_STOP;
	memcpy(p, buf, size);
	return EMUL_DONE;
}

static enum emul_result copy_probe(struct emul_ctx *ctx, gva_t gva, unsigned size, unsigned access)
{
	uint8_t *p;

	(void)access;
	(void)ctx;
	return locate(gva, size, &p);
}

static const struct emul_env env = {
	.read = copy_read,
	.write = copy_write,
	.probe = copy_probe,
};

static int set_up(void **state)
{
	(void)state;
	fixture.code = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Low, so that 32-bit addresses reach it too. */
	fixture.real = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return fixture.code == MAP_FAILED || fixture.real == MAP_FAILED ? -1 : 0;
}

/* Opcode, and which bits of it are random (byte or full size, direction, condition). */
struct pattern {
	uint8_t prefix_0f; /* 2: 0F 38 */
	uint8_t opcode;
	uint8_t random_bits;
	int8_t slash; /* ModRM.reg, -1: random, -2: no ModRM */
	uint8_t slash_random;
	uint8_t imm; /* 0 none, 1 byte, 2 as wide as the operand, 3 never a byte */
};

static const struct pattern patterns[] = {
	{0, 0x00, 0x3b, -1, 0, 0}, /* ALU, both directions */
	{0, 0x80, 0x01, 0, 7, 2}, {0, 0x83, 0x00, 0, 7, 1},
	{0, 0x84, 0x03, -1, 0, 0},                          /* TEST, XCHG */
	{0, 0x88, 0x03, -1, 0, 0},                          /* MOV */
	{0, 0xc6, 0x01, 0, 0, 2}, {0, 0xf6, 0x01, 0, 0, 2}, /* TEST imm */
	{0, 0xf6, 0x01, 2, 1, 0},                           /* NOT, NEG */
	{0, 0xfe, 0x01, 0, 1, 0}, {0, 0x63, 0x00, -1, 0, 0}, {1, 0x40, 0x0f, -1, 0, 0},
	{1, 0x90, 0x0f, -1, 0, 0}, {1, 0xa3, 0x18, -1, 0, 0}, /* BT.. by register */
	{1, 0xba, 0x00, 4, 3, 1}, {1, 0xb0, 0x01, -1, 0, 0}, {1, 0xb6, 0x09, -1, 0, 0},
	{1, 0xc0, 0x01, -1, 0, 0}, {0, 0xc0, 0x01, 0, 7, 1}, /* group 2, three counts */
	{0, 0xd0, 0x01, 0, 7, 0}, {0, 0xd2, 0x01, 0, 7, 0},
	{1, 0xa4, 0x08, -1, 0, 1},                           /* SHLD, SHRD */
	{1, 0xa5, 0x08, -1, 0, 0}, {0, 0xf6, 0x01, 4, 1, 0}, /* MUL, IMUL */
	{0, 0xf6, 0x01, 6, 1, 0},                            /* DIV, IDIV */
	{0, 0x69, 0x00, -1, 0, 3}, {0, 0x6b, 0x00, -1, 0, 1}, {1, 0xaf, 0x00, -1, 0, 0},
	{1, 0xbc, 0x01, -1, 0, 0}, /* BSF, BSR */
	{1, 0xc7, 0x00, 1, 0, 0},  /* CMPXCHG8B, CMPXCHG16B */
	{2, 0xf0, 0x01, -1, 0, 0}, /* MOVBE, CRC32 */
	{1, 0xb8, 0x00, -1, 0, 0}, /* POPCNT */
	{0, 0xd7, 0x00, -2, 0, 0}, /* XLAT */
};

struct sample {
	uint8_t bytes[EMUL_INSN_MAX];
	unsigned count;
	struct native regs;
};

static void emit(struct sample *s, uint64_t value, unsigned size)
{
	memcpy(s->bytes + s->count, &value, size);
	s->count += size;
}

/* A memory operand inside the buffer: the base register makes up for index and displacement. */
static void emit_memory(struct sample *s, unsigned reg, unsigned rex)
{
	static const uint8_t disp_sizes[] = {1, 4};
	unsigned mod = 1 + pick(2), scale = pick(4);
	unsigned base = pick(8), index = pick(8);
	bool sib = pick(2) || base == EMUL_RSP;
	unsigned base_reg, index_reg;
	int64_t disp = mod == 1 ? (int8_t)random64() : (int32_t)random64() >> 8;

	if (sib && base == EMUL_RSP)
		base = EMUL_RBX;
	base_reg = base | (rex & 1) << 3;
	index_reg = index | (rex & 2) << 2;
	if (index_reg == EMUL_RSP || index_reg == base_reg)
		index_reg = EMUL_REG_NONE;
	s->regs.gpr[base_reg] = (uintptr_t)fixture.real + MIDDLE - (uint64_t)disp;
	emit(s, mod << 6 | (reg & 7) << 3 | (sib ? 4 : base), 1);
	if (sib) {
		emit(s, scale << 6 | (index_reg == EMUL_REG_NONE ? 4 : index) << 3 | base, 1);
		if (index_reg == EMUL_REG_NONE && (rex & 2))
			return; /* would be R12: leave it to chance that it stays inside */
		if (index_reg != EMUL_REG_NONE) {
			s->regs.gpr[index_reg] = random64() % 64;
			s->regs.gpr[base_reg] -= s->regs.gpr[index_reg] << scale;
		}
	}
	emit(s, (uint64_t)disp, disp_sizes[mod - 1]);
}

static void sample_registers(struct sample *s)
{
	for (unsigned i = 0; i < 16; i++)
		s->regs.gpr[i] = random_value();
	s->regs.rflags = RFLAGS_RESERVED | RFLAGS_IF | (random64() & FLAGS_TESTED & ~RFLAGS_DF);
}

static void sample_make(struct sample *s)
{
	const struct pattern *p = &patterns[pick(ARRAY_SIZE(patterns))];
	unsigned rex = pick(2) ? 0x40 | pick(16) : 0;
	bool word = pick(3) == 0;
	uint8_t opcode = p->opcode ^ (random64() & p->random_bits);
	unsigned reg = p->slash < 0 ? pick(8) : p->slash ^ (pick(8) & p->slash_random);
	unsigned imm = p->imm == 1 || (p->imm == 2 && !(opcode & 1)) ? 1 : 0;

	if ((p->imm == 2 && (opcode & 1)) || p->imm == 3)
		imm = word && !(rex & 8) ? 2 : 4;
	s->count = 0;
	sample_registers(s);
	if (word)
		emit(s, 0x66, 1);
	if (opcode == 0xb8 || ((opcode & 0xfe) == 0xbc && pick(2)))
		emit(s, 0xf3, 1);
	if (p->prefix_0f == 2 && pick(2))
		emit(s, 0xf2, 1);
	if (rex)
		emit(s, rex, 1);
	if (p->prefix_0f)
		emit(s, 0x0f, 1);
	if (p->prefix_0f == 2)
		emit(s, 0x38, 1);
	emit(s, opcode, 1);
	if (p->slash == -2)
		s->regs.gpr[EMUL_RBX] = (uintptr_t)fixture.real + pick(MIDDLE);
	else if (pick(2))
		emit(s, 0xc0 | reg << 3 | pick(8), 1);
	else
		emit_memory(s, reg, rex);
	emit(s, random_value(), imm);
}

/* MOVS, CMPS, STOS, LODS or SCAS with any prefix, count and direction. */
static void sample_make_string(struct sample *s)
{
	static const uint8_t opcodes[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};

	s->count = 0;
	sample_registers(s);
	if (pick(2))
		s->regs.rflags |= RFLAGS_DF;
	s->regs.gpr[EMUL_RSI] = (uintptr_t)fixture.real + MIDDLE + pick(64);
	s->regs.gpr[EMUL_RDI] = (uintptr_t)fixture.real + MIDDLE - pick(64);
	s->regs.gpr[EMUL_RCX] = 1 + pick(40);
	if (pick(3) == 0)
		emit(s, 0x66, 1);
	if (pick(3) == 0)
		emit(s, 0x67, 1);
	if (pick(3))
		emit(s, 0xf2 | pick(2), 1);
	if (pick(3) == 0)
		emit(s, 0x48, 1);
	emit(s, opcodes[pick(sizeof(opcodes))] | pick(2), 1);
}

/* What pushes and pops, with a stack in the buffer. POPF is left out: it may set TF. */
static void sample_make_stack(struct sample *s)
{
	static const uint8_t opcodes[] = {
		0x50, 0x58, 0x68, 0x6a, 0x8f, 0x9c, 0xc8, 0xc9, 0xe8, 0xff};
	uint8_t opcode = opcodes[pick(sizeof(opcodes))];
	bool word = opcode != 0xe8 && pick(3) == 0;
	unsigned rex = pick(2) ? 0x40 | (pick(16) & 0xd) : 0;

	s->count = 0;
	sample_registers(s);
	if (word)
		emit(s, 0x66, 1);
	if (rex)
		emit(s, rex, 1);
	if (opcode <= 0x58)
		opcode |= pick(8);
	emit(s, opcode, 1);
	switch (opcode) {
	case 0x68: emit(s, random_value(), word && !(rex & 8) ? 2 : 4); break;
	case 0x6a: emit(s, random_value(), 1); break;
	case 0xc8: emit(s, pick(256) | pick(4) << 16, 3); break;
	case 0xe8: emit(s, 0, 4); break;
	case 0x8f:
	case 0xff: emit_memory(s, opcode == 0xff ? 6 : 0, rex); break;
	}
	s->regs.gpr[EMUL_RSP] = (uintptr_t)fixture.real + MIDDLE + pick(64);
	if (opcode == 0xc8 || opcode == 0xc9)
		s->regs.gpr[EMUL_RBP] = (uintptr_t)fixture.real + MIDDLE + 512 + pick(64);
}

static bool is_stack(const struct emul_insn *insn)
{
	return insn->op >= EMUL_OP_PUSH && insn->op <= EMUL_OP_CALL_REL;
}

static bool uses_rsp(const struct emul_insn *insn)
{
	const struct emul_operand *o[] = {&insn->dst, &insn->src};

	for (unsigned i = 0; i < 2; i++)
		if (o[i]->kind == EMUL_OPERAND_REG && !o[i]->high && o[i]->reg == EMUL_RSP)
			return true;
	if (insn->dst.kind != EMUL_OPERAND_MEM && insn->src.kind != EMUL_OPERAND_MEM)
		return false;
	return insn->mem.base == EMUL_RSP;
}

static void run_native(const struct sample *s, struct native *n)
{
	static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0}; /* jmp *0(%rip) */
	void *back = native_back;
	uint8_t *p = fixture.code;

	memcpy(p, s->bytes, s->count);
	memcpy(p + s->count, jump, sizeof(jump));
	memcpy(p + s->count + sizeof(jump), &back, sizeof(back));
	n->code = p;
	native_run(n);
}

/* Narrow operands shifted by more than they are wide. */
static bool shifted_out(const struct sample *s, const struct emul_insn *insn)
{
	unsigned count = insn->op >= EMUL_OP_SHLD && insn->imm_size == 0 ? s->regs.gpr[EMUL_RCX]
			 : insn->src.kind == EMUL_OPERAND_REG && insn->op < EMUL_OP_SHLD
				 ? s->regs.gpr[EMUL_RCX]
				 : insn->imm;

	return (count & 31) > insn->dst.size * 8 && insn->dst.size < 4;
}

/*
 * Without what the manual calls undefined (SDM vol. 1, "EFLAGS Cross-Reference"): CPUs of different
 * makers leave different things there.
 */
static uint64_t defined_flags(const struct emul_insn *insn)
{
	const uint64_t results = RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF;

	switch (insn->op) {
	case EMUL_OP_ROL ... EMUL_OP_RCR:
	case EMUL_OP_SHL ... EMUL_OP_SAR: /* OF: defined for a count of 1 only */
		return FLAGS_TESTED & ~RFLAGS_AF & ~((insn->opcode & 0xfe) == 0xd0 ? 0 : RFLAGS_OF);
	case EMUL_OP_SHLD:
	case EMUL_OP_SHRD: return FLAGS_TESTED & ~(RFLAGS_OF | RFLAGS_AF);
	case EMUL_OP_MUL:
	case EMUL_OP_IMUL_WIDE:
	case EMUL_OP_IMUL: return FLAGS_TESTED & ~results;
	case EMUL_OP_DIV:
	case EMUL_OP_IDIV: return FLAGS_TESTED & ~(results | RFLAGS_CF | RFLAGS_OF);
	case EMUL_OP_BSF:
	case EMUL_OP_BSR: return RFLAGS_ZF;
	case EMUL_OP_TZCNT:
	case EMUL_OP_LZCNT: return RFLAGS_ZF | RFLAGS_CF;
	case EMUL_OP_AND:
	case EMUL_OP_OR:
	case EMUL_OP_XOR:
	case EMUL_OP_TEST: return FLAGS_TESTED & ~RFLAGS_AF;
	case EMUL_OP_BT:
	case EMUL_OP_BTS:
	case EMUL_OP_BTR:
	case EMUL_OP_BTC: return FLAGS_TESTED & ~(RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF);
	default: return FLAGS_TESTED;
	}
}

static void report(const struct sample *s, const char *what, uint64_t ours, uint64_t theirs)
{
	char text[EMUL_INSN_MAX * 3 + 1] = "";

	for (unsigned i = 0; i < s->count; i++)
		snprintf(text + i * 3, 4, "%02x ", s->bytes[i]);
	fail_msg("%s: %s: emulator %llx, processor %llx", text, what, (unsigned long long)ours,
		(unsigned long long)theirs);
}

static void compare(const struct sample *s, const struct emul_insn *insn,
	const struct emul_ctx *ctx, const struct native *n)
{
	uint64_t flags = defined_flags(insn);
	/* Whether CMPXCHG r32 without a match clears the upper half differs between CPUs. */
	bool low_only = insn->op == EMUL_OP_CMPXCHG && insn->dst.kind == EMUL_OPERAND_REG &&
			insn->dst.size == 4;

	for (unsigned i = 0; i < 16; i++) {
		uint64_t mask = low_only && i == insn->dst.reg ? UINT32_MAX : UINT64_MAX;

		if ((ctx->gpr[i] ^ n->gpr[i]) & mask)
			report(s, "register", ctx->gpr[i], n->gpr[i]);
	}
	if ((ctx->rflags ^ n->rflags) & flags)
		report(s, "flags", ctx->rflags & flags, n->rflags & flags);
	if (memcmp(fixture.copy, fixture.real, BUFFER_SIZE) == 0)
		return;
	for (unsigned i = 0; i < BUFFER_SIZE; i++)
		if (fixture.copy[i] != fixture.real[i])
			report(s, "memory", fixture.copy[i], fixture.real[i]);
}

static unsigned ops_seen[EMUL_OP_COUNT];

static bool run_sample(const struct sample *s)
{
	struct native n = s->regs;
	uint64_t gpr[16];
	struct emul_insn insn;
	struct emul_ctx ctx = {.gpr = gpr,
		.rflags = n.rflags,
		.cr0 = CR0_PE,
		.code = EMUL_CODE64,
		.rip = (uintptr_t)fixture.code,
		.has_tzcnt = true,
		.has_lzcnt = true,
		.env = &env};
	enum emul_decode_result d = emul_decode(s->bytes, s->count, EMUL_CODE64, &insn);

	if (d == EMUL_DECODE_MORE || d == EMUL_DECODE_UD)
		return false; /* the SIB-only samples; register forms of what has none */
	assert_int_equal(d, EMUL_DECODE_OK);
	assert_int_equal(insn.length, s->count);
	if (!is_stack(&insn) && uses_rsp(&insn))
		return false;
	if ((insn.op == EMUL_OP_SHLD || insn.op == EMUL_OP_SHRD) && shifted_out(s, &insn))
		return false; /* the result is undefined */
	memcpy(gpr, n.gpr, sizeof(gpr));
	for (unsigned i = 0; i < BUFFER_SIZE; i += 16) {
		uint64_t value = random64() & random64();

		memcpy(fixture.copy + i, &value, 8);
		memset(fixture.copy + i + 8, value & 1 ? 0 : 0xff, 8);
	}
	memcpy(fixture.real, fixture.copy, BUFFER_SIZE);
	if (emul_execute(&ctx, &insn) != EMUL_DONE)
		return false; /* reaches outside the buffer */
	run_native(s, &n);
	compare(s, &insn, &ctx, &n);
	ops_seen[insn.op]++;
	return true;
}

static void same_as_processor(void **state)
{
	unsigned done = 0;

	(void)state;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct sample s;

		switch (pick(8)) {
		case 0: sample_make_string(&s); break;
		case 1: sample_make_stack(&s); break;
		default: sample_make(&s); break;
		}
		done += run_sample(&s);
	}
	assert_true(done > ROUNDS / 2);
	for (unsigned op = EMUL_OP_ADD; op <= EMUL_OP_XLAT; op++) {
		if (op < EMUL_OP_INS || op > EMUL_OP_OUT)
			assert_true(ops_seen[op] > 100);
	}
	assert_true(ops_seen[EMUL_OP_PUSH] > 100 && ops_seen[EMUL_OP_POP] > 100);
	assert_true(ops_seen[EMUL_OP_PUSHF] > 100 && ops_seen[EMUL_OP_ENTER] > 100);
	assert_true(ops_seen[EMUL_OP_LEAVE] > 100 && ops_seen[EMUL_OP_CALL_REL] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_as_processor),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
