/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Page tables against a model: the history of operations says where each address leads, and a
 * walker written here from the manuals, not pt_lookup(), says where the tables lead. They are
 * compared after every single store.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>
#include "arch/x86/mm/pt.h"
#include "hv/lib/string.h"

#define FRAMES 600u
#define FRAME_BASE                                                                                 \
	0x7000000000ull /* physical address of the arena: not a small number by accident */
#define OPS_MAX    400u
#define PROBES_MAX 40u

enum op_kind { OP_MAP, OP_UNMAP, OP_PROTECT };

struct op {
	enum op_kind kind;
	uint64_t va, size;
	hpa_t pa;
	unsigned flags;
};

struct where {
	bool mapped;
	hpa_t pa;
	unsigned flags;
};

struct fixture {
	struct pt pt;
	uint64_t (*arena)[512];
	bool used[FRAMES];
	unsigned live, budget; /* frames in use; allocations left before they fail */
	struct op op[OPS_MAX];
	unsigned op_count; /* completed; op[op_count] is under way */
	bool in_op;
	uint64_t probe[PROBES_MAX];
	struct where before[PROBES_MAX], after[PROBES_MAX]; /* by the model, of the op under way */
	unsigned probe_count;
	unsigned stores;
	uint64_t base; /* where the format's test addresses begin */
};

static struct fixture f;

static hpa_t take_frame(void *context)
{
	struct fixture *x = context;

	if (!x->budget)
		return 0;
	x->budget--;
	for (unsigned i = 0; i < FRAMES; i++) {
		if (x->used[i])
			continue;
		x->used[i] = true;
		x->live++;
		memset(x->arena[i], 0, 4096);
		return FRAME_BASE + i * 4096ull;
	}
	fail_msg("arena too small");
	return 0;
}

static void give_frame(void *context, hpa_t frame)
{
	struct fixture *x = context;
	uint64_t i = (frame - FRAME_BASE) / 4096;

	assert_true(frame >= FRAME_BASE && i < FRAMES && !(frame & 4095));
	assert_true(x->used[i]);
	x->used[i] = false;
	x->live--;
	memset(x->arena[i], 0xee, 4096);
}

static void *frame_virt(hpa_t frame)
{
	uint64_t i = (frame - FRAME_BASE) / 4096;

	assert_true(frame >= FRAME_BASE && i < FRAMES && !(frame & 4095));
	assert_true(f.used[i]);
	return f.arena[i];
}

/* ---- What the tables say, by the manuals ---- */

static struct where read_host_leaf(uint64_t e, bool large)
{
	struct where w = {.mapped = true, .flags = PT_READ};
	unsigned pat = (e >> 3 & 3) | (e >> (large ? 12 : 7) & 1) << 2;

	if (e & 2)
		w.flags |= PT_WRITE;
	if (!(e >> 63))
		w.flags |= PT_EXEC;
	if (e & 0x100)
		w.flags |= PT_GLOBAL;
	assert_true(pat == 0 || pat == 3 || pat == 4);
	w.flags |= pat == 3 ? PT_UC : pat == 4 ? PT_WC : PT_WB;
	assert_true((e & 0x60) == 0x60);
	assert_false(e & 4);
	return w;
}

static struct where read_ept_leaf(uint64_t e, bool large)
{
	struct where w = {.mapped = true};
	unsigned type = e >> 3 & 7;

	(void)large;
	w.flags = (e & 1 ? PT_READ : 0) | (e & 2 ? PT_WRITE : 0) | (e & 4 ? PT_EXEC : 0);
	assert_true(type == 0 || type == 1 || type == 6);
	w.flags |= type == 6 ? PT_WB : type == 1 ? PT_WC : PT_UC;
	if (e & 0x40)
		w.flags |= PT_IGNORE_PAT;
	return w;
}

static struct where walk(uint64_t va)
{
	bool ept = f.pt.format == &pt_format_ept;
	uint64_t present = ept ? 7 : 1, table = f.pt.root;
	struct where none = {0}, w;

