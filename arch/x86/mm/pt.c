/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/mm/pt.h"
#include "arch/x86/defs/paging.h"

/* ---- Formats ---- */

static uint64_t host_leaf(hpa_t pa, unsigned flags, bool large)
{
	uint64_t entry = pa | PTE_P | PTE_A | PTE_D;

	if (flags & PT_WRITE)
		entry |= PTE_W;
	if (!(flags & PT_EXEC))
		entry |= PTE_NX;
	if (flags & PT_GLOBAL)
		entry |= PTE_G;
	if (large)
		entry |= PTE_PS;
	/* Entry 3 of the PAT is UC, entry 4 WC (HOST_PAT). */
	if ((flags & PT_TYPE_MASK) == PT_UC)
		entry |= PTE_PCD | PTE_PWT;
	else if ((flags & PT_TYPE_MASK) == PT_WC)
		entry |= large ? PTE_PAT_LARGE : PTE_PAT_4K;
	return entry;
}

static unsigned host_flags(uint64_t entry, bool large)
{
	unsigned flags = PT_READ;

	if (entry & PTE_W)
		flags |= PT_WRITE;
	if (!(entry & PTE_NX))
		flags |= PT_EXEC;
	if (entry & PTE_G)
		flags |= PT_GLOBAL;
	if (entry & PTE_PCD)
		flags |= PT_UC;
	else if (entry & (large ? PTE_PAT_LARGE : PTE_PAT_4K))
		flags |= PT_WC;
	return flags;
}

static uint64_t ept_leaf(hpa_t pa, unsigned flags, bool large)
{
	static const uint8_t memtype[4] = {6, 0, 1, 0}; /* WB, UC, WC as MTRRs encode them */
	uint64_t type = memtype[(flags & PT_TYPE_MASK) / PT_UC];
	uint64_t entry = pa | EPT_R | type << EPT_MEMTYPE_SHIFT;

	if (flags & PT_WRITE)
		entry |= EPT_W;
	if (flags & PT_EXEC)
		entry |= EPT_X;
	if (flags & PT_IGNORE_PAT)
		entry |= EPT_IPAT;
	if (large)
		entry |= EPT_PS;
	return entry;
}

static unsigned ept_flags(uint64_t entry, bool large UNUSED)
{
	uint64_t type = (entry & EPT_MEMTYPE_MASK) >> EPT_MEMTYPE_SHIFT;
	unsigned flags = type == 6 ? PT_WB : type == 1 ? PT_WC : PT_UC;

	if (entry & EPT_R)
		flags |= PT_READ;
	if (entry & EPT_W)
		flags |= PT_WRITE;
	if (entry & EPT_X)
		flags |= PT_EXEC;
	if (entry & EPT_IPAT)
		flags |= PT_IGNORE_PAT;
	return flags;
}

static uint64_t npt_leaf(hpa_t pa, unsigned flags, bool large)
{
	return host_leaf(pa, flags, large) | PTE_U;
}

const struct pt_format pt_format_host = {
	.name = "host",
	.levels = 4,
	.level = {{39, 0}, {30, PTE_PS}, {21, PTE_PS}, {12, 0}},
	.canonical = true,
	.present_mask = PTE_P,
	.table_bits = PTE_P | PTE_W | PTE_A,
	.leaf = host_leaf,
	.flags = host_flags,
};

const struct pt_format pt_format_ept = {
	.name = "EPT",
	.levels = 4,
	.level = {{39, 0}, {30, EPT_PS}, {21, EPT_PS}, {12, 0}},
	.present_mask = EPT_R | EPT_W | EPT_X,
	.table_bits = EPT_R | EPT_W | EPT_X,
	.inherit_mask = EPT_A | EPT_D,
	.leaf = ept_leaf,
	.flags = ept_flags,
};

const struct pt_format pt_format_npt = {
	.name = "NPT",
	.levels = 4,
	.level = {{39, 0}, {30, PTE_PS}, {21, PTE_PS}, {12, 0}},
	.present_mask = PTE_P,
	.table_bits = PTE_P | PTE_W | PTE_U | PTE_A,
	.leaf = npt_leaf,
	.flags = host_flags,
};

