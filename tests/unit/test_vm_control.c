/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes to CR0, CR4, EFER and XCR0: every #GP rule, and every side effect; refused writes change
 * nothing.
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

#define CR0_LONG (CR0_PE | CR0_PG | CR0_ET | CR0_WP | CR0_NE)
#define EFER_ON  (EFER_LME | EFER_LMA)
#define CS_ATTR  (VMCS_GUEST_ES_RIGHTS + 2 * SEG_CS)

static struct vm_cpu *c;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_init(1);
	c = vmw.c;
	v = &c->vcpu;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

static uint64_t get(enum vcpu_reg r)
{
	return v->ops->reg_read(v, r);
}

static void mode(uint64_t cr0, uint64_t cr4, uint64_t efer, bool cs_long)
{
	v->ops->reg_write(v, REG_CR0, cr0);
	v->ops->reg_write(v, REG_CR4, cr4);
	v->ops->reg_write(v, REG_EFER, efer);
	fake_vmcs_set(CS_ATTR, cs_long ? 0xa09b : 0xc09b);
	fake_counts_clear();
}

static bool flushed(void)
{
	return fake.count[FAKE_INVVPID] > 0;
}

/* ---- CR0 ---- */

static void cr0_gp(uint64_t value)
{
	uint64_t old = get(REG_CR0), efer = get(REG_EFER);

	fake_counts_clear();
	assert_false(vm_cr0_write(c, value));
	assert_int_equal(fake.count[FAKE_VMWRITE], 0);
	assert_int_equal(get(REG_CR0), old);
	assert_int_equal(get(REG_EFER), efer);
}

static void cr0_bad_values(void **state)
{
	(void)state;
	mode(0x10, 0, 0, false);
	for (unsigned bit = 32; bit < 64; bit++)
		cr0_gp(CR0_PE | BIT(bit));
	cr0_gp(CR0_PG); /* without PE */
	cr0_gp(CR0_NW); /* without CD */
	cr0_gp(CR0_NW | CR0_PE);
}

/* Reserved bits below 32 are ignored, ET is always 1. */
static void cr0_plain_values(void **state)
{
	const uint64_t kept = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM |
			      CR0_NW | CR0_CD;

	(void)state;
	mode(0x10, 0, 0, false);
	assert_true(vm_cr0_write(c, kept));
	assert_int_equal(get(REG_CR0), kept | CR0_ET);
	assert_true(vm_cr0_write(c, 0));
	assert_int_equal(get(REG_CR0), CR0_ET);
	assert_true(vm_cr0_write(c, 0x7fffffff & ~CR0_NW));
	assert_int_equal(get(REG_CR0), (kept | CR0_ET) & ~CR0_NW);
	/* Caches stay on in truth. */
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR0) & (CR0_CD | CR0_NW), 0);
	assert_true(vm_cr0_write(c, CR0_CD | CR0_NW));
	assert_int_equal(get(REG_CR0), CR0_CD | CR0_NW | CR0_ET);
}

static void enter_long_mode(void **state)
{
	(void)state;
	mode(CR0_PE | CR0_ET, 0, EFER_LME, false);
	cr0_gp(CR0_PE | CR0_PG); /* without PAE */
	mode(CR0_PE | CR0_ET, CR4_PAE, EFER_LME, true);
	cr0_gp(CR0_PE | CR0_PG); /* with a 64-bit CS */
	mode(CR0_PE | CR0_ET, CR4_PAE, EFER_LME, false);
	assert_true(vm_cr0_write(c, CR0_PE | CR0_PG));
	assert_int_equal(get(REG_EFER), EFER_ON);
	assert_true(fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST);
	assert_true(flushed());
}

