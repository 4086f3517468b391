/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest page walk: one loop over a table of paging modes. See walk.h for the contract. Tables are
 * guest memory and change under our hands: each entry is read once, and accessed and dirty bits are
 * set only by compare-and-exchange against the value that was checked.
 */
#include "arch/x86/emul/walk.h"
#include "arch/x86/defs/cr.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/defs/segment.h"

#define PTE_PK_SHIFT 59

#define PAE_ROOT_LEVEL 3
#define RESTARTS_MAX   8 /* walks begun again because the guest changed an entry meanwhile */

struct walk_mode {
	uint8_t levels;
	uint8_t index_bits;
	uint8_t entry_size;
	uint64_t root_mask; /* bits of CR3 that locate the root table, before MAXPHYADDR */
};

enum { MODE_32BIT, MODE_PAE, MODE_4LEVEL, MODE_5LEVEL };

static const struct walk_mode modes[] = {
	[MODE_32BIT] = {2, 10, 4, 0xfffff000},
	[MODE_PAE] = {PAE_ROOT_LEVEL, 9, 8, 0xffffffe0},
	[MODE_4LEVEL] = {4, 9, 8, ~0xfffull},
	[MODE_5LEVEL] = {5, 9, 8, ~0xfffull},
};

struct walk {
	const struct walk_env *env;
	const struct walk_mode *mode;
	struct walk_out *out;
	gva_t gva;
	unsigned access;
	uint64_t all, any; /* bits that all entries with rights have, and those that some have */
	unsigned level, shift; /* of the entry being read, in the end of the leaf */
};

static uint64_t bits_from_to(unsigned low, unsigned high)
{
	return low > high ? 0 : (UINT64_MAX >> (63 - high)) & (UINT64_MAX << low);
}

static const struct walk_mode *walk_mode(const struct walk_env *env)
{
	if (env->efer & EFER_LMA)
		return &modes[env->cr4 & CR4_LA57 ? MODE_5LEVEL : MODE_4LEVEL];
	return &modes[env->cr4 & CR4_PAE ? MODE_PAE : MODE_32BIT];
}

static bool is_user(const struct walk *w)
{
	return (w->access & WALK_USER) && !(w->access & WALK_IMPLICIT);
}

static bool is_pae_root(const struct walk *w)
{
	return w->mode == &modes[MODE_PAE] && w->level == PAE_ROOT_LEVEL;
}

static bool is_leaf(const struct walk *w, uint64_t entry)
{
	if (w->level == 1)
		return true;
	if (!(entry & PTE_PS))
		return false;
	if (w->mode->entry_size == 4)
		return w->env->cr4 & CR4_PSE;
	if (w->level == 2)
		return true;
	return w->level == 3 && !is_pae_root(w) && w->env->gib_pages;
}

/* SDM vol. 3 4.3: M = min(40, MAXPHYADDR); a 4 MiB PDE keeps bits (M-1):32 in (M-20):13. */
static uint64_t reserved_32bit(const struct walk *w, bool leaf)
{
	if (w->level == 1 || !leaf)
		return 0;
	return bits_from_to(MIN(40u, w->env->phys_bits) - 19u, 21);
}

/* SDM vol. 3 4.4 and 4.5, tables of entry formats. */
static uint64_t reserved_64bit(const struct walk *w, bool leaf)
{
	bool pae = w->mode == &modes[MODE_PAE];
	uint64_t reserved = bits_from_to(w->env->phys_bits, pae ? 62 : 51);

	/*
	 * Intel's CPUs check the low ones when CR3 is loaded, not in a walk (SDM vol. 3, "PDPTE
	 * Registers"); QEMU's AMD sets A there.
	 */
	if (is_pae_root(w))
		return reserved | PTE_NX;
	if (!(w->env->efer & EFER_NXE))
		reserved |= PTE_NX;
	if (w->level > 1 && leaf)
		reserved |= bits_from_to(PAGE_SHIFT + 1, w->shift - 1);
	if (w->level > 1 && !leaf) /* the page size is not one that exists here */
		reserved |= PTE_PS;
	return reserved;
}

