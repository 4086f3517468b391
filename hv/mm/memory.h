/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's memory: the one frame pool of the running hypervisor, and the direct map through
 * which the hypervisor reaches frames. Any CPU may call these at any time.
 */
#ifndef HV_MM_MEMORY_H
#define HV_MM_MEMORY_H

#include "hv/mm/frame.h"

extern struct frame_pool host_frames;

/* `pages` contiguous cleared frames, naturally usable as page tables; NULL when memory is out. */
void *memory_alloc(uint16_t owner, unsigned pages) MUST_CHECK;
void memory_free(uint16_t owner, void *mem, unsigned pages);

#endif
