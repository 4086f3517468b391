/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pixels of the screen: framebuffers of all shapes, with nothing written beyond them and nothing
 * read; that only what changed is drawn, in bounded pieces and everything in the end; the font.
 */
#define _GNU_SOURCE /* REG_ERR */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/unit/test_screen.h"

/* ---- Geometry ---- */

static const struct {
	uint32_t width, height, pitch;
	uint64_t size; /* 0: as needed */
	int status;
	unsigned columns, rows, scale;
} shapes[] = {
	{0, 0, 0, 0, E_RANGE, 0, 0, 0}, {7, 16, 32, 0, E_RANGE, 0, 0, 0},
	{8, 15, 32, 0, E_RANGE, 0, 0, 0}, {8, 16, 32, 0, OK, 1, 1, 1}, {15, 31, 60, 0, OK, 1, 1, 1},
	{100, 50, 404, 0, OK, 12, 3, 1}, {640, 480, 640 * 4, 0, OK, 80, 30, 1},
	{800, 600, 832 * 4, 0, OK, 100, 37, 1}, {1366, 768, 1376 * 4, 0, OK, 170, 48, 1},
	{1920, 1080, 1920 * 4, 0, OK, 240, 67, 1}, {2559, 800, 2559 * 4, 0, OK, 256, 50, 1},
	{2560, 799, 2560 * 4, 0, OK, 256, 49, 1}, {2560, 800, 2560 * 4, 0, OK, 160, 25, 2},
	{3440, 1440, 3440 * 4, 0, OK, 215, 45, 2}, {3840, 2160, 3840 * 4, 0, OK, 160, 45, 3},
	{600, 3000, 600 * 4, 0, OK, 75, 100, 1},
	/* Contradictions. */
	{640, 480, 639 * 4, 0, E_INVAL, 0, 0, 0}, {640, 480, 640 * 4 + 2, 0, E_INVAL, 0, 0, 0},
	{640, 480, 640 * 4, 640 * 480 * 4 - 1, E_INVAL, 0, 0, 0},
	{640, 480, 640 * 4, 1, E_INVAL, 0, 0, 0},
	{1u << 30, 16, 0, 4096, E_INVAL, 0, 0, 0}, /* width * 4 in 32 bits */
	{1u << 16, 1u << 16, 1u << 18, 4096, E_INVAL, 0, 0, 0},
	{MOST, MOST, MOST, 4096, E_INVAL, 0, 0, 0}, {MOST, MOST, MOST - 3, 4096, E_INVAL, 0, 0, 0},
	{8, 32769, 32, 0, E_INVAL, 0, 0, 0},
	{32768, 32768, 1u << 17, 4096, E_INVAL, 0, 0, 0}, /* pitch * height in 32 bits */
};

static void test_shapes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct screen_surface to = {NULL, shapes[i].size, shapes[i].width, shapes[i].height,
			shapes[i].pitch, BGR};

		if (!to.size)
			to.size = (uint64_t)to.pitch * to.height;
		memset(&screen, 0xa5, sizeof(screen));
		assert_int_equal(screen_init(&screen, &to), shapes[i].status);
		assert_int_equal(screen.columns, shapes[i].columns);
		assert_int_equal(screen.rows, shapes[i].rows);
		assert_int_equal(screen.scale, shapes[i].scale);
		/* Without pixels, and even without a screen, text does no harm. */
		put("text\n\n\n\t\b\033[1m");
		assert_false(screen_draw(&screen, MOST));
		screen_clear(&screen);
		screen_recover(&screen);
	}
}

/* Every pixel of cells is written, no other one: not the padding of lines, not the margins. */
static void test_pixels_of_shapes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(shapes); i++) {
		if (shapes[i].status)
			continue;
		start_size(shapes[i].width, shapes[i].height, shapes[i].pitch, i & 1);
		fill_with_text();
		assert_drawn(SCREEN_POISON);
		for (unsigned row = 0; row < screen.rows; row++)
			assert_int_not_equal(screen.shown[row][0], SCREEN_UNKNOWN);
	}
}

