/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPUID of a guest on an AMD-like host whose own feature leaves have every bit set: one
 * coherent picture, nothing that is not named here.
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
	memset(&t, 0xa5, sizeof(t));
	cpuid_table_build(&t, &p);
}

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	fake_reset();
	fake_cpuid_amd();
	p = (struct cpuid_params){.host = fake_cpuid_host,
		.vcpu_count = 1,
		.tsc_hz = FAKE_TSC_HZ,
		.rdtscp = true,
		.invpcid = true,
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

static void change(uint32_t number, uint32_t clear_ecx, uint32_t clear_edx)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, number, 0);

	r.ecx &= ~clear_ecx;
	r.edx &= ~clear_edx;
	fake_cpuid_set(number, 0, r);
	build();
}

static void vendors(void **state)
{
	struct cpuid_regs hygon = {0xd, CPUID_VENDOR_HYGON_EBX, CPUID_VENDOR_HYGON_ECX, 0x6e65476e};

	(void)state;
	assert_int_equal(t.vendor, CPUID_VENDOR_AMD);
	assert_int_equal(leaf(0, 0)->ecx, CPUID_VENDOR_AMD_ECX);
	assert_memory_equal(&leaf(0x80000000, 0)->ebx, &leaf(0, 0)->ebx, 12);
	fake_cpuid_set(0, 0, hygon);
	build();
	assert_int_equal(t.vendor, CPUID_VENDOR_AMD);
	assert_true(leaf(0x80000001, 0)->ecx & CPUID_EXT1_ECX_TOPOEXT);
	hygon.ebx = 0x746e6543; /* somebody else */
	fake_cpuid_set(0, 0, hygon);
	build();
	assert_int_equal(t.vendor, CPUID_VENDOR_OTHER);
	assert_false(leaf(0x80000001, 0)->ecx & CPUID_EXT1_ECX_TOPOEXT);
	fake_cpuid_skylake();
	build();
	assert_int_equal(t.vendor, CPUID_VENDOR_INTEL);
}

/* The host sets every bit of 8000_0001h ECX: exactly these come through. */
static void extended_features(void **state)
{
	const uint32_t edx = CPUID_1_EDX_FPU | CPUID_1_EDX_PAE | CPUID_1_EDX_MTRR |
			     CPUID_1_EDX_APIC;

	(void)state;
	assert_int_equal(leaf(0x80000001, 0)->eax, leaf(1, 0)->eax);
	/* LAHF, CR8, ABM, SSE4A, misaligned SSE, PREFETCHW, XOP, FMA4, TCE, TBM, TOPOEXT */
	assert_int_equal(leaf(0x80000001, 0)->ecx,
		CPUID_EXT1_ECX_LAHF | CPUID_EXT1_ECX_CR8_LEGACY | 0x1e0 | 1u << 11 | 1u << 16 |
			CPUID_EXT1_ECX_TCE | 1u << 21 | CPUID_EXT1_ECX_TOPOEXT);
	assert_int_equal(leaf(0x80000001, 0)->edx & edx, edx);
	assert_int_equal(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_ALIASES,
		leaf(1, 0)->edx & CPUID_EXT1_EDX_ALIASES);
	assert_int_equal(leaf(0x80000001, 0)->edx & ~CPUID_EXT1_EDX_ALIASES,
		CPUID_EXT1_EDX_SYSCALL | CPUID_EXT1_EDX_NX | 1u << 22 | CPUID_EXT1_EDX_FFXSR |
			CPUID_EXT1_EDX_PAGE1GB | CPUID_EXT1_EDX_RDTSCP | CPUID_EXT1_EDX_LM);
	p.rdtscp = false;
	build();
	assert_false(leaf(0x80000001, 0)->edx & CPUID_EXT1_EDX_RDTSCP);
}

/* Both leaves show the same APIC bit at any time. */
static void aliases_follow(void **state)
{
	(void)state;
	cpuid_table_update(&t, 0, 1, false);
	assert_false(leaf(1, 0)->edx & CPUID_1_EDX_APIC);
	assert_false(leaf(0x80000001, 0)->edx & CPUID_1_EDX_APIC);
	cpuid_table_update(&t, 0, 1, true);
	assert_true(leaf(0x80000001, 0)->edx & CPUID_1_EDX_APIC);
	fake_cpuid_skylake(); /* where the bit is reserved */
	build();
	assert_false(leaf(0x80000001, 0)->edx & CPUID_1_EDX_APIC);
}

