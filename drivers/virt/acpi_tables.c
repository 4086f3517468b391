/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables of the virtual Q35. Section names are those of the ACPI Specification 6.0, the HPET
 * Specification 1.0a and the PCI Firmware Specification 3.0. No state, no lock.
 */
#include "drivers/virt/acpi_tables.h"
#include "hv/lib/string.h"
#include "dsdt.h"

#define TABLE_ALIGN 16u
#define FACS_ALIGN  64u

struct acpi_header {
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem_id[6];
	char oem_table_id[8];
	uint32_t oem_revision;
	char creator_id[4];
	uint32_t creator_revision;
} PACKED;

/* Generic Address Structure */
#define GAS_MEMORY 0
#define GAS_IO     1
struct acpi_gas {
	uint8_t space;
	uint8_t bit_width;
	uint8_t bit_offset;
	uint8_t access_size; /* 0 undefined, 1 byte, 2 word, 3 dword */
	uint64_t address;
} PACKED;

struct acpi_rsdp {
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem_id[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} PACKED;

struct acpi_facs {
	char signature[4];
	uint32_t length;
	uint32_t hardware_signature;
	uint32_t waking_vector;
	uint32_t global_lock;
	uint32_t flags;
	uint64_t x_waking_vector;
	uint8_t version;
	uint8_t reserved[31];
} PACKED;

#define FADT_ARCH_LEGACY_DEVICES BIT(0)
#define FADT_ARCH_8042           BIT(1)

#define FADT_WBINVD        BIT(0)
#define FADT_PROC_C1       BIT(2)
#define FADT_NO_SLP_BUTTON BIT(5)
#define FADT_NO_FIX_RTC    BIT(6)
#define FADT_TMR_VAL_EXT   BIT(8)
#define FADT_RESET_REG_SUP BIT(10)

#define FADT_NO_C2 101  /* larger than 100 us: state not supported */
#define FADT_NO_C3 1001 /* larger than 1000 us */

struct acpi_fadt {
	struct acpi_header header;
	uint32_t firmware_ctrl;
	uint32_t dsdt;
	uint8_t reserved0;
	uint8_t preferred_pm_profile;
	uint16_t sci_int;
	uint32_t smi_cmd;
	uint8_t acpi_enable;
	uint8_t acpi_disable;
	uint8_t s4bios_req;
	uint8_t pstate_cnt;
	uint32_t pm1a_evt_blk;
	uint32_t pm1b_evt_blk;
	uint32_t pm1a_cnt_blk;
	uint32_t pm1b_cnt_blk;
	uint32_t pm2_cnt_blk;
	uint32_t pm_tmr_blk;
	uint32_t gpe0_blk;
	uint32_t gpe1_blk;
	uint8_t pm1_evt_len;
	uint8_t pm1_cnt_len;
	uint8_t pm2_cnt_len;
	uint8_t pm_tmr_len;
	uint8_t gpe0_blk_len;
	uint8_t gpe1_blk_len;
	uint8_t gpe1_base;
	uint8_t cst_cnt;
	uint16_t p_lvl2_lat;
	uint16_t p_lvl3_lat;
	uint16_t flush_size;
	uint16_t flush_stride;
	uint8_t duty_offset;
	uint8_t duty_width;
	uint8_t day_alrm;
	uint8_t mon_alrm;
	uint8_t century;
	uint16_t iapc_boot_arch;
	uint8_t reserved1;
	uint32_t flags;
	struct acpi_gas reset_reg;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor_version;
	uint64_t x_firmware_ctrl; /* 0: FIRMWARE_CTRL is the address */
	uint64_t x_dsdt;
	struct acpi_gas x_pm1a_evt_blk;
	struct acpi_gas x_pm1b_evt_blk;
	struct acpi_gas x_pm1a_cnt_blk;
	struct acpi_gas x_pm1b_cnt_blk;
	struct acpi_gas x_pm2_cnt_blk;
	struct acpi_gas x_pm_tmr_blk;
	struct acpi_gas x_gpe0_blk;
	struct acpi_gas x_gpe1_blk;
	struct acpi_gas sleep_control;
	struct acpi_gas sleep_status;
	uint64_t hypervisor_vendor;
} PACKED;

#define MADT_PCAT_COMPAT 1u

#define MADT_TYPE_LAPIC     0
#define MADT_TYPE_IOAPIC    1
#define MADT_TYPE_OVERRIDE  2
#define MADT_TYPE_LAPIC_NMI 4

#define MADT_ACTIVE_HIGH 0x1u
#define MADT_LEVEL       0xcu

struct acpi_madt {
	struct acpi_header header;
	uint32_t lapic_address;
	uint32_t flags;
} PACKED;

struct madt_lapic {
	uint8_t type, length;
	uint8_t processor_uid;
	uint8_t apic_id;
	uint32_t flags; /* bit 0: enabled */
} PACKED;

/* Everything in the MADT behind the local APICs is the same for all guests. */
struct madt_tail {
	struct {
		uint8_t type, length;
		uint8_t id, reserved;
		uint32_t address;
		uint32_t gsi_base;
	} PACKED ioapic;
	struct madt_override {
		uint8_t type, length;
		uint8_t bus, source;
		uint32_t gsi;
		uint16_t flags;
	} PACKED irq0, sci;
	struct {
		uint8_t type, length;
		uint8_t processor_uid; /* FFh: all */
		uint16_t flags;
		uint8_t lint;
	} PACKED nmi;
} PACKED;

struct acpi_hpet {
	struct acpi_header header;
	uint32_t block_id;
	struct acpi_gas address;
	uint8_t number;
	uint16_t minimum_tick;
	uint8_t page_protection;
} PACKED;

struct acpi_mcfg {
	struct acpi_header header;
	uint64_t reserved;
	uint64_t base;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved2;
} PACKED;

#define ROOT_ENTRIES 4 /* FADT, MADT, HPET, MCFG */

struct acpi_rsdt {
	struct acpi_header header;
	uint32_t entry[ROOT_ENTRIES];
} PACKED;

struct acpi_xsdt {
	struct acpi_header header;
	uint64_t entry[ROOT_ENTRIES];
} PACKED;

_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 5.2.6");
_Static_assert(sizeof(struct acpi_gas) == 12, "ACPI 5.2.3.2");
_Static_assert(sizeof(struct acpi_rsdp) == ACPI_RSDP_SIZE, "ACPI 5.2.5.3");
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 5.2.10");
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "ACPI 5.2.9");
_Static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 5.2.9");
_Static_assert(sizeof(struct acpi_madt) == 44, "ACPI 5.2.12");
_Static_assert(sizeof(struct madt_lapic) == 8, "ACPI 5.2.12.2");
_Static_assert(sizeof(struct madt_tail) == 12 + 10 + 10 + 6, "ACPI 5.2.12");
_Static_assert(sizeof(struct acpi_hpet) == 56, "HPET 3.2.4");
_Static_assert(sizeof(struct acpi_mcfg) == 60, "PCI Firmware 4.1.2");

