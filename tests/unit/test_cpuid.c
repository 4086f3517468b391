/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID of a guest: what is hidden, what is forced, sizes and topology, on an Intel-like host.
 * What only AMD has: test_cpuid_amd.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/cpuid.h"
#include "tests/fakes/fake.h"

FAKE_FAIL_IN_CMOCKA()

static struct cpuid_table t;
static struct cpuid_params p;

static void build(void)
{
	memset(&t, 0xa5, sizeof(t)); /* nothing may depend on what was there */
	cpuid_table_build(&t, &p);
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	fake_reset();
	p = (struct cpuid_params){.host = fake_cpuid_host,
		.apic_id = 0,
		.vcpu_count = 1,
		.tsc_hz = FAKE_TSC_HZ,
		.rdtscp = true,
		.invpcid = true,
		.xsavec = true,
		.xsaves = true,
		.host_cr4 = 0x3767ff & ~(CR4_VMXE | CR4_SMXE)};
	build();
	return 0;
}

static const struct cpuid_regs *leaf(uint32_t number, uint32_t subleaf)
{
	return cpuid_table_find(&t, number, subleaf);
}

static void assert_regs(const struct cpuid_regs *r, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	assert_int_equal(r->eax, a);
	assert_int_equal(r->ebx, b);
	assert_int_equal(r->ecx, c);
	assert_int_equal(r->edx, d);
}

/* ---- Features ---- */

static void hidden(void **state)
{
	(void)state;
	assert_int_equal(
		leaf(1, 0)->ecx &
			(CPUID_1_ECX_VMX | CPUID_1_ECX_SMX | CPUID_1_ECX_MONITOR |
				CPUID_1_ECX_PDCM | CPUID_1_ECX_EIST | CPUID_1_ECX_TM2 |
				CPUID_1_ECX_DTES64 | CPUID_1_ECX_DS_CPL | CPUID_1_ECX_SDBG |
				CPUID_1_ECX_XTPR | CPUID_1_ECX_DCA | 1u << 16),
		0);
	assert_int_equal(leaf(1, 0)->edx & (CPUID_1_EDX_DS | CPUID_1_EDX_ACPI | CPUID_1_EDX_TM |
						   CPUID_1_EDX_PBE | CPUID_1_EDX_PSN | 1u << 10 |
						   1u << 20 | 1u << 30),
		0);
	/* The host sets every bit of leaf 7. */
	assert_int_equal(
		leaf(7, 0)->ebx & (CPUID_7_EBX_SGX | CPUID_7_EBX_HLE | CPUID_7_EBX_RTM |
					  CPUID_7_EBX_MPX | CPUID_7_EBX_PT | CPUID_7_EBX_PQM |
					  CPUID_7_EBX_PQE | 1u << 26 | 1u << 27),
		0);
	assert_int_equal(
		leaf(7, 0)->ecx &
			(CPUID_7_ECX_WAITPKG | CPUID_7_ECX_CET_SS | CPUID_7_ECX_TME |
				CPUID_7_ECX_KL | CPUID_7_ECX_BUS_LOCK | CPUID_7_ECX_ENQCMD |
				1u << 30 | 1u << 25 | 1u << 27 | 1u << 28 | 0x1fu << 17),
		0);
	assert_int_equal(leaf(7, 0)->edx & ~(1u << 4 | CPUID_7_EDX_MD_CLEAR), 0);
	assert_int_equal(leaf(7, 0)->eax, 0); /* no further subleaves ... */
	assert_regs(leaf(7, 1), 0, 0, 0, 0);
	assert_int_equal(leaf(0xd, 1)->eax & CPUID_D_1_EAX_XFD, 0);
	assert_int_equal(leaf(0xd, 1)->ecx | leaf(0xd, 1)->edx, 0);
	assert_int_equal(leaf(6, 0)->eax, 1u << 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_regs(leaf(5, i), 0, 0, 0, 0);   /* MONITOR */
		assert_regs(leaf(0xa, i), 0, 0, 0, 0); /* performance counters */
		assert_regs(leaf(0xf, i), 0, 0, 0, 0); /* RDT */
		assert_regs(leaf(0x10, i), 0, 0, 0, 0);
		assert_regs(leaf(0x12, i), 0, 0, 0, 0); /* SGX */
		assert_regs(leaf(0x14, i), 0, 0, 0, 0); /* PT */
	}
}

