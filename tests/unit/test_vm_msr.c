/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs of a guest: what exists, what each takes, the edges of every range, and #GP for everything
 * else.
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
#include "arch/x86/defs/vmx.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static struct vm_cpu *c;

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	c = vmw.c;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static bool reads(uint32_t msr)
{
	uint64_t value = UNTOUCHED;

	return vm_msr_read(c, msr, &value);
}

static uint64_t value_of(uint32_t msr)
{
	uint64_t value = UNTOUCHED;

	if (!vm_msr_read(c, msr, &value))
		fail_msg("RDMSR 0x%x: #GP", msr);
	return value;
}

static void takes(uint32_t msr, uint64_t value)
{
	if (!vm_msr_write(c, msr, value))
		fail_msg("WRMSR 0x%x, 0x%lx: #GP", msr, (unsigned long)value);
}

static void keeps(uint32_t msr, uint64_t value)
{
	takes(msr, value);
	assert_int_equal(value_of(msr), value);
}

/* A refused write changes nothing that can be read. */
static void refuses(uint32_t msr, uint64_t value)
{
	uint64_t old = UNTOUCHED;
	bool readable = vm_msr_read(c, msr, &old);

	if (vm_msr_write(c, msr, value))
		fail_msg("WRMSR 0x%x, 0x%lx: not refused", msr, (unsigned long)value);
	if (readable)
		assert_int_equal(value_of(msr), old);
}

/* ---- What exists ---- */

static const struct {
	uint32_t first, last;
} existing[] = {
	{0x0, 0x1},
	{0x10, 0x10},
	{0x17, 0x17},
	{0x1b, 0x1b},
	{0x3a, 0x3b},
	{0x8b, 0x8b},
	{0xfe, 0xfe},
	{0x179, 0x17b},
	{0x1a0, 0x1a0},
	{0x1d9, 0x1d9},
	{0x200, 0x20f},
	{0x250, 0x250},
	{0x258, 0x259},
	{0x268, 0x26f},
	{0x277, 0x277},
	{0x2ff, 0x2ff},
	{0x400, 0x417},
	{0x6e0, 0x6e0},
	{0xda0, 0xda0},
	{0xc0000080, 0xc0000080},
	{0xc0000103, 0xc0000103},
};

static bool exists(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(existing); i++) {
		if (msr >= existing[i].first && msr <= existing[i].last)
			return true;
	}
	return false;
}

/*
 * Every number near those that hardware uses: exactly the list can be read (the LAPIC is in xAPIC
 * mode).
 */
static void exactly_these_can_be_read(void **state)
{
	static const uint32_t bases[] = {0, 0x40000000, 0x4b564d00, 0x80000000, 0xc0000000,
		0xc0010000, 0xc0011000, 0xfffffe00};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		for (uint32_t n = 0; n < (i ? 0x200u : 0x2000u); n++) {
			uint32_t msr = bases[i] + n;

			if (reads(msr) != exists(msr))
				fail_msg("MSR 0x%x", msr);
		}
	}
}

static void what_does_not_exist_cannot_be_written(void **state)
{
	(void)state;
	for (uint32_t msr = 0; msr < 0x2000; msr++) {
		if (!exists(msr))
			refuses(msr, 0);
	}
	for (uint32_t msr = 0xc0000000; msr < 0xc0000200; msr++) {
		if (!exists(msr))
			refuses(msr, 0);
	}
	assert_int_equal(fake.count[FAKE_WRMSR], 0); /* none of it reached the hardware */
}

static void edges_of_ranges(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(existing); i++) {
		assert_true(reads(existing[i].first));
		assert_true(reads(existing[i].last));
		assert_int_equal(reads(existing[i].first - 1), exists(existing[i].first - 1));
		assert_int_equal(reads(existing[i].last + 1), exists(existing[i].last + 1));
	}
}

/* Those that matter most: power, microcode, speculation, debugging, virtualization, performance. */
static void dangerous_ones(void **state)
{
	static const uint32_t msrs[] = {MSR_IA32_SPEC_CTRL, MSR_IA32_PRED_CMD,
		MSR_IA32_BIOS_UPDT_TRIG, MSR_IA32_ARCH_CAPABILITIES, MSR_IA32_TSX_CTRL,
		MSR_IA32_PERF_CTL, MSR_IA32_PERF_GLOBAL_CTRL, MSR_IA32_VMX_BASIC, MSR_SYSCFG,
		MSR_HWCR, 0xc0010117 /* VM_HSAVE_PA */, 0xc0010114 /* VM_CR */};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		assert_false(reads(msrs[i]));
		refuses(msrs[i], 0);
	}
}

