/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page-table walker for all formats: the hypervisor's own tables, EPT, NPT, later IOMMUs. A
 * format is a table of levels and two functions that build and read a leaf.
 *
 * Every change is a single 64-bit store, and after each store every address translates as it did
 * before or as it will. Operations prepare (allocate, split large leaves: no translation changes)
 * and then commit (cannot fail), so a failure leaves every translation as it was. A table, once
 * made, stays until pt_destroy(): no table is freed while a CPU may still walk it.
 *
 * Knows nothing of CPUs: flushing TLBs is the caller's, who finds `stale` set when a present entry
 * was changed. Locking is the caller's.
 */
#ifndef ARCH_X86_MM_PT_H
#define ARCH_X86_MM_PT_H

#include "hv/lib/types.h"

#define PT_LEVELS_MAX 5

/* What a mapping allows, in neutral terms. */
enum pt_flag {
	PT_READ = 1 << 0,
	PT_WRITE = 1 << 1,
	PT_EXEC = 1 << 2,
	PT_WB = 0 << 4, /* memory type: two bits */
	PT_UC = 1 << 4,
	PT_WC = 2 << 4,
	PT_TYPE_MASK = 3 << 4,
	PT_IGNORE_PAT = 1 << 6, /* EPT: the guest's PAT does not matter */
	PT_GLOBAL = 1 << 7,     /* host: survives CR3 loads */
};

/* Leaf sizes; sums of them are sets. */
#define PT_4K (1ull << 12)
#define PT_2M (1ull << 21)
#define PT_1G (1ull << 30)

struct pt_level {
	unsigned shift;    /* an entry covers 1 << shift bytes */
	uint64_t leaf_bit; /* set in a leaf; 0 in the last level, where all entries are leaves */
};

struct pt_format {
	const char *name;
	unsigned levels;
	struct pt_level level[PT_LEVELS_MAX]; /* root first */
	bool canonical;                       /* addresses are sign-extended, else zero-extended */
	uint64_t present_mask;                /* present: any of these bits */
	uint64_t table_bits;                  /* of an entry that leads to a table */
	uint64_t inherit_mask;                /* bits that a split hands down (accessed, dirty) */
	uint64_t (*leaf)(hpa_t pa, unsigned flags, bool large);
	unsigned (*flags)(uint64_t entry, bool large);
};

/* 4-level paging with NX and HOST_PAT; A and D are set beforehand. Supervisor only. */
extern const struct pt_format pt_format_host;
/* 4-level EPT. Needs PT_READ with PT_WRITE or PT_EXEC: execute-only is not used. */
extern const struct pt_format pt_format_ept;
/*
 * Nested paging of AMD-V, 4 levels: the host's format and PAT, and all is user memory (APM vol. 2,
 * "Nested Table Walk"). PT_IGNORE_PAT has no counterpart: the guest's PAT is combined.
 */
extern const struct pt_format pt_format_npt;

struct pt {
	const struct pt_format *format;
	hpa_t root;
	uint64_t page_sizes; /* leaf sizes this hardware has: PT_4K | … */
	uint64_t tables;     /* frames that the tables take */
	bool stale;          /* set when a present entry was changed; cleared by who flushes */

	/* Environment. A frame is 4 KiB, zeroed; 0 means none left. */
	hpa_t (*frame_alloc)(void *context);
	void (*frame_free)(void *context, hpa_t frame);
	void *(*to_virt)(hpa_t frame);
	/*
	 * After `count` entries were written, if not NULL: walkers that do not snoop caches,
	 * tests.
	 */
	void (*stored)(void *context, uint64_t *first, unsigned count);
	void *context;
};

struct pt_mapping {
	hpa_t pa;       /* of the address asked for */
	unsigned flags; /* enum pt_flag */
	uint64_t size;  /* of the leaf */
};

/* Allocate the root; the rest of *pt is filled in by the caller. E_NOMEM. */
int pt_create(struct pt *pt) MUST_CHECK;

/*
 * Map [va, va + size) to pa, replacing what was there, with the largest leaves that the hardware,
 * the alignment and max_leaf (PT_4K, PT_2M, PT_1G) allow. E_INVAL: not page aligned or no PT_READ;
 * E_RANGE: outside the format; E_NOMEM: every translation is as before.
 */
int pt_map(struct pt *pt, uint64_t va, hpa_t pa, uint64_t size, unsigned flags,
	uint64_t max_leaf) MUST_CHECK;
/*
 * Take away what is mapped in the range; holes are fine. E_NOMEM when a large leaf must be split.
 */
int pt_unmap(struct pt *pt, uint64_t va, uint64_t size) MUST_CHECK;
/* New flags for what is mapped in the range; holes stay holes. */
int pt_protect(struct pt *pt, uint64_t va, uint64_t size, unsigned flags) MUST_CHECK;

/* E_NOENT if va is not mapped, E_RANGE if there is no such address. */
int pt_lookup(const struct pt *pt, uint64_t va, struct pt_mapping *found) MUST_CHECK;

/* Give back all tables; nothing walks them any more. What they map is not ours. */
void pt_destroy(struct pt *pt);

#endif