	for (int shift = 39; shift >= 12; shift -= 9) {
		uint64_t *entries = frame_virt(table);
		uint64_t e = entries[va >> shift & 511], span = 1ull << shift;
		bool leaf = shift == 12 || (shift < 39 && (e & 0x80));

		if (!(e & present)) {
			assert_int_equal(e, 0);
			return none;
		}
		if (!leaf) {
			if (ept)
				assert_int_equal(e & 0xfff, 7);
			else
				assert_int_equal(e & 0x80000000000000dfull, 3);
			table = e & 0x000ffffffffff000ull;
			continue;
		}
		w = ept ? read_ept_leaf(e, shift > 12) : read_host_leaf(e, shift > 12);
		e &= 0x000ffffffffff000ull;
		if (shift > 12 && !ept)
			e &= ~0x1000ull;
		assert_int_equal(e & (span - 1), 0); /* reserved bits of large leaves */
		w.pa = e | (va & (span - 1));
		return w;
	}
	return none;
}

/* ---- What the history says ---- */

static struct where model(uint64_t va, unsigned ops)
{
	struct where w = {0};

	for (unsigned i = 0; i < ops; i++) {
		const struct op *o = &f.op[i];

		if (va - o->va >= o->size)
			continue;
		if (o->kind == OP_UNMAP) {
			memset(&w, 0, sizeof(w));
		} else if (o->kind == OP_MAP) {
			w.mapped = true;
			w.pa = o->pa + (va - o->va);
			w.flags = o->flags;
		} else if (w.mapped) {
			w.flags = o->flags;
		}
	}
	return w;
}

static bool same(struct where a, struct where b)
{
	return a.mapped == b.mapped && a.pa == b.pa && a.flags == b.flags;
}

static void check_probe(unsigned i, bool before, bool after)
{
	struct where is = walk(f.probe[i]);

	if (!(before && same(is, f.before[i])) && !(after && same(is, f.after[i])))
		fail_msg("%s: %#lx leads to %d %#lx %#x after store %u of op %u", f.pt.format->name,
			(unsigned long)f.probe[i], is.mapped, (unsigned long)is.pa, is.flags,
			f.stores, f.op_count);
}

static void on_stored(void *context, uint64_t *first, unsigned count)
{
	assert_true(context == &f);
	assert_true(count == 1 || count == 512);
	assert_non_null(first);
	f.stores++;
	for (unsigned i = 0; f.in_op && i < f.probe_count; i++)
		check_probe(i, true, true);
}

/* ---- Fixture ---- */

static void start(const struct pt_format *format)
{
	uint64_t(*arena)[512] = f.arena;

	memset(&f, 0, sizeof(f));
	f.arena = arena ? arena : aligned_alloc(4096, FRAMES * 4096);
	f.budget = 1u << 30;
	f.base = format->canonical ? 0xffff800000000000ull : 0;
	f.pt = (struct pt){
		.format = format,
		.page_sizes = PT_4K | PT_2M | PT_1G,
		.frame_alloc = take_frame,
		.frame_free = give_frame,
		.to_virt = frame_virt,
		.stored = on_stored,
		.context = &f,
	};
	assert_int_equal(pt_create(&f.pt), 0);
}

static void finish(void)
{
	pt_destroy(&f.pt);
	assert_int_equal(f.live, 0);
	assert_int_equal(f.pt.root, 0);
	free(f.arena);
	f.arena = NULL;
}

static void add_probe(uint64_t va)
{
	if (f.probe_count < PROBES_MAX)
		f.probe[f.probe_count++] = va;
	else
		f.probe[rand() % (int)PROBES_MAX] = va;
}

static int run_op(struct op o, uint64_t max_leaf)
{
	int status;

	assert_true(f.op_count < OPS_MAX);
	add_probe(o.va);
	add_probe(o.va - 1);
	add_probe(o.va + o.size - 1);
	add_probe(o.va + o.size);
	add_probe(o.va + o.size / 2 + 0x123);
	f.op[f.op_count] = o;
	f.stores = 0;
	for (unsigned i = 0; i < f.probe_count; i++) {
		f.before[i] = model(f.probe[i], f.op_count);
		f.after[i] = model(f.probe[i], f.op_count + 1);
	}
	f.in_op = true;
	if (o.kind == OP_MAP)
		status = pt_map(&f.pt, o.va, o.pa, o.size, o.flags, max_leaf);
	else if (o.kind == OP_UNMAP)
		status = pt_unmap(&f.pt, o.va, o.size);
	else
		status = pt_protect(&f.pt, o.va, o.size, o.flags);
	f.in_op = false;
	if (!status)
		f.op_count++;
	for (unsigned i = 0; i < f.probe_count; i++)
		check_probe(i, status != 0, status == 0);
	return status;
}

