/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded access to a guest's RAM. Must not know guests, page tables or exits: only regions and
 * chunks. Takes no lock; the layout is fixed while vCPUs run, the bytes are the guest's to change.
 */
#include "hv/mm/guest_mem.h"
#include "hv/lib/string.h"

#define LOW_RAM_MAX GIB(2)
#define HIGH_BASE   GIB(4)
#define HOLE_BASE   0xa0000ull /* the VGA window: RAM only where its text is */
#define TEXT_BASE   0xb8000ull
#define HOLE_END    0xc0000ull

static const struct guest_region *region_of(const struct guest_mem *mem, gpa_t gpa)
{
	/* The last one is the largest, as a rule. */
	for (const struct guest_region *r = mem->region + mem->region_count; r-- > mem->region;) {
		if (gpa - r->base < r->size)
			return r;
	}
	return NULL;
}

void *guest_mem_map(const struct guest_mem *mem, gpa_t gpa, uint64_t size, uint64_t *left)
{
	const struct guest_region *r = region_of(mem, gpa);
	uint64_t offset, in_chunk, piece;
	char *chunk;

	if (left)
		*left = 0;
	if (!r)
		return NULL;
	offset = r->offset + (gpa - r->base);
	in_chunk = offset % GUEST_CHUNK_SIZE;
	piece = MIN(GUEST_CHUNK_SIZE - in_chunk, r->size - (gpa - r->base));
	chunk = mem->chunk[offset / GUEST_CHUNK_SIZE];
	if (!chunk || size > piece)
		return NULL;
	if (left)
		*left = piece;
	return chunk + in_chunk;
}

bool guest_mem_is_ram(const struct guest_mem *mem, gpa_t gpa, uint64_t size)
{
	uint64_t left;

	for (; size; gpa += left, size -= left) {
		if (!guest_mem_map(mem, gpa, 1, &left))
			return false;
		left = MIN(left, size);
	}
	return true;
}

bool guest_mem_find(const struct guest_mem *mem, gpa_t gpa, struct guest_place *place)
{
	const struct guest_region *r = region_of(mem, gpa);
	uint64_t offset;

	if (gpa % 8 || !guest_mem_map(mem, gpa, 8, NULL))
		return false;
	offset = r->offset + (gpa - r->base);
	*place = (struct guest_place){
		(uint32_t)(offset / GUEST_CHUNK_SIZE), (uint32_t)(offset % GUEST_CHUNK_SIZE)};
	return true;
}

int guest_mem_read(const struct guest_mem *mem, gpa_t gpa, void *buf, uint64_t size)
{
	const void *host = guest_mem_map(mem, gpa, size, NULL);
	char *to = buf;
	uint64_t left;

	if (host) {
		memcpy(buf, host, size);
		return OK;
	}
	if (!guest_mem_is_ram(mem, gpa, size))
		return E_RANGE;
	for (; size; gpa += left, to += left, size -= left) {
		host = guest_mem_map(mem, gpa, 1, &left);
		left = MIN(left, size);
		memcpy(to, host, left);
	}
	return OK;
}

int guest_mem_write(const struct guest_mem *mem, gpa_t gpa, const void *buf, uint64_t size)
{
	void *host = guest_mem_map(mem, gpa, size, NULL);
	const char *from = buf;
	uint64_t left;

	if (host) {
		memcpy(host, buf, size);
		return OK;
	}
	if (!guest_mem_is_ram(mem, gpa, size))
		return E_RANGE;
	for (; size; gpa += left, from += left, size -= left) {
		host = guest_mem_map(mem, gpa, 1, &left);
		left = MIN(left, size);
		memcpy(host, from, left);
	}
	return OK;
}

int guest_mem_fill(const struct guest_mem *mem, gpa_t gpa, uint8_t value, uint64_t size)
{
	uint64_t left;
	void *host;

	if (!guest_mem_is_ram(mem, gpa, size))
		return E_RANGE;
	for (; size; gpa += left, size -= left) {
		host = guest_mem_map(mem, gpa, 1, &left);
		left = MIN(left, size);
		memset(host, value, left);
	}
	return OK;
}

static void add_region(struct guest_mem *mem, gpa_t base, uint64_t size, uint64_t offset)
{
	if (size)
		mem->region[mem->region_count++] = (struct guest_region){base, size, offset};
}

void guest_mem_layout_pc(struct guest_mem *mem, uint64_t ram_size)
{
	uint64_t low;

	ram_size = align_down(ram_size, PAGE_SIZE);
	low = MIN(ram_size, LOW_RAM_MAX);
	mem->region_count = 0;
	mem->ram_size = ram_size;
	add_region(mem, 0, MIN(low, HOLE_BASE), 0);
	if (low > HOLE_END) {
		add_region(mem, TEXT_BASE, HOLE_END - TEXT_BASE, TEXT_BASE);
		add_region(mem, HOLE_END, low - HOLE_END, HOLE_END);
	}
	add_region(mem, HIGH_BASE, ram_size - low, LOW_RAM_MAX);
}
