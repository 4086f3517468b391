/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/machine.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/panic.h"
#include "hv/core/log.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct machine machine;

/* The first MiB belongs to firmware habits and AP trampolines: it is not given out. */
#define LOW_MEMORY_END MIB(1)

/* Cleared in pieces, with a window for interrupts in between: a chunk takes a while. */
#define CLEAR_PIECE KIB(64)

static void copy_array(void *dst, uint64_t src, uint32_t *count, uint32_t max, size_t size,
	const char *what)
{
	if (*count > max) {
		log_line("this machine has %u %s, only the first %u are used", *count, what, max);
		*count = max;
	}
	if (*count)
		memcpy(dst, phys_to_virt(src), *count * size);
}

void machine_init(const struct bootinfo *bi)
{
	if (bi->magic != BOOTINFO_MAGIC || bi->version != BOOTINFO_VERSION ||
		bi->size != sizeof(*bi) || bootinfo_sum(bi) != 0)
		panic("the loader's hand-over is damaged or of another version (version %u, "
		      "size %u): loader and hypervisor must come from one build",
			bi->version, bi->size);
	machine.bi = *bi;
	copy_array(machine.mem, bi->mem, &machine.bi.mem_count, MACHINE_MEM_MAX,
		sizeof(machine.mem[0]), "memory ranges");
	copy_array(machine.files, bi->files, &machine.bi.file_count, MACHINE_FILES_MAX,
		sizeof(machine.files[0]), "files");
	copy_array(machine.cpus, bi->cpus, &machine.bi.cpu_count, MACHINE_CPUS_MAX,
		sizeof(machine.cpus[0]), "CPUs");
}

static void clear(void *ctx, hpa_t base, uint64_t size)
{
	(void)ctx;
	for (uint64_t done = 0; done < size; done += CLEAR_PIECE)
		memset(phys_to_virt(base + done), 0, MIN(size - done, CLEAR_PIECE));
}

static uint64_t ram_top(void)
{
	uint64_t top = 0;

	for (unsigned i = 0; i < machine.bi.mem_count; i++) {
		const struct bootinfo_mem *m = &machine.mem[i];

		if (m->type <= BOOT_MEM_FILES)
			top = MAX(top, m->base + m->size);
	}
	return top;
}

/* A place for the pool's own table: the end of the largest free range. */
static hpa_t find_storage(uint64_t size)
{
	const struct bootinfo_mem *best = NULL;

	for (unsigned i = 0; i < machine.bi.mem_count; i++) {
		const struct bootinfo_mem *m = &machine.mem[i];

		if (m->type == BOOT_MEM_FREE && (!best || m->size > best->size))
			best = m;
	}
	if (!best || best->size < size)
		panic("no memory for the frame table (%lu KiB)", (unsigned long)(size >> 10));
	return best->base + best->size - size;
}

void machine_init_frames(void)
{
	static const uint16_t owner[] = {
		[BOOT_MEM_FREE] = FRAME_DIRTY,
		[BOOT_MEM_LOADER] = FRAME_OWNER_LOADER,
		[BOOT_MEM_HYPERVISOR] = FRAME_OWNER_HV,
		[BOOT_MEM_FILES] = FRAME_OWNER_FILES,
	};
	uint64_t top = ram_top(), size = align_up(frame_pool_size(top), PAGE_SIZE);
	hpa_t storage = find_storage(size);

	frame_pool_init(&host_frames, phys_to_virt(storage), top, clear, NULL);
	for (unsigned i = 0; i < machine.bi.mem_count; i++) {
		const struct bootinfo_mem *m = &machine.mem[i];

		if (m->type < ARRAY_SIZE(owner) && owner[m->type])
			frame_pool_mark(&host_frames, m->base, m->size, owner[m->type]);
	}
	frame_pool_mark(&host_frames, storage, size, FRAME_OWNER_HV);
	frame_pool_mark(&host_frames, 0, LOW_MEMORY_END, FRAME_RESERVED);
	frame_pool_seal(&host_frames);
}

void machine_release_loader(void)
{
	frame_release_owner(&host_frames, FRAME_OWNER_LOADER);
}

const struct bootinfo_file *machine_find_file(const char *path)
{
	for (unsigned i = 0; i < machine.bi.file_count; i++) {
		if (strcmp(machine.files[i].path, path) == 0)
			return &machine.files[i];
	}
	return NULL;
}
