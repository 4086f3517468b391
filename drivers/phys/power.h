/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power-off and reset of the machine, by registers only: firmware is never called.
 * Locking: the caller is the only one left who matters.
 */
#ifndef DRIVERS_PHYS_POWER_H
#define DRIVERS_PHYS_POWER_H

#include "hv/lib/types.h"

/* What the FADT and \_S5_ say. Ports are 0 where absent. */
struct power_acpi {
	uint16_t pm1a_cnt, pm1b_cnt;
	uint8_t slp_typ_a, slp_typ_b; /* 3 bits each */
	uint16_t reset_port;          /* FADT RESET_REG in port space */
	uint8_t reset_value;
	uint16_t smi_cmd; /* where acpi_enable turns ACPI mode on */
	uint8_t acpi_enable;
};

/*
 * Enter S5. acpi NULL: use the PIIX4's or ICH9's power-management block. Returns only if nothing
 * happened: E_UNSUP without such a block, E_TIMEOUT when a second has passed.
 */
int power_off(const struct power_acpi *acpi);

/* RESET_REG, CF9h, keyboard controller, triple fault. acpi may be NULL. */
NORETURN void power_reset(const struct power_acpi *acpi);

/* I/O base of the PIIX4's or ICH9's power-management block (found by PCI configuration), or 0. */
uint16_t power_find_pm_base(void);

#endif
