/* SPDX-License-Identifier: Apache-2.0 */
/* What CPUID shows: nothing that the guest cannot have, and sizes that follow XCR0. */
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "guests/runtime/guest.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

PAYLOAD("cpuid");

enum reg { EAX, EBX, ECX, EDX };

/* Bits that a guest of Bulkhead must or must not see. */
static const struct {
	uint32_t leaf;
	enum reg reg;
	uint32_t set, clear;
} rules[] = {
	{CPUID_LEAF_FEATURES, ECX,
		CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC | CPUID_1_ECX_TSC_DEADLINE,
		CPUID_1_ECX_VMX | CPUID_1_ECX_SMX | CPUID_1_ECX_MONITOR | CPUID_1_ECX_PDCM |
			CPUID_1_ECX_DS_CPL | CPUID_1_ECX_DTES64 | CPUID_1_ECX_EIST |
			CPUID_1_ECX_TM2 | CPUID_1_ECX_SDBG | CPUID_1_ECX_XTPR | CPUID_1_ECX_DCA},
	{CPUID_LEAF_FEATURES, EDX,
		CPUID_1_EDX_FPU | CPUID_1_EDX_TSC | CPUID_1_EDX_MSR | CPUID_1_EDX_PAE |
			CPUID_1_EDX_APIC | CPUID_1_EDX_MTRR | CPUID_1_EDX_PAT | CPUID_1_EDX_SSE2,
		CPUID_1_EDX_DS | CPUID_1_EDX_ACPI | CPUID_1_EDX_TM | CPUID_1_EDX_PBE |
			CPUID_1_EDX_PSN},
	{CPUID_LEAF_EXTENDED, EBX, CPUID_7_EBX_TSC_ADJUST,
		CPUID_7_EBX_SGX | CPUID_7_EBX_HLE | CPUID_7_EBX_RTM | CPUID_7_EBX_PQM |
			CPUID_7_EBX_PQE | CPUID_7_EBX_MPX | CPUID_7_EBX_PT},
	{CPUID_LEAF_EXTENDED, ECX, 0,
		CPUID_7_ECX_WAITPKG | CPUID_7_ECX_CET_SS | CPUID_7_ECX_TME | CPUID_7_ECX_KL |
			CPUID_7_ECX_ENQCMD | CPUID_7_ECX_BUS_LOCK},
	{CPUID_LEAF_EXTENDED, EDX, 0,
		CPUID_7_EDX_UINTR | CPUID_7_EDX_HYBRID | CPUID_7_EDX_PCONFIG |
			CPUID_7_EDX_ARCH_LBR | CPUID_7_EDX_CET_IBT | CPUID_7_EDX_CORE_CAPS},
	{CPUID_LEAF_MWAIT, ECX, 0, ~0u}, {CPUID_LEAF_PERFMON, EAX, 0, 0xff},
	{CPUID_LEAF_EXT_FEAT, ECX, 0,
		CPUID_EXT1_ECX_SVM | CPUID_EXT1_ECX_SKINIT | CPUID_EXT1_ECX_WDT |
			CPUID_EXT1_ECX_MONITORX},
	{CPUID_LEAF_EXT_FEAT, EDX, CPUID_EXT1_EDX_LM | CPUID_EXT1_EDX_NX, 0},
	{0x8000000a, EAX, 0, ~0u},                            /* SVM features */
	{0x8000000a, EDX, 0, ~0u}, {0x8000001f, EAX, 0, ~0u}, /* memory encryption */
};

static uint32_t get(uint32_t leaf, enum reg reg)
{
	struct cpuid_regs r;
	uint32_t max = cpuid(leaf & 0x80000000, 0).eax;

	if (leaf > max)
		return 0;
	r = cpuid(leaf, 0);
	return reg == EAX ? r.eax : reg == EBX ? r.ebx : reg == ECX ? r.ecx : r.edx;
}

static void test_rules(void)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rules); i++) {
		uint32_t value = get(rules[i].leaf, rules[i].reg);

		check((value & rules[i].set) == rules[i].set, "leaf %xh e%cx: missing 0x%x",
			rules[i].leaf, "abcd"[rules[i].reg], rules[i].set & ~value);
		check(!(value & rules[i].clear), "leaf %xh e%cx: shows 0x%x", rules[i].leaf,
			"abcd"[rules[i].reg], value & rules[i].clear);
	}
}

static bool signature_is(uint32_t leaf, const char *text)
{
	struct cpuid_regs r = cpuid(leaf, 0);

	return !memcmp(&r.ebx, text, 4) && !memcmp(&r.ecx, text + 4, 4) &&
	       !memcmp(&r.edx, text + 8, 4);
}

