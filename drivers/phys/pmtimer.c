/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/pmtimer.h"
#include "arch/x86/cpu/insn.h"
#include "drivers/phys/power.h"

#define PM_TMR         8u /* offset in the power-management block of PIIX4 and ICH9 */
#define COUNTING_POLLS 10000u

uint32_t pmtimer_read(uint16_t port)
{
	return inl(port) & PMTIMER_MASK;
}

uint16_t pmtimer_find(uint16_t port)
{
	uint16_t base = port ? 0 : power_find_pm_base();
	uint32_t first;

	if (base)
		port = base + PM_TMR;
	if (!port)
		return 0;
	first = pmtimer_read(port);
	for (unsigned i = 0; i < COUNTING_POLLS; i++) {
		if (pmtimer_read(port) != first)
			return port;
	}
	return 0;
}