static int map(uint64_t off, hpa_t pa, uint64_t size, unsigned flags, uint64_t max_leaf)
{
	return run_op((struct op){OP_MAP, f.base + off, size, pa, flags}, max_leaf);
}

static int unmap(uint64_t off, uint64_t size)
{
	return run_op((struct op){.kind = OP_UNMAP, .va = f.base + off, .size = size}, 0);
}

static int protect(uint64_t off, uint64_t size, unsigned flags)
{
	return run_op((struct op){OP_PROTECT, f.base + off, size, 0, flags}, 0);
}

static uint64_t leaf_at(uint64_t off)
{
	struct pt_mapping m;

	return pt_lookup(&f.pt, f.base + off, &m) ? 0 : m.size;
}

static const struct pt_format *const formats[] = {&pt_format_host, &pt_format_ept};

/* ---- Tests ---- */

static void test_leaf_sizes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		start(formats[i]);
		assert_int_equal(map(GIB(1), GIB(3), GIB(1), PT_READ, PT_1G), 0);
		assert_int_equal(leaf_at(GIB(1) + 5), PT_1G);
		assert_int_equal(f.live, 2);
		assert_int_equal(f.stores, 2);
		assert_int_equal(map(GIB(2), GIB(3), GIB(1), PT_READ, PT_2M), 0);
		assert_int_equal(leaf_at(GIB(2)), PT_2M);
		/* One odd page at either end, large leaves between. */
		assert_int_equal(
			map(MIB(6) - 4096, MIB(20) - 4096, MIB(2) + 8192, PT_READ, PT_1G), 0);
		assert_int_equal(leaf_at(MIB(6) - 4096), PT_4K);
		assert_int_equal(leaf_at(MIB(6)), PT_2M);
		assert_int_equal(leaf_at(MIB(8)), PT_4K);
		assert_int_equal(leaf_at(MIB(8) + 4096), 0);
		/* Address and frame not aligned alike. */
		assert_int_equal(map(MIB(16), MIB(33), MIB(2), PT_READ, PT_1G), 0);
		assert_int_equal(leaf_at(MIB(16)), PT_4K);
		assert_int_equal(map(MIB(32), MIB(64), MIB(2), PT_READ, PT_4K), 0);
		assert_int_equal(leaf_at(MIB(32)), PT_4K);
		finish();
		start(formats[i]);
		f.pt.page_sizes = PT_4K | PT_2M;
		assert_int_equal(map(GIB(1), GIB(3), GIB(1), PT_READ, PT_1G), 0);
		assert_int_equal(leaf_at(GIB(1)), PT_2M);
		finish();
	}
}

static void test_flags(void **state)
{
	static const unsigned types[] = {PT_WB, PT_UC, PT_WC}, extra[] = {PT_GLOBAL, PT_IGNORE_PAT};
	static const uint64_t sizes[] = {PT_4K, PT_2M, PT_1G};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		start(formats[i]);
		for (unsigned n = 0; n < 3 * 3 * 8; n++) {
			unsigned flags = PT_READ | (n & 1 ? PT_WRITE : 0) | (n & 2 ? PT_EXEC : 0) |
					 (n & 4 ? extra[i] : 0) | types[n / 8 % 3];
			uint64_t size = sizes[n / 24], at = GIB(n + 1);
			struct pt_mapping m;

			assert_int_equal(map(at, GIB(8), size, flags, PT_1G), 0);
			assert_int_equal(pt_lookup(&f.pt, f.base + at + 0xabc, &m), 0);
			assert_int_equal(m.flags, flags);
			assert_int_equal(m.pa, GIB(8) + 0xabc);
			assert_int_equal(m.size, size);
			/* Splitting a leaf keeps its flags, PAT bit included. */
			if (size > PT_4K) {
				assert_int_equal(unmap(at + size / 2, 4096), 0);
				assert_int_equal(pt_lookup(&f.pt, f.base + at, &m), 0);
				assert_int_equal(m.flags, flags);
			}
		}
		finish();
	}
}

