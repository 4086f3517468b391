/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/defs/paging.h"
#include "arch/x86/mm/pt.h"
#include "hv/lib/string.h"

#define RO (PT_READ | PT_GLOBAL)
#define RX (PT_READ | PT_EXEC | PT_GLOBAL)
#define RW (PT_READ | PT_WRITE | PT_GLOBAL)

/* The mapped pieces of one CPU's stacks; guards lie between them. */
static const struct stack_piece {
	uint64_t offset, size;
} stack_pieces[] = {
	{CPU_NMI_STACK, CPU_IST_SIZE},
	{CPU_DF_STACK, CPU_IST_SIZE},
	{CPU_MC_STACK, CPU_IST_SIZE},
	{CPU_MAIN_STACK, CPU_MAIN_SIZE},
};
#define STACK_FRAMES ((3 * CPU_IST_SIZE + CPU_MAIN_SIZE) / PAGE_SIZE)

uint64_t host_map_image_offset;

static struct pt pt;
static uint64_t mmio_used;
static uint64_t start_pml4[PAGING_ENTRIES] ALIGNED(4096);
static uint64_t start_pdpt[PAGING_ENTRIES] ALIGNED(4096);
static uint64_t start_pd[PAGING_ENTRIES] ALIGNED(4096);

static hpa_t take_frame(void *context UNUSED)
{
	return frame_alloc_hv(1);
}

static void give_frame(void *context UNUSED, hpa_t frame UNUSED)
{
	panic("the hypervisor's own page tables are never given back");
}

void host_map_init_early(hpa_t hv_phys)
{
	host_map_image_offset = HV_VIRT_BASE - hv_phys;
}

hpa_t host_map_cr3(void)
{
	return pt.root;
}

static int map_image_part(const char *from, const char *to, unsigned flags)
{
	if (from == to)
		return 0;
	return pt_map(&pt, (uint64_t)from, virt_to_phys(from), (uint64_t)(to - from), flags, PT_2M);
}

static int map_stack_pieces(uint64_t va, hpa_t pa, bool packed)
{
	for (unsigned i = 0; i < ARRAY_SIZE(stack_pieces); i++) {
		const struct stack_piece *p = &stack_pieces[i];
		int status = pt_map(
			&pt, va + p->offset, packed ? pa : pa + p->offset, p->size, RW, PT_4K);

		if (status)
			return status;
		pa += packed ? p->size : 0;
	}
	return 0;
}

static int map_image(void)
{
	uint64_t stacks = (uint64_t)hv_boot_stacks;
	int status = map_image_part(hv_text_start, hv_text_end, RX);

	if (!status)
		status = map_image_part(hv_rodata_start, hv_rodata_end, RO);
	if (!status)
		status = map_image_part(hv_data_start, hv_data_end, RW);
	if (!status)
		status = map_image_part(hv_symbols_start, hv_end, RO);
	if (!status)
		status = pt_unmap(&pt, stacks, CPU_STACKS_SIZE);
	return status ? status : map_stack_pieces(stacks, virt_to_phys(hv_boot_stacks), false);
}

static int map_ram(const struct bootinfo_mem *m)
{
	uint64_t flags;

	switch (m->type) {
	case BOOT_MEM_FREE:
	case BOOT_MEM_LOADER:
	case BOOT_MEM_FILES: flags = RW; break;
	case BOOT_MEM_ACPI: flags = RO; break;
	default: return 0;
	}
	if (!range_within(m->base, m->size, DIRECT_MAP_SIZE))
		return E_RANGE;
	return pt_map(&pt, DIRECT_MAP_BASE + m->base, m->base, m->size, (unsigned)flags, PT_1G);
}

static int map_all(const struct bootinfo *bi)
{
	const struct bootinfo_mem *mem = phys_to_virt(bi->mem);
	int status = map_image();

	for (unsigned i = 0; !status && i < bi->mem_count; i++)
		status = map_ram(&mem[i]);
	return status;
}