static bool is_reserved(const struct walk *w, uint64_t entry, bool leaf)
{
	return entry &
	       (w->mode->entry_size == 4 ? reserved_32bit(w, leaf) : reserved_64bit(w, leaf));
}

static int walk_fault(struct walk *w, uint32_t code)
{
	const struct walk_env *env = w->env;

	if (w->access & WALK_WRITE)
		code |= PF_ERR_W;
	if (is_user(w))
		code |= PF_ERR_U;
	if ((w->access & WALK_FETCH) &&
		((env->cr4 & CR4_SMEP) || ((env->cr4 & CR4_PAE) && (env->efer & EFER_NXE))))
		code |= PF_ERR_I;
	w->out->error_code = code;
	return E_FAULT;
}

/*
 * PKRU or PKRS forbids this data access to a user-mode or supervisor-mode page (SDM vol. 3 4.6.2).
 */
static bool pkey_denies(const struct walk *w, uint64_t leaf)
{
	const struct walk_env *env = w->env;
	bool user_page = w->all & PTE_U;
	unsigned key = (leaf >> PTE_PK_SHIFT) & 0xf;
	uint32_t bits = (user_page ? env->pkru : env->pkrs) >> (key * 2); /* bit 0 AD, bit 1 WD */

	if (!(env->efer & EFER_LMA) || !(env->cr4 & (user_page ? CR4_PKE : CR4_PKS)))
		return false;
	if (w->access & WALK_FETCH)
		return false;
	if (bits & 1)
		return true;
	return (bits & 2) && (w->access & WALK_WRITE) && (is_user(w) || (env->cr0 & CR0_WP));
}

/* SDM vol. 3 4.6.1, for a page that is mapped. */
static bool rights_allow(const struct walk *w)
{
	const struct walk_env *env = w->env;
	bool user = w->all & PTE_U, write = w->access & WALK_WRITE;

	if (w->access & WALK_FETCH) {
		if (is_user(w) ? !user : (user && (env->cr4 & CR4_SMEP)))
			return false;
		return !(w->any & PTE_NX);
	}
	if (is_user(w))
		return user && (!write || (w->all & PTE_W));
	if (user && (env->cr4 & CR4_SMAP) &&
		((w->access & WALK_IMPLICIT) || !(env->rflags & RFLAGS_AC)))
		return false;
	return !write || (w->all & PTE_W) || !(env->cr0 & CR0_WP);
}

static int walk_check(struct walk *w)
{
	uint64_t leaf = w->out->entry[w->out->depth - 1];
	bool pkey = pkey_denies(w, leaf);

	if (!pkey && rights_allow(w))
		return OK;
	return walk_fault(w, PF_ERR_P | (pkey ? PF_ERR_PK : 0));
}

static int read_entry(struct walk *w, gpa_t table, uint64_t *entry)
{
	struct walk_out *out = w->out;
	unsigned size = w->mode->entry_size;
	unsigned index = (w->gva >> w->shift) & ((1u << w->mode->index_bits) - 1);
	gpa_t gpa = table + (gpa_t)index * size;

	*entry = 0;
	if (w->env->pdptes_valid && is_pae_root(w))
		*entry = w->env->pdpte[index & 3];
	else if (w->env->read(w->env->opaque, gpa, size, entry) != 0)
		return E_RANGE;
	if (size == 4)
		*entry &= UINT32_MAX;
	out->entry_gpa[out->depth] = gpa;
	out->entry[out->depth] = *entry;
	out->depth++;
	return OK;
}