static void common_leaves(void **state)
{
	(void)state;
	assert_int_equal(leaf(1, 0)->ecx & (CPUID_1_ECX_MONITOR | CPUID_1_ECX_HYPERVISOR |
						   CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE),
		CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE);
	assert_regs(leaf(4, 0), 0, 0, 0, 0);
	assert_regs(leaf(5, 0), 0, 0, 0, 0);
	assert_regs(leaf(6, 0), 4, 0, 0, 0); /* ARAT, no APERF */
	/* Leaf 7 of this host, without RDT and with TSC_ADJUST; ecx: UMIP and RDPID. */
	assert_regs(leaf(7, 0), 0,
		(0x219c91a9 & ~(CPUID_7_EBX_PQM | CPUID_7_EBX_PQE)) | CPUID_7_EBX_TSC_ADJUST,
		0x00400004, 0);
	assert_regs(leaf(0xd, 0), 0x207, 576, 0x988, 0);
	assert_regs(leaf(0xd, 9), 8, 0x980, 0, 0);
	/* No frequency leaves: they would be Intel's. */
	assert_int_equal(leaf(0, 0)->eax, 0xd);
	assert_regs(leaf(0x15, 0), 0, 0, 0, 0);
}

static void power_and_size(void **state)
{
	(void)state;
	assert_regs(leaf(0x80000007, 0), 0, 0, 0, CPUID_EXT7_EDX_INVARIANT_TSC);
	assert_regs(leaf(0x80000008, 0), 0x3030,
		CPUID_EXT8_EBX_CLZERO | CPUID_EXT8_EBX_XSAVEERPTR | CPUID_EXT8_EBX_WBNOINVD |
			CPUID_EXT8_EBX_NO_LMSLE | CPUID_EXT8_EBX_SSB_NO | CPUID_EXT8_EBX_BTC_NO,
		0, 0);
	assert_int_equal(t.phys_bits, 48);
	/* It is all of a guest's clocks, whatever the machine's own say. */
	change(0x80000007, 0, CPUID_EXT7_EDX_INVARIANT_TSC);
	assert_int_equal(leaf(0x80000007, 0)->edx, CPUID_EXT7_EDX_INVARIANT_TSC);
	/* What the CPU has not got is not invented, but for the one that says "without". */
	fake_cpuid_set(0x80000008, 0, (struct cpuid_regs){0x3028, 0, 0, 0});
	build();
	assert_regs(leaf(0x80000008, 0), 0x3028, CPUID_EXT8_EBX_NO_LMSLE, 0, 0);
}

/* SVM, IBS, LWP, encryption, QoS, performance counters: nothing. */
static void hidden_leaves(void **state)
{
	static const uint32_t hidden[] = {0x80000009, CPUID_LEAF_AMD_SVM, 0x8000000b, 0x80000018,
		0x8000001b, 0x8000001c, 0x8000001f, 0x80000020, 0x80000022, 0x80000026, 0x80000028};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
		assert_regs(leaf(hidden[i], 0), 0, 0, 0, 0);
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x80000021);
	assert_int_equal(leaf(0x80000019, 0)->eax, 0xf040f040);
	assert_regs(leaf(0x8000001a, 0), 6, 0, 0, 0);
	assert_regs(leaf(0x80000021, 0),
		1u << 0 | 1u << 1 | 1u << 2 | 1u << 5 | 1u << 6 | 1u << 10 | 1u << 11 | 1u << 29 |
			1u << 30,
		0, 0, 0);
}

