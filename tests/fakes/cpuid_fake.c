/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID tables: a Skylake-like client part with everything that guests must not see, and an
 * AMD-like one.
 */
#include "arch/x86/cpu/cpu.h"
#include "hv/lib/string.h"
#include "tests/fakes/fake.h"

#define LEAVES_MAX 48u

static struct fake_cpuid tables[FAKE_CPUS][LEAVES_MAX];

/*
 * A Skylake with AVX-512 and PKRU of its server sibling, SGX, MPX, TSX, PT and AMX bits set on
 * purpose.
 */
static const struct fake_cpuid skylake[] = {
	{0x0, 0, {0x16, 0x756e6547, 0x6c65746e, 0x49656e69}},
	{0x1, 0, {0x000506e3, 0x03100800, 0x7ffafbff, 0xbfebfbff}},
	{0x2, 0, {0x76036301, 0x00f0b5ff, 0, 0x00c30000}},
	{0x4, 0, {0x1c004121, 0x01c0003f, 0x3f, 0}},
	{0x4, 1, {0x1c004122, 0x01c0003f, 0x3f, 0}},
	{0x4, 2, {0x1c004143, 0x00c0003f, 0x3ff, 0}},
	{0x4, 3, {0x1c03c163, 0x03c0003f, 0x1fff, 6}},
	{0x5, 0, {0x40, 0x40, 3, 0x11142120}},
	{0x6, 0, {0x27f7, 2, 9, 0}},
	{0x7, 0, {0, 0xffffffff, 0xffffffff, 0xffffffff}},
	{0xa, 0, {0x07300404, 0, 0, 0x603}},
	{0xb, 0, {1, 2, 0x100, 3}},
	{0xb, 1, {4, 8, 0x201, 3}},
	{0xd, 0, {0x602ff, 0x240, 0x2b00, 0}},
	{0xd, 1, {0x1f, 0xa88, 0x100, 0}},
	{0xd, 2, {0x100, 0x240, 0, 0}},
	{0xd, 3, {0x40, 0x3c0, 0, 0}},
	{0xd, 4, {0x40, 0x400, 0, 0}},
	{0xd, 5, {0x40, 0x440, 0, 0}},
	{0xd, 6, {0x200, 0x480, 0, 0}},
	{0xd, 7, {0x400, 0x680, 0, 0}},
	{0xd, 8, {0x80, 0, 1, 0}},
	{0xd, 9, {0x8, 0xa80, 0, 0}},
	{0xd, 17, {0x40, 0xac0, 2, 0}},
	{0xd, 18, {0x2000, 0xb00, 6, 0}},
	{0x12, 0, {1, 0, 0, 0x241f}},
	{0x14, 0, {1, 0xf, 7, 0}},
	{0x15, 0, {2, 0x134, 0, 0}},
	{0x16, 0, {0xd48, 0x1068, 0x64, 0}},
	{0x80000000, 0, {0x80000008, 0, 0, 0}},
	{0x80000001, 0, {0, 0, 0x121, 0x2c100800}},
	{0x80000002, 0, {0x65746e49, 0x2952286c, 0x726f4320, 0x4d542865}},
	{0x80000003, 0, {0x37692029, 0x3037362d, 0x50432030, 0x20402055}},
	{0x80000004, 0, {0x30342e33, 0x007a4847, 0, 0}},
	{0x80000006, 0, {0, 0, 0x01006040, 0}},
	{0x80000007, 0, {0, 0, 0, 0x100}},
	{0x80000008, 0, {0x3027, 0, 0, 0}},
};
_Static_assert(ARRAY_SIZE(skylake) <= LEAVES_MAX, "room");

/*
 * A Zen 2 desktop part: no topology of Intel's kind in leaf 4, everything of SVM set. In the leaves
 * of features that are AMD's own every bit is set on purpose.
 */