static void test_signatures(void)
{
	struct cpuid_regs r = cpuid(0x40000001, 0);

	check(signature_is(0x40000000, "KVMKVMKVM\0\0"), "no KVM signature");
	check(cpuid(0x40000000, 0).eax == 0x40000001, "hypervisor leaves up to 0x%x",
		cpuid(0x40000000, 0).eax);
	check(!r.eax && !r.ebx && !r.ecx && !r.edx, "KVM features 0x%x", r.eax);
	check(signature_is(0x40000100, "BulkheadBulk"), "no signature of our own");
}

static void test_twice(void)
{
	static const uint32_t start[] = {0, 0x40000000, 0x40000100, 0x80000000};

	for (unsigned i = 0; i < ARRAY_SIZE(start); i++) {
		for (uint32_t leaf = start[i]; leaf < start[i] + 0x21; leaf++) {
			for (uint32_t sub = 0; sub < 4; sub++) {
				struct cpuid_regs a = cpuid(leaf, sub), b = cpuid(leaf, sub);

				check(!memcmp(&a, &b, sizeof(a)), "leaf %xh.%u changes", leaf, sub);
			}
		}
	}
}

/* CPUID writes all four registers as 32 bits: the upper halves are 0 afterwards. */
static void test_upper_halves(void)
{
	uint64_t a = 0xaaaaaaaa00000000, b = 0xbbbbbbbbbbbbbbbb, c = 0xcccccccc00000000,
		 d = 0xdddddddddddddddd;

	__asm__ volatile("cpuid" : "+a"(a), "+b"(b), "+c"(c), "+d"(d));
	check(!((a | b | c | d) >> 32), "upper halves survive CPUID");
}

static void test_topology(void)
{
	uint32_t count = guest_info->cpu_count;
	uint32_t apic_id = cpuid(CPUID_LEAF_FEATURES, 0).ebx >> 24;
	struct cpuid_regs smt, core;

	check(apic_id == 0, "initial APIC id %u", apic_id);
	if (cpuid(0, 0).eax < CPUID_LEAF_TOPOLOGY || !cpuid(CPUID_LEAF_TOPOLOGY, 0).ebx)
		return;
	smt = cpuid(CPUID_LEAF_TOPOLOGY, 0);
	core = cpuid(CPUID_LEAF_TOPOLOGY, 1);
	check(smt.ecx >> 8 == 1 && core.ecx >> 8 == 2, "leaf Bh: level types");
	check((smt.ebx & 0xffff) == 1, "leaf Bh: %u threads per core", smt.ebx & 0xffff);
	check((core.ebx & 0xffff) == count, "leaf Bh: %u CPUs, not %u", core.ebx & 0xffff, count);
	check(smt.edx == 0 && core.edx == 0, "leaf Bh: x2APIC id %u", core.edx);
	check(cpuid(CPUID_LEAF_TOPOLOGY, 2).ecx >> 8 == 0, "leaf Bh: a third level");
}

static void test_time(void)
{
	struct cpuid_regs r = cpuid(CPUID_LEAF_TSC, 0);

	if (cpuid(0, 0).ecx != 0x6c65746e || !on_bulkhead()) /* "ntel" */
		return;
	check(r.eax && r.ebx && r.ecx, "leaf 15h: %u %u %u", r.eax, r.ebx, r.ecx);
	if (r.eax)
		check(r.ecx / r.eax * r.ebx >= 10000000, "leaf 15h: a TSC of %u Hz",
			r.ecx / r.eax * r.ebx);
	r = cpuid(CPUID_LEAF_FREQUENCY, 0);
	check(r.eax == time_hz() / 1000000, "leaf 16h: %u MHz", r.eax);
}

static uint32_t xsave_size(uint64_t xcr0)
{
	uint32_t size = 576;

	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (xcr0 & BIT(i))
			size = MAX(size, r.ebx + r.eax);
	}
	return size;
}

/* 0 where there is no compacted form. */
static uint32_t compact_size(uint64_t xcr0)
{
	uint32_t size = 576;

	if (!(cpuid(CPUID_LEAF_XSAVE, 1).eax & CPUID_D_1_EAX_XSAVEC))
		return 0;
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (!(xcr0 & BIT(i)))
			continue;
		if (r.ecx & CPUID_D_N_ECX_ALIGNED)
			size = (uint32_t)align_up(size, 64);
		size += r.eax;
	}
	return size;
}

