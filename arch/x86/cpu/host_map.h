/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hypervisor's own address space, shared by all CPUs:
 *
 *   DIRECT_MAP_BASE   all RAM of the memory map, RW NX, except the hypervisor's image (so that no
 *                     alias undoes W^X); ACPI tables read-only; no firmware ranges, no MMIO
 *   MMIO_WINDOW_BASE  device registers, on request
 *   STACKS_BASE       CPU stacks with guard pages, CPU_STACKS_SIZE each
 *   HV_VIRT_BASE      the image: text RX, rodata R, data RW
 *
 * The direct map works from the first C function on: entry.S puts the loader's identity map there.
 * Locking: mapping is for bring-up and the housekeeping CPU only.
 */
#ifndef ARCH_X86_CPU_HOST_MAP_H
#define ARCH_X86_CPU_HOST_MAP_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

#define DIRECT_MAP_BASE  0xffff800000000000ull
#define DIRECT_MAP_SIZE  (1ull << 46) /* 64 TiB: PML4 slots 256 to 383 */
#define MMIO_WINDOW_BASE 0xffffc00000000000ull
#define MMIO_WINDOW_SIZE GIB(512)
#define STACKS_BASE      0xffffc08000000000ull

/* The default layout, except that entry 4 is write-combining. HOST_PAT for VM exits. */
#define HOST_PAT 0x0007040100070406ull

#ifdef HOST_BUILD
void *phys_to_virt(hpa_t hpa);
hpa_t virt_to_phys(const void *p);
#else
extern uint64_t host_map_image_offset; /* HV_VIRT_BASE - hv_phys, modulo 2^64 */

/* RAM only. */
static inline void *phys_to_virt(hpa_t hpa)
{
	return (void *)(DIRECT_MAP_BASE + hpa);
}

/* Pointers into the direct map or the image; not stacks, not MMIO. */
static inline hpa_t virt_to_phys(const void *p)
{
	uint64_t va = (uint64_t)p;

	return va >= HV_VIRT_BASE ? va - host_map_image_offset : va - DIRECT_MAP_BASE;
}
#endif

/*
 * Remember where the image lies: first of all, before virt_to_phys(). hv_phys from bootinfo.
 */
void host_map_init_early(hpa_t hv_phys);

/* Supplied by hv/core: `pages` contiguous cleared frames of the hypervisor's own; 0: none left. */
hpa_t frame_alloc_hv(unsigned pages);

/*
 * Build the tables from frame_alloc_hv() and switch this CPU to them; sets the control registers.
 * All pointers in bi are still physical. E_NOMEM, E_UNSUP.
 */
int host_map_init(const struct bootinfo *bi) MUST_CHECK;
hpa_t host_map_cr3(void);

/*
 * Map device registers uncached, or a framebuffer write-combining. Any alignment. NULL if out of
 * memory or window, or when RAM lies there. Never unmapped.
 */
void *host_map_mmio(hpa_t base, uint64_t size_bytes);
void *host_map_wc(hpa_t base, uint64_t size_bytes);

/* Map the stacks of CPU `index` with guard pages; 0 if out of memory. */
uintptr_t host_map_stacks(unsigned index);

/*
 * Where va leads in the hypervisor's tables, for panic screens and tests: flags of enum pt_flag,
 * E_NOENT.
 */
int host_map_lookup(uint64_t va, hpa_t *pa, unsigned *flags) MUST_CHECK;

/*
 * Tables for starting CPUs: the upper half plus the first 2 MiB identity-mapped RX. Below 4 GiB or
 * E_UNSUP.
 */
int host_map_start_cr3(uint32_t *cr3) MUST_CHECK;
/* Take the identity mapping away again. */
void host_map_start_done(void);

#endif
