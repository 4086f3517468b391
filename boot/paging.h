/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables the hypervisor is entered with (bootinfo.h says what they must map). Pure: tables
 * are built in a pool given by the caller, whose addresses are physical ones. No locks.
 */
#ifndef BOOT_PAGING_H
#define BOOT_PAGING_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

struct boot_paging {
	uint64_t
		*pool; /* page aligned, zeroed, `max` tables of 4 KiB; the first becomes the root */
	uint64_t max, used;
	unsigned levels; /* 4, or 5 when CR4.LA57 is set */
	bool gib_pages;  /* CPUID.80000001h:EDX.Page1GB */
};

/*
 * Tables that boot_paging_build() can need at most; takes only levels and gib_pages from `paging`.
 */
uint64_t boot_paging_bound(const struct boot_paging *paging, const struct bootinfo_mem *mem,
	unsigned count, uint64_t hv_size);

/*
 * Identity-map the first 4 GiB and every range of `mem` that is RAM (not FIRMWARE, not MMIO), and
 * map hv_size bytes at HV_VIRT_BASE to hv_phys; all writable and executable. E_NOMEM: pool too
 * small.
 */
int boot_paging_build(struct boot_paging *paging, const struct bootinfo_mem *mem, unsigned count,
	uint64_t hv_phys, uint64_t hv_size) MUST_CHECK;

#endif
