/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI's static tables (ACPI specification, "ACPI Software Programming Model"). */
#include "boot/acpi.h"
#include "hv/lib/string.h"

#define HEADER_SIZE 36u
#define TABLE_MAX   MIB(4) /* longer ones are nonsense */
#define PORT_SPACE  1u     /* Generic Address Structure: system I/O */
#define ENTRIES_MAX 512u   /* tables that a root table may list; more are not looked at */

/* Offsets in the tables. */
#define RSDP_REVISION    15u
#define RSDP_RSDT        16u
#define RSDP_LENGTH      20u
#define RSDP_XSDT        24u
#define RSDP_V1_SIZE     20u
#define RSDP_SIZE        36u
#define RSDP_SIZE_MAX    256u
#define FADT_DSDT        40u
#define FADT_SMI_CMD     48u
#define FADT_ACPI_ENABLE 52u
#define FADT_PM1A_CNT    64u
#define FADT_PM1B_CNT    68u
#define FADT_PM_TMR      76u
#define FADT_FLAGS       112u
#define FADT_RESET_REG   116u
#define FADT_RESET_VALUE 128u
#define FADT_X_DSDT      140u
#define FADT_X_PM1A_CNT  172u
#define FADT_X_PM1B_CNT  184u
#define FADT_X_PM_TMR    208u
#define FADT_RESET_SUP   (1u << 10)
#define HPET_BASE        40u
#define MADT_ENTRIES     44u
#define MADT_LAPIC       0u
#define MADT_X2APIC      9u
#define MADT_ENABLED     1u
#define MCFG_ENTRIES     44u
#define MCFG_ENTRY_SIZE  16u
#define ECAM_BUS_SIZE    MIB(1)

/* AML of a name with a package of integers. */
#define AML_NAME_OP    0x08u
#define AML_ROOT       0x5cu
#define AML_PACKAGE_OP 0x12u
#define AML_ZERO       0x00u
#define AML_ONE        0x01u
#define AML_BYTE       0x0au
#define AML_WORD       0x0bu
#define AML_DWORD      0x0cu
#define AML_QWORD      0x0eu

struct table {
	const uint8_t *bytes; /* NULL: there is none */
	uint32_t size;
};

/* The list of all tables, and how far a search has come in it. */
struct root {
	const struct boot_acpi *acpi;
	struct table table;
	unsigned entry_size;
	uint32_t at, end;
};

/* A little-endian field; 0 beyond the end of the table. */
static uint64_t field(const struct table *t, uint32_t offset, unsigned size)
{
	uint64_t value = 0;

	if (range_within(offset, size, t->size))
		memcpy(&value, t->bytes + offset, size);
	return value;
}

static bool sums_to_zero(const uint8_t *bytes, uint32_t size)
{
	uint8_t sum = 0;

	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return sum == 0;
}

/* The table at phys if it is whole and called `signature`. */
static struct table table_at(const struct boot_acpi *acpi, uint64_t phys, const char *signature)
{
	const uint8_t *header = phys ? acpi->map(acpi->ctx, phys, HEADER_SIZE) : NULL;
	struct table t = {0};
	uint32_t size;

	if (!header || memcmp(header, signature, 4))
		return t;
	memcpy(&size, header + 4, sizeof(size));
	if (size < HEADER_SIZE || size > TABLE_MAX)
		return t;
	t.bytes = acpi->map(acpi->ctx, phys, size);
	if (!t.bytes || !sums_to_zero(t.bytes, size))
		return (struct table){0};
	t.size = size;
	return t;
}

/*
 * The root pointer; 0 bytes of it where it is damaged, the first 20 where only its second half is
 * (ACPI, "Root System Description Pointer").
 */
static struct table rsdp_at(const struct boot_acpi *acpi)
{
	struct table rsdp = {0};
	const uint8_t *whole;
	uint32_t length;

	if (acpi->rsdp)
		rsdp.bytes = acpi->map(acpi->ctx, acpi->rsdp, RSDP_V1_SIZE);
	if (!rsdp.bytes || memcmp(rsdp.bytes, "RSD PTR ", 8) ||
		!sums_to_zero(rsdp.bytes, RSDP_V1_SIZE))
		return (struct table){0};
	rsdp.size = RSDP_V1_SIZE;
	if (rsdp.bytes[RSDP_REVISION] < 2)
		return rsdp;
	whole = acpi->map(acpi->ctx, acpi->rsdp, RSDP_SIZE);
	if (!whole)
		return rsdp;
	memcpy(&length, whole + RSDP_LENGTH, sizeof(length));
	if (length < RSDP_SIZE || length > RSDP_SIZE_MAX)
		return rsdp;
	whole = acpi->map(acpi->ctx, acpi->rsdp, length);
	if (whole && sums_to_zero(whole, length))
		rsdp = (struct table){whole, length};
	return rsdp;
}

