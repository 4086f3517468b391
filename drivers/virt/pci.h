/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI bus 0: configuration mechanism #1 and ECAM in front of a table of functions, with the Q35
 * host bridge at 00:00.0 and the ICH9 LPC bridge at 00:1f.0. Knows nothing of what a function does:
 * its owner supplies the register file and hears of writes. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_PCI_H
#define DRIVERS_VIRT_PCI_H

#include "drivers/virt/model.h"

#define PCI_PORTS      8 /* CF8h-CFFh; a byte access at offset 1 is RST_CNT (reset.h), not PCI */
#define PCI_DEVFNS     256
#define PCI_CONFIG     256
#define PCI_EXT_CONFIG 4096

#define PCI_DEVFN(device, function) ((unsigned)((device) << 3 | (function)))

/* One function's configuration space. The arrays belong to the function's owner and outlive it. */
struct pci_function {
	uint8_t *config;
	const uint8_t *writable; /* bits that writes change; NULL: none */
	const uint8_t *clear;    /* bits that a written 1 clears; NULL: none */
	unsigned size;           /* PCI_CONFIG or PCI_EXT_CONFIG */
	/* After a write that reached config; NULL if nobody cares. */
	void (*written)(void *ctx, unsigned reg, unsigned size);
	void *ctx;
};

struct pci_config {
	uint64_t ecam_base; /* PCIEXBAR, 256 MiB */
	uint16_t pm_base;   /* PMBASE of the LPC bridge */
};

struct pci {
	uint32_t address; /* CONFIG_ADDRESS */
	const struct pci_function *function[PCI_DEVFNS];
	struct pci_config config;
	struct pci_function host;
	struct pci_function lpc;
	uint8_t host_config[PCI_CONFIG];
	uint8_t lpc_config[PCI_CONFIG];
};

void pci_init(struct pci *p, const struct pci_config *config);
/* The bus and the two bridges as after power-on; other functions are reset by their owners. */
void pci_reset(struct pci *p, ns_t now);
/* E_BUSY when devfn is taken, E_INVAL for an impossible function. Before the guest runs only. */
MUST_CHECK int pci_add(struct pci *p, unsigned devfn, const struct pci_function *function);

/* Ports CF8h-CFFh. */
uint32_t pci_read(struct pci *p, unsigned offset, unsigned size, ns_t now);
void pci_write(struct pci *p, unsigned offset, unsigned size, uint32_t value, ns_t now);

/* ECAM: offset from its base; sizes 1, 2 and 4, which the owner makes of wider accesses. */
uint32_t pci_ecam_read(struct pci *p, uint64_t offset, unsigned size);
void pci_ecam_write(struct pci *p, uint64_t offset, unsigned size, uint32_t value);

#endif
