/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration mechanism #1, ECAM and the two bridges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "drivers/virt/pci.h"
#include "hv/lib/string.h"

#define ECAM(devfn, reg) ((uint64_t)(devfn) << 12 | (reg))

static const struct pci_config config = {0xb0000000, 0x600};

static uint32_t cfg(struct pci *p, uint32_t address, unsigned size)
{
	pci_write(p, 0, 4, 0x80000000 | address, 0);
	return pci_read(p, 4 + (address & 3), size, 0);
}

static void test_probe(void **state)
{
	struct pci p;

	(void)state;
	pci_init(&p, &config);
	/* the check for mechanism #1: a byte at CFBh is not CONFIG_ADDRESS */
	pci_write(&p, 3, 1, 1, 0);
	assert_int_equal(pci_read(&p, 0, 4, 0), 0);
	pci_write(&p, 0, 4, 0x80000000, 0);
	assert_int_equal(pci_read(&p, 0, 4, 0), 0x80000000);
	pci_write(&p, 0, 2, 0x1234, 0);
	pci_write(&p, 1, 1, 6, 0);
	assert_int_equal(pci_read(&p, 0, 4, 0), 0x80000000);
	assert_int_equal(pci_read(&p, 0, 2, 0), 0xffff);
	assert_int_equal(pci_read(&p, 2, 1, 0), 0xff);
	pci_write(&p, 0, 4, 0xffffffff, 0);
	assert_int_equal(pci_read(&p, 0, 4, 0), 0x80fffffc);
	/* disabled: nothing answers */
	pci_write(&p, 0, 4, 0, 0);
	assert_int_equal(pci_read(&p, 4, 4, 0), 0xffffffff);
}

static void test_bridges(void **state)
{
	static const struct {
		uint32_t address;
		unsigned size;
		uint32_t value;
	} rows[] = {
		{0x0000, 4, 0x29c08086},
		{0x0002, 2, 0x29c0},
		{0x0003, 1, 0x29},
		{0x0004, 4, 0x00000006},
		{0x0008, 4, 0x06000002},
		{0x000c, 4, 0},
		{0x0010, 4, 0},
		{0x0060, 4, 0xb0000001},
		{0x0064, 4, 0},
		{0x0090, 4, 0x33333330},
		{0x0094, 4, 0x00333333},
		{0x009c, 4, 0x00000200},
		{0xf800, 4, 0x29188086},
		{0xf804, 4, 0x02000007},
		{0xf808, 4, 0x06010002},
		{0xf80e, 1, 0x80},
		{0xf840, 4, 0x00000601},
		{0xf844, 1, 0x80},
		{0xf860, 4, 0x80808080},
		{0xf868, 4, 0x80808080},
		{0xf8f0, 4, 0},
		{0xf900, 4, 0xffffffff},
		{0x0100, 2, 0xffff},
		{0x0800, 1, 0xff},
		{0x010000, 4, 0xffffffff},
		{0xff0000, 4, 0xffffffff},
		{0xffff, 1, 0xff},
	};
	struct pci p;

	(void)state;
	pci_init(&p, &config);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(cfg(&p, rows[i].address, rows[i].size), rows[i].value);
		if (rows[i].address >> 16)
			continue;
		assert_int_equal(
			pci_ecam_read(&p, ECAM(rows[i].address >> 8, rows[i].address & 0xff),
				rows[i].size),
			rows[i].value);
	}
	assert_int_equal(pci_ecam_read(&p, 0x100000, 4), 0xffffffff);
	assert_int_equal(pci_ecam_read(&p, UINT64_MAX, 4), 0xffffffff);
	/* no extended space, also across its beginning */
	assert_int_equal(pci_ecam_read(&p, 0x100, 4), 0xffffffff);
	assert_int_equal(pci_ecam_read(&p, 0xfe, 4), 0xffff0000);
	assert_int_equal(pci_ecam_read(&p, 0, 8), 0xffffffff);
	/* mechanism #1 past the data port */
	pci_write(&p, 0, 4, 0x80000000, 0);
	assert_int_equal(pci_read(&p, 6, 4, 0), 0xffffffff);
	assert_int_equal(pci_read(&p, 5, 2, 0), 0xc080);
}