/* ---- Entries ---- */

static bool is_present(const struct pt *pt, uint64_t entry)
{
	return entry & pt->format->present_mask;
}

static bool is_leaf(const struct pt *pt, uint64_t entry, unsigned level)
{
	return level == pt->format->levels - 1 || (entry & pt->format->level[level].leaf_bit);
}

static uint64_t span_of(const struct pt *pt, unsigned level)
{
	return 1ull << pt->format->level[level].shift;
}

static uint64_t *entry_of(const struct pt *pt, hpa_t table, unsigned level, uint64_t va)
{
	uint64_t *entries = pt->to_virt(table);

	return &entries[(va >> pt->format->level[level].shift) % PAGING_ENTRIES];
}

/* An address field never reaches below the span it covers: what lies there are flags (PAT). */
static hpa_t leaf_pa(const struct pt *pt, uint64_t entry, unsigned level)
{
	return entry & PAGING_ADDR_MASK & ~(span_of(pt, level) - 1);
}

static uint64_t make_leaf(const struct pt *pt, unsigned level, hpa_t pa, unsigned flags)
{
	return pt->format->leaf(pa, flags, level < pt->format->levels - 1);
}

static unsigned leaf_flags(const struct pt *pt, uint64_t entry, unsigned level)
{
	return pt->format->flags(entry, level < pt->format->levels - 1);
}

static void store(struct pt *pt, uint64_t *entry, uint64_t value)
{
	uint64_t old = *entry;

	if (old == value)
		return;
	if (is_present(pt, old))
		pt->stale = true;
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	if (pt->stored)
		pt->stored(pt->context, entry, 1);
}

#define ROW_STEP 16u

static inline uint64_t any_of_8(const uint64_t *e)
{
	return e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7];
}

static inline uint64_t put(uint64_t *entry, uint64_t value, uint64_t step)
{
	__atomic_store_n(entry, value, __ATOMIC_RELEASE);
	return value + step;
}

static inline uint64_t put_8(uint64_t *e, uint64_t value, uint64_t step)
{
	value = put(&e[0], value, step);
	value = put(&e[1], value, step);
	value = put(&e[2], value, step);
	value = put(&e[3], value, step);
	value = put(&e[4], value, step);
	value = put(&e[5], value, step);
	value = put(&e[6], value, step);
	return put(&e[7], value, step);
}

/*
 * Count neighbouring entries, each `step` above the one before. A guest's RAM in 4 KiB leaves is a
 * quarter of a million of them per GiB, nearly all of which were empty: those are looked at
 * sixteen at a time.
 */
static void store_row(struct pt *pt, uint64_t *entry, uint64_t count, uint64_t value, uint64_t step)
{
	uint64_t i = 0;

	while (i < count) {
		uint64_t *e = &entry[i], old = 1;

		if (count - i >= ROW_STEP && !pt->stored)
			old = any_of_8(e) | any_of_8(e + 8);
		if (old) {
			store(pt, e, value);
			value += step;
			i++;
			continue;
		}
		value = put_8(e, value, step);
		value = put_8(e + 8, value, step);
		i += ROW_STEP;
	}
}

/* Put a table below an absent entry or a large leaf; every address translates as before. */
static int grow(struct pt *pt, uint64_t *entry, unsigned level)
{
	uint64_t old = *entry, kept = old & pt->format->inherit_mask;
	hpa_t frame = pt->frame_alloc(pt->context);
	uint64_t *table;

	if (!frame)
		return E_NOMEM;
	pt->tables++;
	if (is_present(pt, old)) {
		unsigned flags = leaf_flags(pt, old, level);
		hpa_t pa = leaf_pa(pt, old, level);

		table = pt->to_virt(frame);
		for (unsigned i = 0; i < PAGING_ENTRIES; i++, pa += span_of(pt, level + 1))
			table[i] = make_leaf(pt, level + 1, pa, flags) | kept;
		if (pt->stored)
			pt->stored(pt->context, table, PAGING_ENTRIES);
	}
	store(pt, entry, frame | pt->format->table_bits);
	return 0;
}