static void constants(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} rows[] = {
		{MSR_IA32_PLATFORM_ID, 0},
		{MSR_IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK},
		{MSR_IA32_MTRRCAP, MTRRCAP_WC | MTRRCAP_FIX | 8},
		{MSR_IA32_MCG_CAP, 0x106},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(value_of(rows[i].msr), rows[i].value);
		refuses(rows[i].msr, rows[i].value);
		refuses(rows[i].msr, 0);
	}
	/* Zero may be written where only zero is. */
	for (uint32_t msr = 0; msr <= 1; msr++) {
		keeps(msr, 0);
		refuses(msr, 1);
	}
	keeps(MSR_IA32_DEBUGCTL, 0);
	refuses(MSR_IA32_DEBUGCTL, 2); /* BTF would break single steps over emulated instructions */
	takes(MSR_IA32_BIOS_SIGN_ID, 0x1234);
	assert_int_equal(value_of(MSR_IA32_BIOS_SIGN_ID), 0);
}

/* ---- Time ---- */

static void tsc(void **state)
{
	(void)state;
	fake_this->tsc = 5000;
	c->tsc_offset = 0 - 1000ull;
	assert_int_equal(value_of(MSR_IA32_TSC), 4000);
	assert_int_equal(value_of(MSR_IA32_TSC_ADJUST), 0);
	takes(MSR_IA32_TSC, 1000000);
	assert_int_equal(value_of(MSR_IA32_TSC), 1000000);
	assert_int_equal(value_of(MSR_IA32_TSC_ADJUST), 996000);
	assert_int_equal(fake_vmcs_get(VMCS_TSC_OFFSET), 995000);
	takes(MSR_IA32_TSC_ADJUST, 1000);
	assert_int_equal(value_of(MSR_IA32_TSC_ADJUST), 1000);
	assert_int_equal(value_of(MSR_IA32_TSC), 5000);
	assert_int_equal(fake_vmcs_get(VMCS_TSC_OFFSET), 0);
	/* Backwards, through zero. */
	takes(MSR_IA32_TSC_ADJUST, 0 - 10000ull);
	assert_int_equal(value_of(MSR_IA32_TSC), 5000 - 11000);
	assert_int_equal(fake_this->tsc, 5000); /* the machine's own does not move */
	assert_int_equal(fake.count[FAKE_WRMSR], 0);
}

static void use_deadline_mode(void)
{
	lapic_mmio_write(&c->lapic, LAPIC_LVT_TIMER, 4, LAPIC_TIMER_TSC_DEADLINE | 0xec, 0);
}

static void tsc_deadline(void **state)
{
	(void)state;
	fake_this->tsc = 1000000;
	c->tsc_offset = 0 - 500000ull;
	takes(MSR_IA32_TSC_DEADLINE, 900000); /* not in deadline mode: ignored */
	assert_int_equal(value_of(MSR_IA32_TSC_DEADLINE), 0);
	use_deadline_mode();
	keeps(MSR_IA32_TSC_DEADLINE, 900000);
	assert_int_equal(c->lapic_timer.deadline, 1400000); /* in host ticks */
	takes(MSR_IA32_TSC_DEADLINE, 0);
	assert_int_equal(c->lapic_timer.deadline, TIMER_NEVER);
	/* The guest moves its clock: the deadline stays a guest time. */
	takes(MSR_IA32_TSC_DEADLINE, 900000);
	takes(MSR_IA32_TSC, 800000);
	assert_int_equal(value_of(MSR_IA32_TSC_DEADLINE), 900000);
	assert_int_equal(c->lapic_timer.deadline, 1100000);
	/* In the past: the interrupt is there at once, and somebody looks for it. */
	c->vcpu.attention = 0;
	takes(MSR_IA32_TSC_DEADLINE, 1);
	assert_int_equal(lapic_pending(&c->lapic), 0xec);
	assert_true(c->vcpu.attention & VCPU_EVENT);
	assert_int_equal(c->lapic_timer.deadline, TIMER_NEVER);
	assert_int_equal(value_of(MSR_IA32_TSC_DEADLINE), 0);
	lapic_ack(&c->lapic, 0xec);
	lapic_eoi(&c->lapic);
	/* It passes while nobody looks: reading the register finds out. */
	takes(MSR_IA32_TSC_DEADLINE, 850000);
	assert_int_equal(lapic_pending(&c->lapic), -1);
	fake_this->tsc += 60000;
	c->vcpu.attention = 0;
	assert_int_equal(value_of(MSR_IA32_TSC_DEADLINE), 0);
	assert_int_equal(lapic_pending(&c->lapic), 0xec);
	assert_true(c->vcpu.attention & VCPU_EVENT);
	/* Soon: not before the guest has run a little. */
	takes(MSR_IA32_TSC_DEADLINE, 860001);
	assert_true(c->lapic_timer.deadline > 1060001 && c->lapic_timer.deadline <= 1070000);
	/* Far in the future: no wrap. */
	takes(MSR_IA32_TSC_DEADLINE, UINT64_MAX - 1);
	assert_true(c->lapic_timer.deadline > 1070000);
}

