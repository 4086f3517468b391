/* SPDX-License-Identifier: Apache-2.0 */
/* Frame ownership: only cleared memory is given out, one owner per frame, nothing is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "hv/mm/frame.h"

#define TOP  MIB(16)
#define VM_A (FRAME_OWNER_VM + 0)
#define VM_B (FRAME_OWNER_VM + 1)
#define VM_C (FRAME_OWNER_VM + 2)

struct fixture {
	struct frame_pool pool;
	void *storage;
	uint8_t *ram;
};

static void clear(void *ctx, hpa_t base, uint64_t size)
{
	memset(((struct fixture *)ctx)->ram + base, 0, size);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->ram = malloc(TOP);
	memset(f->ram, 0xaa, TOP);
	f->storage = malloc(frame_pool_size(TOP));
	frame_pool_init(&f->pool, f->storage, TOP, clear, f);
	frame_pool_mark(&f->pool, 0, TOP, FRAME_DIRTY);
	frame_pool_mark(&f->pool, 0, MIB(1), FRAME_RESERVED);
	frame_pool_mark(&f->pool, MIB(4), MIB(2), FRAME_OWNER_FILES);
	frame_pool_seal(&f->pool);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	free(f->storage);
	free(f->ram);
	free(f);
	return 0;
}

static void assert_clear(const struct fixture *f, hpa_t base, uint64_t size)
{
	assert_int_equal(f->ram[base], 0);
	assert_int_equal(memcmp(f->ram + base, f->ram + base + 1, size - 1), 0);
}

static int claim(struct fixture *f, uint16_t owner, uint64_t count)
{
	return frame_claim_chunks(&f->pool, owner, count);
}

/* One chunk of what owner has claimed; it is clear, and then not any more. */
static bool take(struct fixture *f, uint16_t owner)
{
	hpa_t base;

	if (frame_alloc_chunks(&f->pool, owner, 1, 1, 1, &base) != 1)
		return false;
	assert_clear(f, base, CHUNK_SIZE);
	memset(f->ram + base, 0x55, CHUNK_SIZE);
	return true;
}

static void scrub(struct fixture *f, uint64_t clean_chunks)
{
	while (f->pool.clean_chunks < clean_chunks)
		assert_true(frame_scrub_step(&f->pool));
}

static void chunks_are_given_only_when_scrubbed(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	assert_int_equal(claim(f, VM_A, 6), E_BUSY);
	assert_false(take(f, VM_A));
	while (frame_scrub_step(&f->pool))
		assert_true(++n < 100);
	assert_int_equal(f->pool.dirty_frames, 0);
	/* 8 chunks, less the one with reserved frames and the files. */
	assert_int_equal(claim(f, VM_A, 6), OK);
	for (n = 0; take(f, VM_A); n++)
		;
	assert_int_equal(n, 6);
	assert_int_equal(claim(f, VM_B, 1), E_NOMEM);
	assert_int_equal(frame_release_owner(&f->pool, VM_A), 6 * CHUNK_FRAMES);
	assert_int_equal(claim(f, VM_B, 1), E_BUSY);
	assert_true(frame_scrub_step(&f->pool));
	assert_int_equal(claim(f, VM_B, 1), OK);
	assert_true(take(f, VM_B));
}

static void runs_are_contiguous_and_aligned(void **state)
{
	struct fixture *f = *state;
	hpa_t base;

	scrub(f, 6);
	assert_int_equal(claim(f, VM_A, 6), OK);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 4, 4, 4, &base), 4);
	assert_int_equal(base, MIB(8));
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 2, 2, 2, &base), 0);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 0, 1, 1, &base), 0);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 1, 1, 0, &base), 0);
	/* What lies in a row ends at the files. */
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 1, 2, 1, &base), 1);
	assert_int_equal(base, MIB(2));
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 1, 2, 1, &base), 1);
	assert_int_equal(base, MIB(6));
	assert_int_equal(f->pool.clean_chunks, 0);
	assert_int_equal(frame_free_chunks(&f->pool), 0);
}

