/* SPDX-License-Identifier: Apache-2.0 */
#include "drivers/phys/framebuffer.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "hv/io/screen.h"
#include "hv/lib/string.h"

/* Up to here the loader's tables map everything there may be (boot/bootinfo.h). */
#define LOADER_MAP_END GIB(4)

static struct screen screen;
static hpa_t base;
static uint64_t size_bytes;
static int state = E_NOENT; /* what framebuffer_map() says */
static bool mapped;         /* write-combining, by us; before that the loader's map is in use */
static bool waits;
static bool taken; /* atomic: by a panic */

/* What is said before the size of the screen is known. */
static char early[1024];
static unsigned early_used;

void framebuffer_init(const struct bootinfo_framebuffer *fb)
{
	struct screen_surface to = {
		.size = fb->size,
		.width = fb->width,
		.height = fb->height,
		.pitch = fb->pitch,
		.bgr = fb->bgr,
	};

	if (!fb->base)
		return;
	base = fb->base;
	size_bytes = (uint64_t)fb->pitch * fb->height;
	if (range_within(base, size_bytes, LOADER_MAP_END))
		to.pixels = phys_to_virt(base);
	state = screen_init(&screen, &to);
	screen_put(&screen, early, early_used);
}

static void draw(unsigned characters)
{
	waits = screen_draw(&screen, characters);
	/*
	 * The last pixels must not stay in a buffer: SDM vol. 3, "Buffering of Write Combining
	 * Memory Locations".
	 */
	mfence();
}

int framebuffer_map(void)
{
	void *pixels;

	if (state)
		return state;
	pixels = host_map_wc(base, size_bytes);
	screen_move(&screen, pixels);
	if (!pixels) {
		state = E_NOMEM;
		return state;
	}
	mapped = true;
	screen_clear(&screen);
	draw(FRAMEBUFFER_ALL);
	return OK;
}

/* ---- Text ---- */

static void put(const char *bytes, unsigned count)
{
	unsigned room = sizeof(early) - early_used;

	screen_put(&screen, bytes, count);
	if (screen.rows)
		return;
	count = MIN(count, room);
	memcpy(early + early_used, bytes, count);
	early_used += count;
}

static bool is_taken(void)
{
	return __atomic_load_n(&taken, __ATOMIC_ACQUIRE);
}

void framebuffer_write(const char *bytes, unsigned count)
{
	if (is_taken())
		return;
	put(bytes, count);
	waits = mapped;
}

void framebuffer_view(bool on)
{
	if (is_taken())
		return;
	screen_view(&screen, on);
	waits = mapped;
}

void framebuffer_view_row(unsigned row, const char *chars, unsigned count)
{
	if (is_taken())
		return;
	screen_view_row(&screen, row, chars, count);
	waits = mapped;
}

unsigned framebuffer_columns(void)
{
	return mapped ? screen.columns : 0;
}

unsigned framebuffer_rows(void)
{
	return mapped ? screen.rows : 0;
}

void framebuffer_draw(unsigned characters)
{
	if (waits && !is_taken())
		draw(characters);
}

bool framebuffer_waits(void)
{
	return waits && !is_taken();
}

/* ---- Panic ---- */

void framebuffer_panic(void)
{
	__atomic_store_n(&taken, true, __ATOMIC_RELEASE);
	screen_recover(&screen);
}

void framebuffer_panic_write(const char *bytes, unsigned count)
{
	put(bytes, count);
}

static bool is_mapped(uint64_t va)
{
	unsigned flags;
	hpa_t pa;

	return host_map_lookup(va, &pa, &flags) == OK;
}

/* Not what should be mapped counts, but what is. */
static bool is_reachable(void)
{
	uint64_t first = (uint64_t)screen.to.pixels;
	bool own_tables = read_cr3() == host_map_cr3();

	if (!first || own_tables != mapped)
		return false;
	return !mapped || (is_mapped(first) && is_mapped(first + size_bytes - 1));
}

void framebuffer_panic_draw(void)
{
	if (is_reachable())
		draw(FRAMEBUFFER_ALL);
}