static void topology(void **state)
{
	static const struct {
		uint32_t count, bits;
	} rows[] = {{1, 0}, {2, 1}, {3, 2}, {8, 3}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t count = rows[i].count;

		p.vcpu_count = count;
		p.apic_id = count - 1;
		build();
		assert_int_equal(leaf(1, 0)->ebx, p.apic_id << 24 | count << 16 | 0x800);
		assert_int_equal(!!(leaf(1, 0)->edx & CPUID_1_EDX_HTT), count > 1);
		assert_int_equal(
			!!(leaf(0x80000001, 0)->ecx & CPUID_EXT1_ECX_CMP_LEGACY), count > 1);
		assert_int_equal(leaf(0x80000008, 0)->ecx, rows[i].bits << 12 | (count - 1));
		assert_regs(leaf(0xb, 0), 0, 1, 0x100, p.apic_id);
		assert_regs(leaf(0xb, 1), rows[i].bits, count, 0x201, p.apic_id);
		assert_regs(leaf(0x8000001e, 0), p.apic_id, p.apic_id, 0, 0);
		for (uint32_t c = 0; c < 4; c++) {
			struct cpuid_regs host = fake_cpuid_host(NULL, 0x8000001d, c);

			assert_int_equal(leaf(0x8000001d, c)->eax >> 14, c < 3 ? 0 : count - 1);
			assert_int_equal(leaf(0x8000001d, c)->eax & 0x3fff, host.eax & 0x3fff);
			assert_memory_equal(&leaf(0x8000001d, c)->ebx, &host.ebx, 12);
		}
		assert_regs(leaf(0x8000001d, 4), 0, 0, 0, 0);
		assert_regs(leaf(0x8000001d, UINT32_MAX), 0, 0, 0, 0);
	}
}

/* An older CPU: the leaves that it has not got are not there, and no bit speaks of them. */
static void without_topoext(void **state)
{
	struct cpuid_regs top = fake_cpuid_host(NULL, 0x80000000, 0);

	(void)state;
	change(0x80000001, CPUID_EXT1_ECX_TOPOEXT, 0);
	assert_false(leaf(0x80000001, 0)->ecx & CPUID_EXT1_ECX_TOPOEXT);
	assert_regs(leaf(0x8000001d, 0), 0, 0, 0, 0);
	assert_regs(leaf(0x8000001e, 0), 0, 0, 0, 0);
	fake_cpuid_amd();
	top.eax = 0x8000001a;
	fake_cpuid_set(0x80000000, 0, top);
	build();
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x8000001a);
	assert_false(leaf(0x80000001, 0)->ecx & CPUID_EXT1_ECX_TOPOEXT);
	assert_regs(leaf(0x8000001e, 0), 0, 0, 0, 0);
	assert_regs(leaf(0x80000021, 0), 0, 0, 0, 0);
}

/* x2APIC and TSC_ADJUST are ours: a CPU of before gets the leaves that go with them. */
static void few_leaves(void **state)
{
	struct cpuid_regs r = fake_cpuid_host(NULL, 0, 0);

	(void)state;
	r.eax = 6;
	fake_cpuid_set(0, 0, r);
	change(1, CPUID_1_ECX_XSAVE | CPUID_1_ECX_AVX, 0);
	assert_int_equal(leaf(0, 0)->eax, 0xb);
	assert_regs(leaf(7, 0), 0, CPUID_7_EBX_TSC_ADJUST, 0, 0);
	assert_regs(leaf(0xb, 0), 0, 1, 0x100, 0);
	assert_regs(leaf(0xd, 0), 0, 0, 0, 0);
	assert_int_equal(t.xcr0_allowed, 0);
}

static void allowed_efer(void **state)
{
	const uint64_t base = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

	(void)state;
	assert_int_equal(t.efer_allowed, base | EFER_FFXSR | EFER_TCE);
	change(0x80000001, CPUID_EXT1_ECX_TCE, 0);
	assert_int_equal(t.efer_allowed, base | EFER_FFXSR);
	change(0x80000001, 0, CPUID_EXT1_EDX_FFXSR);
	assert_int_equal(t.efer_allowed, base);
}

static void allowed_cr4(void **state)
{
	(void)state;
	p.host_cr4 = UINT64_MAX;
	build();
	assert_int_equal(t.cr4_allowed, CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE |
						CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
						CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE |
						CR4_OSXSAVE | CR4_SMEP | CR4_SMAP);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(vendors),
		TEST(extended_features),
		TEST(aliases_follow),
		TEST(common_leaves),
		TEST(power_and_size),
		TEST(hidden_leaves),
		TEST(topology),
		TEST(without_topoext),
		TEST(few_leaves),
		TEST(allowed_efer),
		TEST(allowed_cr4),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