/* The list of tables: XSDT, or RSDT where there is none. */
static struct root root_of(const struct boot_acpi *acpi)
{
	struct root root = {.acpi = acpi, .entry_size = 8, .at = HEADER_SIZE};
	struct table rsdp = rsdp_at(acpi);

	root.table = table_at(acpi, field(&rsdp, RSDP_XSDT, 8), "XSDT");
	if (!root.table.bytes) {
		root.entry_size = 4;
		root.table = table_at(acpi, field(&rsdp, RSDP_RSDT, 4), "RSDT");
	}
	root.end = MIN(root.table.size, HEADER_SIZE + ENTRIES_MAX * root.entry_size);
	return root;
}

/* The next table of that name; no bytes: there is no other. */
static struct table next_table(struct root *root, const char *signature)
{
	struct table found = {0};

	while (!found.bytes && root->at + root->entry_size <= root->end) {
		uint64_t phys = field(&root->table, root->at, root->entry_size);

		found = table_at(root->acpi, phys, signature);
		root->at += root->entry_size;
	}
	return found;
}

static struct table find(const struct boot_acpi *acpi, const char *signature)
{
	struct root root = root_of(acpi);

	return next_table(&root, signature);
}

/* ---- FADT ---- */

static uint16_t port_of(uint64_t address)
{
	return address <= UINT16_MAX ? (uint16_t)address : 0;
}

/* The extended field counts where it names a port, else the old one (ACPI, "FADT"). */
static uint16_t fadt_port(const struct table *fadt, uint32_t extended, uint32_t old)
{
	uint16_t port = 0;

	if (field(fadt, extended, 1) == PORT_SPACE)
		port = port_of(field(fadt, extended + 4, 8));
	return port ? port : port_of(field(fadt, old, 4));
}

/* An integer of a package; false where it is anything else. */
static bool read_integer(const struct table *t, uint32_t *at, uint8_t *value)
{
	uint8_t op = (uint8_t)field(t, *at, 1);

	*value = (uint8_t)field(t, *at + 1, 1);
	switch (op) {
	case AML_ZERO:
	case AML_ONE:
		*value = op;
		*at += 1;
		return true;
	case AML_BYTE: *at += 2; return true;
	case AML_WORD: *at += 3; return true;
	case AML_DWORD: *at += 5; return true;
	case AML_QWORD: *at += 9; return true;
	default: return false;
	}
}

/* Name (\_S5_, Package () {SLP_TYPa, SLP_TYPb, ...}) at t->bytes[at], the first letter. */
static bool read_s5(const struct table *t, uint32_t at, struct bootinfo_acpi *facts)
{
	bool named = t->bytes[at - 1] == AML_NAME_OP ||
		     (t->bytes[at - 1] == AML_ROOT && t->bytes[at - 2] == AML_NAME_OP);
	uint32_t next = at + 5;
	uint8_t a, b;

	if (!named || field(t, at + 4, 1) != AML_PACKAGE_OP)
		return false;
	next += 1 + (uint32_t)(field(t, next, 1) >> 6); /* PkgLength */
	if (field(t, next++, 1) < 2 || !read_integer(t, &next, &a) || !read_integer(t, &next, &b) ||
		next > t->size)
		return false;
	facts->slp_typ_a = a & 7;
	facts->slp_typ_b = b & 7;
	facts->has_s5 = 1;
	return true;
}

static bool scan_s5(const struct table *t, struct bootinfo_acpi *facts)
{
	for (uint32_t at = HEADER_SIZE + 1; t->bytes && at + 4 <= t->size; at++) {
		if (!memcmp(t->bytes + at, "_S5_", 4) && read_s5(t, at, facts))
			return true;
	}
	return false;
}

static void find_s5(
	const struct boot_acpi *acpi, const struct table *fadt, struct bootinfo_acpi *facts)
{
	struct table t = table_at(acpi, field(fadt, FADT_X_DSDT, 8), "DSDT");
	struct root root = root_of(acpi);

	if (!t.bytes)
		t = table_at(acpi, field(fadt, FADT_DSDT, 4), "DSDT");
	if (scan_s5(&t, facts))
		return;
	do
		t = next_table(&root, "SSDT");
	while (t.bytes && !scan_s5(&t, facts));
}

