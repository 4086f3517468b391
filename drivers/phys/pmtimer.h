/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI PM timer: a 24-bit counter at 3.579545 MHz behind one port. Reads only; no lock. */
#ifndef DRIVERS_PHYS_PMTIMER_H
#define DRIVERS_PHYS_PMTIMER_H

#include "hv/lib/types.h"

#define PMTIMER_HZ   3579545u
#define PMTIMER_MASK 0xffffffu

/* The port to use: `port` if not 0, else the chipset's. 0 if there is none that counts. */
uint16_t pmtimer_find(uint16_t port);
uint32_t pmtimer_read(uint16_t port);

#endif