static void test_xsave(void)
{
	static const uint64_t values[] = {1, 3, 7, 0xe7, 0x2e7, 0x203, 1};
	struct cpuid_regs d;
	uint64_t allowed;

	if (!(get(CPUID_LEAF_FEATURES, ECX) & CPUID_1_ECX_XSAVE))
		return;
	check(!(get(CPUID_LEAF_FEATURES, ECX) & CPUID_1_ECX_OSXSAVE),
		"OSXSAVE without CR4.OSXSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check(get(CPUID_LEAF_FEATURES, ECX) & CPUID_1_ECX_OSXSAVE, "no OSXSAVE with CR4.OSXSAVE");
	d = cpuid(CPUID_LEAF_XSAVE, 0);
	allowed = (uint64_t)d.edx << 32 | d.eax;
	check(d.ecx == xsave_size(allowed), "leaf Dh: all components need %u, not %u",
		xsave_size(allowed), d.ecx);
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
		if (values[i] & ~allowed)
			continue;
		check(xsetbv_safe(0, values[i]) == OK, "XCR0 = 0x%lx refused", values[i]);
		check(cpuid(CPUID_LEAF_XSAVE, 0).ebx == xsave_size(values[i]),
			"leaf Dh: XCR0 0x%lx needs %u, not %u", values[i], xsave_size(values[i]),
			cpuid(CPUID_LEAF_XSAVE, 0).ebx);
		check(cpuid(CPUID_LEAF_XSAVE, 1).ebx == compact_size(values[i]),
			"leaf Dh.1: XCR0 0x%lx needs %u, not %u", values[i],
			compact_size(values[i]), cpuid(CPUID_LEAF_XSAVE, 1).ebx);
	}
	write_cr4(read_cr4() & ~CR4_OSXSAVE);
}

/* Features with code of ours behind them, for whoever compares with the bare CPU. */
static const struct {
	uint32_t leaf, subleaf;
	enum reg reg;
	uint32_t bit;
	const char *name;
} features[] = {
	{CPUID_LEAF_EXT_FEAT, 0, EDX, CPUID_EXT1_EDX_NX, "nx"},
	{CPUID_LEAF_EXT_FEAT, 0, EDX, CPUID_EXT1_EDX_PAGE1GB, "1g"},
	{CPUID_LEAF_EXTENDED, 0, ECX, CPUID_7_ECX_LA57, "la57"},
	{CPUID_LEAF_EXTENDED, 0, EBX, CPUID_7_EBX_SMEP, "smep"},
	{CPUID_LEAF_EXTENDED, 0, EBX, CPUID_7_EBX_SMAP, "smap"},
	{CPUID_LEAF_EXTENDED, 0, ECX, CPUID_7_ECX_PKU, "pku"},
	{CPUID_LEAF_EXTENDED, 0, ECX, CPUID_7_ECX_PKS, "pks"},
	{CPUID_LEAF_EXTENDED, 0, ECX, CPUID_7_ECX_UMIP, "umip"},
	{CPUID_LEAF_FEATURES, 0, ECX, CPUID_1_ECX_PCID, "pcid"},
	{CPUID_LEAF_EXTENDED, 0, EBX, CPUID_7_EBX_INVPCID, "invpcid"},
	{CPUID_LEAF_EXTENDED, 0, EBX, CPUID_7_EBX_FSGSBASE, "fsgsbase"},
	{CPUID_LEAF_EXT_FEAT, 0, EDX, CPUID_EXT1_EDX_RDTSCP, "rdtscp"},
	{CPUID_LEAF_EXTENDED, 0, ECX, CPUID_7_ECX_RDPID, "rdpid"},
	{CPUID_LEAF_FEATURES, 0, ECX, CPUID_1_ECX_XSAVE, "xsave"},
	{CPUID_LEAF_XSAVE, 1, EAX, CPUID_D_1_EAX_XSAVEOPT, "xsaveopt"},
	{CPUID_LEAF_XSAVE, 1, EAX, CPUID_D_1_EAX_XSAVEC, "xsavec"},
	{CPUID_LEAF_XSAVE, 1, EAX, CPUID_D_1_EAX_XSAVES, "xsaves"},
	{CPUID_LEAF_EXTENDED, 0, EBX, CPUID_7_EBX_AVX512F, "avx512f"},
};

static void print_features(void)
{
	char line[160];
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		struct cpuid_regs r = {0};
		uint32_t value;

		if (features[i].leaf <= cpuid(features[i].leaf & 0x80000000, 0).eax)
			r = cpuid(features[i].leaf, features[i].subleaf);
		value = features[i].reg == EAX   ? r.eax
			: features[i].reg == EBX ? r.ebx
			: features[i].reg == ECX ? r.ecx
						 : r.edx;
		n += fmt_string(line + n, sizeof(line) - n, " %c%s",
			value & features[i].bit ? '+' : '-', features[i].name);
	}
	print("features:%s", line);
}

void payload_run(void)
{
	print_features();
	if (on_bulkhead()) {
		test_rules();
		test_signatures();
	}
	test_twice();
	test_upper_halves();
	test_topology();
	test_time();
	test_xsave();
}