/* Three owners want all there is. Each turn one of them does a step of what a guest's CPU does. */
static void start_against_each_other(struct fixture *f, uint32_t seed)
{
	static const uint16_t owner[] = {VM_A, VM_B, VM_C};
	static const unsigned want[] = {3, 1, 2};
	unsigned got[3] = {0}, scrubs = 0, turns = 0;
	bool met[3] = {false};

	while (got[0] + got[1] + got[2] < 6) {
		unsigned i = (seed = seed * 1664525 + 1013904223) % 3001 % 3;

		assert_true(++turns < 1000);
		if (!met[i])
			met[i] = claim(f, owner[i], want[i]) == OK;
		else if (got[i] < want[i]) {
			assert_true(take(f, owner[i])); /* none ever runs short */
			got[i]++;
		}
		if (!met[i])
			scrubs += frame_scrub_step(&f->pool);
	}
	/* Each chunk, and the dirty half of a mixed one, at most once: nothing was given back. */
	assert_true(scrubs <= 7);
	assert_int_equal(f->pool.claim_count, 0);
}

static void owners_do_not_run_short(void **state)
{
	struct fixture *f = *state;

	for (uint32_t seed = 0; seed < 100; seed++) {
		start_against_each_other(f, seed);
		for (unsigned i = 0; i < 3; i++)
			frame_release_owner(&f->pool, (uint16_t)(VM_A + i));
		assert_int_equal(frame_free_chunks(&f->pool), 6);
	}
}

static void claims_are_met_in_their_order(void **state)
{
	struct fixture *f = *state;

	scrub(f, 2);
	assert_int_equal(claim(f, VM_A, 3), E_BUSY);
	assert_int_equal(claim(f, VM_B, 1), E_BUSY); /* there is one, but A was first */
	assert_false(take(f, VM_B));
	assert_int_equal(claim(f, VM_C, 2), E_BUSY);
	scrub(f, 4);
	assert_int_equal(claim(f, VM_C, 2), E_BUSY);
	assert_int_equal(claim(f, VM_B, 1), OK); /* A has not come back yet, and loses nothing */
	assert_true(take(f, VM_B));
	assert_int_equal(claim(f, VM_C, 2), E_BUSY);
	assert_true(take(f, VM_A)); /* met, even before it has asked again */
	assert_int_equal(claim(f, VM_A, 2), OK);
	frame_release_owner(&f->pool, VM_A); /* its two that are left are free for others */
	assert_int_equal(claim(f, VM_C, 2), OK);
	assert_true(take(f, VM_C));
	assert_true(take(f, VM_C));
	assert_false(take(f, VM_C));
	assert_int_equal(f->pool.clean_chunks, 0);
	assert_int_equal(f->pool.claim_count, 0);
}

static void what_is_claimed_is_not_split(void **state)
{
	struct fixture *f = *state;
	hpa_t base;

	scrub(f, 6);
	assert_int_equal(claim(f, VM_A, 5), OK);
	assert_int_not_equal(frame_alloc(&f->pool, VM_B, 512, 1), 0);
	assert_int_equal(frame_alloc(&f->pool, VM_B, 512, 1), 0);
	frame_release_owner(&f->pool, VM_B);
	base = frame_alloc(&f->pool, VM_B, 512, 1); /* a dirty one is nobody's */
	assert_int_not_equal(base, 0);
	assert_clear(f, base, CHUNK_SIZE);
	for (unsigned i = 0; i < 5; i++)
		assert_true(take(f, VM_A));
}

