/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console on the framebuffer that the firmware left: the one struct screen (hv/io/screen.h) and
 * its write-combining mapping. Without a framebuffer everything here is a no-op.
 *
 * Locking: one CPU at a time; whoever has the UART has this too (sink.h). A panic takes it away
 * from them and keeps it.
 */
#ifndef DRIVERS_PHYS_FRAMEBUFFER_H
#define DRIVERS_PHYS_FRAMEBUFFER_H

#include "boot/bootinfo.h"
#include "hv/lib/types.h"

#define FRAMEBUFFER_ALL UINT32_MAX

/*
 * Look at what the firmware says. Needs the direct map. What was written before has waited; from
 * here on a panic is shown, if the loader's map reaches the pixels.
 */
void framebuffer_init(const struct bootinfo_framebuffer *fb);
/*
 * Map it and draw what has been written; after host_map_init(). E_NOENT: there is none; E_INVAL:
 * what the firmware says of it contradicts itself; E_RANGE: too small for text; E_NOMEM: it cannot
 * be mapped.
 */
int framebuffer_map(void) MUST_CHECK;

/* Takes all of it and draws nothing. */
void framebuffer_write(const char *bytes, unsigned count);
/* Somebody else's screen instead of the text: hv/io/screen.h, screen_view(). */
void framebuffer_view(bool on);
void framebuffer_view_row(unsigned row, const char *chars, unsigned count);
/* Draw at most so many of the characters that changed. */
void framebuffer_draw(unsigned characters);
/* There is something to draw. */
bool framebuffer_waits(void);

/* For panic: the calls above do nothing from now on, the ones below do it instead. */
void framebuffer_panic(void);
void framebuffer_panic_write(const char *bytes, unsigned count);
/* All of it, once more. Nothing happens where the pixels cannot be reached. */
void framebuffer_panic_draw(void);

/* Characters on the screen; 0: no screen. */
unsigned framebuffer_columns(void);
unsigned framebuffer_rows(void);

#endif
