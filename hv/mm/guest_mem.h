/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded access to a guest's RAM by guest-physical address. A guest's RAM is a short list of
 * regions; each is made of host memory that the hypervisor reaches through `host`, a pointer into
 * its direct map (or, in host tests, any buffer). No pointer handed out here outlives the exit.
 *
 * Guest memory changes under our hands: copy once, check the copy.
 */
#ifndef HV_MM_GUEST_MEM_H
#define HV_MM_GUEST_MEM_H

#include "hv/lib/types.h"

/*
 * Guest RAM is backed by 2 MiB chunks (the last may be shorter), not contiguous in host memory:
 * chunk i backs RAM offset i * 2 MiB. RAM offsets map to guest-physical addresses through regions.
 */
#define GUEST_CHUNK_SIZE  MIB(2)
#define GUEST_REGIONS_MAX 4

struct guest_region {
	gpa_t base;
	uint64_t size;   /* bytes, multiple of 4 KiB */
	uint64_t offset; /* offset into RAM where this region's backing begins */
};

struct guest_mem {
	struct guest_region region[GUEST_REGIONS_MAX]; /* sorted by base, disjoint */
	unsigned region_count;
	void **chunk; /* host pointer of each 2 MiB chunk */
	uint64_t ram_size;
};

/*
 * Host pointer of [gpa, gpa + size), or NULL if it is not all RAM or crosses a chunk. Sets *left
 * (may be NULL) to the bytes from gpa to the end of its contiguous piece.
 */
void *guest_mem_map(const struct guest_mem *mem, gpa_t gpa, uint64_t size, uint64_t *left);

/*
 * A quadword of RAM that is looked at again and again, such as an entry of a page table: found once
 * by its address, then reached without a search. Where RAM lies does not change while a guest
 * lives.
 */
struct guest_place {
	uint32_t chunk, offset;
};

/* The aligned quadword at gpa. False: it is not RAM. */
bool guest_mem_find(const struct guest_mem *mem, gpa_t gpa, struct guest_place *place);

static inline const volatile uint64_t *guest_mem_at(
	const struct guest_mem *mem, const struct guest_place *place)
{
	return (const volatile uint64_t *)((char *)mem->chunk[place->chunk] + place->offset);
}

/*
 * Copy between guest RAM and a hypervisor buffer. All or nothing: E_RANGE if any byte is not RAM.
 */
int guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *buf, uint64_t size) MUST_CHECK;
int guest_mem_write(
	const struct guest_mem *mem, gpa_t gpa, const void *buf, uint64_t size) MUST_CHECK;
int guest_mem_fill(const struct guest_mem *mem, gpa_t gpa, uint8_t value, uint64_t size) MUST_CHECK;
bool guest_mem_is_ram(const struct guest_mem *mem, gpa_t gpa, uint64_t size);

/*
 * Lay out ram_size bytes as a PC does: low 2 GiB from 0, the rest above 4 GiB. Leaves chunk
 * untouched.
 */
void guest_mem_layout_pc(struct guest_mem *mem, uint64_t ram_size);

#endif
