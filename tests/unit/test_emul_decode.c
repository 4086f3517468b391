/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder on chosen encodings; tests/fuzz/emul_diff.c compares it with a disassembler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/emul/decode.h"

#define R EMUL_OPERAND_REG
#define M EMUL_OPERAND_MEM
#define I EMUL_OPERAND_IMM
#define N EMUL_REG_NONE

struct decode_case {
	const char *name;
	uint8_t code;
	uint8_t length;
	uint8_t bytes[EMUL_INSN_MAX];
	uint8_t op, op_size, addr_size, segment;
	uint8_t dst_kind, dst_reg, src_kind, src_reg;
	uint8_t base, index, scale;
	int64_t disp;
	uint64_t imm;
};

static const struct decode_case cases[] = {
	{"mov [rax],ecx", 8, 2, {0x89, 0x08}, EMUL_OP_MOV, 4, 8, EMUL_DS, M, 0, R, 1, 0, N, 1, 0,
		0},
	{"mov r9,[r13-8]", 8, 4, {0x4d, 0x8b, 0x4d, 0xf8}, EMUL_OP_MOV, 8, 8, EMUL_DS, R, 9, M, 0,
		13, N, 1, -8, 0},
	{"mov [rbp+0],al", 8, 3, {0x88, 0x45, 0x00}, EMUL_OP_MOV, 1, 8, EMUL_SS, M, 0, R, 0, 5, N,
		1, 0, 0},
	{"mov [rsp+rcx*8+100h],dx", 8, 8, {0x66, 0x89, 0x94, 0xcc, 0, 1, 0, 0}, EMUL_OP_MOV, 2, 8,
		EMUL_SS, M, 0, R, 2, 4, 1, 8, 0x100, 0},
	{"mov [r12],eax", 8, 4, {0x41, 0x89, 0x04, 0x24}, EMUL_OP_MOV, 4, 8, EMUL_DS, M, 0, R, 0,
		12, N, 1, 0, 0},
	{"mov [disp32],eax", 8, 7, {0x89, 0x04, 0x25, 0, 0, 0, 0xff}, EMUL_OP_MOV, 4, 8, EMUL_DS, M,
		0, R, 0, N, N, 1, (int32_t)0xff000000, 0},
	{"mov gs:[rax],edx", 8, 3, {0x65, 0x89, 0x10}, EMUL_OP_MOV, 4, 8, EMUL_GS, M, 0, R, 2, 0, N,
		1, 0, 0},
	{"es is null in 64-bit mode", 8, 3, {0x26, 0x89, 0x10}, EMUL_OP_MOV, 4, 8, EMUL_DS, M, 0, R,
		2, 0, N, 1, 0, 0},
	{"mov es:[eax],edx", 4, 3, {0x26, 0x89, 0x10}, EMUL_OP_MOV, 4, 4, EMUL_ES, M, 0, R, 2, 0, N,
		1, 0, 0},
	{"rex before a prefix is void", 8, 4, {0x48, 0x66, 0x89, 0x08}, EMUL_OP_MOV, 2, 8, EMUL_DS,
		M, 0, R, 1, 0, N, 1, 0, 0},
	{"rex.w beats 66", 8, 4, {0x66, 0x48, 0x89, 0x08}, EMUL_OP_MOV, 8, 8, EMUL_DS, M, 0, R, 1,
		0, N, 1, 0, 0},
	{"mov [eax],ecx in 64-bit mode", 8, 3, {0x67, 0x89, 0x08}, EMUL_OP_MOV, 4, 4, EMUL_DS, M, 0,
		R, 1, 0, N, 1, 0, 0},
	{"mov [bx+si],cx", 2, 2, {0x89, 0x08}, EMUL_OP_MOV, 2, 2, EMUL_DS, M, 0, R, 1, 3, 6, 1, 0,
		0},
	{"mov [bp+di-2],ecx", 2, 4, {0x66, 0x89, 0x4b, 0xfe}, EMUL_OP_MOV, 4, 2, EMUL_SS, M, 0, R,
		1, 5, 7, 1, -2, 0},
	{"mov [1234h],cx", 2, 4, {0x89, 0x0e, 0x34, 0x12}, EMUL_OP_MOV, 2, 2, EMUL_DS, M, 0, R, 1,
		N, N, 1, 0x1234, 0},
	{"mov [ebp+4],cx in 16-bit mode", 2, 4, {0x67, 0x89, 0x4d, 0x04}, EMUL_OP_MOV, 2, 4,
		EMUL_SS, M, 0, R, 1, 5, N, 1, 4, 0},
	{"mov dword [rdi],-2", 8, 6, {0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff}, EMUL_OP_MOV, 4, 8,
		EMUL_DS, M, 0, I, 0, 7, N, 1, 0, -2ull},
	{"mov qword [rdi],80000000h", 8, 7, {0x48, 0xc7, 0x07, 0, 0, 0, 0x80}, EMUL_OP_MOV, 8, 8,
		EMUL_DS, M, 0, I, 0, 7, N, 1, 0, 0xffffffff80000000},
	{"mov al,[moffs64]", 8, 9, {0xa0, 1, 2, 3, 4, 5, 6, 7, 8}, EMUL_OP_MOV, 1, 8, EMUL_DS, R, 0,
		M, 0, N, N, 1, 0x0807060504030201, 0},
	{"mov [moffs16],ax", 2, 3, {0xa3, 0xf0, 0xff}, EMUL_OP_MOV, 2, 2, EMUL_DS, M, 0, R, 0, N, N,
		1, -16, 0},
	{"lock or dword [rax],80h", 8, 4, {0xf0, 0x83, 0x08, 0x80}, EMUL_OP_OR, 4, 8, EMUL_DS, M, 0,
		I, 0, 0, N, 1, 0, -128ull},
	{"test byte [rax],5", 8, 3, {0xf6, 0x00, 0x05}, EMUL_OP_TEST, 1, 8, EMUL_DS, M, 0, I, 0, 0,
		N, 1, 0, 5},
	{"movzx r8d,byte [rax]", 8, 4, {0x44, 0x0f, 0xb6, 0x00}, EMUL_OP_MOVZX, 4, 8, EMUL_DS, R, 8,
		M, 0, 0, N, 1, 0, 0},
	{"alu alias 82 outside 64-bit mode", 4, 3, {0x82, 0x28, 0x01}, EMUL_OP_SUB, 1, 4, EMUL_DS,
		M, 0, I, 0, 0, N, 1, 0, 1},
};

