/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MP configuration table, Intel MultiProcessor Specification 1.4, chapter 4. Must agree with the
 * MADT of acpi_tables.c. No state, no lock.
 */
#include "drivers/virt/mp_table.h"
#include "drivers/virt/acpi_tables.h"
#include "hv/lib/string.h"

#define MP_SPEC_REV_1_4 4
#define MP_LAPIC_VER    0x14
#define MP_IOAPIC_VER   0x11 /* what the IOAPIC model's version register says */

#define BUS_PCI 0
#define BUS_ISA 1

enum mp_entry_type { MP_CPU, MP_BUS, MP_IOAPIC, MP_IOINT, MP_LINT };
enum mp_int_type { MP_INT, MP_NMI, MP_SMI, MP_EXTINT };

#define MP_FLAGS_CONFORM    0x0u
#define MP_FLAGS_LEVEL_HIGH 0xdu

#define CPU_ENABLED   1u
#define CPU_BSP       2u
#define CPU_SIGNATURE 0xfffu /* MP 4.3.1 knows family, model and stepping, four bits each */

struct mp_float {
	char signature[4];
	uint32_t table;
	uint8_t length; /* in units of 16 bytes */
	uint8_t spec_rev;
	uint8_t checksum;
	uint8_t feature[5]; /* 0: a configuration table is present; virtual wire mode */
} PACKED;

struct mp_config {
	char signature[4];
	uint16_t length;
	uint8_t spec_rev;
	uint8_t checksum;
	char oem_id[8];
	char product_id[12];
	uint32_t oem_table;
	uint16_t oem_table_size;
	uint16_t entry_count;
	uint32_t lapic_address;
	uint16_t extended_length;
	uint8_t extended_checksum;
	uint8_t reserved;
} PACKED;

struct mp_cpu {
	uint8_t type;
	uint8_t apic_id;
	uint8_t apic_version;
	uint8_t flags;
	uint32_t signature;
	uint32_t features;
	uint32_t reserved[2];
} PACKED;

struct mp_bus {
	uint8_t type;
	uint8_t id;
	char name[6];
} PACKED;

struct mp_ioapic {
	uint8_t type;
	uint8_t id;
	uint8_t version;
	uint8_t flags; /* bit 0: usable */
	uint32_t address;
} PACKED;

struct mp_int {
	uint8_t type;
	uint8_t int_type;
	uint16_t flags;
	uint8_t source_bus, source_irq;
	uint8_t dest_apic, dest_pin;
} PACKED;

_Static_assert(sizeof(struct mp_float) == 16, "MP 4.1");
_Static_assert(sizeof(struct mp_config) == 44, "MP 4.2");
_Static_assert(sizeof(struct mp_cpu) == 20, "MP 4.3.1");
_Static_assert(sizeof(struct mp_bus) == 8, "MP 4.3.2");
_Static_assert(sizeof(struct mp_ioapic) == 8, "MP 4.3.3");
_Static_assert(sizeof(struct mp_int) == 8, "MP 4.3.4");

#define ISA_IRQS 16

static uint8_t checksum(const void *data, uint32_t size)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (size--)
		sum += *p++;
	return (uint8_t)-sum;
}

/* Entries have fixed sizes and the caller has checked that all fit. */
static void add(struct mp_build *b, struct mp_config *config, const void *entry, uint32_t size)
{
	memcpy(b->buf + b->used, entry, size);
	b->used += size;
	config->entry_count++;
}

static void add_cpus(struct mp_build *b, struct mp_config *config)
{
	for (unsigned i = 0; i < b->vcpu_count; i++) {
		struct mp_cpu cpu = {
			.type = MP_CPU,
			.apic_id = (uint8_t)i,
			.apic_version = MP_LAPIC_VER,
			.flags = CPU_ENABLED | (i ? 0 : CPU_BSP),
			.signature = b->cpu_signature & CPU_SIGNATURE,
			.features = b->cpu_features,
		};

		add(b, config, &cpu, sizeof(cpu));
	}
}

