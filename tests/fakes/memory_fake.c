/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAM: host-physical FAKE_RAM_BASE and up, at another virtual address, so that mixing the two is
 * seen. The frame pool's clear callback checks that no TLB still leads to what is given to somebody
 * else.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "arch/x86/cpu/host_map.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"
#include "tests/fakes/fake.h"
#include "tests/fakes/fake_priv.h"

static char *ram;
static void *bookkeeping;

static char *ram_base(void)
{
	char *p;

	if (ram)
		return ram;
	p = mmap(NULL, FAKE_RAM_SIZE + MIB(2), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		fake_fail("no memory for the machine");
	ram = (char *)align_up((uint64_t)p, MIB(2));
	return ram;
}

void *phys_to_virt(hpa_t hpa)
{
	if (hpa < FAKE_RAM_BASE || hpa - FAKE_RAM_BASE >= FAKE_RAM_SIZE)
		fake_fail("0x%lx is not RAM", (unsigned long)hpa);
	return ram_base() + (hpa - FAKE_RAM_BASE);
}

hpa_t virt_to_phys(const void *p)
{
	uint64_t offset = (uint64_t)((const char *)p - ram_base());

	if (offset >= FAKE_RAM_SIZE)
		fake_fail("%p is not in the direct map", p);
	return FAKE_RAM_BASE + offset;
}

static void clear(void *ctx, hpa_t base, uint64_t size)
{
	(void)ctx;
	if (fake_tlb_refers(base, size))
		fake_fail("frames at 0x%lx are reused while a TLB still knows them",
			(unsigned long)base);
	fake_svm_frames_reused(base, size);
	memset(phys_to_virt(base), 0, size);
}

void fake_memory_reset(void)
{
	hpa_t top = FAKE_RAM_BASE + FAKE_RAM_SIZE;

	if (!bookkeeping)
		bookkeeping = malloc(frame_pool_size(top));
	madvise(ram_base(), FAKE_RAM_SIZE, MADV_DONTNEED);
	frame_pool_init(&host_frames, bookkeeping, top, clear, NULL);
	frame_pool_mark(&host_frames, 0, FAKE_RAM_BASE, FRAME_RESERVED);
	frame_pool_mark(&host_frames, FAKE_RAM_BASE, FAKE_RAM_SIZE, FRAME_CLEAN);
	frame_pool_mark(&host_frames, FAKE_RAM_BASE, MIB(1), FRAME_OWNER_HV);
	frame_pool_seal(&host_frames);
}