/* ---- MTRRs and PAT ---- */

static const uint8_t good_types[] = {MEMTYPE_UC, MEMTYPE_WC, MEMTYPE_WT, MEMTYPE_WP, MEMTYPE_WB};

static bool type_is_good(unsigned type)
{
	return memchr(good_types, (int)type, sizeof(good_types)) != NULL;
}

static void mtrr_variable(void **state)
{
	(void)state;
	for (uint32_t msr = 0x200; msr < 0x210; msr += 2) {
		for (unsigned type = 0; type < 256; type++) {
			if (type_is_good(type))
				keeps(msr, (uint64_t)msr << 16 | type);
			else
				refuses(msr, type);
		}
		for (unsigned bit = 8; bit < 12; bit++)
			refuses(msr, BIT(bit) | MEMTYPE_WB);
		for (unsigned bit = 12; bit < 64; bit++) {
			if (bit < c->cpuid.phys_bits)
				keeps(msr, BIT(bit) | MEMTYPE_WB);
			else
				refuses(msr, BIT(bit) | MEMTYPE_WB);
		}
		for (unsigned bit = 0; bit < 64; bit++) {
			if (bit >= 11 && bit < c->cpuid.phys_bits)
				keeps(msr + 1, BIT(bit));
			else
				refuses(msr + 1, BIT(bit));
		}
	}
	/* Each is a register of its own. */
	for (uint32_t msr = 0x200; msr < 0x210; msr++)
		takes(msr, (uint64_t)msr << 12);
	for (uint32_t msr = 0x200; msr < 0x210; msr++)
		assert_int_equal(value_of(msr), (uint64_t)msr << 12);
}

static void mtrr_fixed(void **state)
{
	static const uint32_t msrs[] = {
		0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		for (unsigned byte = 0; byte < 8; byte++) {
			for (unsigned type = 0; type < 256; type++) {
				uint64_t value = (uint64_t)type << (8 * byte);

				if (type_is_good(type))
					keeps(msrs[i], value);
				else
					refuses(msrs[i], value);
			}
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		takes(msrs[i], (uint64_t)good_types[i % 5] << 8 | good_types[i / 5]);
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++)
		assert_int_equal(
			value_of(msrs[i]), (uint64_t)good_types[i % 5] << 8 | good_types[i / 5]);
}

static void mtrr_default(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		if (type_is_good(type))
			keeps(MSR_IA32_MTRR_DEF_TYPE, type | MTRR_DEF_TYPE_E);
		else
			refuses(MSR_IA32_MTRR_DEF_TYPE, type);
	}
	for (unsigned bit = 8; bit < 64; bit++) {
		if (bit == 10 || bit == 11)
			keeps(MSR_IA32_MTRR_DEF_TYPE, BIT(bit));
		else
			refuses(MSR_IA32_MTRR_DEF_TYPE, BIT(bit));
	}
}