static uint8_t checksum(const void *data, uint32_t size)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (size--)
		sum += *p++;
	return (uint8_t)-sum;
}

/* The next aligned piece of the buffer, zeroed, or NULL if it is full. */
static void *take(struct acpi_build *b, uint32_t size, uint32_t align, gpa_t *gpa)
{
	uint64_t at = align_up(b->used, align);

	if (!range_within(at, size, b->size))
		return NULL;
	memset(b->buf + b->used, 0, at - b->used + size);
	b->used = (uint32_t)(at + size);
	*gpa = b->base + at;
	return b->buf + at;
}

static void header_fill(
	struct acpi_header *h, const char *signature, uint8_t revision, uint32_t size)
{
	memcpy(h->signature, signature, 4);
	h->length = size;
	h->revision = revision;
	memcpy(h->oem_id, "BULKHD", 6);
	memcpy(h->oem_table_id, "BULKHEAD", 8);
	h->oem_revision = 1;
	memcpy(h->creator_id, "BLKH", 4);
	h->creator_revision = 1;
	h->checksum = checksum(h, size);
}

static struct acpi_gas gas_io(uint64_t port, uint8_t bytes)
{
	return (struct acpi_gas){
		.space = GAS_IO, .bit_width = (uint8_t)(bytes * 8), .address = port};
}

