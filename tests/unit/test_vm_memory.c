/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for a guest: it waits without taking any, and gives everything back if it cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "hv/mm/memory.h"
#include "tests/fakes/vm_world.h"

FAKE_FAIL_IN_CMOCKA()

#define OTHER  (FRAME_OWNER_VM + 4)
#define CHUNKS (VM_WORLD_MEMORY / CHUNK_SIZE)

static int setup(void **state)
{
	(void)state;
	fake_fail_hook = fake_fail_cmocka;
	vm_world_machine();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_world_fini();
	return 0;
}

/* Somebody else takes all clean chunks but `left`. */
static void leave(uint64_t left)
{
	uint64_t count = host_frames.clean_chunks - left;
	hpa_t base;

	assert_int_equal(frame_claim_chunks(&host_frames, OTHER, count), OK);
	while (count)
		count -= frame_alloc_chunks(&host_frames, OTHER, 1, count, 1, &base);
}

static void assert_nothing_taken(unsigned claims)
{
	assert_null(vmw.vm);
	assert_int_equal(frame_owned_bytes(&host_frames, VM_WORLD_OWNER), 0);
	assert_int_equal(host_frames.claim_count, claims);
}

static void a_guest_waits_empty_handed(void **state)
{
	uint64_t dirty;
	unsigned steps = 0;

	(void)state;
	leave(CHUNKS - 1);
	frame_release_owner(&host_frames, OTHER);
	dirty = host_frames.dirty_frames;
	while (vm_world_create(1) == E_BUSY) {
		assert_string_equal(vmw.error, "waiting for memory to be scrubbed");
		assert_nothing_taken(1);
		/* Nothing that was clean is dirty again. */
		assert_int_equal(host_frames.dirty_frames, dirty - steps * CHUNK_FRAMES);
		assert_true(frame_scrub_step(&host_frames));
		steps++;
	}
	assert_non_null(vmw.vm);
	assert_int_equal(steps, 1);
	assert_int_equal(host_frames.claim_count, 0);
	vm_world_load();
}

static void others_wait_for_the_first(void **state)
{
	(void)state;
	leave(CHUNKS);
	frame_release_owner(&host_frames, OTHER);
	assert_int_equal(frame_claim_chunks(&host_frames, OTHER, CHUNKS + 1), E_BUSY);
	assert_int_equal(vm_world_create(1), E_BUSY);
	assert_true(frame_scrub_step(&host_frames)); /* the other's */
	assert_int_equal(vm_world_create(1), E_BUSY);
	frame_release_owner(&host_frames, OTHER); /* it has given up */
	assert_int_equal(vm_world_create(1), OK);
	vm_world_load();
}

static void too_little_is_said_at_once(void **state)
{
	(void)state;
	leave(CHUNKS - 1);
	assert_int_equal(vm_world_create(1), E_NOMEM);
	assert_string_equal(vmw.error, "not enough memory");
	assert_nothing_taken(0);
}

/* Enough for its RAM, but then so many frames for all the rest. */
static bool fits(unsigned frames)
{
	int status;

	vm_world_machine();
	leave(CHUNKS);
	assert_int_equal(frame_claim_chunks(&host_frames, VM_WORLD_OWNER, CHUNKS), OK);
	while (frame_alloc(&host_frames, OTHER, 1, 1))
		;
	for (hpa_t f = FAKE_RAM_BASE + MIB(2) - PAGE_SIZE; frames && f >= FAKE_RAM_BASE + MIB(1);
		f -= PAGE_SIZE, frames--)
		frame_free(&host_frames, OTHER, f, 1);
	status = vm_world_create(1);
	if (status == OK)
		return true;
	assert_int_equal(status, E_NOMEM);
	assert_nothing_taken(0);
	assert_int_equal(frame_free_chunks(&host_frames), CHUNKS);
	return false;
}

static void wherever_it_ends_all_is_given_back(void **state)
{
	unsigned frames = 0;

	(void)state;
	while (!fits(frames))
		assert_true(++frames < 200);
	assert_true(frames > 10);
	vm_world_load();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_guest_waits_empty_handed, setup, teardown),
		cmocka_unit_test_setup_teardown(others_wait_for_the_first, setup, teardown),
		cmocka_unit_test_setup_teardown(too_little_is_said_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			wherever_it_ends_all_is_given_back, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
