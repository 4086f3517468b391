/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers hold while the guest is out of the CPU: GPRs, SSE, and every XSAVE component there
 * is.
 */
#include "arch/x86/defs/apic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/segment.h"
#include "guests/runtime/guest.h"
#include "hv/lib/string.h"

PAYLOAD("fpu");

#define AREA_SIZE   4096
#define LEGACY_REGS 32  /* ST and XMM registers begin here */
#define LEGACY_END  416 /* and end here */
#define EXITS       10000

static uint8_t want[AREA_SIZE] ALIGNED(64), got[AREA_SIZE] ALIGNED(64);

/* XCR0 values that no CPU takes, and one that names no register. */
static void test_xsetbv(uint64_t allowed)
{
	static const uint64_t bad[] = {0, 2, 4, 6, 5, 1ull << 63 | 3, 0x8 | 3, 0x27, 0x63, 0xa7};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		check(xsetbv_safe(0, bad[i]) != OK, "XCR0 takes 0x%lx", bad[i]);
	check(xsetbv_safe(0, allowed | 1ull << 62) != OK, "XCR0 takes bit 62");
	check(xsetbv_safe(1, 1) != OK, "XSETBV takes index 1");
	check(xsetbv_safe(0xffffffff, 1) != OK, "XSETBV takes index -1");
	check(trap_last.vector == EXC_GP, "XSETBV: exception %lu", trap_last.vector);
	check(xsetbv_safe(0, allowed) == OK && xgetbv(0) == allowed, "XCR0 is 0x%lx, not 0x%lx",
		xgetbv(0), allowed);
}

static void pattern(uint64_t allowed)
{
	uint64_t seed = rdtsc();

	for (unsigned i = LEGACY_REGS; i < AREA_SIZE; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		want[i] = (uint8_t)(seed >> 56);
	}
	for (unsigned i = 0; i < 8; i++) /* 80-bit registers */
		memset(want + LEGACY_REGS + 16 * i + 10, 0, 6);
	memset(want, 0, LEGACY_REGS);
	want[0] = 0x7f; /* FCW 37Fh */
	want[1] = 3;
	want[4] = 0xff;                    /* all x87 registers valid */
	*(uint32_t *)(want + 24) = 0x1f80; /* MXCSR */
	memset(want + 512, 0, 64);
	*(uint64_t *)(want + 512) = allowed;
	if (allowed & XCR0_PKRU) {
		/* 32 bits used of the component */
		uint32_t offset = cpuid(CPUID_LEAF_XSAVE, 9).ebx;

		*(uint32_t *)(want + offset + 4) = 0;
	}
}

static void leave(unsigned n)
{
	switch (n % 4) {
	case 0: cpuid(0, 0); break;
	case 1: (void)inb(0x80); break;
	case 2: (void)apic_read(APIC_VERSION); break;
	default: (void)rdmsr(MSR_IA32_APIC_BASE); break;
	}
	if (n % 500 == 0)
		time_sleep_until(rdtsc() + time_us_to_tsc(200));
}

static void compare(uint64_t component, unsigned offset, unsigned size)
{
	check(!memcmp(want + offset, got + offset, size), "XSAVE component %lu changed", component);
}

static void test_xsave_state(uint64_t allowed)
{
	pattern(allowed);
	check(xrstor_safe(want, allowed) == OK, "XRSTOR");
	for (unsigned n = 0; n < EXITS; n++)
		leave(n);
	memset(got, 0, sizeof(got));
	xsave(got, allowed);
	check(*(uint64_t *)(got + 512) == allowed, "XSTATE_BV 0x%lx", *(uint64_t *)(got + 512));
	check(*(uint32_t *)(got + 24) == 0x1f80, "MXCSR 0x%x", *(uint32_t *)(got + 24));
	compare(0, 0, 2);
	compare(0, LEGACY_REGS, LEGACY_END - LEGACY_REGS);
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (allowed & BIT(i))
			compare(i, r.ebx, i == 9 ? 4 : r.eax);
	}
}