/* ---- Editing: one walk serves map, unmap and protect, to prepare and to commit ---- */

enum edit_kind { EDIT_MAP, EDIT_UNMAP, EDIT_PROTECT };

struct edit {
	enum edit_kind kind;
	uint64_t va, size;
	hpa_t pa;
	unsigned flags;
	uint64_t sizes; /* leaf sizes that may be made */
};

/* Can the entry at this level be the last word on va, or must the walk go deeper? */
static bool edit_ends_here(
	const struct pt *pt, const struct edit *e, uint64_t at, unsigned level, uint64_t entry)
{
	uint64_t span = span_of(pt, level);
	bool whole = !((e->va + at) & (span - 1)) && e->size - at >= span;

	if (e->kind != EDIT_MAP)
		return !is_present(pt, entry) || whole;
	return whole && !((e->pa + at) & (span - 1)) && (e->sizes & span);
}

static void edit_commit(
	struct pt *pt, const struct edit *e, uint64_t at, unsigned level, uint64_t *entry)
{
	if (e->kind == EDIT_MAP)
		store(pt, entry, make_leaf(pt, level, e->pa + at, e->flags));
	else if (!is_present(pt, *entry))
		return;
	else if (e->kind == EDIT_UNMAP)
		store(pt, entry, 0);
	else
		store(pt, entry, make_leaf(pt, level, leaf_pa(pt, *entry, level), e->flags));
}

/*
 * The last level of a MAP edit: all its entries from va + at to the end of their table at once.
 * Leaves of neighbouring pages differ by their address only.
 */
static uint64_t edit_fill(
	struct pt *pt, const struct edit *e, uint64_t at, bool commit, uint64_t *entry)
{
	unsigned level = pt->format->levels - 1;
	uint64_t span = span_of(pt, level), index = ((e->va + at) / span) % PAGING_ENTRIES;
	uint64_t count = MIN(PAGING_ENTRIES - index, (e->size - at) / span);
	uint64_t value = make_leaf(pt, level, e->pa + at, e->flags);

	if (commit)
		store_row(pt, entry, count, value, span);
	return count * span;
}

/* Deal with the entry that decides on va + at; *covered is how far it reaches from there. */
static int edit_step(
	struct pt *pt, const struct edit *e, uint64_t at, bool commit, uint64_t *covered)
{
	uint64_t va = e->va + at;
	hpa_t table = pt->root;
	unsigned level;
	int status;

	for (level = 0; level < pt->format->levels; level++) {
		uint64_t *entry = entry_of(pt, table, level, va);
		uint64_t span = span_of(pt, level);

		if (e->kind == EDIT_MAP && level == pt->format->levels - 1) {
			*covered = edit_fill(pt, e, at, commit, entry);
			return 0;
		}
		if (!is_present(pt, *entry) || is_leaf(pt, *entry, level)) {
			if (edit_ends_here(pt, e, at, level, *entry)) {
				if (commit)
					edit_commit(pt, e, at, level, entry);
				*covered = MIN(span - (va & (span - 1)), e->size - at);
				return 0;
			}
			status = grow(pt, entry, level);
			if (status)
				return status;
		}
		table = *entry & PAGING_ADDR_MASK;
	}
	return E_INVAL; /* not reached: a last-level entry always ends the walk */
}

static int edit_run(struct pt *pt, const struct edit *e)
{
	uint64_t at, covered;
	int status;

	/*
	 * Prepare: after this every step ends at an entry that exists, so committing cannot fail.
	 */
	for (at = 0; at < e->size; at += covered) {
		status = edit_step(pt, e, at, false, &covered);
		if (status)
			return status;
	}
	for (at = 0; at < e->size; at += covered) {
		status = edit_step(pt, e, at, true, &covered);
		if (status)
			return status;
	}
	return 0;
}

