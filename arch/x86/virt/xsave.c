/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/virt/xsave.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "hv/lib/string.h"

/* SDM vol. 1, "XSAVE Area": legacy region, header, and AVX state first in both formats. */
#define XSTATE_BV_OFFSET 512
#define XCOMP_BV_OFFSET  520
#define RESERVED_OFFSET  528
#define YMM_OFFSET       576
#define YMM_SIZE         256
#define AREA_SIZE        (YMM_OFFSET + YMM_SIZE)

#define XCOMP_COMPACTED BIT(63)
#define COMPONENTS      (XCR0_X87 | XCR0_SSE | XCR0_AVX)

static void quad_set(uint8_t *area, unsigned offset, uint64_t value)
{
	memcpy(area + offset, &value, sizeof(value));
}

static uint64_t quad(const uint8_t *area, unsigned offset)
{
	uint64_t value;

	memcpy(&value, area + offset, sizeof(value));
	return value;
}

static bool header_is_right(const uint8_t *area)
{
	for (unsigned at = RESERVED_OFFSET; at < YMM_OFFSET; at += 8) {
		if (quad(area, at))
			return false;
	}
	return quad(area, XCOMP_BV_OFFSET) == (XCOMP_COMPACTED | COMPONENTS) &&
	       (quad(area, XSTATE_BV_OFFSET) & XCR0_AVX);
}

/* YMM registers from `area`, or into their initial state. */
static bool load(uint8_t *area, bool init)
{
	quad_set(area, XSTATE_BV_OFFSET, init ? 0 : XCR0_AVX);
	return xrstor_safe(area, XCR0_AVX) == OK;
}

static bool round_trip(void)
{
	uint8_t plain[AREA_SIZE] ALIGNED(64), compact[AREA_SIZE] ALIGNED(64);
	uint8_t want[YMM_SIZE];

	memset(plain, 0, sizeof(plain));
	memset(compact, 0, sizeof(compact));
	quad_set(plain, 24, 0x1f80); /* MXCSR */
	for (unsigned i = 0; i < YMM_SIZE; i++)
		want[i] = (uint8_t)(i * 7 + 1);
	memcpy(plain + YMM_OFFSET, want, YMM_SIZE);
	if (!load(plain, false) || xsavec_safe(compact, COMPONENTS) != OK)
		return false;
	if (!header_is_right(compact) || memcmp(compact + YMM_OFFSET, want, YMM_SIZE))
		return false;
	if (!load(plain, true) || xrstor_safe(compact, COMPONENTS) != OK)
		return false;
	memset(plain, 0, sizeof(plain));
	xsave(plain, COMPONENTS);
	return !memcmp(plain + YMM_OFFSET, want, YMM_SIZE) && load(plain, true);
}

bool xsave_compact_works(void)
{
	uint64_t xcr0;
	bool works;

	if (!(read_cr4() & CR4_OSXSAVE) ||
		!(cpu_cpuid(CPUID_LEAF_XSAVE, 1).eax & CPUID_D_1_EAX_XSAVEC))
		return false;
	xcr0 = xgetbv(0);
	if (xsetbv_safe(0, COMPONENTS) != OK)
		return false;
	works = round_trip();
	(void)!xsetbv_safe(0, xcr0);
	return works;
}