static const struct fake_cpuid amd[] = {
	{0x0, 0, {0x10, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x1, 0, {0x00870f10, 0x03100800, 0x7ed8320b, 0x178bfbff}},
	{0x6, 0, {4, 0, 1, 0}},
	{0x7, 0, {0, 0x219c91a9, 0x00400004, 0}},
	{0xb, 0, {1, 2, 0x100, 3}},
	{0xb, 1, {4, 16, 0x201, 3}},
	{0xd, 0, {0x207, 0x340, 0x988, 0}},
	{0xd, 1, {0xf, 0x340, 0, 0}},
	{0xd, 2, {0x100, 0x240, 0, 0}},
	{0xd, 9, {0x8, 0x980, 0, 0}},
	{0x80000000, 0, {0x80000028, 0x68747541, 0x444d4163, 0x69746e65}},
	{0x80000001, 0, {0x00870f10, 0x20000000, 0xffffffff, 0x2fd3fbff}},
	{0x80000002, 0, {0x20444d41, 0x657a7952, 0x2037206e, 0x30303733}},
	{0x80000003, 0, {0x2d382058, 0x65726f43, 0x6f725020, 0x73736563}},
	{0x80000004, 0, {0x2020726f, 0x20202020, 0x20202020, 0x00202020}},
	{0x80000005, 0, {0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}},
	{0x80000006, 0, {0x48006400, 0x68006400, 0x02006140, 0x01009140}},
	{0x80000007, 0, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
	{0x80000008, 0, {0x3030, 0xffffffff, 0x700f, 0x00010000}},
	{0x8000000a, 0, {1, 0x8000, 0, 0x013bfcff}},
	{0x80000019, 0, {0xf040f040, 0, 0, 0}},
	{0x8000001a, 0, {6, 0, 0, 0}},
	{0x8000001b, 0, {0x3ff, 0, 0, 0}},
	{0x8000001d, 0, {0x4121, 0x01c0003f, 0x3f, 0}},
	{0x8000001d, 1, {0x4122, 0x01c0003f, 0x3f, 0}},
	{0x8000001d, 2, {0x4143, 0x01c0003f, 0x3ff, 2}},
	{0x8000001d, 3, {0x1c163, 0x03c0003f, 0x3fff, 1}},
	{0x8000001e, 0, {3, 0x101, 0x100, 0}},
	{0x8000001f, 0, {0x1000f, 0x16f, 0x1fd, 1}},
	{0x80000020, 0, {0, 2, 0, 0}},
	{0x80000021, 0, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
	{0x80000022, 0, {7, 6, 0, 0}},
};

static void use(const struct fake_cpuid *table, unsigned count)
{
	struct fake_cpuid *mine = tables[fake_cpu_index()];

	memset(mine, 0, sizeof(tables[0]));
	memcpy(mine, table, count * sizeof(*table));
	fake_this->cpuid = mine;
	fake_this->cpuid_count = count;
}

void fake_cpuid_skylake(void)
{
	use(skylake, ARRAY_SIZE(skylake));
}

void fake_cpuid_amd(void)
{
	use(amd, ARRAY_SIZE(amd));
}

static struct fake_cpuid *find(uint32_t leaf, uint32_t subleaf)
{
	struct fake_cpuid *mine = tables[fake_cpu_index()];

	for (unsigned i = 0; i < fake_this->cpuid_count; i++) {
		if (mine[i].leaf == leaf && mine[i].subleaf == subleaf)
			return &mine[i];
	}
	return NULL;
}

void fake_cpuid_set(uint32_t leaf, uint32_t subleaf, struct cpuid_regs r)
{
	struct fake_cpuid *row = find(leaf, subleaf);

	if (!row && fake_this->cpuid_count == LEAVES_MAX)
		fake_fail("no room for CPUID leaf 0x%x", leaf);
	if (!row)
		row = &tables[fake_cpu_index()][fake_this->cpuid_count++];
	*row = (struct fake_cpuid){leaf, subleaf, r};
}

static bool has_subleaves(uint32_t leaf)
{
	return leaf == 4 || leaf == 7 || leaf == 0xb || leaf == 0xd || leaf == 0x12 ||
	       leaf == 0x14 || leaf == 0x8000001d;
}

struct cpuid_regs fake_cpuid_host(void *ctx, uint32_t leaf, uint32_t subleaf)
{
	uint32_t max = find(0, 0)->r.eax, max_ext = find(0x80000000, 0)->r.eax;
	bool intel = find(0, 0)->r.ecx == 0x6c65746e, basic = leaf < 0x40000000;
	const struct fake_cpuid *row;

	(void)ctx;
	/* Beyond the end Intel answers as for the highest basic leaf, AMD with zeroes. */
	if (basic ? leaf > max : leaf < 0x80000000 || leaf > max_ext) {
		if (!intel)
			return (struct cpuid_regs){0};
		leaf = max;
	}
	row = find(leaf, has_subleaves(leaf) ? subleaf : 0);
	return row ? row->r : (struct cpuid_regs){0};
}

struct cpuid_regs cpu_cpuid(uint32_t leaf, uint32_t subleaf)
{
	const struct fake_cpuid *top = find(leaf & 0x80000000, 0);

	if (!top || leaf > top->r.eax)
		return (struct cpuid_regs){0};
	return cpuid(leaf, subleaf);
}