int host_map_init(const struct bootinfo *bi)
{
	uint32_t features = cpu_cpuid(CPUID_LEAF_EXT_FEAT, 0).edx;
	int status;

	if (!(features & CPUID_EXT1_EDX_NX))
		return E_UNSUP;
	pt = (struct pt){
		.format = &pt_format_host,
		.page_sizes = PT_4K | PT_2M | (features & CPUID_EXT1_EDX_PAGE1GB ? PT_1G : 0),
		.frame_alloc = take_frame,
		.frame_free = give_frame,
		.to_virt = phys_to_virt,
	};
	status = pt_create(&pt);
	if (!status)
		status = map_all(bi);
	if (status) {
		pt.root = 0;
		return status;
	}
	/* NX is a reserved bit until NXE is set. */
	wrmsr(MSR_IA32_EFER, rdmsr(MSR_IA32_EFER) | EFER_NXE);
	write_cr3(pt.root);
	cpu_set_control();
	return 0;
}

/* Device registers never overlap the image or what the direct map holds. */
static bool overlaps_ram(hpa_t base, uint64_t size)
{
	hpa_t image = virt_to_phys(hv_start);
	struct pt_mapping found;

	if (base < image + (uint64_t)(hv_end - hv_start) && image < base + size)
		return true;
	for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
		if (!range_within(base, size, DIRECT_MAP_SIZE))
			return false;
		if (!pt_lookup(&pt, DIRECT_MAP_BASE + base + at, &found))
			return true;
	}
	return false;
}

static void *map_device(hpa_t base, uint64_t size, unsigned type)
{
	hpa_t first = align_down(base, PAGE_SIZE);
	uint64_t va, bytes;

	if (!size || base + size < base || base + size > BIT(52))
		return NULL;
	bytes = align_up(base + size, PAGE_SIZE) - first;
	/* Alike modulo 2 MiB, so that large leaves fit. */
	va = MMIO_WINDOW_BASE + align_up(mmio_used, PT_2M) + (first & (PT_2M - 1));
	if (bytes < PT_2M)
		va = MMIO_WINDOW_BASE + mmio_used;
	if (!range_within(va - MMIO_WINDOW_BASE, bytes, MMIO_WINDOW_SIZE) ||
		overlaps_ram(first, bytes))
		return NULL;
	if (pt_map(&pt, va, first, bytes, RW | type, PT_2M))
		return NULL;
	mmio_used = va - MMIO_WINDOW_BASE + bytes;
	return (void *)(va + (base - first));
}

void *host_map_mmio(hpa_t base, uint64_t size_bytes)
{
	return map_device(base, size_bytes, PT_UC);
}

void *host_map_wc(hpa_t base, uint64_t size_bytes)
{
	return map_device(base, size_bytes, PT_WC);
}

uintptr_t host_map_stacks(unsigned index)
{
	uint64_t va = STACKS_BASE + index * CPU_STACKS_SIZE;
	hpa_t frames = frame_alloc_hv(STACK_FRAMES);

	CHECK(index < CPUS_MAX);
	if (!frames || map_stack_pieces(va, frames, true))
		return 0;
	return va;
}

int host_map_lookup(uint64_t va, hpa_t *pa, unsigned *flags)
{
	struct pt_mapping found;
	int status = pt.root ? pt_lookup(&pt, va, &found) : E_NOENT;

	if (status)
		return status;
	*pa = found.pa;
	*flags = found.flags;
	return 0;
}

int host_map_start_cr3(uint32_t *cr3)
{
	const uint64_t table = PTE_P | PTE_A;
	const uint64_t *root = phys_to_virt(pt.root);
	hpa_t phys = virt_to_phys(start_pml4);

	if (phys > UINT32_MAX)
		return E_UNSUP;
	memcpy(&start_pml4[PAGING_ENTRIES / 2], &root[PAGING_ENTRIES / 2], sizeof(start_pml4) / 2);
	/* Read-only: the tables above it carry no W. */
	start_pd[0] = PTE_P | PTE_A | PTE_PS;
	start_pdpt[0] = virt_to_phys(start_pd) | table;
	start_pml4[0] = virt_to_phys(start_pdpt) | table;
	*cr3 = (uint32_t)phys;
	return 0;
}

void host_map_start_done(void)
{
	memset(start_pml4, 0, sizeof(start_pml4));
}