static void read_fadt(const struct boot_acpi *acpi, struct bootinfo_acpi *facts)
{
	struct table fadt = find(acpi, "FACP");

	if (!fadt.bytes)
		return;
	facts->pm1a_cnt = fadt_port(&fadt, FADT_X_PM1A_CNT, FADT_PM1A_CNT);
	facts->pm1b_cnt = fadt_port(&fadt, FADT_X_PM1B_CNT, FADT_PM1B_CNT);
	facts->pm_timer = fadt_port(&fadt, FADT_X_PM_TMR, FADT_PM_TMR);
	facts->smi_cmd = port_of(field(&fadt, FADT_SMI_CMD, 4));
	facts->acpi_enable = (uint8_t)field(&fadt, FADT_ACPI_ENABLE, 1);
	if ((field(&fadt, FADT_FLAGS, 4) & FADT_RESET_SUP) &&
		field(&fadt, FADT_RESET_REG, 1) == PORT_SPACE) {
		facts->reset_port = port_of(field(&fadt, FADT_RESET_REG + 4, 8));
		facts->reset_value = (uint8_t)field(&fadt, FADT_RESET_VALUE, 1);
	}
	find_s5(acpi, &fadt, facts);
}

/* ---- HPET and MCFG ---- */

static void read_hpet(const struct boot_acpi *acpi, struct bootinfo_acpi *facts)
{
	struct table hpet = find(acpi, "HPET");

	/* In memory space; anything else is no HPET. */
	if (hpet.bytes && field(&hpet, HPET_BASE, 1) == 0)
		facts->hpet = field(&hpet, HPET_BASE + 4, 8);
}

/*
 * PCI Firmware Specification, "MCFG Table": the address is bus 0's even where the range begins with
 * another bus. Of several ranges of segment 0 the one with the lowest bus.
 */
static void read_mcfg(const struct boot_acpi *acpi, struct bootinfo_acpi *facts)
{
	struct table mcfg = find(acpi, "MCFG");

	for (uint32_t at = MCFG_ENTRIES; at + MCFG_ENTRY_SIZE <= mcfg.size; at += MCFG_ENTRY_SIZE) {
		uint64_t base = field(&mcfg, at, 8);
		unsigned first = (unsigned)field(&mcfg, at + 10, 1);
		unsigned last = (unsigned)field(&mcfg, at + 11, 1);

		if (field(&mcfg, at + 8, 2) != 0 || !base || base % ECAM_BUS_SIZE || first > last ||
			!range_within(base, 256 * ECAM_BUS_SIZE, BIT(52)))
			continue;
		if (facts->ecam && first >= facts->ecam_first_bus)
			continue;
		facts->ecam = base;
		facts->ecam_first_bus = (uint8_t)first;
		facts->ecam_last_bus = (uint8_t)last;
	}
}

void boot_acpi_read(const struct boot_acpi *acpi, struct bootinfo_acpi *facts)
{
	memset(facts, 0, sizeof(*facts));
	read_hpet(acpi, facts);
	read_mcfg(acpi, facts);
	read_fadt(acpi, facts);
}

/* ---- MADT ---- */

/* The CPU of an entry; false: it is about something else, or an ID that no CPU has. */
static bool read_cpu(const struct table *madt, uint32_t at, struct bootinfo_cpu *cpu)
{
	unsigned type = madt->bytes[at], size = madt->bytes[at + 1];
	uint32_t broadcast;

	if (type == MADT_LAPIC && size >= 8) {
		cpu->apic_id = (uint32_t)field(madt, at + 3, 1);
		cpu->flags = (uint32_t)field(madt, at + 4, 4);
		broadcast = UINT8_MAX;
	} else if (type == MADT_X2APIC && size >= 16) {
		cpu->apic_id = (uint32_t)field(madt, at + 4, 4);
		cpu->flags = (uint32_t)field(madt, at + 8, 4);
		broadcast = UINT32_MAX;
	} else {
		return false;
	}
	cpu->flags = cpu->flags & MADT_ENABLED ? BOOT_CPU_ENABLED : 0;
	return cpu->apic_id != broadcast;
}

static struct bootinfo_cpu *find_cpu(struct bootinfo_cpu *cpus, unsigned count, uint32_t apic_id)
{
	for (unsigned i = 0; i < count; i++) {
		if (cpus[i].apic_id == apic_id)
			return &cpus[i];
	}
	return NULL;
}

unsigned boot_acpi_cpus(const struct boot_acpi *acpi, struct bootinfo_cpu *cpus, unsigned max)
{
	struct table madt = find(acpi, "APIC");
	unsigned count = 0;
	uint32_t size;

	for (uint32_t at = MADT_ENTRIES; at + 2 <= madt.size && count < max; at += size) {
		struct bootinfo_cpu cpu, *same;

		size = madt.bytes[at + 1];
		if (size < 2 || at + size > madt.size)
			break;
		if (!read_cpu(&madt, at, &cpu))
			continue;
		/* Some firmwares list a CPU as xAPIC and as x2APIC. */
		same = find_cpu(cpus, count, cpu.apic_id);
		if (same)
			same->flags |= cpu.flags;
		else
			cpus[count++] = cpu;
	}
	return count;
}
