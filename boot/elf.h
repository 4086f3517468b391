/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks and loads a static ELF64 program linked at one high address. Pure: the file is a byte
 * array of any content, the destination is memory given by the caller. No locks.
 */
#ifndef BOOT_ELF_H
#define BOOT_ELF_H

#include "hv/lib/types.h"

struct boot_elf {
	uint64_t entry; /* virtual address, inside an executable segment */
	uint64_t
		/* bytes from virt_base to the end of the last segment with bss, whole pages */
		size;
};

/*
 * Check an ELF file whose segments must lie in [virt_base, virt_base + limit).
 * E_INVAL: not such a file or damaged; E_RANGE: a segment or the entry point lies elsewhere.
 */
int boot_elf_check(const void *file, size_t file_size, uint64_t virt_base, uint64_t limit,
	struct boot_elf *elf) MUST_CHECK;

/*
 * Place the segments at dest + (p_vaddr - virt_base) and zero everything else of dest. dest_size is
 * at least what boot_elf_check() answered. Checks again, so that it may be called alone.
 */
int boot_elf_load(const void *file, size_t file_size, uint64_t virt_base, void *dest,
	uint64_t dest_size) MUST_CHECK;

#endif