static void shown(void **state)
{
	(void)state;
	assert_int_equal(leaf(1, 0)->eax, 0x000506e3);
	assert_int_equal(leaf(1, 0)->ecx & ~CPUID_1_ECX_OSXSAVE,
		CPUID_1_ECX_SSE3 | CPUID_1_ECX_PCLMULQDQ | CPUID_1_ECX_SSSE3 | CPUID_1_ECX_FMA |
			CPUID_1_ECX_CMPXCHG16B | CPUID_1_ECX_PCID | CPUID_1_ECX_SSE4_1 |
			CPUID_1_ECX_SSE4_2 | CPUID_1_ECX_X2APIC | CPUID_1_ECX_MOVBE |
			CPUID_1_ECX_POPCNT | CPUID_1_ECX_TSC_DEADLINE | CPUID_1_ECX_AES |
			CPUID_1_ECX_XSAVE | CPUID_1_ECX_AVX | CPUID_1_ECX_F16C |
			CPUID_1_ECX_RDRAND | CPUID_1_ECX_HYPERVISOR);
	assert_int_equal(leaf(1, 0)->edx & (CPUID_1_EDX_APIC | CPUID_1_EDX_MCE | CPUID_1_EDX_MTRR |
						   CPUID_1_EDX_PAT | CPUID_1_EDX_SSE2),
		CPUID_1_EDX_APIC | CPUID_1_EDX_MCE | CPUID_1_EDX_MTRR | CPUID_1_EDX_PAT |
			CPUID_1_EDX_SSE2);
	assert_true(leaf(7, 0)->ebx & CPUID_7_EBX_FSGSBASE);
	assert_true(leaf(7, 0)->ebx & CPUID_7_EBX_AVX512F);
	assert_true(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_LM);
	assert_true(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_PAGE1GB);
	assert_int_equal(leaf(0x80000007, 0)->edx, CPUID_EXT7_EDX_INVARIANT_TSC);
	assert_int_equal(leaf(0x80000008, 0)->eax, 0x3027);
	assert_int_equal(t.phys_bits, 39);
	/* Brand string and cache descriptors are the host's. */
	for (uint32_t i = 0x80000002; i <= 0x80000004; i++) {
		struct cpuid_regs r = fake_cpuid_host(NULL, i, 0);

		assert_memory_equal(leaf(i, 0), &r, sizeof(r));
	}
	assert_int_equal(leaf(2, 0)->eax, 0x76036301);
}

/* Forced whatever the host says: they are ours. */
static void forced(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 1, 0);

	(void)state;
	r.ecx &= ~(CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE);
	r.edx &= ~CPUID_1_EDX_APIC;
	fake_cpuid_set(1, 0, r);
	r = fake_cpuid_host(NULL, 7, 0);
	r.ebx &= ~CPUID_7_EBX_TSC_ADJUST;
	fake_cpuid_set(7, 0, r);
	build();
	assert_int_equal(leaf(1, 0)->ecx & (CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE |
						   CPUID_1_ECX_HYPERVISOR),
		CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE | CPUID_1_ECX_HYPERVISOR);
	assert_true(leaf(1, 0)->edx & CPUID_1_EDX_APIC);
	assert_true(leaf(7, 0)->ebx & CPUID_7_EBX_TSC_ADJUST);
}

static void vendor_extension_limits(void **state)
{
	(void)state;
	assert_true(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_RDTSCP);
	assert_true(leaf(7, 0)->ecx & CPUID_7_ECX_RDPID);
	assert_true(leaf(7, 0)->ebx & CPUID_7_EBX_INVPCID);
	p.rdtscp = p.invpcid = false;
	build();
	assert_false(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_RDTSCP);
	assert_false(leaf(7, 0)->ecx & CPUID_7_ECX_RDPID);
	assert_false(leaf(7, 0)->ebx & CPUID_7_EBX_INVPCID);
}

/* ---- Leaves that do not exist ---- */

static void beyond_the_end_on_intel(void **state)
{
	static const uint32_t beyond[] = {0x17, 0x1f, 0x20, 0x3fffffff, 0x50000000, 0x7fffffff,
		0x80000009, 0x8000001f, 0x80000020, 0xc0000000, 0xffffffff};

	(void)state;
	assert_int_equal(leaf(0, 0)->eax, 0x16);
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x80000008);
	for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++)
		assert_memory_equal(leaf(beyond[i], 0), leaf(0x16, 0), sizeof(struct cpuid_regs));
}

