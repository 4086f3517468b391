/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI and MP tables, read back as a kernel would: by following pointers and checking sums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "drivers/virt/acpi_tables.h"
#include "drivers/virt/mp_table.h"

#define BASE    0x3ff0000u
#define MP_BASE 0xf0100u

struct fixture {
	struct acpi_build acpi;
	struct mp_build mp;
};

static struct fixture *create(unsigned vcpus)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->acpi = (struct acpi_build){
		vcpus, malloc(ACPI_TABLES_SIZE), ACPI_TABLES_SIZE, BASE, 0, {0}};
	f->mp = (struct mp_build){
		vcpus, 0x906ea, 0xbfebfbff, malloc(MP_TABLE_SIZE), MP_TABLE_SIZE, MP_BASE, 0};
	memset(f->acpi.buf, 0xcc, ACPI_TABLES_SIZE);
	memset(f->mp.buf, 0xcc, MP_TABLE_SIZE);
	assert_int_equal(acpi_tables_build(&f->acpi), OK);
	assert_int_equal(mp_table_build(&f->mp), OK);
	return f;
}

static void destroy(struct fixture *f)
{
	free(f->acpi.buf);
	free(f->mp.buf);
	free(f);
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, p, bytes);
	return value;
}

static uint8_t sum(const uint8_t *p, uint64_t size)
{
	uint8_t total = 0;

	while (size--)
		total += *p++;
	return total;
}

static const uint8_t *at(const struct fixture *f, uint64_t gpa)
{
	assert_true(gpa >= BASE && gpa < BASE + f->acpi.used);
	return f->acpi.buf + (gpa - BASE);
}

/* A table by address: signature, length inside the buffer, sum. */
static const uint8_t *table(const struct fixture *f, uint64_t gpa, const char *signature)
{
	const uint8_t *t = at(f, gpa);

	assert_int_equal(gpa % 16, 0);
	assert_memory_equal(t, signature, 4);
	assert_true(gpa + get(t + 4, 4) <= BASE + f->acpi.used);
	assert_int_equal(sum(t, get(t + 4, 4)), 0);
	return t;
}

/* A table by signature through the XSDT; the RSDT must hold the same address. */
static const uint8_t *find(const struct fixture *f, const char *signature)
{
	const uint8_t *xsdt = table(f, get(f->acpi.rsdp + 24, 8), "XSDT");
	const uint8_t *rsdt = table(f, get(f->acpi.rsdp + 16, 4), "RSDT");

	assert_int_equal((get(xsdt + 4, 4) - 36) / 8, (get(rsdt + 4, 4) - 36) / 4);
	for (unsigned i = 0; i < (get(xsdt + 4, 4) - 36) / 8; i++) {
		uint64_t gpa = get(xsdt + 36 + 8 * i, 8);

		assert_int_equal(get(rsdt + 36 + 4 * i, 4), gpa);
		if (!memcmp(at(f, gpa), signature, 4))
			return table(f, gpa, signature);
	}
	fail_msg("no table %s", signature);
	return NULL;
}

static void root_pointer(void **state)
{
	struct fixture *f = create(1);

	(void)state;
	assert_memory_equal(f->acpi.rsdp, "RSD PTR ", 8);
	assert_int_equal(f->acpi.rsdp[15], 2);
	assert_int_equal(get(f->acpi.rsdp + 20, 4), 36);
	assert_int_equal(sum(f->acpi.rsdp, 20), 0);
	assert_int_equal(sum(f->acpi.rsdp, 36), 0);
	assert_int_equal(f->acpi.buf[f->acpi.used], 0xcc);
	destroy(f);
}

static void fadt(void **state)
{
	struct fixture *f = create(1);
	const uint8_t *t = find(f, "FACP"), *facs;

	(void)state;
	assert_int_equal(get(t + 4, 4), 276);
	assert_int_equal(t[8], 6);
	assert_int_equal(get(t + 36, 4) % 64, 0);
	facs = at(f, get(t + 36, 4));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(get(facs + 4, 4), 64);
	assert_int_equal(get(t + 132, 8), 0); /* X_FIRMWARE_CTRL: not both */
	assert_int_equal(get(t + 40, 4), get(t + 140, 8));
	table(f, get(t + 40, 4), "DSDT");
	assert_int_equal(get(t + 46, 2), 9);
	assert_int_equal(get(t + 48, 4), 0xb2);
	assert_int_equal(t[52], 2);
	assert_int_equal(t[53], 3);
	assert_int_equal(get(t + 56, 4), 0x600);
	assert_int_equal(get(t + 64, 4), 0x604);
	assert_int_equal(get(t + 76, 4), 0x608);
	assert_int_equal(get(t + 80, 4), 0x620);
	assert_int_equal(t[88], 4);
	assert_int_equal(t[89], 2);
	assert_int_equal(t[91], 4);
	assert_int_equal(t[92], 16);
	assert_int_equal(t[108], 0x32);
	assert_int_equal(get(t + 109, 2), 0x3);
	assert_int_equal(get(t + 112, 4), BIT(0) | BIT(2) | BIT(5) | BIT(6) | BIT(8) | BIT(10));
	assert_int_equal(get(t + 116, 4), 0x01000801); /* I/O, 8 bits, byte access */
	assert_int_equal(get(t + 120, 8), 0xcf9);
	assert_int_equal(t[128], 6);
	assert_int_equal(get(t + 148, 2), 0x2001); /* X_PM1a_EVT: I/O, 32 bits */
	assert_int_equal(get(t + 152, 8), 0x600);
	assert_int_equal(get(t + 172, 2), 0x1001);
	assert_int_equal(get(t + 176, 8), 0x604);
	assert_int_equal(get(t + 208, 2), 0x2001);
	assert_int_equal(get(t + 212, 8), 0x608);
	assert_int_equal(get(t + 220, 2), 0x8001);
	assert_int_equal(get(t + 224, 8), 0x620);
	destroy(f);
}

