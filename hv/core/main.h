/* SPDX-License-Identifier: Apache-2.0 */
/* The hypervisor's first C function, called by entry.S. */
#ifndef HV_CORE_MAIN_H
#define HV_CORE_MAIN_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

NORETURN void hv_main(const struct bootinfo *phys_bi);

#endif
