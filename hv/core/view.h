/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests' text screens, looked at: printed as lines, and drawn on the framebuffer instead of the
 * console's text. Housekeeping CPU only, which also decides when a VM goes away.
 */
#ifndef HV_CORE_VIEW_H
#define HV_CORE_VIEW_H

#include "hv/core/guests.h"

/*
 * The key for a guest's screen: its lines once, and the framebuffer, if there is one, shows it
 * until the key comes again.
 */
void view_toggle(struct guest *g);
/* The focus has moved to this guest: a view goes with it. */
void view_follow(struct guest *g);
/* Bring the framebuffer's view up to date, when it is time. */
void view_step(ns_t now);

/* The lines of the guest's screen up to its last one; what to say if there is none, or NULL. */
void view_print(const struct guest *g, const char *blank);

#endif