static void xsaves(void *area, uint64_t mask)
{
	__asm__ volatile("xsaves64 (%0)"
			 :
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

static void xrstors(const void *area, uint64_t mask)
{
	__asm__ volatile("xrstors64 (%0)"
			 :
			 : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
			 : "memory");
}

/* Each component of the compacted image in `got` is that of the standard image in `want`. */
static void compare_compact(uint64_t allowed)
{
	unsigned at = 576;

	check(*(uint64_t *)(got + 512) == allowed &&
			*(uint64_t *)(got + 520) == (allowed | BIT(63)),
		"XSTATE_BV 0x%lx, XCOMP_BV 0x%lx", *(uint64_t *)(got + 512),
		*(uint64_t *)(got + 520));
	compare(0, LEGACY_REGS, LEGACY_END - LEGACY_REGS);
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (!(allowed & BIT(i)))
			continue;
		if (r.ecx & CPUID_D_N_ECX_ALIGNED)
			at = (unsigned)align_up(at, 64);
		check(!memcmp(got + at, want + r.ebx, i == 9 ? 4 : r.eax),
			"component %u is not at %u of the compacted image", i, at);
		at += r.eax;
	}
}

/* The compacted forms, saved and restored with exits between. */
static void test_compact(uint64_t allowed, bool supervisor)
{
	static uint8_t compact[AREA_SIZE] ALIGNED(64);
	static uint8_t none[AREA_SIZE] ALIGNED(64);

	memset(got, 0, sizeof(got));
	memset(none, 0, sizeof(none));
	*(uint32_t *)(none + 24) = 0x1f80;
	check(xrstor_safe(want, allowed) == OK, "XRSTOR");
	for (unsigned n = 0; n < EXITS / 10; n++)
		leave(n);
	if (supervisor)
		xsaves(got, allowed);
	else
		check(xsavec_safe(got, allowed) == OK, "XSAVEC");
	compare_compact(allowed);
	memcpy(compact, got, sizeof(compact));
	check(xrstor_safe(none, allowed) == OK, "XRSTOR of the initial state");
	leave(1);
	if (supervisor)
		xrstors(compact, allowed);
	else
		check(xrstor_safe(compact, allowed) == OK, "XRSTOR of a compacted image");
	leave(0);
	memset(got, 0, sizeof(got));
	xsave(got, allowed);
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (allowed & BIT(i))
			compare(i, r.ebx, i == 9 ? 4 : r.eax);
	}
	compare(0, LEGACY_REGS, LEGACY_END - LEGACY_REGS);
}

/* Everything is in use and was last restored from elsewhere, so everything is stored. */
static void test_optimized(uint64_t allowed)
{
	check(xrstor_safe(want, allowed) == OK, "XRSTOR");
	leave(0);
	memset(got, 0, sizeof(got));
	__asm__ volatile("xsaveopt64 (%0)"
			 :
			 : "r"(got), "a"((uint32_t)allowed), "d"((uint32_t)(allowed >> 32))
			 : "memory");
	compare(0, LEGACY_REGS, LEGACY_END - LEGACY_REGS);
	for (unsigned i = 2; i < 32; i++) {
		struct cpuid_regs r = cpuid(CPUID_LEAF_XSAVE, i);

		if (allowed & BIT(i))
			compare(i, r.ebx, i == 9 ? 4 : r.eax);
	}
}

static void test_forms(uint64_t allowed)
{
	uint32_t forms = cpuid(CPUID_LEAF_XSAVE, 1).eax;

	if (forms & CPUID_D_1_EAX_XSAVEOPT)
		test_optimized(allowed);
	if (forms & CPUID_D_1_EAX_XSAVEC)
		test_compact(allowed, false);
	if (forms & CPUID_D_1_EAX_XSAVES)
		test_compact(allowed, true);
	if (forms & CPUID_D_1_EAX_XGETBV1)
		check((xgetbv(1) & ~allowed) == 0, "XGETBV of 1 is 0x%lx", xgetbv(1));
	print("fpu: XSAVEC %u, XSAVES %u", !!(forms & CPUID_D_1_EAX_XSAVEC),
		!!(forms & CPUID_D_1_EAX_XSAVES));
}

static void test_general(void)
{
	int changed;

	regs_init(rdtsc());
	for (unsigned i = 0; i < EXITS; i++) {
		if (i % 500 == 0)
			time_arm(rdtsc() + time_us_to_tsc(200));
		changed = regs_changed(i % 500 == 0);
		if (!check(changed < 0, "register %d changed at exit %u", changed, i))
			return;
	}
}

void payload_run(void)
{
	struct cpuid_regs d;
	uint64_t allowed;

	test_general();
	if (!(cpuid(CPUID_LEAF_FEATURES, 0).ecx & CPUID_1_ECX_XSAVE))
		return;
	check_code(EXC_UD, (const uint8_t[]){0x0f, 0x01, 0xd0}, 3, "XGETBV without OSXSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	d = cpuid(CPUID_LEAF_XSAVE, 0);
	allowed = ((uint64_t)d.edx << 32 | d.eax) & 0x2e7;
	if (on_bulkhead())
		test_xsetbv(allowed);
	check(xsetbv_safe(0, allowed) == OK, "XCR0 refuses 0x%lx", allowed);
	test_xsave_state(allowed);
	test_forms(allowed);
}