static int add_facs(struct acpi_build *b, gpa_t *gpa)
{
	struct acpi_facs *facs = take(b, sizeof(*facs), FACS_ALIGN, gpa);

	if (!facs)
		return E_NOMEM;
	memcpy(facs->signature, "FACS", 4);
	facs->length = sizeof(*facs);
	facs->version = 2;
	return OK;
}

static int add_dsdt(struct acpi_build *b, gpa_t *gpa)
{
	void *dsdt = take(b, sizeof(acpi_dsdt), TABLE_ALIGN, gpa);

	if (!dsdt)
		return E_NOMEM;
	memcpy(dsdt, acpi_dsdt, sizeof(acpi_dsdt));
	return OK;
}

/* ACPI 5.2.9: the 32-bit fields and their X_ twins must name the same registers. */
static int add_fadt(struct acpi_build *b, gpa_t facs, gpa_t dsdt, gpa_t *gpa)
{
	struct acpi_fadt *f = take(b, sizeof(*f), TABLE_ALIGN, gpa);

	if (!f)
		return E_NOMEM;
	*f = (struct acpi_fadt){
		.firmware_ctrl = (uint32_t)facs,
		.dsdt = (uint32_t)dsdt,
		.sci_int = ACPI_SCI_IRQ,
		.smi_cmd = ACPI_SMI_CMD,
		.acpi_enable = ACPI_SMI_ENABLE,
		.acpi_disable = ACPI_SMI_DISABLE,
		.pm1a_evt_blk = ACPI_PM1A_EVT,
		.pm1a_cnt_blk = ACPI_PM1A_CNT,
		.pm_tmr_blk = ACPI_PM_TIMER,
		.gpe0_blk = ACPI_GPE0,
		.pm1_evt_len = 4,
		.pm1_cnt_len = 2,
		.pm_tmr_len = 4,
		.gpe0_blk_len = ACPI_GPE0_LEN,
		.p_lvl2_lat = FADT_NO_C2,
		.p_lvl3_lat = FADT_NO_C3,
		.century = ACPI_CMOS_CENTURY,
		.iapc_boot_arch = FADT_ARCH_LEGACY_DEVICES | FADT_ARCH_8042,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLP_BUTTON | FADT_NO_FIX_RTC |
			 FADT_TMR_VAL_EXT | FADT_RESET_REG_SUP,
		.reset_reg = {GAS_IO, 8, 0, 1, ACPI_RESET_PORT},
		.reset_value = ACPI_RESET_VALUE,
		.x_dsdt = dsdt,
		.x_pm1a_evt_blk = gas_io(ACPI_PM1A_EVT, 4),
		.x_pm1a_cnt_blk = gas_io(ACPI_PM1A_CNT, 2),
		.x_pm_tmr_blk = gas_io(ACPI_PM_TIMER, 4),
		.x_gpe0_blk = gas_io(ACPI_GPE0, ACPI_GPE0_LEN),
	};
	header_fill(&f->header, "FACP", 6, sizeof(*f));
	return OK;
}

static int add_madt(struct acpi_build *b, gpa_t *gpa)
{
	uint32_t cpus = b->vcpu_count * sizeof(struct madt_lapic);
	uint32_t size = sizeof(struct acpi_madt) + cpus + sizeof(struct madt_tail);
	struct acpi_madt *madt = take(b, size, TABLE_ALIGN, gpa);
	struct madt_lapic *lapic;

	if (!madt)
		return E_NOMEM;
	madt->lapic_address = ACPI_LAPIC_BASE;
	madt->flags = MADT_PCAT_COMPAT;
	lapic = (struct madt_lapic *)(madt + 1);
	for (unsigned i = 0; i < b->vcpu_count; i++, lapic++)
		*lapic = (struct madt_lapic){MADT_TYPE_LAPIC, 8, (uint8_t)i, (uint8_t)i, 1};
	*(struct madt_tail *)lapic = (struct madt_tail){
		.ioapic = {MADT_TYPE_IOAPIC, 12, ACPI_IOAPIC_ID, 0, ACPI_IOAPIC_BASE, 0},
		.irq0 = {MADT_TYPE_OVERRIDE, 10, 0, 0, 2, 0},
		.sci = {MADT_TYPE_OVERRIDE, 10, 0, ACPI_SCI_IRQ, ACPI_SCI_IRQ,
			MADT_ACTIVE_HIGH | MADT_LEVEL},
		.nmi = {MADT_TYPE_LAPIC_NMI, 6, 0xff, 0, 1},
	};
	header_fill(&madt->header, "APIC", 4, size);
	return OK;
}