static void beyond_the_end_on_amd(void **state)
{
	static const uint32_t beyond[] = {
		0xe, 0x16, 0x1f, 0x20, 0x7fffffff, 0x80000020, 0xffffffff};

	(void)state;
	fake_cpuid_amd();
	build();
	for (unsigned i = 0; i < ARRAY_SIZE(beyond); i++)
		assert_regs(leaf(beyond[i], 0), 0, 0, 0, 0);
}

/* Whatever EAX and ECX hold: something inside the table comes back. */
static void every_leaf_is_bounded(void **state)
{
	const char *start = (const char *)&t, *end = start + sizeof(t);

	(void)state;
	for (uint32_t block = 0; block < 16; block++) {
		for (uint32_t i = 0; i < 0x200; i++) {
			for (uint32_t sub = 0; sub < 80; sub += i < 0x20 ? 1 : 40) {
				const struct cpuid_regs *r = leaf(block << 28 | i, sub);
				bool inside = (const char *)r >= start && (const char *)r < end;

				assert_true(inside || (r->eax | r->ebx | r->ecx | r->edx) == 0);
			}
		}
	}
	assert_regs(leaf(4, 0xffffffff), 0, 0, 0, 0);
	assert_regs(leaf(0xd, 0xffffffff), 0, 0, 0, 0);
}

/* An old CPU: leaf 7 and XSAVE do not exist, the rate is told all the same. */
static void few_leaves(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 0, 0);

	(void)state;
	r.eax = 5;
	fake_cpuid_set(0, 0, r);
	r = fake_cpuid_host(NULL, 1, 0);
	r.ecx &= ~(CPUID_1_ECX_XSAVE | CPUID_1_ECX_AVX);
	fake_cpuid_set(1, 0, r);
	build();
	assert_int_equal(leaf(7, 0)->ebx, CPUID_7_EBX_TSC_ADJUST);
	assert_int_equal(leaf(1, 0)->ecx & CPUID_1_ECX_XSAVE, 0);
	assert_regs(leaf(0xd, 0), 0, 0, 0, 0);
	assert_int_equal(t.xcr0_allowed, 0);
	assert_int_equal(t.cr4_allowed & CR4_OSXSAVE, 0);
	assert_int_equal(leaf(0x15, 0)->eax, 1);
}

/* ---- Extended state, sizes computed by hand from the preset's leaf Dh ---- */

static void xsave_sizes(void **state)
{
	static const struct {
		uint64_t xcr0;
		uint32_t standard, compacted;
	} rows[] = {
		{XCR0_X87, 576, 576},
		{XCR0_X87 | XCR0_SSE, 576, 576},
		{XCR0_X87 | XCR0_SSE | XCR0_AVX, 0x240 + 0x100, 576 + 0x100},
		{0xe7, 0x680 + 0x400, 576 + 0x100 + 0x40 + 0x200 + 0x400},
		{0x2e7, 0xa80 + 8, 576 + 0x100 + 0x40 + 0x200 + 0x400 + 8},
		{0x207, 0xa80 + 8, 576 + 0x100 + 8},
		{0x203, 0xa80 + 8, 576 + 8},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		cpuid_table_update(&t, 0, rows[i].xcr0, true);
		assert_int_equal(leaf(0xd, 0)->ebx, rows[i].standard);
		assert_int_equal(leaf(0xd, 1)->ebx, rows[i].compacted);
	}
	assert_int_equal(t.xcr0_allowed, 0x2e7);
	assert_regs(leaf(0xd, 0), 0x2e7, 0xa88, 0xa88, 0);
	assert_int_equal(leaf(0xd, 1)->eax, CPUID_D_1_EAX_XSAVEOPT | CPUID_D_1_EAX_XSAVEC |
						    CPUID_D_1_EAX_XGETBV1 | CPUID_D_1_EAX_XSAVES);
	assert_regs(leaf(0xd, 2), 0x100, 0x240, 0, 0);
	assert_regs(leaf(0xd, 9), 8, 0xa80, 0, 0);
	for (uint32_t i = 3; i <= 4; i++) /* MPX */
		assert_regs(leaf(0xd, i), 0, 0, 0, 0);
	assert_regs(leaf(0xd, 8), 0, 0, 0, 0); /* PT: a supervisor component */
	for (uint32_t i = 10; i < 64; i++)     /* among them AMX */
		assert_regs(leaf(0xd, i), 0, 0, 0, 0);
}

