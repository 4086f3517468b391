/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/mm/memory.h"
#include "arch/x86/cpu/host_map.h"

struct frame_pool host_frames;

void *memory_alloc(uint16_t owner, unsigned pages)
{
	hpa_t base = frame_alloc(&host_frames, owner, pages, 1);

	return base ? phys_to_virt(base) : NULL;
}

void memory_free(uint16_t owner, void *mem, unsigned pages)
{
	frame_free(&host_frames, owner, virt_to_phys(mem), pages);
}

/* For arch/x86/cpu, which deals in addresses. */
hpa_t frame_alloc_hv(unsigned pages)
{
	return frame_alloc(&host_frames, FRAME_OWNER_HV, pages, 1);
}