static void leave_long_mode(void **state)
{
	(void)state;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	cr0_gp(CR0_PE | CR0_NE); /* from 64-bit code */
	mode(CR0_LONG, CR4_PAE | CR4_PCIDE, EFER_ON, false);
	cr0_gp(CR0_PE | CR0_NE); /* with PCIDs */
	mode(CR0_LONG, CR4_PAE, EFER_ON, false);
	assert_true(vm_cr0_write(c, CR0_PE | CR0_NE));
	assert_int_equal(get(REG_EFER), EFER_LME);
	assert_false(fake_vmcs_get(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E_MODE_GUEST);
	assert_true(flushed());
}

static void put_pdptes(gpa_t at, uint64_t first)
{
	const uint64_t pdpte[4] = {first, 0x4001, 0, 0x6001};

	assert_int_equal(guest_mem_write(&vmw.vm->mem, at, pdpte, sizeof(pdpte)), OK);
}

static void pae_paging(void **state)
{
	(void)state;
	mode(CR0_PE | CR0_ET, CR4_PAE, 0, false);
	put_pdptes(0x5020, 0x3001);
	v->ops->reg_write(v, REG_CR3, 0xfff00000f0005020); /* only bits 31:5 count */
	cr0_gp(CR0_PE | CR0_PG);                           /* F000_5020h: not RAM */
	v->ops->reg_write(v, REG_CR3, 0x1f00005038);
	assert_true(vm_cr0_write(c, CR0_PE | CR0_PG));
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0), 0x3001);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0 + 2), 0x4001);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0 + 4), 0);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0 + 6), 0x6001);
	assert_int_equal(get(REG_EFER), 0);
	/* Reserved bits of a present entry; of one that is not, they do not matter. */
	for (unsigned bit = 1; bit < 64; bit++) {
		bool reserved = (bit < 9 && (0x1e6 >> bit & 1)) || bit >= c->cpuid.phys_bits;

		mode(CR0_PE | CR0_ET, CR4_PAE, 0, false);
		put_pdptes(0x5020, 1 | BIT(bit));
		if (reserved)
			cr0_gp(CR0_PE | CR0_PG);
		else
			assert_true(vm_cr0_write(c, CR0_PE | CR0_PG));
		mode(CR0_PE | CR0_ET, CR4_PAE, 0, false);
		put_pdptes(0x5020, BIT(bit));
		assert_true(vm_cr0_write(c, CR0_PE | CR0_PG));
	}
}

static void cr0_flushes(void **state)
{
	(void)state;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	assert_true(vm_cr0_write(c, CR0_LONG | CR0_TS));
	assert_false(flushed());
	assert_true(vm_cr0_write(c, CR0_LONG & ~CR0_WP));
	assert_true(flushed());
}

/* ---- CR4 ---- */

static void cr4_gp(uint64_t value)
{
	uint64_t old = get(REG_CR4);

	fake_counts_clear();
	assert_false(vm_cr4_write(c, value));
	assert_int_equal(fake.count[FAKE_VMWRITE], 0);
	assert_int_equal(get(REG_CR4), old);
}

static void cr4_bad_values(void **state)
{
	(void)state;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(c->cpuid.cr4_allowed & BIT(bit)))
			cr4_gp(CR4_PAE | BIT(bit));
	}
	cr4_gp(CR4_PAE | CR4_VMXE);
	cr4_gp(CR4_PAE | CR4_LA57);
	cr4_gp(0); /* PAE cleared in long mode */
}

static void cr4_every_allowed_bit(void **state)
{
	(void)state;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	v->ops->reg_write(v, REG_CR3, 0x10000);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!(c->cpuid.cr4_allowed & BIT(bit)))
			continue;
		assert_true(vm_cr4_write(c, CR4_PAE | BIT(bit)));
		assert_int_equal(get(REG_CR4), CR4_PAE | BIT(bit));
	}
	/* VMXE and MCE are set in truth, whatever the guest sees. */
	assert_true(vm_cr4_write(c, CR4_PAE));
	assert_int_equal(get(REG_CR4), CR4_PAE);
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_CR4), CR4_PAE | CR4_VMXE | CR4_MCE);
}

static void la57_in_long_mode(void **state)
{
	(void)state;
	c->cpuid.cr4_allowed |= CR4_LA57;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	cr4_gp(CR4_PAE | CR4_LA57);
}

static void pcid(void **state)
{
	(void)state;
	mode(CR0_PE | CR0_ET, CR4_PAE, 0, false);
	cr4_gp(CR4_PAE | CR4_PCIDE); /* outside long mode */
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	for (unsigned bit = 0; bit < 12; bit++) {
		v->ops->reg_write(v, REG_CR3, 0x10000 | BIT(bit));
		cr4_gp(CR4_PAE | CR4_PCIDE);
	}
	v->ops->reg_write(v, REG_CR3, 0x10000);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_PCIDE));
	assert_true(flushed());
	/* Once on, CR3 may hold one. */
	v->ops->reg_write(v, REG_CR3, 0x10001);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_PCIDE | CR4_DE));
	assert_true(vm_cr4_write(c, CR4_PAE));
}

static void cr4_loads_pdptes(void **state)
{
	(void)state;
	mode(CR0_PE | CR0_PG | CR0_ET, 0, 0, false);
	v->ops->reg_write(v, REG_CR3, 0x5000);
	put_pdptes(0x5000, 0x3001 | 2); /* reserved bit */
	cr4_gp(CR4_PAE);
	put_pdptes(0x5000, 0x7001);
	assert_true(vm_cr4_write(c, CR4_PAE));
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0), 0x7001);
	assert_true(flushed());
	/* PGE reloads them, TSD does not. */
	put_pdptes(0x5000, 0x8001);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_TSD));
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0), 0x7001);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_PGE));
	assert_int_equal(fake_vmcs_get(VMCS_GUEST_PDPTE0), 0x8001);
}