/* Components may ask for alignment; the machine may have XSAVEC and XSAVES, or not. */
static void compacted_form(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 0xd, 9);

	(void)state;
	r.ecx = 7;
	fake_cpuid_set(0xd, 9, r);
	r = fake_cpuid_host(NULL, 0xd, 5);
	r.eax = 0x48;
	fake_cpuid_set(0xd, 5, r);
	build();
	assert_int_equal(leaf(0xd, 9)->ecx, 2); /* aligned; no supervisor state, no XFD */
	cpuid_table_update(&t, 0, 0x2e7, true);
	assert_int_equal(leaf(0xd, 1)->ebx, 576 + 0x100 + 0x48 + 0x200 + 0x400 + 0x38 + 8);
	assert_true(t.has_xsaves);
	p.xsaves = false; /* VT-x without the control */
	build();
	assert_int_equal(leaf(0xd, 1)->eax & (CPUID_D_1_EAX_XSAVEC | CPUID_D_1_EAX_XSAVES),
		CPUID_D_1_EAX_XSAVEC);
	assert_false(t.has_xsaves);
	p.xsaves = true;
	p.xsavec = false; /* it does not do what it should */
	build();
	assert_int_equal(leaf(0xd, 1)->eax, CPUID_D_1_EAX_XSAVEOPT | CPUID_D_1_EAX_XGETBV1);
	assert_int_equal(leaf(0xd, 1)->ebx, 0);
	assert_false(t.has_xsaves);
}

static void dynamic_bits(void **state)
{
	(void)state;
	assert_false(leaf(1, 0)->ecx & CPUID_1_ECX_OSXSAVE);
	assert_false(leaf(7, 0)->ecx & CPUID_7_ECX_OSPKE);
	cpuid_table_update(&t, CR4_OSXSAVE, 1, false);
	assert_true(leaf(1, 0)->ecx & CPUID_1_ECX_OSXSAVE);
	assert_false(leaf(7, 0)->ecx & CPUID_7_ECX_OSPKE);
	assert_false(leaf(1, 0)->edx & CPUID_1_EDX_APIC);
	cpuid_table_update(&t, CR4_PKE, 1, true);
	assert_false(leaf(1, 0)->ecx & CPUID_1_ECX_OSXSAVE);
	assert_true(leaf(7, 0)->ecx & CPUID_7_ECX_OSPKE);
	assert_true(leaf(1, 0)->edx & CPUID_1_EDX_APIC);
}

/* ---- Topology: one thread per core, all in one package ---- */

static void topology(void **state)
{
	static const struct {
		uint32_t count, bits;
	} rows[] = {{1, 0}, {2, 1}, {3, 2}, {8, 3}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t ids = 1u << rows[i].bits;

		p.vcpu_count = rows[i].count;
		p.apic_id = rows[i].count - 1;
		build();
		assert_int_equal(leaf(1, 0)->ebx >> 24, p.apic_id);
		assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, ids);
		assert_int_equal(leaf(1, 0)->ebx & 0xffff, 0x0800); /* CLFLUSH line */
		assert_int_equal(!!(leaf(1, 0)->edx & CPUID_1_EDX_HTT), rows[i].count > 1);
		assert_regs(leaf(0xb, 0), 0, 1, 0x100, p.apic_id);
		assert_regs(leaf(0xb, 1), rows[i].bits, rows[i].count, 0x201, p.apic_id);
		assert_regs(leaf(0xb, 2), 0, 0, 2, p.apic_id);
		/* Any level beyond: type 0 and the APIC ID. */
		assert_int_equal(leaf(0xb, 77)->ecx & 0xff00, 0);
		assert_int_equal(leaf(0xb, 77)->edx, p.apic_id);
		/*
		 * Caches: the first two levels private, the third shared by all; cores per package.
		 */
		for (uint32_t c = 0; c < 4; c++) {
			const struct cpuid_regs *r = leaf(4, c);

			assert_int_equal(r->eax >> 14 & 0xfff, c < 3 ? 0 : ids - 1);
			assert_int_equal(r->eax >> 26, ids - 1);
			assert_int_equal(r->ebx, fake_cpuid_host(NULL, 4, c).ebx);
			assert_int_equal(r->ecx, fake_cpuid_host(NULL, 4, c).ecx);
		}
		assert_regs(leaf(4, 4), 0, 0, 0, 0);
	}
}

/* ---- Time and the hypervisor's own leaves ---- */