static void a_claim_ends(void **state)
{
	struct fixture *f = *state;
	hpa_t base;

	scrub(f, 6);
	assert_int_equal(claim(f, VM_A, 0), E_NOMEM);
	assert_int_equal(claim(f, VM_A, UINT64_MAX), E_NOMEM);
	assert_int_equal(claim(f, VM_A, 7), E_NOMEM);
	assert_int_equal(f->pool.claim_count, 0);
	assert_int_equal(claim(f, VM_A, 4), OK);
	assert_int_equal(claim(f, VM_A, 4), OK); /* the same one */
	assert_int_equal(claim(f, VM_B, 3), E_NOMEM);
	assert_int_equal(claim(f, VM_B, 2), OK);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 3, 3, 1, &base), 0);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 1, 3, 1, &base), 1);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 1, 3, 1, &base), 1);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 1, 3, 1, &base), 0);
	assert_int_equal(f->pool.claim_count, 1);
	frame_release_owner(&f->pool, VM_A);
	assert_int_equal(f->pool.claim_count, 0);
	assert_int_equal(f->pool.clean_chunks, 4);
	/* A machine that is larger, and a queue that is full. */
	f->pool.free_chunks = 1000;
	for (unsigned i = 0; i < FRAME_CLAIMS_MAX; i++)
		assert_int_equal(claim(f, (uint16_t)(VM_C + i), 7), E_BUSY);
	assert_int_equal(claim(f, VM_A, 1), E_NOMEM);
}

static void small_runs_are_cleared_and_owned_once(void **state)
{
	struct fixture *f = *state;
	hpa_t seen[64];

	for (unsigned i = 0; i < 64; i++) {
		seen[i] = frame_alloc(&f->pool, i % 2 ? VM_A : VM_B, 1 + i % 4, 1 + i % 2);
		assert_int_not_equal(seen[i], 0);
		assert_int_equal(seen[i] / PAGE_SIZE % (1 + i % 2), 0);
		assert_clear(f, seen[i], (1 + i % 4) * PAGE_SIZE);
		memset(f->ram + seen[i], 0x77, (1 + i % 4) * PAGE_SIZE);
		for (unsigned j = 0; j < i; j++)
			assert_true(seen[i] >= seen[j] + (1 + j % 4) * PAGE_SIZE ||
				    seen[j] >= seen[i] + (1 + i % 4) * PAGE_SIZE);
	}
	assert_int_equal(frame_owned_bytes(&f->pool, VM_A), (2 + 4) * 16 * PAGE_SIZE);
	frame_free(&f->pool, VM_A, seen[0], 1); /* not the owner: nothing happens */
	assert_int_equal(frame_owned_bytes(&f->pool, VM_B), (1 + 3) * 16 * PAGE_SIZE);
	frame_free(&f->pool, VM_B, seen[0], 1);
	assert_int_equal(frame_owned_bytes(&f->pool, VM_B), (1 + 3) * 16 * PAGE_SIZE - PAGE_SIZE);
	assert_int_equal(frame_release_owner(&f->pool, VM_A), (2 + 4) * 16);
	assert_int_equal(frame_owned_bytes(&f->pool, VM_A), 0);
}

static void exhaustion_is_an_answer(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	while (frame_alloc(&f->pool, VM_A, 1, 1))
		n++;
	assert_int_equal(n, 6 * 512 + 256);
	for (hpa_t base = MIB(1); base < TOP; base += PAGE_SIZE) {
		if (base >= MIB(4) && base < MIB(6)) /* the files */
			continue;
		for (unsigned twice = 0; twice < 2;
			twice++) { /* wherever it lies, it is found again */
			frame_free(&f->pool, VM_A, base, 1);
			assert_int_equal(frame_alloc(&f->pool, VM_A, 1, 1), base);
		}
	}
	assert_int_equal(frame_alloc(&f->pool, VM_A, 513, 1), 0);
	assert_false(frame_scrub_step(&f->pool));
	assert_int_equal(frame_release_owner(&f->pool, VM_A), n);
	while (frame_scrub_step(&f->pool))
		;
	assert_int_equal(f->pool.clean_chunks, 6);
	assert_int_equal(frame_free_chunks(&f->pool), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			chunks_are_given_only_when_scrubbed, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_are_contiguous_and_aligned, setup, teardown),
		cmocka_unit_test_setup_teardown(owners_do_not_run_short, setup, teardown),
		cmocka_unit_test_setup_teardown(claims_are_met_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_claimed_is_not_split, setup, teardown),
		cmocka_unit_test_setup_teardown(a_claim_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(
			small_runs_are_cleared_and_owned_once, setup, teardown),
		cmocka_unit_test_setup_teardown(exhaustion_is_an_answer, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