static void cr4_changes_cpuid(void **state)
{
	(void)state;
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_OSXSAVE));
	assert_true(cpuid_table_find(&c->cpuid, 1, 0)->ecx & CPUID_1_ECX_OSXSAVE);
	assert_true(vm_cr4_write(c, CR4_PAE));
	assert_false(cpuid_table_find(&c->cpuid, 1, 0)->ecx & CPUID_1_ECX_OSXSAVE);
}

static void cr4_flushes(void **state)
{
	static const uint64_t bits[] = {CR4_PGE, CR4_SMEP, CR4_SMAP, CR4_PSE};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++) {
		mode(CR0_LONG, CR4_PAE, EFER_ON, true);
		assert_true(vm_cr4_write(c, CR4_PAE | bits[i]));
		assert_true(flushed());
		fake_counts_clear();
		assert_true(vm_cr4_write(c, CR4_PAE | bits[i]));
		assert_false(flushed()); /* nothing changed */
	}
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	assert_true(vm_cr4_write(c, CR4_PAE | CR4_DE | CR4_OSFXSR));
	assert_false(flushed());
}

/* ---- EFER ---- */

static void efer_gp(uint64_t value)
{
	uint64_t old = get(REG_EFER);

	assert_false(vm_efer_write(c, value));
	assert_int_equal(get(REG_EFER), old);
}

static void efer(void **state)
{
	(void)state;
	mode(CR0_PE | CR0_ET, 0, 0, false);
	for (unsigned bit = 0; bit < 64; bit++) {
		if (!((EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE) & BIT(bit)))
			efer_gp(BIT(bit));
	}
	/* LMA is the CPU's: a write of it changes nothing. */
	assert_true(vm_efer_write(c, EFER_LMA | EFER_LME));
	assert_int_equal(get(REG_EFER), EFER_LME);
	mode(CR0_LONG, CR4_PAE, EFER_ON, true);
	assert_true(vm_efer_write(c, EFER_LME | EFER_SCE));
	assert_int_equal(get(REG_EFER), EFER_ON | EFER_SCE);
	efer_gp(0); /* LME cannot change while paging is on */
	assert_false(flushed());
	assert_true(vm_efer_write(c, EFER_LME | EFER_NXE));
	assert_true(flushed());
	mode(CR0_PE | CR0_PG | CR0_ET, 0, 0, false);
	efer_gp(EFER_LME);
}

/* ---- XCR0 ---- */

/* Every combination of the components, against the rules written out. */
static void xcr0(void **state)
{
	(void)state;
	for (uint64_t value = 0; value < 0x800; value++) {
		uint64_t avx512 = value & 0xe0;
		bool good = (value & 1) && !(value & ~0x2e7ull) && (!(value & 4) || (value & 2)) &&
			    (avx512 == 0 || (avx512 == 0xe0 && (value & 4)));

		c->xcr0 = 1;
		assert_int_equal(vm_xcr0_write(c, 0, value), good);
		assert_int_equal(c->xcr0, good ? value : 1);
		if (good)
			assert_int_equal(fake_this->xcr0, value);
	}
	for (unsigned bit = 8; bit < 64; bit++) {
		if (bit != 9)
			assert_false(vm_xcr0_write(c, 0, 7 | BIT(bit)));
	}
	for (unsigned index = 1; index < 4; index++)
		assert_false(vm_xcr0_write(c, index, 7));
}

static void xcr0_changes_cpuid(void **state)
{
	(void)state;
	assert_true(vm_xcr0_write(c, 0, 7));
	assert_int_equal(cpuid_table_find(&c->cpuid, 0xd, 0)->ebx, 0x340);
	assert_true(vm_xcr0_write(c, 0, 1));
	assert_int_equal(cpuid_table_find(&c->cpuid, 0xd, 0)->ebx, 576);
}

/* The hardware knows less than the table: its #GP is the guest's, not ours. */
static void xcr0_refused_by_hardware(void **state)
{
	(void)state;
	fake_this->xcr0_supported = 3;
	assert_false(vm_xcr0_write(c, 0, 7));
	assert_int_equal(c->xcr0, XCR0_X87);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cr0_bad_values),
		TEST(cr0_plain_values),
		TEST(enter_long_mode),
		TEST(leave_long_mode),
		TEST(pae_paging),
		TEST(cr0_flushes),
		TEST(cr4_bad_values),
		TEST(cr4_every_allowed_bit),
		TEST(la57_in_long_mode),
		TEST(pcid),
		TEST(cr4_loads_pdptes),
		TEST(cr4_changes_cpuid),
		TEST(cr4_flushes),
		TEST(efer),
		TEST(xcr0),
		TEST(xcr0_changes_cpuid),
		TEST(xcr0_refused_by_hardware),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