static void add_fabric(struct mp_build *b, struct mp_config *config)
{
	static const struct mp_bus bus[] = {
		{MP_BUS, BUS_PCI, {'P', 'C', 'I', ' ', ' ', ' '}},
		{MP_BUS, BUS_ISA, {'I', 'S', 'A', ' ', ' ', ' '}},
	};
	static const struct mp_ioapic ioapic = {
		MP_IOAPIC, ACPI_IOAPIC_ID, MP_IOAPIC_VER, 1, ACPI_IOAPIC_BASE};

	for (unsigned i = 0; i < ARRAY_SIZE(bus); i++)
		add(b, config, &bus[i], sizeof(bus[i]));
	add(b, config, &ioapic, sizeof(ioapic));
}

/*
 * IRQ 0 arrives at pin 2; IRQ 2 is the PIC's cascade and arrives nowhere. The PIC's output is at
 * pin 0.
 */
static void add_interrupts(struct mp_build *b, struct mp_config *config)
{
	static const struct mp_int extint = {
		MP_IOINT, MP_EXTINT, MP_FLAGS_CONFORM, BUS_ISA, 0, ACPI_IOAPIC_ID, 0};
	static const struct mp_int lint[] = {
		{MP_LINT, MP_EXTINT, MP_FLAGS_CONFORM, BUS_ISA, 0, 0xff, 0},
		{MP_LINT, MP_NMI, MP_FLAGS_CONFORM, BUS_ISA, 0, 0xff, 1},
	};

	for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
		struct mp_int e = {
			.type = MP_IOINT,
			.int_type = MP_INT,
			.flags = irq == ACPI_SCI_IRQ ? MP_FLAGS_LEVEL_HIGH : MP_FLAGS_CONFORM,
			.source_bus = BUS_ISA,
			.source_irq = (uint8_t)irq,
			.dest_apic = ACPI_IOAPIC_ID,
			.dest_pin = (uint8_t)(irq ? irq : 2),
		};

		if (irq != 2)
			add(b, config, &e, sizeof(e));
	}
	add(b, config, &extint, sizeof(extint));
	for (unsigned i = 0; i < ARRAY_SIZE(lint); i++)
		add(b, config, &lint[i], sizeof(lint[i]));
}

#define FIXED_SIZE                                                                                 \
	(sizeof(struct mp_float) + sizeof(struct mp_config) + 2 * sizeof(struct mp_bus) +          \
		sizeof(struct mp_ioapic) + (ISA_IRQS - 1 + 1 + 2) * sizeof(struct mp_int))
_Static_assert(
	FIXED_SIZE + ACPI_VCPUS_MAX * sizeof(struct mp_cpu) <= MP_TABLE_SIZE, "MP_TABLE_SIZE");

int mp_table_build(struct mp_build *b)
{
	struct mp_config config = {.spec_rev = MP_SPEC_REV_1_4, .lapic_address = ACPI_LAPIC_BASE};
	struct mp_float pointer = {.length = 1, .spec_rev = MP_SPEC_REV_1_4};

	b->used = 0;
	if (!b->vcpu_count || b->vcpu_count > ACPI_VCPUS_MAX)
		return E_INVAL;
	if (b->base % 16 || b->base < 0xf0000 || !range_within(b->base, b->size, MIB(1)))
		return E_INVAL;
	if (FIXED_SIZE + b->vcpu_count * sizeof(struct mp_cpu) > b->size)
		return E_NOMEM;

	b->used = sizeof(pointer) + sizeof(config);
	add_cpus(b, &config);
	add_fabric(b, &config);
	add_interrupts(b, &config);

	memcpy(config.signature, "PCMP", 4);
	memcpy(config.oem_id, "BULKHEAD", 8);
	memcpy(config.product_id, "Q35         ", 12);
	config.length = (uint16_t)(b->used - sizeof(pointer));
	memcpy(b->buf + sizeof(pointer), &config, sizeof(config));
	config.checksum = checksum(b->buf + sizeof(pointer), config.length);
	memcpy(b->buf + sizeof(pointer), &config, sizeof(config));

	memcpy(pointer.signature, "_MP_", 4);
	pointer.table = (uint32_t)(b->base + sizeof(pointer));
	pointer.checksum = checksum(&pointer, sizeof(pointer));
	memcpy(b->buf, &pointer, sizeof(pointer));
	return OK;
}
