/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI configuration space: mechanism #1 (PCI Local Bus 3.0, "Software Generation of Configuration
 * Transactions") and ECAM (PCI Express Base, "Enhanced Configuration Access Mechanism"). What does
 * not exist reads all ones. Must not know what a function does. The owner serialises calls.
 */
#include "drivers/virt/pci.h"
#include "hv/lib/string.h"

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu
#define DATA_OFFSET      4

#define REG_VENDOR   0x00
#define REG_DEVICE   0x02
#define REG_COMMAND  0x04
#define REG_STATUS   0x06
#define REG_REVISION 0x08
#define REG_CLASS    0x09
#define REG_HEADER   0x0e
#define REG_SCRATCH  0x3c /* interrupt line */

#define COMMAND_IO     0x0001
#define COMMAND_MEMORY 0x0002
#define COMMAND_MASTER 0x0004

#define STATUS_DEVSEL_MEDIUM 0x0200

#define VENDOR_INTEL 0x8086
#define DEVICE_Q35   0x29c0
#define DEVICE_ICH9  0x2918
#define CLASS_HOST   0x060000
#define CLASS_ISA    0x060100

#define HEADER_MULTI_FUNCTION 0x80

/* Q35 MCH. */
#define MCH_PCIEXBAR        0x60
#define MCH_PCIEXBAR_ENABLE 0x01 /* length bits 0: 256 MiB */
#define MCH_PAM0            0x90
#define MCH_PAM1            0x91
#define MCH_PAM6            0x96
#define MCH_PAM0_DRAM       0x30 /* every segment reads and writes DRAM, for good */
#define MCH_PAM_DRAM        0x33
#define MCH_SMRAM           0x9d
#define MCH_SMRAM_FIXED     0x02

/* ICH9 LPC bridge. */
#define LPC_PMBASE          0x40
#define LPC_PMBASE_IO       0x01
#define LPC_ACPI_CNTL       0x44
#define LPC_ACPI_CNTL_EN    0x80 /* SCI_IRQ_SEL 0: IRQ9 */
#define LPC_GPIOBASE        0x48
#define LPC_GPIOBASE_IO     0x01
#define LPC_PIRQA           0x60
#define LPC_PIRQE           0x68
#define LPC_PIRQ_OFF        0x80
#define LPC_PIRQ_WRITABLE   0x8f
#define LPC_PIRQS_PER_GROUP 4

#define ECAM_BUS_SHIFT   20
#define ECAM_DEVFN_SHIFT 12

/* What a guest may change in the bridges: nothing that would move a decoded range. */
static const uint8_t host_writable[PCI_CONFIG] = {
	[REG_COMMAND] = COMMAND_MASTER,
	[REG_SCRATCH] = 0xff,
};
static const uint8_t lpc_writable[PCI_CONFIG] = {
	[LPC_PIRQA] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQA + 1] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQA + 2] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQA + 3] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQE] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQE + 1] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQE + 2] = LPC_PIRQ_WRITABLE,
	[LPC_PIRQE + 3] = LPC_PIRQ_WRITABLE,
};

static void put(uint8_t *config, unsigned reg, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		config[reg + i] = value >> (8 * i);
}

static uint32_t config_read(const struct pci_function *f, unsigned reg, unsigned size)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = reg + i < f->size ? f->config[reg + i] : 0xff;

		value |= (uint32_t)byte << (8 * i);
	}
	return value;
}

static void config_write(const struct pci_function *f, unsigned reg, unsigned size, uint32_t value)
{
	if (reg >= f->size)
		return;
	for (unsigned i = 0; i < size && reg + i < f->size; i++) {
		uint8_t *byte = &f->config[reg + i];
		uint8_t in = value >> (8 * i);
		uint8_t writable = f->writable ? f->writable[reg + i] : 0;

		*byte = (*byte & ~writable) | (in & writable);
		if (f->clear)
			*byte &= ~(in & f->clear[reg + i]);
	}
	if (f->written)
		f->written(f->ctx, reg, size);
}

static uint32_t all_ones(unsigned size)
{
	return mask_bytes(size);
}

static bool valid_size(unsigned size)
{
	return size == 1 || size == 2 || size == 4;
}

/* The function CONFIG_ADDRESS selects, or NULL; only bus 0 exists. */
static const struct pci_function *selected(const struct pci *p)
{
	if (!(p->address & ADDRESS_ENABLE) || (p->address >> 16 & 0xff))
		return NULL;
	return p->function[p->address >> 8 & 0xff];
}

static const struct pci_function *ecam_function(const struct pci *p, uint64_t offset)
{
	if (offset >> ECAM_BUS_SHIFT)
		return NULL;
	return p->function[offset >> ECAM_DEVFN_SHIFT & 0xff];
}

