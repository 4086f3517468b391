/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/view.h"
#include "drivers/phys/framebuffer.h"
#include "hv/core/log.h"
#include "hv/lib/fmt.h"
#include "hv/vm/pc.h"

#define REFRESH_NS (100 * NS_PER_MS)
#define TITLE_MAX  81u

static struct guest *viewed; /* NULL: the framebuffer shows the console */
static ns_t refresh_at;

/* Trailing blanks do not count. */
static unsigned text_length(const char *chars)
{
	unsigned length = PC_SCREEN_COLUMNS;

	while (length > 0 && chars[length - 1] == ' ')
		length--;
	return length;
}

void view_print(const struct guest *g, const char *blank)
{
	char chars[PC_SCREEN_COLUMNS];
	unsigned count = 0;

	for (unsigned row = 0; row < PC_SCREEN_ROWS; row++) {
		if (pc_screen_row(g->vm, row, chars))
			count = row + 1;
	}
	if (count == 0 && blank)
		log_line("%s: %s", g->name, blank);
	for (unsigned row = 0; row < count; row++) {
		pc_screen_row(g->vm, row, chars);
		log_line("%s: screen |%.*s", g->name, (int)text_length(chars), chars);
	}
}

static bool is_running(const struct guest *g)
{
	return __atomic_load_n(&g->state, __ATOMIC_ACQUIRE) == GUEST_RUNNING;
}

static void draw(void)
{
	char text[TITLE_MAX], chars[PC_SCREEN_COLUMNS];
	bool running = is_running(viewed);
	size_t length = fmt_string(text, sizeof(text), "screen of %s%s; Ctrl-] v: back",
		viewed->name, running ? "" : ", which does not run");

	framebuffer_view_row(0, text, (unsigned)length);
	for (unsigned row = 0; running && row < PC_SCREEN_ROWS; row++) {
		pc_screen_row(viewed->vm, row, chars);
		framebuffer_view_row(row + 1, chars, PC_SCREEN_COLUMNS);
	}
}

void view_step(ns_t now)
{
	if (!viewed || now < refresh_at)
		return;
	refresh_at = now + REFRESH_NS;
	draw();
}

static void clear(void)
{
	for (unsigned row = 0; row <= PC_SCREEN_ROWS; row++)
		framebuffer_view_row(row, "", 0);
}

void view_toggle(struct guest *g)
{
	if (viewed) {
		viewed = NULL;
		framebuffer_view(false);
		return;
	}
	if (!is_running(g)) {
		log_line("%s is not running", g->name);
		return;
	}
	view_print(g, "its screen is blank");
	if (framebuffer_rows() == 0)
		return;
	viewed = g;
	refresh_at = 0;
	clear();
	framebuffer_view(true);
}

void view_follow(struct guest *g)
{
	if (!viewed)
		return;
	viewed = g;
	refresh_at = 0;
	clear();
}