/* As firmware leaves them: all RAM write-back, the VGA hole and the top below 4 GiB not. */
static void mtrrs_at_start(void **state)
{
	(void)state;
	assert_int_equal(
		value_of(MSR_IA32_MTRR_DEF_TYPE), MTRR_DEF_TYPE_E | MTRR_DEF_TYPE_FE | MEMTYPE_WB);
	assert_int_equal(value_of(0x250), 0x0606060606060606);
	assert_int_equal(value_of(0x259), 0);
	assert_int_equal(value_of(0x26f), 0x0606060606060606);
	assert_int_equal(value_of(0x200), 0x80000000 | MEMTYPE_UC);
	/* 2 GiB from 8000_0000h, with as many bits as this CPU has. */
	assert_int_equal(value_of(0x201), 0x7f80000000 | MTRR_PHYSMASK_V);
	assert_int_equal(value_of(0x203), 0);
}

static void pat(void **state)
{
	(void)state;
	assert_int_equal(value_of(MSR_IA32_PAT), PAT_RESET_VALUE);
	for (unsigned byte = 0; byte < 8; byte++) {
		for (unsigned type = 0; type < 256; type++) {
			uint64_t value = (uint64_t)type << (8 * byte);

			if (type_is_good(type) || type == MEMTYPE_UC_MINUS)
				keeps(MSR_IA32_PAT, value);
			else
				refuses(MSR_IA32_PAT, value);
		}
	}
	assert_int_equal(fake.count[FAKE_WRMSR], 0); /* the host's PAT is not touched */
}

/* ---- Others ---- */

static void efer(void **state)
{
	(void)state;
	assert_int_equal(value_of(MSR_IA32_EFER), EFER_LME | EFER_LMA);
	takes(MSR_IA32_EFER, EFER_LME | EFER_SCE | EFER_NXE);
	assert_int_equal(value_of(MSR_IA32_EFER), EFER_LME | EFER_LMA | EFER_SCE | EFER_NXE);
	refuses(MSR_IA32_EFER, EFER_LME | EFER_SVME);
	refuses(MSR_IA32_EFER, 0);
}

static const struct cpuid_regs *leaf(uint32_t number)
{
	return cpuid_table_find(&c->cpuid, number, 0);
}

static void misc_enable(void **state)
{
	const uint64_t switches = 0x400c50089;
	uint64_t value = value_of(MSR_IA32_MISC_ENABLE);
	uint32_t max = leaf(0)->eax;

	(void)state;
	assert_int_equal(value,
		MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_BTS_UNAVAIL | MISC_ENABLE_PEBS_UNAVAIL);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (switches & BIT(bit))
			keeps(MSR_IA32_MISC_ENABLE, value ^ BIT(bit));
		else
			refuses(MSR_IA32_MISC_ENABLE, value_of(MSR_IA32_MISC_ENABLE) ^ BIT(bit));
	}
	/* Two of them change CPUID. */
	takes(MSR_IA32_MISC_ENABLE, value | MISC_ENABLE_LIMIT_CPUID);
	assert_int_equal(leaf(0)->eax, 2);
	assert_true(leaf(0x80000001)->edx & CPUID_EXT1_EDX_NX);
	takes(MSR_IA32_MISC_ENABLE, value | MISC_ENABLE_XD_DISABLE);
	assert_int_equal(leaf(0)->eax, max);
	assert_false(leaf(0x80000001)->edx & CPUID_EXT1_EDX_NX);
	refuses(MSR_IA32_EFER, EFER_LME | EFER_NXE);
	takes(MSR_IA32_MISC_ENABLE, value);
	assert_true(leaf(0x80000001)->edx & CPUID_EXT1_EDX_NX);
	takes(MSR_IA32_EFER, EFER_LME | EFER_NXE);
}

static void mcg_status(void **state)
{
	(void)state;
	keeps(MSR_IA32_MCG_STATUS, 0);
	keeps(MSR_IA32_MCG_STATUS, 5);
	for (unsigned bit = 3; bit < 64; bit++)
		refuses(MSR_IA32_MCG_STATUS, BIT(bit));
	keeps(MSR_IA32_MCG_CTL, 0);
	keeps(MSR_IA32_MCG_CTL, UINT64_MAX);
	refuses(MSR_IA32_MCG_CTL, 1);
}