/* Event timer block id: vendor 8086h, legacy replacement, 64-bit counter, 3 timers, revision 1. */
#define HPET_BLOCK_ID 0x8086a201u

static int add_hpet(struct acpi_build *b, gpa_t *gpa)
{
	struct acpi_hpet *hpet = take(b, sizeof(*hpet), TABLE_ALIGN, gpa);

	if (!hpet)
		return E_NOMEM;
	hpet->block_id = HPET_BLOCK_ID;
	hpet->address = (struct acpi_gas){.space = GAS_MEMORY, .address = ACPI_HPET_BASE};
	hpet->minimum_tick = 128;
	header_fill(&hpet->header, "HPET", 1, sizeof(*hpet));
	return OK;
}

static int add_mcfg(struct acpi_build *b, gpa_t *gpa)
{
	struct acpi_mcfg *mcfg = take(b, sizeof(*mcfg), TABLE_ALIGN, gpa);

	if (!mcfg)
		return E_NOMEM;
	mcfg->base = ACPI_ECAM_BASE;
	mcfg->last_bus = 255;
	header_fill(&mcfg->header, "MCFG", 1, sizeof(*mcfg));
	return OK;
}

static int add_roots(struct acpi_build *b, const gpa_t *table)
{
	struct acpi_rsdp *rsdp = (struct acpi_rsdp *)b->rsdp;
	gpa_t rsdt_gpa, xsdt_gpa;
	struct acpi_rsdt *rsdt = take(b, sizeof(*rsdt), TABLE_ALIGN, &rsdt_gpa);
	struct acpi_xsdt *xsdt = take(b, sizeof(*xsdt), TABLE_ALIGN, &xsdt_gpa);

	if (!rsdt || !xsdt)
		return E_NOMEM;
	for (unsigned i = 0; i < ROOT_ENTRIES; i++) {
		rsdt->entry[i] = (uint32_t)table[i];
		xsdt->entry[i] = table[i];
	}
	header_fill(&rsdt->header, "RSDT", 1, sizeof(*rsdt));
	header_fill(&xsdt->header, "XSDT", 1, sizeof(*xsdt));

	*rsdp = (struct acpi_rsdp){
		.revision = 2,
		.rsdt = (uint32_t)rsdt_gpa,
		.length = sizeof(*rsdp),
		.xsdt = xsdt_gpa,
	};
	memcpy(rsdp->signature, "RSD PTR ", 8);
	memcpy(rsdp->oem_id, "BULKHD", 6);
	rsdp->checksum = checksum(rsdp, 20);
	rsdp->extended_checksum = checksum(rsdp, sizeof(*rsdp));
	return OK;
}

int acpi_tables_build(struct acpi_build *b)
{
	gpa_t facs, dsdt, table[ROOT_ENTRIES];

	b->used = 0;
	if (!b->vcpu_count || b->vcpu_count > ACPI_VCPUS_MAX)
		return E_INVAL;
	if (b->base % FACS_ALIGN || !range_within(b->base, b->size, GIB(4)))
		return E_INVAL;
	if (add_facs(b, &facs) || add_dsdt(b, &dsdt) || add_fadt(b, facs, dsdt, &table[0]) ||
		add_madt(b, &table[1]) || add_hpet(b, &table[2]) || add_mcfg(b, &table[3]))
		return E_NOMEM;
	return add_roots(b, table);
}