static void madt(void **state)
{
	static const uint8_t tail[] = {
		1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0, /* IOAPIC 0 at FEC00000h, GSI 0 */
		2, 10, 0, 0, 2, 0, 0, 0, 0, 0,             /* IRQ 0 is GSI 2 */
		2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0,           /* IRQ 9: active high, level */
		4, 6, 0xff, 0, 0, 1,                       /* NMI on every LINT1 */
	};
	static const unsigned count[] = {1, 2, 3, 64, 254};

	(void)state;
	for (unsigned n = 0; n < ARRAY_SIZE(count); n++) {
		struct fixture *f = create(count[n]);
		const uint8_t *t = find(f, "APIC");

		assert_int_equal(get(t + 4, 4), 44 + 8 * count[n] + sizeof(tail));
		assert_int_equal(get(t + 36, 4), 0xfee00000);
		assert_int_equal(get(t + 40, 4), 1);
		for (unsigned i = 0; i < count[n]; i++) {
			const uint8_t lapic[8] = {0, 8, (uint8_t)i, (uint8_t)i, 1};

			assert_memory_equal(t + 44 + 8 * i, lapic, 8);
		}
		assert_memory_equal(t + 44 + 8 * count[n], tail, sizeof(tail));
		destroy(f);
	}
}

static void hpet_and_mcfg(void **state)
{
	struct fixture *f = create(2);
	const uint8_t *hpet = find(f, "HPET"), *mcfg = find(f, "MCFG");

	(void)state;
	assert_int_equal(get(hpet + 4, 4), 56);
	assert_int_equal(get(hpet + 36, 4), 0x8086a201);
	assert_int_equal(hpet[40], 0);
	assert_int_equal(get(hpet + 44, 8), 0xfed00000);
	assert_int_equal(get(mcfg + 4, 4), 60);
	assert_int_equal(get(mcfg + 44, 8), 0xb0000000);
	assert_int_equal(get(mcfg + 52, 2), 0);
	assert_int_equal(mcfg[54], 0);
	assert_int_equal(mcfg[55], 255);
	destroy(f);
}

static bool contains(const uint8_t *p, uint64_t size, const void *what, uint64_t length)
{
	for (; size >= length; p++, size--) {
		if (!memcmp(p, what, length))
			return true;
	}
	return false;
}

/* The fixed AML repeats constants of the header: they must not drift apart. */
static void dsdt_agrees_with_the_header(void **state)
{
	/* NameOp \_S5_, PackageOp, length, 4 elements, BytePrefix SLP_TYPa, SLP_TYPb */
	static const uint8_t s5[] = {8, '_', 'S', '5', '_', 0x12, 8, 4, 0x0a, ACPI_SLP_TYP_S5, 0x0a,
		ACPI_SLP_TYP_S5, 0, 0};
	static const uint32_t ecam[2] = {ACPI_ECAM_BASE, ACPI_ECAM_SIZE};
	static const uint32_t window[2] = {ACPI_PCI_WINDOW_BASE, ACPI_PCI_WINDOW_LIMIT};
	static const uint32_t hpet = ACPI_HPET_BASE;
	static const uint8_t pm[] = {0x47, 1, ACPI_PM_BASE & 0xff, ACPI_PM_BASE >> 8};
	struct fixture *f = create(1);
	const uint8_t *t = table(f, get(find(f, "FACP") + 140, 8), "DSDT");
	uint64_t size = get(t + 4, 4);

	(void)state;
	assert_int_equal(t[8], 2);
	assert_true(contains(t, size, s5, sizeof(s5)));
	assert_true(contains(t, size, ecam, sizeof(ecam)));
	assert_true(contains(t, size, window, sizeof(window)));
	assert_true(contains(t, size, &hpet, sizeof(hpet)));
	assert_true(contains(t, size, pm, sizeof(pm)));
	destroy(f);
}