static void one_case(const struct decode_case *c)
{
	struct emul_insn insn;
	uint8_t src_size;

	assert_int_equal(emul_decode(c->bytes, EMUL_INSN_MAX, c->code, &insn), EMUL_DECODE_OK);
	src_size = insn.op == EMUL_OP_MOVZX ? 1 : c->op_size;
	if (insn.length != c->length || insn.op != c->op || insn.op_size != c->op_size ||
		insn.addr_size != c->addr_size || insn.segment != c->segment || insn.imm != c->imm)
		fail_msg("%s: length %u op %u size %u/%u segment %u", c->name, insn.length, insn.op,
			insn.op_size, insn.addr_size, insn.segment);
	if (insn.dst.kind != c->dst_kind || insn.dst.reg != c->dst_reg ||
		insn.dst.size != c->op_size || insn.src.kind != c->src_kind ||
		insn.src.reg != c->src_reg || insn.src.size != src_size)
		fail_msg("%s: operands", c->name);
	if (insn.mem.base != c->base || insn.mem.index != c->index || insn.mem.scale != c->scale ||
		insn.mem.disp != c->disp)
		fail_msg("%s: base %u index %u*%u disp %lld", c->name, insn.mem.base,
			insn.mem.index, insn.mem.scale, (long long)insn.mem.disp);
	for (unsigned count = 0; count < c->length; count++)
		assert_int_equal(emul_decode(c->bytes, count, c->code, &insn), EMUL_DECODE_MORE);
}

static void encodings(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		one_case(&cases[i]);
}

static void high_registers(void **state)
{
	static const uint8_t mov_ah[] = {0x88, 0x20}, mov_spl[] = {0x40, 0x88, 0x20};
	struct emul_insn insn;

	(void)state;
	assert_int_equal(emul_decode(mov_ah, 2, EMUL_CODE64, &insn), EMUL_DECODE_OK);
	assert_true(insn.src.high);
	assert_int_equal(insn.src.reg, EMUL_RAX);
	assert_int_equal(emul_decode(mov_spl, 3, EMUL_CODE64, &insn), EMUL_DECODE_OK);
	assert_false(insn.src.high);
	assert_int_equal(insn.src.reg, EMUL_RSP);
}