static void fill_common(uint8_t *config, unsigned device, unsigned class_code, unsigned command)
{
	memset(config, 0, PCI_CONFIG);
	put(config, REG_VENDOR, VENDOR_INTEL, 2);
	put(config, REG_DEVICE, device, 2);
	put(config, REG_COMMAND, command, 2);
	put(config, REG_REVISION, 2, 1);
	put(config, REG_CLASS, class_code, 3);
}

static void fill_host(struct pci *p)
{
	uint8_t *config = p->host_config;

	fill_common(config, DEVICE_Q35, CLASS_HOST, COMMAND_MEMORY | COMMAND_MASTER);
	put(config, MCH_PCIEXBAR, p->config.ecam_base | MCH_PCIEXBAR_ENABLE, 8);
	config[MCH_PAM0] = MCH_PAM0_DRAM;
	for (unsigned reg = MCH_PAM1; reg <= MCH_PAM6; reg++)
		config[reg] = MCH_PAM_DRAM;
	config[MCH_SMRAM] = MCH_SMRAM_FIXED;
}

static void fill_lpc(struct pci *p)
{
	uint8_t *config = p->lpc_config;

	fill_common(config, DEVICE_ICH9, CLASS_ISA, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER);
	put(config, REG_STATUS, STATUS_DEVSEL_MEDIUM, 2);
	config[REG_HEADER] = HEADER_MULTI_FUNCTION;
	put(config, LPC_PMBASE, p->config.pm_base | LPC_PMBASE_IO, 4);
	config[LPC_ACPI_CNTL] = LPC_ACPI_CNTL_EN;
	config[LPC_GPIOBASE] = LPC_GPIOBASE_IO;
	for (unsigned i = 0; i < LPC_PIRQS_PER_GROUP; i++) {
		config[LPC_PIRQA + i] = LPC_PIRQ_OFF;
		config[LPC_PIRQE + i] = LPC_PIRQ_OFF;
	}
}

void pci_init(struct pci *p, const struct pci_config *config)
{
	memset(p, 0, sizeof(*p));
	p->config = *config;
	p->host.config = p->host_config;
	p->host.writable = host_writable;
	p->host.size = PCI_CONFIG;
	p->lpc.config = p->lpc_config;
	p->lpc.writable = lpc_writable;
	p->lpc.size = PCI_CONFIG;
	p->function[PCI_DEVFN(0, 0)] = &p->host;
	p->function[PCI_DEVFN(31, 0)] = &p->lpc;
	pci_reset(p, 0);
}

void pci_reset(struct pci *p, ns_t now UNUSED)
{
	p->address = 0;
	fill_host(p);
	fill_lpc(p);
}

int pci_add(struct pci *p, unsigned devfn, const struct pci_function *function)
{
	if (devfn >= PCI_DEVFNS || !function->config)
		return E_INVAL;
	if (function->size != PCI_CONFIG && function->size != PCI_EXT_CONFIG)
		return E_INVAL;
	if (p->function[devfn])
		return E_BUSY;
	p->function[devfn] = function;
	return OK;
}

/*
 * CONFIG_ADDRESS answers dwords only; narrower accesses there are ordinary ports that do not exist.
 */
uint32_t pci_read(struct pci *p, unsigned offset, unsigned size, ns_t now UNUSED)
{
	const struct pci_function *f = selected(p);

	if (offset < DATA_OFFSET)
		return offset == 0 && size == 4 ? p->address : all_ones(size);
	if (!f || !valid_size(size) || offset + size > PCI_PORTS)
		return all_ones(size);
	return config_read(f, (p->address & 0xfc) + offset - DATA_OFFSET, size);
}

void pci_write(struct pci *p, unsigned offset, unsigned size, uint32_t value, ns_t now UNUSED)
{
	const struct pci_function *f = selected(p);

	if (offset == 0 && size == 4)
		p->address = value & ADDRESS_WRITABLE;
	if (offset < DATA_OFFSET || !f || !valid_size(size) || offset + size > PCI_PORTS)
		return;
	config_write(f, (p->address & 0xfc) + offset - DATA_OFFSET, size, value);
}

uint32_t pci_ecam_read(struct pci *p, uint64_t offset, unsigned size)
{
	const struct pci_function *f = ecam_function(p, offset);

	if (!f || !valid_size(size))
		return all_ones(size);
	return config_read(f, offset & (PCI_EXT_CONFIG - 1), size);
}

void pci_ecam_write(struct pci *p, uint64_t offset, unsigned size, uint32_t value)
{
	const struct pci_function *f = ecam_function(p, offset);

	if (f && valid_size(size))
		config_write(f, offset & (PCI_EXT_CONFIG - 1), size, value);
}
