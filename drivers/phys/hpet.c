/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/hpet.h"

/* IA-PC HPET specification, "Memory Map" */
#define HPET_GCAP_ID    0x000u
#define HPET_PERIOD     0x004u
#define HPET_GEN_CONF   0x010u
#define HPET_MAIN_CNT   0x0f0u
#define HPET_PERIOD_MAX 0x05f5e100u /* 100 ns, by the specification */
#define HPET_PERIOD_MIN 100000u     /* 0.1 ns: nothing counts that fast */
#define GEN_CONF_ENABLE 1u
#define COUNTING_POLLS  10000u

static uint32_t reg_read(volatile const uint8_t *regs, unsigned offset)
{
	return *(volatile const uint32_t *)(regs + offset);
}

static void reg_write(volatile uint8_t *regs, unsigned offset, uint32_t value)
{
	*(volatile uint32_t *)(regs + offset) = value;
}

int hpet_clock_start(struct hpet_clock *hpet, volatile void *regs)
{
	uint32_t id, period, first;

	hpet->regs = regs;
	id = reg_read(hpet->regs, HPET_GCAP_ID);
	period = reg_read(hpet->regs, HPET_PERIOD);
	/* Revision 0 is not allowed; all ones: nobody there. */
	if (!(id & 0xff) || id == UINT32_MAX || period < HPET_PERIOD_MIN ||
		period > HPET_PERIOD_MAX)
		return E_NOENT;
	hpet->period_fs = period;
	hpet->saved_config = reg_read(hpet->regs, HPET_GEN_CONF);
	reg_write(hpet->regs, HPET_GEN_CONF, hpet->saved_config | GEN_CONF_ENABLE);
	first = hpet_clock_read(hpet);
	for (unsigned i = 0; i < COUNTING_POLLS; i++) {
		if (hpet_clock_read(hpet) != first)
			return 0;
	}
	hpet_clock_stop(hpet);
	return E_NOENT;
}

uint32_t hpet_clock_read(const struct hpet_clock *hpet)
{
	return reg_read(hpet->regs, HPET_MAIN_CNT);
}

void hpet_clock_stop(const struct hpet_clock *hpet)
{
	reg_write(hpet->regs, HPET_GEN_CONF, hpet->saved_config);
}