static void test_split_and_holes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		start(formats[i]);
		assert_int_equal(map(0, GIB(2), GIB(1), PT_READ | PT_WRITE, PT_1G), 0);
		f.pt.stale = false;
		assert_int_equal(protect(MIB(512) + 4096, 4096, PT_READ), 0);
		assert_true(f.pt.stale);
		assert_int_equal(leaf_at(0), PT_2M);
		assert_int_equal(leaf_at(MIB(512)), PT_4K);
		assert_int_equal(unmap(MIB(512), MIB(1)), 0);
		/* Holes stay holes, and cost no tables. */
		unsigned live = f.live;
		assert_int_equal(protect(MIB(256), GIB(300), PT_READ | PT_EXEC), 0);
		assert_int_equal(unmap(GIB(10), GIB(100)), 0);
		assert_int_equal(f.live, live);
		assert_int_equal(leaf_at(MIB(512)), 0);
		/*
		 * A large mapping over an existing table fills the table: none is freed while
		 * live.
		 */
		assert_int_equal(map(MIB(512), GIB(9), MIB(2), PT_READ, PT_1G), 0);
		assert_int_equal(leaf_at(MIB(512)), PT_4K);
		assert_int_equal(f.live, live);
		/* Mapping a hole or doing nothing makes nothing stale. */
		f.pt.stale = false;
		assert_int_equal(map(GIB(20), GIB(9), MIB(2), PT_READ, PT_1G), 0);
		assert_int_equal(map(GIB(20), GIB(9), MIB(2), PT_READ, PT_1G), 0);
		assert_false(f.pt.stale);
		finish();
	}
}

static void test_refused(void **state)
{
	struct pt_mapping m;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		start(formats[i]);
		assert_int_equal(pt_map(&f.pt, f.base + 1, 0, 4096, PT_READ, PT_1G), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, 8, 4096, PT_READ, PT_1G), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, 0, 4095, PT_READ, PT_1G), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, 0, 0, PT_READ, PT_1G), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, 0, 4096, PT_WRITE, PT_1G), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, 0, 4096, PT_READ, 0), E_INVAL);
		assert_int_equal(pt_protect(&f.pt, f.base, 4096, 0), E_INVAL);
		assert_int_equal(pt_map(&f.pt, f.base, BIT(52), 4096, PT_READ, PT_1G), E_RANGE);
		assert_int_equal(
			pt_map(&f.pt, f.base, BIT(52) - 4096, 8192, PT_READ, PT_1G), E_RANGE);
		assert_int_equal(pt_map(&f.pt, BIT(50), 0, 4096, PT_READ, PT_1G), E_RANGE);
		assert_int_equal(pt_unmap(&f.pt, f.base, BIT(49)), E_RANGE);
		assert_int_equal(pt_unmap(&f.pt, UINT64_MAX - 4095, 8192), E_RANGE);
		assert_int_equal(pt_lookup(&f.pt, BIT(50), &m), E_RANGE);
		assert_int_equal(pt_lookup(&f.pt, f.base, &m), E_NOENT);
		assert_int_equal(f.stores, 0);
		assert_int_equal(f.live, 1);
		finish();
	}
	start(&pt_format_ept);
	assert_int_equal(pt_map(&f.pt, BIT(48) - 4096, 0, 8192, PT_READ, PT_1G), E_RANGE);
	assert_int_equal(pt_map(&f.pt, BIT(48) - 4096, 0, 4096, PT_READ, PT_1G), 0);
	assert_int_equal(pt_map(&f.pt, UINT64_MAX - 4095, 0, 4096, PT_READ, PT_1G), E_RANGE);
	finish();
	start(&pt_format_host);
	assert_int_equal(pt_map(&f.pt, BIT(47) - 4096, 0, 8192, PT_READ, PT_1G), E_RANGE);
	assert_int_equal(pt_map(&f.pt, UINT64_MAX - 4095, 0, 4096, PT_READ, PT_1G), 0);
	assert_int_equal(pt_map(&f.pt, 0, 0, 4096, PT_READ, PT_1G), 0);
	/* Both ends exist, the middle does not. */
	assert_int_equal(pt_unmap(&f.pt, BIT(47) - 4096, 0 - BIT(48) + 8192), E_RANGE);
	finish();
}

