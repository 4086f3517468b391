/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the hypervisor's output ends: the UART and the screen, whichever of them there is. Both are
 * given the same bytes.
 *
 * Locking: one CPU at a time. Until housekeeping runs that is who holds the log's lock, then the
 * housekeeping CPU; a panic asks nobody.
 */
#ifndef DRIVERS_PHYS_SINK_H
#define DRIVERS_PHYS_SINK_H

#include "hv/lib/types.h"

/* For early boot: all of it, to be read when this returns. Waits as uart_write_polled() does. */
void sink_write(const char *bytes, unsigned count);

/*
 * Hand over as many bytes as the UART takes without waiting, all if there is none; returns how
 * many. On the screen they are with framebuffer_draw().
 */
unsigned sink_tx(const char *bytes, unsigned count);

/* Behind framebuffer_panic(): all of it; on the screen with framebuffer_panic_draw(). */
void sink_panic_write(const char *bytes, unsigned count);

#endif