static void test_bridge_writes(void **state)
{
	struct pci p;
	struct pci fresh;

	(void)state;
	pci_init(&p, &config);
	pci_init(&fresh, &config);
	for (unsigned reg = 0; reg < PCI_EXT_CONFIG; reg += 4) {
		pci_ecam_write(&p, ECAM(0, reg), 4, 0);
		pci_ecam_write(&p, ECAM(0xf8, reg), 4, 0xffffffff);
	}
	/* what identifies and decodes stays; command's bus master bit, scratch and PIRQs change */
	assert_int_equal(cfg(&p, 0x0000, 4), 0x29c08086);
	assert_int_equal(cfg(&p, 0x0004, 4), 0x00000002);
	assert_int_equal(cfg(&p, 0x0060, 4), 0xb0000001);
	assert_int_equal(cfg(&p, 0xf840, 4), 0x00000601);
	assert_int_equal(cfg(&p, 0xf810, 4), 0);
	assert_int_equal(cfg(&p, 0xf860, 4), 0x8f8f8f8f);
	pci_write(&p, 0, 4, 0x8000f860, 0);
	pci_write(&p, 6, 1, 0x0a, 0);
	assert_int_equal(pci_read(&p, 4, 4, 0), 0x8f0a8f8f);
	pci_reset(&p, 0);
	assert_memory_equal(p.host_config, fresh.host_config, PCI_CONFIG);
	assert_memory_equal(p.lpc_config, fresh.lpc_config, PCI_CONFIG);
	assert_int_equal(p.address, 0);
}

struct write_log {
	unsigned count, reg, size;
};

static void fake_written(void *ctx, unsigned reg, unsigned size)
{
	struct write_log *log = ctx;

	log->count++;
	log->reg = reg;
	log->size = size;
}

static void test_added_function(void **state)
{
	static uint8_t space[PCI_EXT_CONFIG] = {0xf4, 0x1a, [0x06] = 0xf0, [0xfff] = 0x77};
	static const uint8_t writable[PCI_EXT_CONFIG] = {[0x10] = 0xf0, 0xff, 0xff, 0xff};
	static const uint8_t clear[PCI_EXT_CONFIG] = {[0x06] = 0x30};
	struct write_log log = {0};
	struct pci_function f = {space, writable, clear, PCI_EXT_CONFIG, fake_written, &log};
	struct pci_function bad = f;
	struct pci p;

	(void)state;
	pci_init(&p, &config);
	bad.size = 128;
	assert_int_equal(pci_add(&p, 8, &bad), E_INVAL);
	assert_int_equal(pci_add(&p, 256, &f), E_INVAL);
	assert_int_equal(pci_add(&p, 0, &f), E_BUSY);
	assert_int_equal(pci_add(&p, PCI_DEVFN(1, 0), &f), OK);
	assert_int_equal(pci_add(&p, PCI_DEVFN(1, 0), &f), E_BUSY);
	assert_int_equal(cfg(&p, 0x0800, 2), 0x1af4);
	assert_int_equal(pci_ecam_read(&p, ECAM(8, 0xffc), 4), 0x77000000);
	assert_int_equal(pci_ecam_read(&p, ECAM(8, 0xfff), 4), 0xffffff77);
	/* BAR sizing; write-1-to-clear; the owner hears of it */
	pci_write(&p, 0, 4, 0x80000810, 0);
	pci_write(&p, 4, 4, 0xffffffff, 0);
	assert_int_equal(pci_read(&p, 4, 4, 0), 0xfffffff0);
	assert_int_equal(log.reg, 0x10);
	assert_int_equal(log.size, 4);
	pci_ecam_write(&p, ECAM(8, 0x06), 2, 0x0050);
	assert_int_equal(pci_ecam_read(&p, ECAM(8, 0x06), 2), 0x00e0);
	assert_int_equal(log.count, 2);
	pci_ecam_write(&p, ECAM(8, 0x06), 8, 0xff);
	pci_ecam_write(&p, ECAM(9, 0x06), 2, 0xff);
	assert_int_equal(log.count, 2);
	pci_ecam_write(&p, ECAM(8, 0xfff), 4, 0xffffffff);
	assert_int_equal(space[0xfff], 0x77);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_bridges),
		cmocka_unit_test(test_bridge_writes),
		cmocka_unit_test(test_added_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
