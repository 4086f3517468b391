/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables the hypervisor is entered with. They live for a moment: the hypervisor builds its
 * own, with permissions. Pure; must not call firmware, allocate or load CR3.
 */
#include "boot/paging.h"

/* SDM vol. 3, "4-level paging and 5-level paging": bits of an entry. */
#define PTE_P       BIT(0)
#define PTE_RW      BIT(1)
#define PTE_PS      BIT(7)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define ENTRIES 512u

enum { LEVEL_4K = 1, LEVEL_2M = 2, LEVEL_1G = 3 };

static unsigned level_shift(unsigned level)
{
	return PAGE_SHIFT + 9 * (level - 1);
}

/*
 * Identity addresses must be canonical with bit 63 clear, and physical ones have 52 bits at most.
 */
static uint64_t identity_end(const struct boot_paging *p)
{
	return p->levels == 5 ? BIT(52) : BIT(47);
}

static uint64_t *new_table(struct boot_paging *p)
{
	return p->used < p->max ? p->pool + ENTRIES * p->used++ : NULL;
}

/* The entry for va at `level`, or *entry = NULL where a larger page covers va already. */
static int walk(struct boot_paging *p, uint64_t va, unsigned level, uint64_t **entry)
{
	uint64_t *table = p->pool;

	for (unsigned l = p->levels;; l--) {
		uint64_t *e = &table[va >> level_shift(l) & (ENTRIES - 1)];

		*entry = e;
		if (l == level)
			return OK;
		if (!(*e & PTE_P)) {
			table = new_table(p);
			if (!table)
				return E_NOMEM;
			*e = (uintptr_t)table | PTE_P | PTE_RW;
		} else if (*e & PTE_PS) {
			*entry = NULL;
			return OK;
		} else {
			table = (uint64_t *)(uintptr_t)(*e & PTE_ADDRESS);
		}
	}
}

static int map(struct boot_paging *p, uint64_t va, uint64_t pa, uint64_t size, unsigned max_level)
{
	while (size) {
		unsigned level = max_level;
		uint64_t *entry, step;
		int ret;

		while (level > LEVEL_4K && (((va | pa) & (BIT(level_shift(level)) - 1)) ||
						   size < BIT(level_shift(level))))
			level--;
		ret = walk(p, va, level, &entry);
		if (ret)
			return ret;
		if (entry)
			*entry = pa | PTE_P | PTE_RW | (level > LEVEL_4K ? PTE_PS : 0);
		step = MIN(size, BIT(level_shift(level)));
		va += step;
		pa += step;
		size -= step;
	}
	return OK;
}

/*
 * The part of a RAM range above 4 GiB, in whole 2 MiB pages. Below 4 GiB everything is mapped
 * anyway, with 2 MiB pages: a 1 GiB page across different MTRR types has no defined type.
 */
static bool high_part(
	const struct boot_paging *p, const struct bootinfo_mem *r, uint64_t *base, uint64_t *end)
{
	if (r->type == BOOT_MEM_FIRMWARE || r->type == BOOT_MEM_MMIO)
		return false;
	*base = MAX(align_down(r->base, MIB(2)), GIB(4));
	*end = MIN(align_up(r->base + r->size, MIB(2)), identity_end(p));
	return *base < *end;
}

static uint64_t units(uint64_t base, uint64_t end, unsigned shift)
{
	return ((end - 1) >> shift) - (base >> shift) + 1;
}

uint64_t boot_paging_bound(const struct boot_paging *p, const struct bootinfo_mem *mem,
	unsigned count, uint64_t hv_size)
{
	/*
	 * Root; 4 GiB: two upper tables and four directories; hypervisor: likewise and its tables.
	 */
	uint64_t tables = 1 + 2 + 4 + 2 + 1 + hv_size / GIB(1) + 1 + hv_size / MIB(2) + 1;
	uint64_t base, end;

	for (unsigned i = 0; i < count; i++) {
		if (!high_part(p, &mem[i], &base, &end))
			continue;
		tables += units(base, end, 48) + units(base, end, 39);
		tables += p->gib_pages ? 2 : units(base, end, 30);
	}
	return tables;
}

int boot_paging_build(struct boot_paging *p, const struct bootinfo_mem *mem, unsigned count,
	uint64_t hv_phys, uint64_t hv_size)
{
	unsigned largest = p->gib_pages ? LEVEL_1G : LEVEL_2M;
	uint64_t base, end;
	int ret;

	p->used = 0;
	if (!new_table(p))
		return E_NOMEM;
	ret = map(p, 0, 0, GIB(4), LEVEL_2M);
	for (unsigned i = 0; !ret && i < count; i++) {
		if (high_part(p, &mem[i], &base, &end))
			ret = map(p, base, base, end - base, largest);
	}
	return ret ? ret : map(p, HV_VIRT_BASE, hv_phys, align_up(hv_size, PAGE_SIZE), LEVEL_2M);
}