/* Clearing takes the margins too, and still not the padding. */
static void test_clear(void **state)
{
	(void)state;
	start_size(100, 50, 120 * 4, BGR);
	put("text");
	screen_clear(&screen);
	for (unsigned y = 0; y < 50; y++) {
		for (unsigned x = 0; x < 120; x++)
			assert_int_equal(fake.pixels[y * 120 + x], x < 100 ? 0 : SCREEN_POISON);
	}
	/* Only the text is left to draw. */
	assert_true(screen_draw(&screen, 3));
	assert_false(screen_draw(&screen, 1));
	assert_int_equal(memcmp(row_text(0), "text", 5), 0);
	for (unsigned column = 0; column < screen.columns; column++)
		assert_int_equal(screen.shown[0][column], screen_row(&screen, 0)[column]);
}

/* ---- Drawing ---- */

static void test_only_changes(void **state)
{
	(void)state;
	start();
	put("one\ntwo\nthree");
	assert_drawn(SCREEN_POISON);
	/* What the framebuffer holds does not matter: it is never looked at. */
	screen_fake_fill(&fake, SCREEN_POISON);
	assert_false(screen_draw(&screen, MOST));
	assert_int_equal(count_cells(SCREEN_POISON), 0);
	put("\rThree");
	assert_false(screen_draw(&screen, MOST));
	assert_int_equal(count_cells(SCREEN_POISON), 1);
	/* Scrolling by one: 5 rows of text of which most is blank before and after. */
	put("\n4\n5\n6");
	assert_false(screen_draw(&screen, MOST));
	screen_fake_fill(&fake, SCREEN_POISON);
	put("\n");
	assert_false(screen_draw(&screen, MOST));
	/* two -> Three, Three -> 4, 4 -> 5, 5 -> 6, 6 -> blank */
	assert_int_equal(count_cells(SCREEN_POISON), 5 + 5 + 1 + 1 + 1);
}

static void test_budget(void **state)
{
	const unsigned all = COLUMNS * ROWS;

	(void)state;
	for (unsigned budget = 1; budget <= all + 1; budget++) {
		unsigned drawn = 0, more;

		start();
		fill_with_text();
		do {
			more = screen_draw(&screen, budget);
			assert_in_range(count_cells(SCREEN_POISON), drawn + 1, drawn + budget);
			drawn = count_cells(SCREEN_POISON);
			assert_pixels(SCREEN_POISON);
		} while (more);
		assert_int_equal(drawn, all);
	}
	start();
	assert_true(screen_draw(&screen, 0));
	assert_int_equal(count_cells(SCREEN_POISON), 0);
}

/* A row that changes all the time does not keep the others from being drawn. */
static void test_fair(void **state)
{
	unsigned rounds = 0;

	(void)state;
	start();
	put("1\n2\n3\n4\n" ALPHABET);
	while (screen.shown[ROWS - 1][0] != (7 << 8 | 'a')) {
		screen_row(&screen, 0)[0] = (uint16_t)(7 << 8 | ('A' + rounds % 26));
		screen.changed[0] = true;
		assert_true(screen_draw(&screen, COLUMNS));
		assert_true(++rounds < 2 * ROWS);
	}
}

/* The pixels are somewhere else now, and show something else. */
/* The view covers the text, which goes on below it, until it ends; a panic ends it. */
static void test_view(void **state)
{
	(void)state;
	start();
	put("text");
	assert_drawn(SCREEN_POISON);
	screen_view_row(&screen, 0, "title", 5);
	screen_view_row(&screen, 2, "third row and much more than fits", 33);
	screen_view_row(&screen, SCREEN_VIEW_ROWS, "nothing", 7);
	screen_view(&screen, true);
	put("\nmore");
	while (screen_draw(&screen, 3))
		;
	assert_int_equal((char)screen.shown[0][0], 't');
	assert_int_equal((char)screen.shown[0][1], 'i');
	assert_int_equal(screen.shown[1][0], SCREEN_BLANK);
	assert_int_equal((char)screen.shown[2][19], 'm');
	assert_int_equal(screen.shown[4][0], SCREEN_BLANK);
	/* a shorter row wipes what was there */
	screen_view_row(&screen, 2, "t", 1);
	assert_false(screen_draw(&screen, MOST));
	assert_int_equal(screen.shown[2][1], SCREEN_BLANK);
	screen_view(&screen, false);
	assert_drawn(SCREEN_POISON);
	assert_string_equal(row_text(1), "more");
	screen_view(&screen, true);
	screen_recover(&screen);
	put("PANIC");
	assert_drawn(SCREEN_POISON);
}