static void refusals(void **state)
{
	static const struct {
		uint8_t code;
		uint8_t count;
		uint8_t bytes[EMUL_INSN_MAX + 1];
		uint8_t result;
	} refused[] = {
		{8, 3, {0xf0, 0x89, 0x08}, EMUL_DECODE_UD},                /* LOCK MOV */
		{8, 3, {0xf0, 0x01, 0xc8}, EMUL_DECODE_UD},                /* LOCK ADD register */
		{8, 3, {0xf0, 0x03, 0x08}, EMUL_DECODE_UD},                /* LOCK ADD r,m */
		{8, 3, {0xf0, 0x39, 0x08}, EMUL_DECODE_UD},                /* LOCK CMP */
		{8, 4, {0xf0, 0x0f, 0xa3, 0x08}, EMUL_DECODE_UD},          /* LOCK BT */
		{8, 2, {0xf0, 0xa4}, EMUL_DECODE_UD},                      /* LOCK MOVS */
		{8, 3, {0x82, 0x00, 0x00}, EMUL_DECODE_UD},                /* 82 in 64-bit mode */
		{8, 3, {0x0f, 0xc3, 0xc0}, EMUL_DECODE_UD},                /* MOVNTI register */
		{4, 2, {0x63, 0x08}, EMUL_DECODE_UNSUPPORTED},             /* ARPL */
		{8, 2, {0xff, 0x38}, EMUL_DECODE_UNSUPPORTED},             /* FF /7 */
		{8, 2, {0xff, 0xe8}, EMUL_DECODE_UD},                      /* JMP far register */
		{8, 2, {0x8e, 0x08}, EMUL_DECODE_UD},                      /* MOV CS */
		{8, 2, {0x8c, 0x30}, EMUL_DECODE_UD},                      /* MOV from no segment */
		{8, 4, {0x0f, 0x38, 0xf0, 0xc0}, EMUL_DECODE_UD},          /* MOVBE register */
		{8, 3, {0x0f, 0xc7, 0xc8}, EMUL_DECODE_UD},                /* CMPXCHG8B register */
		{8, 1, {0x06}, EMUL_DECODE_UD},                            /* PUSH ES */
		{4, 2, {0xc4, 0x08}, EMUL_DECODE_OK},                      /* LES */
		{8, 4, {0xf0, 0x0f, 0xaf, 0x00}, EMUL_DECODE_UD},          /* LOCK IMUL */
		{8, 3, {0xf0, 0xd1, 0x20}, EMUL_DECODE_UD},                /* LOCK SHL */
		{8, 2, {0xc6, 0x08}, EMUL_DECODE_UNSUPPORTED},             /* C6 /1 */
		{8, 4, {0x0f, 0xba, 0x00, 0x00}, EMUL_DECODE_UNSUPPORTED}, /* 0F BA /0 */
		{8, 3, {0x0f, 0x10, 0xc0}, EMUL_DECODE_UNSUPPORTED},       /* between registers */
		{8, 3, {0x0f, 0x58, 0x00}, EMUL_DECODE_UNSUPPORTED},       /* ADDPS */
		{8, 4, {0xf0, 0x0f, 0x10, 0x00}, EMUL_DECODE_UD},          /* LOCK MOVUPS */
		{8, 5, {0x66, 0xc5, 0xf8, 0x10, 0}, EMUL_DECODE_UD},       /* 66 before VEX */
		{8, 4, {0xc5, 0xf0, 0x10, 0}, EMUL_DECODE_UD},             /* VEX.vvvv not free */
		{8, 4, {0xc5, 0xfc, 0x12, 0}, EMUL_DECODE_UD},             /* VMOVLPS of 256 bits */
		{8, 3, {0x62, 0xf1, 0x7c}, EMUL_DECODE_UNSUPPORTED},       /* EVEX */
		{8, 2, {0x66, 0x66}, EMUL_DECODE_MORE},
	};
	struct emul_insn insn;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		assert_int_equal(
			emul_decode(refused[i].bytes, refused[i].count, refused[i].code, &insn),
			refused[i].result);
		assert_memory_equal(insn.bytes, refused[i].bytes, refused[i].count);
	}
}

static void length_limit(void **state)
{
	uint8_t bytes[32];
	struct emul_insn insn;

	(void)state;
	memset(bytes, 0x66, sizeof(bytes));
	assert_int_equal(emul_decode(bytes, 32, EMUL_CODE64, &insn), EMUL_DECODE_TOO_LONG);
	assert_int_equal(emul_decode(bytes, 14, EMUL_CODE64, &insn), EMUL_DECODE_MORE);
	bytes[13] = 0x89;
	bytes[14] = 0x08;
	assert_int_equal(emul_decode(bytes, 32, EMUL_CODE64, &insn), EMUL_DECODE_OK);
	assert_int_equal(insn.length, 15);
	bytes[14] = 0x48; /* a displacement byte too many */
	assert_int_equal(emul_decode(bytes, 32, EMUL_CODE64, &insn), EMUL_DECODE_TOO_LONG);
}

