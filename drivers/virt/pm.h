/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI fixed hardware of the ICH9: the 128-byte block at PMBASE (PM1 event and control, PM timer,
 * GPE0, SMI_EN) and the APM ports B2h-B3h that stand for the SMI command port. Knows no VM:
 * sleeping is a callback. Serialised by its owner.
 */
#ifndef DRIVERS_VIRT_PM_H
#define DRIVERS_VIRT_PM_H

#include "drivers/virt/model.h"

#define PM_BLOCK_SIZE 128

/* Offsets in the block. */
#define PM_PM1_STS  0x00
#define PM_PM1_EN   0x02
#define PM_PM1_CNT  0x04
#define PM_PM1_TMR  0x08
#define PM_GPE0_STS 0x20
#define PM_GPE0_EN  0x28
#define PM_SMI_EN   0x30

/* Values for the SMI command port, as the FADT gives them. */
#define PM_ACPI_ENABLE  2
#define PM_ACPI_DISABLE 3

#define PM_TIMER_HZ 3579545u

struct pm_env {
	void (*sleep)(void *ctx, unsigned slp_typ); /* SLP_EN was written with this SLP_TYP */
	void *ctx;
};

struct pm {
	struct pm_env env;
	struct irq_line sci;
	uint8_t reg[PM_BLOCK_SIZE];
	uint8_t apm[2];    /* APM_CNT, APM_STS */
	uint8_t timer_msb; /* 23 or 31 */
	uint64_t
		/* how often the most significant bit had toggled when last looked at */
		timer_toggles;
};

/* timer_32bit must agree with TMR_VAL_EXT in the FADT; the ICH9's own timer has 24 bits. */
void pm_init(struct pm *p, const struct pm_env *env, struct irq_line sci, bool timer_32bit);
void pm_reset(struct pm *p, ns_t now);
uint32_t pm_read(struct pm *p, unsigned offset, unsigned size, ns_t now);
void pm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, ns_t now);
ns_t pm_deadline(const struct pm *p);
void pm_tick(struct pm *p, ns_t now);

/* Ports B2h (offset 0) and B3h (offset 1). */
uint32_t pm_apm_read(struct pm *p, unsigned offset, unsigned size, ns_t now);
void pm_apm_write(struct pm *p, unsigned offset, unsigned size, uint32_t value, ns_t now);

/* Someone presses the power button. */
void pm_power_button(struct pm *p, ns_t now);

#endif
