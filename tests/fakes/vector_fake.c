/* SPDX-License-Identifier: Apache-2.0 */
/* The vector registers of the CPU model: arch/x86/cpu/vector_insn.h on the host. */
#include <string.h>
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cr.h"
#include "tests/fakes/fake.h"

#define MXCSR_DEFINED 0xffffu

static int vector_move(void *to, const void *from, size_t size, uint64_t needs)
{
	if (needs & ~(fake_this->xcr0 | XCR0_X87 | XCR0_SSE))
		return E_FAULT;
	memcpy(to, from, size);
	return OK;
}

static uint8_t *vector(unsigned reg)
{
	if (reg >= 16)
		fake_fail("vector register %u", reg);
	return fake_this->vector[reg & 15];
}

int mmx_read_safe(unsigned reg, void *buf)
{
	return vector_move(buf, &fake_this->mmx[reg & 7], 8, 0);
}

int mmx_write_safe(unsigned reg, const void *buf)
{
	return vector_move(&fake_this->mmx[reg & 7], buf, 8, 0);
}

int xmm_read_safe(unsigned reg, void *buf)
{
	return vector_move(buf, vector(reg), 16, 0);
}

int xmm_write_safe(unsigned reg, const void *buf)
{
	return vector_move(vector(reg), buf, 16, 0);
}

int xmm_write_zero_safe(unsigned reg, const void *buf)
{
	int status = vector_move(vector(reg), buf, 16, XCR0_AVX);

	if (status == OK)
		memset(vector(reg) + 16, 0, FAKE_VECTOR_SIZE - 16);
	return status;
}

int ymm_read_safe(unsigned reg, void *buf)
{
	return vector_move(buf, vector(reg), 32, XCR0_AVX);
}

int ymm_write_safe(unsigned reg, const void *buf)
{
	int status = vector_move(vector(reg), buf, 32, XCR0_AVX);

	if (status == OK)
		memset(vector(reg) + 32, 0, FAKE_VECTOR_SIZE - 32);
	return status;
}

uint32_t mxcsr_read(void)
{
	return fake_this->mxcsr;
}

int mxcsr_write_safe(uint32_t value)
{
	if (value & ~MXCSR_DEFINED)
		return E_FAULT;
	fake_this->mxcsr = value;
	return OK;
}