struct intercept_case {
	uint8_t kind;
	uint8_t code;
	uint8_t length; /* 0: not this instruction */
	uint8_t bytes[8];
	uint8_t reg, gpr, imm, op_size;
};

static const struct intercept_case intercepts[] = {
	{EMUL_INTERCEPT_CPUID, 8, 2, {0x0f, 0xa2}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_CPUID, 8, 4, {0x66, 0x48, 0x0f, 0xa2}, 0, 0, 0, 8},
	{EMUL_INTERCEPT_CPUID, 8, 0, {0x0f, 0xa3}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_HLT, 2, 1, {0xf4}, 0, 0, 0, 2},
	{EMUL_INTERCEPT_PAUSE, 8, 2, {0xf3, 0x90}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_PAUSE, 8, 0, {0x90}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_INT, 4, 2, {0xcd, 0x80}, 0, 0, 0x80, 4},
	{EMUL_INTERCEPT_XSETBV, 8, 3, {0x0f, 0x01, 0xd1}, 2, 1, 0, 4},
	{EMUL_INTERCEPT_VMMCALL, 8, 3, {0x0f, 0x01, 0xd9}, 3, 1, 0, 4},
	{EMUL_INTERCEPT_VMMCALL, 8, 0, {0x0f, 0x01, 0xc1}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_MOV_TO_CR, 8, 3, {0x0f, 0x22, 0xd8}, 3, 0, 0, 4},
	{EMUL_INTERCEPT_MOV_TO_CR, 8, 4, {0x45, 0x0f, 0x22, 0xc1}, 8, 9, 0, 4},
	{EMUL_INTERCEPT_MOV_TO_CR, 8, 3, {0x0f, 0x22, 0x18}, 3, 0, 0, 4}, /* mod is ignored */
	{EMUL_INTERCEPT_MOV_TO_CR, 4, 4, {0xf0, 0x0f, 0x22, 0xc2}, 8, 2, 0, 4},
	{EMUL_INTERCEPT_MOV_FROM_DR, 4, 3, {0x0f, 0x21, 0xfa}, 7, 2, 0, 4},
	{EMUL_INTERCEPT_IN, 8, 2, {0xe4, 0x71}, 0, 0, 0x71, 1},
	{EMUL_INTERCEPT_IN, 8, 2, {0x48, 0xed}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_OUT, 2, 2, {0x66, 0xef}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_OUT, 2, 0, {0x66, 0xed}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_INS, 8, 2, {0xf3, 0x6c}, 0, 0, 0, 1},
	{EMUL_INTERCEPT_INVLPG, 8, 5, {0x42, 0x0f, 0x01, 0x3c, 0x38}, 7, 4, 0, 4},
	{EMUL_INTERCEPT_INVLPG, 8, 0, {0x0f, 0x01, 0xf8}, 0, 0, 0, 4}, /* SWAPGS */
	{EMUL_INTERCEPT_LMSW, 4, 3, {0x0f, 0x01, 0xf2}, 6, 2, 0, 4},
	{EMUL_INTERCEPT_LMSW, 8, 4, {0x41, 0x0f, 0x01, 0xf2}, 6, 10, 0, 4},
	{EMUL_INTERCEPT_LMSW, 4, 0, {0x0f, 0x01, 0xe2}, 0, 0, 0, 4}, /* SMSW */
	{EMUL_INTERCEPT_CLTS, 4, 3, {0x66, 0x0f, 0x06}, 0, 0, 0, 2},
	{EMUL_INTERCEPT_MOV_TO_CR, 2, 3, {0x0f, 0x22, 0xc0}, 0, 0, 0, 2},
	{EMUL_INTERCEPT_RDTSCP, 8, 3, {0x0f, 0x01, 0xf9}, 7, 1, 0, 4},
	{EMUL_INTERCEPT_RDTSCP, 8, 0, {0x0f, 0x01, 0xfa}, 0, 0, 0, 4}, /* MONITORX */
	{EMUL_INTERCEPT_MONITOR, 8, 4, {0x67, 0x0f, 0x01, 0xc8}, 1, 0, 0, 4},
	{EMUL_INTERCEPT_ICEBP, 2, 2, {0x66, 0xf1}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_INT3, 4, 1, {0xcc}, 0, 0, 0, 4},
	{EMUL_INTERCEPT_WBINVD, 8, 3, {0xf3, 0x0f, 0x09}, 0, 0, 0,
		4}, /* WBNOINVD where it exists */
};