/* Each allocation of an operation fails once: every address leads where it did. */
static void test_no_memory(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		unsigned failures = 0;

		start(formats[i]);
		assert_int_equal(map(GIB(1), GIB(1), GIB(1), PT_READ, PT_1G), 0);
		for (unsigned budget = 0;; budget++) {
			struct op o = {
				OP_MAP, f.base + GIB(1) - MIB(3), MIB(8) + 4096, GIB(5), PT_READ};

			f.budget = budget;
			if (!run_op(o, PT_1G))
				break;
			failures++;
			assert_true(budget < 100);
		}
		assert_true(failures > 1);
		f.budget = 0;
		assert_int_equal(unmap(GIB(1) + MIB(100), 4096), E_NOMEM);
		assert_int_equal(protect(GIB(1) + MIB(100), 4096, PT_READ), E_NOMEM);
		finish();
	}
	f.arena = aligned_alloc(4096, FRAMES * 4096);
	f.pt.format = &pt_format_ept;
	f.budget = 0;
	assert_int_equal(pt_create(&f.pt), E_NOMEM);
	free(f.arena);
	f.arena = NULL;
}

/* Nobody listens to the stores: rows of entries are then filled several at a time. */
static void test_rows(void **state)
{
	const uint64_t at = MIB(2) - 5 * 4096, size = MIB(4) + 9 * 4096;
	struct pt_mapping m;

	(void)state;
	for (unsigned hole = 0; hole < 20; hole++) {
		start(&pt_format_ept);
		f.pt.stored = NULL;
		assert_int_equal(
			pt_map(&f.pt, MIB(2) + hole * 4096, GIB(9), 4096, PT_READ, PT_4K), 0);
		assert_int_equal(pt_map(&f.pt, at, GIB(1), size, PT_READ | PT_WRITE, PT_4K), 0);
		assert_true(f.pt.stale);
		for (uint64_t off = 0; off < size; off += 4096) {
			assert_int_equal(pt_lookup(&f.pt, at + off, &m), 0);
			assert_int_equal(m.pa, GIB(1) + off);
			assert_int_equal(m.flags, PT_READ | PT_WRITE);
		}
		assert_int_equal(pt_lookup(&f.pt, at - 1, &m), E_NOENT);
		assert_int_equal(pt_lookup(&f.pt, at + size, &m), E_NOENT);
		f.pt.stale = false;
		assert_int_equal(pt_map(&f.pt, at, GIB(1), size, PT_READ | PT_WRITE, PT_4K), 0);
		assert_false(f.pt.stale);
		finish();
	}
}

static uint64_t random_page(uint64_t range)
{
	uint64_t pages = range / 4096, r = (uint64_t)rand() << 20 ^ (uint64_t)rand();

	/* Half of the numbers are round, so that large leaves occur. */
	switch (rand() % 4) {
	case 0: return align_down(r % pages * 4096, PT_1G);
	case 1: return align_down(r % pages * 4096, PT_2M);
	default: return r % pages * 4096;
	}
}

static void test_random(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 18; seed++) {
		srand(seed);
		start(formats[seed % 2]);
		if (seed % 3 == 0)
			f.pt.page_sizes = PT_4K | PT_2M;
		for (unsigned n = 0; n < 60; n++) {
			static const uint64_t limits[] = {PT_4K, PT_2M, PT_1G, PT_1G};
			uint64_t limit = limits[rand() % 4];
			uint64_t size = random_page(limit == PT_4K ? MIB(4) : MIB(1500)) + 4096;
			uint64_t at = random_page(GIB(4));
			unsigned flags = PT_READ | ((unsigned)rand() & (PT_WRITE | PT_EXEC));
			int status;

			if (rand() % 3)
				size = align_up(size, PT_2M);
			if (limit != PT_4K && (size > MIB(8) || rand() % 2))
				at = align_down(at, PT_2M);
			f.budget = rand() % 4 ? 1u << 30 : (unsigned)rand() % 4;
			if (rand() % 2)
				status = map(at, at + GIB(64), size, flags, limit);
			else if (rand() % 2)
				status = unmap(at, size);
			else
				status = protect(at, size, flags);
			assert_true(!status || status == E_NOMEM);
		}
		finish();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf_sizes),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_split_and_holes),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