/* Banks that are empty: CTL takes all or nothing, STATUS can be cleared, the others hold. */
static void mc_banks(void **state)
{
	(void)state;
	for (uint32_t msr = MSR_IA32_MC0_CTL; msr < MSR_IA32_MC0_CTL + 24; msr += 4) {
		assert_int_equal(value_of(msr), UINT64_MAX);
		keeps(msr, 0);
		refuses(msr, 1);
		refuses(msr, BIT(63));
		keeps(msr, UINT64_MAX);
		keeps(msr, ~BIT(10)); /* Linux, in bank 4 of a K8 */
		keeps(msr, ~BIT(0));
		refuses(msr, ~BIT(1));
		keeps(msr + 1, 0);
		for (unsigned bit = 0; bit < 64; bit++)
			refuses(msr + 1, BIT(bit));
		for (uint32_t i = 2; i < 4; i++) {
			assert_int_equal(value_of(msr + i), 0);
			keeps(msr + i, UINT64_MAX);
			keeps(msr + i, msr);
		}
	}
	/* Each is a register of its own, and there are no more. */
	takes(MSR_IA32_MC0_CTL + 4, 0);
	assert_int_equal(value_of(MSR_IA32_MC0_CTL), ~BIT(0));
	assert_int_equal(value_of(MSR_IA32_MC0_CTL + 8), ~BIT(0));
	assert_false(reads(MSR_IA32_MC0_CTL + 24));
	assert_false(reads(0x280)); /* CMCI */
	assert_false(reads(0x180)); /* extended state */
}

/* There is no supervisor state: the register can only be zero, and without XSAVES is not there. */
static void xss(void **state)
{
	(void)state;
	keeps(MSR_IA32_XSS, 0);
	for (unsigned bit = 0; bit < 64; bit++)
		refuses(MSR_IA32_XSS, BIT(bit));
	c->cpuid.has_xsaves = false;
	assert_false(reads(MSR_IA32_XSS));
	refuses(MSR_IA32_XSS, 0);
}

static void tsc_aux(void **state)
{
	(void)state;
	keeps(MSR_IA32_TSC_AUX, 0x12345678);
	assert_int_equal(fake_msr_get(MSR_IA32_TSC_AUX), 0x12345678); /* RDTSCP reads it there */
	refuses(MSR_IA32_TSC_AUX, 1ull << 32);
	c->vcpu.has_rdtscp = false;
	assert_false(reads(MSR_IA32_TSC_AUX));
	refuses(MSR_IA32_TSC_AUX, 0);
	c->vcpu.has_rdtscp = true;
	fake_msr_remove(MSR_IA32_TSC_AUX); /* the hardware has none after all: #GP, not a panic */
	refuses(MSR_IA32_TSC_AUX, 1);
}

/* ---- The LAPIC ---- */