static void intercepted(void **state)
{
	struct emul_intercept_insn out;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(intercepts); i++) {
		const struct intercept_case *c = &intercepts[i];
		enum emul_decode_result r = emul_decode_intercept(
			c->bytes, sizeof(c->bytes), c->code, c->kind, &out);

		if (c->length == 0) {
			assert_int_equal(r, EMUL_DECODE_UNSUPPORTED);
			continue;
		}
		assert_int_equal(r, EMUL_DECODE_OK);
		assert_int_equal(out.length, c->length);
		assert_int_equal(out.reg, c->reg);
		assert_int_equal(out.gpr, c->gpr);
		assert_int_equal(out.imm, c->imm);
		assert_int_equal(out.op_size, c->op_size);
		for (unsigned count = 0; count < c->length; count++)
			assert_int_equal(
				emul_decode_intercept(c->bytes, count, c->code, c->kind, &out),
				EMUL_DECODE_MORE);
	}
}

static void intercepted_memory(void **state)
{
	static const uint8_t invlpg[] = {0x64, 0x42, 0x0f, 0x01, 0x7c, 0x38, 0x10};
	struct emul_intercept_insn out;

	(void)state;
	assert_int_equal(emul_decode_intercept(
				 invlpg, sizeof(invlpg), EMUL_CODE64, EMUL_INTERCEPT_INVLPG, &out),
		EMUL_DECODE_OK);
	assert_true(out.is_memory);
	assert_int_equal(out.segment, EMUL_FS);
	assert_int_equal(out.mem.base, EMUL_RAX);
	assert_int_equal(out.mem.index, 15);
	assert_int_equal(out.mem.disp, 0x10);
}

static void intercepted_lmsw_memory(void **state)
{
	static const uint8_t legacy[] = {0x0f, 0x01, 0x76, 0xfe};                /* [bp - 2] */
	static const uint8_t rip[] = {0x0f, 0x01, 0x35, 0x00, 0x01, 0x00, 0x00}; /* [rip + 100h] */
	struct emul_intercept_insn out;

	(void)state;
	assert_int_equal(emul_decode_intercept(
				 legacy, sizeof(legacy), EMUL_CODE16, EMUL_INTERCEPT_LMSW, &out),
		EMUL_DECODE_OK);
	assert_true(out.is_memory);
	assert_int_equal(out.length, 4);
	assert_int_equal(out.addr_size, 2);
	assert_int_equal(out.segment, EMUL_SS);
	assert_int_equal(out.mem.base, EMUL_RBP);
	assert_int_equal(out.mem.disp, -2);

	assert_int_equal(
		emul_decode_intercept(rip, sizeof(rip), EMUL_CODE64, EMUL_INTERCEPT_LMSW, &out),
		EMUL_DECODE_OK);
	assert_int_equal(out.length, 7);
	assert_true(out.mem.rip_relative);
	assert_int_equal(out.mem.disp, 0x100);
}

/* Without decode assists a string port exit gives neither address size nor segment. */
static void intercepted_string_port(void **state)
{
	static const uint8_t outs[] = {0xf2, 0x67, 0x2e, 0x66, 0x6f};
	static const uint8_t ins[] = {0x64, 0x6d};
	struct emul_intercept_insn out;

	(void)state;
	assert_int_equal(
		emul_decode_intercept(outs, sizeof(outs), EMUL_CODE32, EMUL_INTERCEPT_OUTS, &out),
		EMUL_DECODE_OK);
	assert_int_equal(out.length, 5);
	assert_int_equal(out.op_size, 2);
	assert_int_equal(out.addr_size, 2);
	assert_int_equal(out.segment, EMUL_CS);
	assert_int_equal(out.rep, EMUL_REP_NE);
	assert_int_equal(
		emul_decode_intercept(ins, sizeof(ins), EMUL_CODE64, EMUL_INTERCEPT_INS, &out),
		EMUL_DECODE_OK);
	assert_int_equal(out.op_size, 4);
	assert_int_equal(out.addr_size, 8);
	assert_int_equal(out.rep, EMUL_REP_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodings),
		cmocka_unit_test(high_registers),
		cmocka_unit_test(refusals),
		cmocka_unit_test(length_limit),
		cmocka_unit_test(intercepted),
		cmocka_unit_test(intercepted_memory),
		cmocka_unit_test(intercepted_lmsw_memory),
		cmocka_unit_test(intercepted_string_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