static void test_move(void **state)
{
	struct screen_fake other;

	(void)state;
	start();
	put("before");
	assert_drawn(SCREEN_POISON);
	screen_fake_make(&other, COLUMNS * 8, ROWS * 16, COLUMNS * 8 * 4, 0, BGR);
	screen_move(&screen, NULL);
	put(" and after");
	assert_false(screen_draw(&screen, MOST));
	screen_move(&screen, other.pixels);
	screen_fake_free(&fake);
	fake = other;
	assert_drawn(SCREEN_POISON);
	assert_string_equal(row_text(0), "before and after");
}

/* ---- Write only ---- */

/*
 * Pages that no access gets at: each one traps, is looked at, is let through for one instruction.
 * Bit 1 of a page fault's error code tells writes from reads (SDM vol. 3, "Page-Fault Error Code").
 */
#define PAGE_FAULT_WRITE 2
#define TRAP_FLAG        0x100
#define GUARD_SIZE       8192

static void *guarded;
static unsigned writes, reads;

static void on_access(int signal_number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;

	if ((uintptr_t)info->si_addr - (uintptr_t)guarded >= GUARD_SIZE) {
		signal(signal_number, SIG_DFL); /* something else is wrong */
		return;
	}
	if (regs[REG_ERR] & PAGE_FAULT_WRITE)
		writes++;
	else
		reads++;
	mprotect(guarded, GUARD_SIZE, PROT_READ | PROT_WRITE);
	regs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int signal_number UNUSED, siginfo_t *info UNUSED, void *context)
{
	mprotect(guarded, GUARD_SIZE, PROT_NONE);
	((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void test_never_read(void **state)
{
	const unsigned width = 32, height = 32;
	struct sigaction access = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};
	struct sigaction step = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO}, old[2];
	struct screen_surface to = {NULL, GUARD_SIZE, width, height, width * 4, BGR};

	(void)state;
	guarded = mmap(NULL, GUARD_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(guarded, MAP_FAILED);
	to.pixels = guarded;
	sigaction(SIGSEGV, &access, &old[0]);
	sigaction(SIGTRAP, &step, &old[1]);
	assert_int_equal(screen_init(&screen, &to), OK);
	screen_clear(&screen);
	put("abcdefgh");
	screen_draw(&screen, MOST);
	put("\nx");
	screen_draw(&screen, MOST);
	screen_recover(&screen);
	screen_draw(&screen, MOST);
	assert_int_equal(reads, 0);
	/* All pixels; eight cells; all of them by scrolling; all of them again. */
	assert_int_equal(writes, 4 * width * height);
	/* And this is how a read is found. */
	assert_true(to.pixels[0] || true);
	assert_int_equal(reads, 1);
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGTRAP, &old[1], NULL);
	munmap(guarded, GUARD_SIZE);
}

/* ---- Font ---- */

static void test_font(void **state)
{
	(void)state;
	for (unsigned a = FONT_FIRST; a <= FONT_OTHER; a++) {
		unsigned ink = 0;

		for (unsigned y = 0; y < FONT_HEIGHT; y++) {
			ink |= font_row((uint8_t)a, y);
			/* Letters do not touch. */
			assert_int_equal(font_row((uint8_t)a, y) & 1, 0);
		}
		assert_int_equal(ink != 0, a != ' ');
		/* No two are alike: 0 and O, 1, l, I and | are to be told apart. */
		for (unsigned b = FONT_FIRST; b < a; b++)
			assert_memory_not_equal(
				font_rows[a - FONT_FIRST], font_rows[b - FONT_FIRST], FONT_DRAWN);
	}
	for (unsigned y = 0; y < FONT_HEIGHT + 3; y++) {
		assert_int_equal(font_row(0x00, y), font_row(FONT_OTHER, y));
		assert_int_equal(font_row(0xff, y), font_row(FONT_OTHER, y));
	}
	assert_int_equal(font_row('A', FONT_HEIGHT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_pixels_of_shapes),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_only_changes),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_fair),
		cmocka_unit_test(test_view),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_never_read),
		cmocka_unit_test(test_font),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