static void apic_base(void **state)
{
	const uint64_t base = LAPIC_BASE_DEFAULT | LAPIC_BASE_BSP;

	(void)state;
	assert_int_equal(value_of(MSR_IA32_APIC_BASE), base | LAPIC_BASE_EN);
	refuses(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EXTD); /* invalid */
	refuses(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EN | 1);
	refuses(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EN | 1ull << 40);
	takes(MSR_IA32_APIC_BASE, LAPIC_BASE_DEFAULT); /* disabled; BSP is read-only */
	assert_int_equal(value_of(MSR_IA32_APIC_BASE), base);
	assert_false(cpuid_table_find(&c->cpuid, 1, 0)->edx & CPUID_1_EDX_APIC);
	takes(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EN);
	assert_true(cpuid_table_find(&c->cpuid, 1, 0)->edx & CPUID_1_EDX_APIC);
	takes(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
	refuses(MSR_IA32_APIC_BASE, base | LAPIC_BASE_EN); /* no way back but through disabled */
}

static void x2apic_registers(void **state)
{
	(void)state;
	for (uint32_t msr = 0x800; msr < 0x900; msr++) {
		assert_false(reads(msr)); /* in xAPIC mode: none */
		refuses(msr, 0);
	}
	takes(MSR_IA32_APIC_BASE, LAPIC_BASE_DEFAULT | LAPIC_BASE_EN | LAPIC_BASE_EXTD);
	assert_int_equal(value_of(0x802), 0);
	refuses(0x802, 0); /* ID is read-only */
	assert_false(reads(0x7ff));
	assert_false(reads(0x900));
	assert_false(reads(0x8ff));
	assert_false(reads(0x80b)); /* EOI is write-only ... */
	takes(0x80f, 0x1ff);
	lapic_accept(&c->lapic, 0x51, false);
	lapic_ack(&c->lapic, 0x51);
	lapic_accept(&c->lapic, 0x41, false);
	c->vcpu.attention = 0;
	takes(0x808, 0x10);
	assert_int_equal(c->vcpu.attention, 0); /* it waits behind the other */
	takes(0x80b, 0);
	assert_true(c->vcpu.attention & VCPU_EVENT); /* ... and may let another one in */
	lapic_ack(&c->lapic, 0x41);
	c->vcpu.attention = 0;
	takes(0x80b, 0);
	assert_int_equal(c->vcpu.attention, 0); /* nothing is left */
	refuses(0x80b, 1);
	keeps(0x808, 0x20);
	refuses(0x808, 0x100);
	assert_false(reads(0x80e)); /* DFR does not exist here */
	assert_false(reads(0x831)); /* ICR has one register */
	/* Timer writes arm the CPU's timer. */
	takes(0x832, LAPIC_TIMER_ONE_SHOT | 0xec);
	takes(0x83e, 0xb);
	takes(0x838, 1000000);
	assert_int_equal(c->lapic_timer.deadline, fake_this->tsc + 1000000);
	takes(0x838, 0);
	assert_int_equal(c->lapic_timer.deadline, TIMER_NEVER);
}

/* ---- Through RDMSR and WRMSR: registers, #GP ---- */

static unsigned at;

static void guest(struct vcpu *v, void *ctx)
{
	(void)ctx;
	switch (at++) {
	case 0: /* RDMSR clears the upper halves */
		v->gpr[RCX] = 0xffffffff00000000ull | MSR_IA32_PAT;
		v->gpr[RAX] = v->gpr[RDX] = UINT64_MAX;
		fake_exit_insn(VMX_EXIT_RDMSR, 0, 2);
		break;
	case 1: /* WRMSR ignores them */
		assert_int_equal(v->gpr[RAX], PAT_RESET_VALUE & 0xffffffff);
		assert_int_equal(v->gpr[RDX], PAT_RESET_VALUE >> 32);
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_RIP), VM_WORLD_ENTRY + 2);
		v->gpr[RCX] = MSR_IA32_PAT;
		v->gpr[RAX] = 0xdeadbeef06060606;
		v->gpr[RDX] = 0xdeadbeef04040404;
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		break;
	case 2:
		assert_int_equal(fake_vmcs_get(VMCS_GUEST_PAT), 0x0404040406060606);
		v->gpr[RCX] = 0x12345;
		v->gpr[RAX] = v->gpr[RDX] = UNTOUCHED;
		fake_exit_insn(VMX_EXIT_RDMSR, 0, 2);
		break;
	case 3: /* #GP(0) at the instruction, registers as they were */
		assert_true(fake_vmx.injected.valid && fake_vmx.injected.has_error);
		assert_int_equal(fake_vmx.injected.vector, 13);
		assert_int_equal(fake_vmx.injected.error, 0);
		assert_int_equal(fake_vmx.injected.rip, VM_WORLD_ENTRY + 4);
		assert_int_equal(v->gpr[RAX], UNTOUCHED);
		assert_int_equal(v->gpr[RDX], UNTOUCHED);
		fake_exit_insn(VMX_EXIT_WRMSR, 0, 2);
		break;
	default:
		assert_int_equal(fake_vmx.injected.vector, 13);
		vm_stop(vmw.vm, STOP_KILLED, "killed");
		fake_exit(VMX_EXIT_INIT, 0);
	}
}

static void instructions(void **state)
{
	(void)state;
	at = 0;
	fake_vmx.guest = guest;
	c->vcpu.ops->run(&c->vcpu);
	assert_int_equal(at, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(exactly_these_can_be_read),
		TEST(what_does_not_exist_cannot_be_written),
		TEST(edges_of_ranges),
		TEST(dangerous_ones),
		TEST(constants),
		TEST(tsc),
		TEST(tsc_deadline),
		TEST(mtrr_variable),
		TEST(mtrr_fixed),
		TEST(mtrr_default),
		TEST(mtrrs_at_start),
		TEST(pat),
		TEST(efer),
		TEST(misc_enable),
		TEST(mcg_status),
		TEST(mc_banks),
		TEST(xss),
		TEST(tsc_aux),
		TEST(apic_base),
		TEST(x2apic_registers),
		TEST(instructions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
