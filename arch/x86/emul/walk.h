/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest page walk: linear address to guest-physical address in every paging mode, with the access
 * rights of SDM vol. 3 "Paging" (4.6 "Access Rights", 4.7 "Page-Fault Exceptions"). Guest memory
 * is reached only through two callbacks; every table entry is read once and the copy is checked.
 * Knows nothing of vCPUs or stage 2. Not modelled, as guests are never shown them: LAM, PKS, CET.
 * Locking: none, works on the caller's snapshot.
 */
#ifndef ARCH_X86_EMUL_WALK_H
#define ARCH_X86_EMUL_WALK_H

#include "hv/lib/types.h"

#define WALK_LEVELS_MAX 5

/* What kind of access is being translated. Nothing set: an explicit supervisor-mode data read. */
#define WALK_WRITE BIT(0)
#define WALK_FETCH BIT(1)
#define WALK_USER  BIT(2) /* CPL 3 and not implicit */
#define WALK_IMPLICIT                                                                              \
	BIT(3) /* descriptor tables, TSS: supervisor whatever the CPL, SMAP ignores AC */

struct walk_env {
	uint64_t cr0;
	uint64_t cr3;
	uint64_t cr4;
	uint64_t efer;
	uint64_t rflags;     /* only AC counts */
	uint32_t pkru, pkrs; /* they count with CR4.PKE and CR4.PKS */
	uint8_t phys_bits;   /* the guest's MAXPHYADDR, 32..52 */
	bool gib_pages;      /* the guest's CPUID shows 1 GiB pages */
	bool pdptes_valid;   /* PAE: pdpte[] holds the PDPTE registers, otherwise memory is read */
	uint64_t pdpte[4];
	void *opaque;

	/* Read an aligned entry of 4 or 8 bytes. Anything but 0 ends the walk with E_RANGE. */
	int (*read)(void *opaque, gpa_t gpa, unsigned size, uint64_t *value);
	/*
	 * Replace an entry if it still holds `old`: 0 done, E_BUSY it has changed, anything else
	 * ends the walk with E_RANGE. NULL: accessed and dirty bits are left alone.
	 */
	int (*cmpxchg)(void *opaque, gpa_t gpa, unsigned size, uint64_t old, uint64_t value);
};

struct walk_out {
	gpa_t gpa;           /* valid after 0 */
	uint64_t page_size;  /* of the leaf; 4 GiB when paging is off */
	uint64_t left;       /* bytes from gpa to the end of that page */
	uint32_t error_code; /* #PF error code, valid after E_FAULT */
	/* The entries used, from the root down: a post-mortem prints them. */
	uint8_t depth;
	gpa_t entry_gpa[WALK_LEVELS_MAX];
	uint64_t entry[WALK_LEVELS_MAX];
};

/*
 * Translate gva. 0: translated; E_FAULT: the guest gets #PF with out->error_code; E_RANGE: a table
 * lies where `read` cannot reach; E_BUSY: the guest keeps changing its tables, run the instruction
 * again; E_INVAL: phys_bits is out of range. Whether gva is canonical is the caller's question
 * (walk_is_canonical). Outside long mode only the low 32 bits of gva count.
 */
int walk_translate(
	const struct walk_env *env, gva_t gva, unsigned access, struct walk_out *out) MUST_CHECK;

/* Canonical for 48 bits, or for 57 when CR4.LA57 is set. */
bool walk_is_canonical(uint64_t cr4, gva_t gva);

#endif
