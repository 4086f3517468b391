/* SPDX-License-Identifier: Apache-2.0 */
/* Lines in the log about what a guest costs; only in builds with -DEXIT_TIMING (make bench). */
#ifndef HV_CORE_MEASURE_H
#define HV_CORE_MEASURE_H

#include "hv/core/guests.h"

#ifdef EXIT_TIMING
/* The guest is built, g->start_ticks have passed. */
void measure_built(const struct guest *g);
/* It has run; its memory is still there. */
void measure_ended(const struct guest *g);
#else
static inline void measure_built(const struct guest *g UNUSED)
{
}

static inline void measure_ended(const struct guest *g UNUSED)
{
}
#endif

#endif