static void bad_requests(void **state)
{
	struct fixture *f = create(254);
	struct acpi_build ok = f->acpi, a;
	struct mp_build mp_ok = f->mp, m;

	(void)state;
	for (unsigned vcpus = 0; vcpus <= 255; vcpus += 255) {
		a = ok;
		a.vcpu_count = vcpus;
		assert_int_equal(acpi_tables_build(&a), E_INVAL);
		m = mp_ok;
		m.vcpu_count = vcpus;
		assert_int_equal(mp_table_build(&m), E_INVAL);
	}
	a = ok;
	a.base = BASE + 32;
	assert_int_equal(acpi_tables_build(&a), E_INVAL);
	a.base = GIB(4) - 0x1000;
	assert_int_equal(acpi_tables_build(&a), E_INVAL);
	m = mp_ok;
	m.base = MP_BASE + 8;
	assert_int_equal(mp_table_build(&m), E_INVAL);
	m.base = 0xefff0;
	assert_int_equal(mp_table_build(&m), E_INVAL);
	m.base = 0xff000;
	assert_int_equal(mp_table_build(&m), E_INVAL);
	destroy(f);
}

/* Any size either holds everything or is refused; ASan sees a byte too many. */
static void small_buffers(void **state)
{
	struct fixture *f = create(64);
	uint32_t need = f->acpi.used, mp_need = f->mp.used;

	(void)state;
	for (uint32_t size = 0; size <= need; size++) {
		struct acpi_build a = {64, malloc(size + !size), size, BASE, 0, {0}};

		assert_int_equal(acpi_tables_build(&a), size < need ? E_NOMEM : OK);
		free(a.buf);
	}
	for (uint32_t size = 0; size <= mp_need; size++) {
		struct mp_build m = {64, 0, 0, malloc(size + !size), size, MP_BASE, 0};

		assert_int_equal(mp_table_build(&m), size < mp_need ? E_NOMEM : OK);
		free(m.buf);
	}
	destroy(f);
}

static void mp_headers(void **state)
{
	struct fixture *f = create(5);
	const uint8_t *p = f->mp.buf, *config = p + 16;

	(void)state;
	assert_memory_equal(p, "_MP_", 4);
	assert_int_equal(get(p + 4, 4), MP_BASE + 16);
	assert_int_equal(p[8], 1);
	assert_int_equal(p[9], 4);
	assert_int_equal(p[11], 0);
	assert_int_equal(sum(p, 16), 0);
	assert_memory_equal(config, "PCMP", 4);
	assert_int_equal(sum(config, get(config + 4, 2)), 0);
	assert_int_equal(16 + get(config + 4, 2), f->mp.used);
	assert_int_equal(get(config + 34, 2), 5 + 2 + 1 + 16 + 2);
	assert_int_equal(get(config + 36, 4), 0xfee00000);
	destroy(f);
}

/* Walk the MP table by entry type; it must say what the MADT says. */
static void mp_entries(void **state)
{
	static const unsigned entry_size[] = {20, 8, 8, 8, 8};
	unsigned seen[5] = {0}, last = 0;
	uint16_t pins = 0;
	struct fixture *f = create(5);
	const uint8_t *e = f->mp.buf + 16 + 44, *end = f->mp.buf + f->mp.used;

	(void)state;
	for (; e < end; e += entry_size[last]) {
		assert_in_range(e[0], last, 4); /* sorted by type */
		last = e[0];
		switch (e[0]) {
		case 0:
			assert_int_equal(e[1], seen[0]);
			assert_int_equal(e[3], seen[0] ? 1 : 3);
			assert_int_equal(get(e + 4, 4), 0x6ea);
			assert_int_equal(get(e + 8, 4), 0xbfebfbff);
			break;
		case 1: assert_memory_equal(e + 2, seen[1] ? "ISA   " : "PCI   ", 6); break;
		case 2:
			assert_int_equal(e[2], 0x11);
			assert_int_equal(get(e + 4, 4), 0xfec00000);
			break;
		case 3:
			if (seen[3] == 15) { /* ExtINT at pin 0 */
				assert_memory_equal(e + 1, "\3\0\0\1\0\0\0", 7);
				break;
			}
			assert_int_equal(e[1], 0);
			assert_int_equal(e[7], e[5] ? e[5] : 2);
			assert_int_equal(get(e + 2, 2), e[5] == 9 ? 0xd : 0);
			assert_int_equal(e[4], 1);
			assert_false(pins & BIT(e[7]));
			pins |= (uint16_t)BIT(e[7]);
			break;
		case 4:
			assert_int_equal(e[1], seen[4] ? 1 : 3); /* ExtINT on LINT0, NMI on LINT1 */
			assert_int_equal(e[6], 0xff);
			assert_int_equal(e[7], seen[4]);
			break;
		}
		seen[e[0]]++;
	}
	assert_ptr_equal(e, end);
	assert_int_equal(pins, 0xfffe); /* pins 1 - 15 */
	assert_int_equal(seen[0], 5);
	assert_int_equal(seen[1], 2);
	assert_int_equal(seen[2], 1);
	assert_int_equal(seen[3], 16);
	assert_int_equal(seen[4], 2);
	destroy(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_pointer),
		cmocka_unit_test(fadt),
		cmocka_unit_test(madt),
		cmocka_unit_test(hpet_and_mcfg),
		cmocka_unit_test(dsdt_agrees_with_the_header),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(small_buffers),
		cmocka_unit_test(mp_headers),
		cmocka_unit_test(mp_entries),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