static int walk_down(struct walk *w)
{
	const struct walk_mode *mode = w->mode;
	uint64_t phys_mask = bits_from_to(0, w->env->phys_bits - 1), entry;
	gpa_t table = w->env->cr3 & mode->root_mask & phys_mask;

	w->all = UINT64_MAX;
	w->any = 0;
	w->shift = PAGE_SHIFT + mode->levels * mode->index_bits;
	w->out->depth = 0;
	for (w->level = mode->levels;; w->level--) {
		bool leaf;

		w->shift -= mode->index_bits;
		if (read_entry(w, table, &entry) != OK)
			return E_RANGE;
		if (!(entry & PTE_P))
			return walk_fault(w, 0);
		leaf = is_leaf(w, entry);
		if (is_reserved(w, entry, leaf))
			return walk_fault(w, PF_ERR_P | PF_ERR_RSVD);
		if (!is_pae_root(w)) { /* which has no rights */
			w->all &= entry;
			w->any |= entry;
		}
		if (leaf)
			return walk_check(w);
		table = entry & phys_mask & ~(PAGE_SIZE - 1);
	}
}

/* Accessed in every entry used, dirty in the leaf of a write. E_BUSY: one of them has changed. */
static int set_accessed_dirty(struct walk *w)
{
	const struct walk_env *env = w->env;
	struct walk_out *out = w->out;

	for (unsigned i = 0; i < out->depth; i++) {
		uint64_t want = PTE_A;
		int err;

		if (w->mode == &modes[MODE_PAE] && i == 0)
			continue;
		if (i + 1u == out->depth && (w->access & WALK_WRITE))
			want |= PTE_D;
		if ((out->entry[i] & want) == want)
			continue;
		err = env->cmpxchg(env->opaque, out->entry_gpa[i], w->mode->entry_size,
			out->entry[i], out->entry[i] | want);
		if (err)
			return err == E_BUSY ? E_BUSY : E_RANGE;
		out->entry[i] |= want;
	}
	return OK;
}

/* Nearly always they are all set. */
static bool lacks_accessed_dirty(const struct walk *w)
{
	uint64_t leaf = w->out->entry[w->out->depth - 1];

	return !(w->all & PTE_A) || ((w->access & WALK_WRITE) && !(leaf & PTE_D));
}

static void set_address(struct walk *w)
{
	struct walk_out *out = w->out;
	uint64_t leaf = out->entry[out->depth - 1];
	uint64_t size = BIT(w->shift);
	uint64_t frame = leaf & bits_from_to(0, w->env->phys_bits - 1);

	if (w->mode->entry_size == 4 && w->level == 2) /* PSE-36: bits 20:13 are bits 39:32 */
		frame = (leaf & 0xffc00000) | ((leaf >> 13) & 0xff) << 32;
	out->page_size = size;
	out->gpa = (frame & ~(size - 1)) | (w->gva & (size - 1));
	out->left = size - (w->gva & (size - 1));
}

static int walk_flat(gva_t gva, struct walk_out *out)
{
	out->gpa = gva & UINT32_MAX;
	out->page_size = GIB(4);
	out->left = GIB(4) - out->gpa;
	return OK;
}

int walk_translate(const struct walk_env *env, gva_t gva, unsigned access, struct walk_out *out)
{
	struct walk w;
	int err = E_BUSY;

	out->gpa = out->page_size = out->left = 0;
	out->error_code = 0;
	out->depth = 0;
	if (env->phys_bits < 32 || env->phys_bits > 52)
		return E_INVAL;
	w.env = env;
	w.mode = walk_mode(env);
	w.out = out;
	w.gva = env->efer & EFER_LMA ? gva : gva & UINT32_MAX;
	w.access = access;
	if (!(env->cr0 & CR0_PG))
		return walk_flat(w.gva, out);

	for (unsigned i = 0; i < RESTARTS_MAX && err == E_BUSY; i++) {
		err = walk_down(&w);
		if (!err && env->cmpxchg && lacks_accessed_dirty(&w))
			err = set_accessed_dirty(&w);
	}
	if (!err)
		set_address(&w);
	return err;
}

bool walk_is_canonical(uint64_t cr4, gva_t gva)
{
	unsigned shift = cr4 & CR4_LA57 ? 64 - 57 : 64 - 48;

	return (gva_t)((int64_t)(gva << shift) >> shift) == gva;
}