static void tsc_rate(void **state)
{
	const struct cpuid_regs *r = leaf(0x15, 0);

	(void)state;
	assert_int_equal((uint64_t)r->ecx * r->ebx / r->eax, FAKE_TSC_HZ);
	assert_int_equal(leaf(0x16, 0)->eax, 2000);
	p.tsc_hz = 5000000000; /* the crystal's rate has 32 bits */
	build();
	r = leaf(0x15, 0);
	assert_int_equal((uint64_t)r->ecx * r->ebx / r->eax, 5000000000);
	/* The crystal is also the LAPIC timer's clock. */
	assert_int_equal(r->ecx, 5000000000 >> cpuid_timer_shift(5000000000));
	assert_int_equal(cpuid_timer_shift(UINT32_MAX), 0);
	assert_int_equal(cpuid_timer_shift(1ull << 32), 1);
}

static void hypervisor_leaves(void **state)
{
	char text[13] = "";

	(void)state;
	memcpy(text, &leaf(0x40000000, 0)->ebx, 12);
	assert_memory_equal(text, "KVMKVMKVM\0\0\0", 12);
	assert_int_equal(leaf(0x40000000, 0)->eax, 0x40000001);
	assert_regs(leaf(0x40000001, 0), 0, 0, 0, 0); /* no paravirtual feature */
	assert_regs(leaf(0x40000002, 0), 0, 0, 0, 0);
	assert_regs(leaf(0x4fffffff, 0), 0, 0, 0, 0);
	memcpy(text, &leaf(0x40000100, 0)->ebx, 12);
	assert_string_equal(text, "BulkheadBulk");
	assert_int_equal(leaf(0x40000100, 0)->eax, 0x40000100);
}

/* ---- What the control registers may hold ---- */

static void allowed_cr4(void **state)
{
	(void)state;
	assert_int_equal(t.cr4_allowed & (CR4_VMXE | CR4_SMXE | CR4_LA57 | CR4_PKE), 0);
	assert_int_equal(t.cr4_allowed, CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE |
						CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
						CR4_OSXMMEXCPT | CR4_FSGSBASE | CR4_PCIDE |
						CR4_OSXSAVE | CR4_SMEP | CR4_SMAP);
	/* What the host's CR4 cannot hold is not offered. */
	assert_false(leaf(7, 0)->ecx & (CPUID_7_ECX_LA57 | CPUID_7_ECX_PKS));
	p.host_cr4 = UINT64_MAX;
	build();
	/* Even then only what CPUID shows. */
	assert_int_equal(t.cr4_allowed & (CR4_VMXE | CR4_SMXE | CR4_KL | CR4_CET | CR4_UINTR), 0);
	assert_int_equal(t.cr4_allowed & (CR4_UMIP | CR4_PKE | CR4_LA57 | CR4_PKS),
		CR4_UMIP | CR4_PKE | CR4_LA57 | CR4_PKS);
}

static void cr4_follows_features(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 7, 0);

	(void)state;
	r.ebx &= ~(CPUID_7_EBX_SMEP | CPUID_7_EBX_SMAP | CPUID_7_EBX_FSGSBASE);
	fake_cpuid_set(7, 0, r);
	build();
	assert_int_equal(t.cr4_allowed & (CR4_SMEP | CR4_SMAP | CR4_FSGSBASE), 0);
}

static void allowed_efer(void **state)
{
	struct cpuid_regs r;

	(void)state;
	assert_int_equal(t.efer_allowed, EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE);
	r = fake_cpuid_host(NULL, 0x80000001, 0);
	r.edx &= ~CPUID_EXT1_EDX_NX;
	fake_cpuid_set(0x80000001, 0, r);
	build();
	assert_int_equal(t.efer_allowed, EFER_SCE | EFER_LME | EFER_LMA);
	fake_cpuid_amd();
	build();
	assert_int_equal(t.efer_allowed & (EFER_SVME | EFER_LMSLE), 0);
	assert_int_equal(t.efer_allowed & (EFER_SCE | EFER_NXE), EFER_SCE | EFER_NXE);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hidden),
		TEST(shown),
		TEST(forced),
		TEST(vendor_extension_limits),
		TEST(beyond_the_end_on_intel),
		TEST(beyond_the_end_on_amd),
		TEST(every_leaf_is_bounded),
		TEST(few_leaves),
		TEST(xsave_sizes),
		TEST(compacted_form),
		TEST(dynamic_bits),
		TEST(topology),
		TEST(tsc_rate),
		TEST(hypervisor_leaves),
		TEST(allowed_cr4),
		TEST(cr4_follows_features),
		TEST(allowed_efer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