/* Does the format translate this address at all? */
static bool va_exists(const struct pt_format *format, uint64_t va)
{
	unsigned bits = format->level[0].shift + 9;
	int64_t high = (int64_t)va >> (format->canonical ? bits - 1 : bits);

	return high == 0 || (format->canonical && high == -1);
}

static int check_range(const struct pt *pt, uint64_t va, uint64_t size)
{
	uint64_t last = va + size - 1;

	if (!size || (va | size) & (PAGE_SIZE - 1))
		return E_INVAL;
	if (last < va || !va_exists(pt->format, va) || !va_exists(pt->format, last))
		return E_RANGE;
	/* Both halves of a canonical space exist, what lies between does not. */
	return (va ^ last) >> 63 ? E_RANGE : 0;
}

int pt_create(struct pt *pt)
{
	pt->root = pt->frame_alloc(pt->context);
	if (!pt->root)
		return E_NOMEM;
	pt->tables = 1;
	return 0;
}

int pt_map(struct pt *pt, uint64_t va, hpa_t pa, uint64_t size, unsigned flags, uint64_t max_leaf)
{
	struct edit e = {.kind = EDIT_MAP, .va = va, .size = size, .pa = pa, .flags = flags};
	int status = check_range(pt, va, size);

	if (status)
		return status;
	if (pa & (PAGE_SIZE - 1) || !(flags & PT_READ) || max_leaf < PT_4K)
		return E_INVAL;
	if (!range_within(pa, size, PAGING_ADDR_MASK + PAGE_SIZE))
		return E_RANGE;
	e.sizes = (pt->page_sizes & (max_leaf | (max_leaf - 1))) | PT_4K;
	return edit_run(pt, &e);
}

int pt_unmap(struct pt *pt, uint64_t va, uint64_t size)
{
	struct edit e = {.kind = EDIT_UNMAP, .va = va, .size = size};
	int status = check_range(pt, va, size);

	return status ? status : edit_run(pt, &e);
}

int pt_protect(struct pt *pt, uint64_t va, uint64_t size, unsigned flags)
{
	struct edit e = {.kind = EDIT_PROTECT, .va = va, .size = size, .flags = flags};
	int status = check_range(pt, va, size);

	if (!status && !(flags & PT_READ))
		status = E_INVAL;
	return status ? status : edit_run(pt, &e);
}

/* ---- Looking and tearing down ---- */

int pt_lookup(const struct pt *pt, uint64_t va, struct pt_mapping *found)
{
	hpa_t table = pt->root;

	if (!va_exists(pt->format, va))
		return E_RANGE;
	for (unsigned level = 0; level < pt->format->levels; level++) {
		uint64_t entry = *entry_of(pt, table, level, va);

		if (!is_present(pt, entry))
			return E_NOENT;
		if (is_leaf(pt, entry, level)) {
			found->size = span_of(pt, level);
			found->pa = leaf_pa(pt, entry, level) | (va & (found->size - 1));
			found->flags = leaf_flags(pt, entry, level);
			return 0;
		}
		table = entry & PAGING_ADDR_MASK;
	}
	return E_NOENT;
}

void pt_destroy(struct pt *pt)
{
	hpa_t table[PT_LEVELS_MAX] = {pt->root};
	unsigned next[PT_LEVELS_MAX] = {0};
	unsigned level = 0;

	if (!pt->root)
		return;
	/* Depth first, with the path instead of recursion. */
	for (;;) {
		if (next[level] == PAGING_ENTRIES || level == pt->format->levels - 1) {
			pt->frame_free(pt->context, table[level]);
			if (level == 0)
				break;
			level--;
			continue;
		}
		uint64_t *entries = pt->to_virt(table[level]);
		uint64_t entry = entries[next[level]++];

		if (!is_present(pt, entry) || is_leaf(pt, entry, level))
			continue;
		level++;
		table[level] = entry & PAGING_ADDR_MASK;
		next[level] = 0;
	}
	pt->root = 0;
	pt->tables = 0;
}
