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
	for (uint64_t i = 0; i < size; i++)
		assert_int_equal(f->ram[base + i], 0);
}

static void chunks_are_given_only_when_scrubbed(void **state)
{
	struct fixture *f = *state;
	hpa_t base;
	unsigned n = 0;

	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 1, 1, &base), E_NOMEM);
	while (frame_scrub_step(&f->pool))
		assert_true(++n < 100);
	assert_int_equal(f->pool.dirty_frames, 0);
	/* 8 chunks, less the one with reserved frames and the files. */
	for (n = 0; frame_alloc_chunks(&f->pool, VM_A, 1, 1, &base) == OK; n++) {
		assert_clear(f, base, CHUNK_SIZE);
		memset(f->ram + base, 0x55, CHUNK_SIZE);
	}
	assert_int_equal(n, 6);
	assert_int_equal(frame_release_owner(&f->pool, VM_A), 6 * CHUNK_FRAMES);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 1, 1, &base), E_NOMEM);
	assert_true(frame_scrub_step(&f->pool));
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_B, 1, 1, &base), OK);
	assert_clear(f, base, CHUNK_SIZE);
}

static void runs_are_contiguous_and_aligned(void **state)
{
	struct fixture *f = *state;
	hpa_t base;

	while (frame_scrub_step(&f->pool))
		;
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 4, 4, &base), OK);
	assert_int_equal(base, MIB(8));
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 2, 2, &base), E_NOMEM);
	assert_int_equal(frame_alloc_chunks(&f->pool, VM_A, 0, 1, &base), E_INVAL);
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
		cmocka_unit_test_setup_teardown(
			small_runs_are_cleared_and_owned_once, setup, teardown),
		cmocka_unit_test_setup_teardown(exhaustion_is_an_answer, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
