/* SPDX-License-Identifier: Apache-2.0 */
#include "hv/core/machine.h"
#include "arch/x86/cpu/cpu.h"
#include "arch/x86/cpu/host_map.h"
#include "arch/x86/cpu/insn.h"
#include "arch/x86/cpu/panic.h"
#include "arch/x86/defs/cpuid.h"
#include "arch/x86/defs/msr.h"
#include "arch/x86/policy/mtrr.h"
#include "hv/core/log.h"
#include "hv/lib/string.h"
#include "hv/mm/memory.h"

struct machine machine;
static struct mtrr_state mtrrs;
static bool has_mtrrs;

/* The first MiB belongs to firmware habits and AP trampolines: it is not given out. */
#define LOW_MEMORY_END MIB(1)

static void copy_array(
	void *dst, uint64_t src, uint32_t *count, uint32_t max, size_t size, const char *what)
{
	if (*count > max) {
		log_line("this machine has %u %s, only the first %u are used", *count, what, max);
		*count = max;
	}
	if (*count)
		memcpy(dst, phys_to_virt(src), *count * size);
}

/* ---- RAM that is not write-back ---- */

static void read_mtrrs(void)
{
	uint64_t syscfg = 0;

	has_mtrrs = cpu_cpuid(CPUID_LEAF_FEATURES, 0).edx & CPUID_1_EDX_MTRR;
	if (!has_mtrrs)
		return;
	mtrrs.cap = rdmsr(MSR_IA32_MTRRCAP);
	mtrrs.def_type = rdmsr(MSR_IA32_MTRR_DEF_TYPE);
	for (unsigned i = 0; i < MIN(mtrrs.cap & MTRRCAP_VCNT_MASK, (uint64_t)MTRR_VARIABLE_MAX);
		i++) {
		mtrrs.base[i] = rdmsr(MSR_IA32_MTRR_PHYSBASE0 + 2 * i);
		mtrrs.mask[i] = rdmsr(MSR_IA32_MTRR_PHYSMASK0 + 2 * i);
	}
	for (unsigned i = 0; i < MTRR_FIXED && (mtrrs.cap & MTRRCAP_FIX); i++)
		mtrrs.fixed[i] = rdmsr(i == 0  ? MSR_IA32_MTRR_FIX64K_00000
				       : i < 3 ? MSR_IA32_MTRR_FIX16K_80000 + i - 1
					       : MSR_IA32_MTRR_FIX4K_C0000 + i - 3);
	/* AMD's CPUs have this register, others answer #GP. */
	if (cpu_cpuid(CPUID_LEAF_VENDOR, 0).ecx != CPUID_VENDOR_INTEL_ECX &&
		!rdmsr_safe(MSR_SYSCFG, &syscfg) && (syscfg & SYSCFG_TOM2_EN) &&
		(syscfg & SYSCFG_TOM2_FORCE_WB))
		(void)!rdmsr_safe(MSR_TOP_MEM2, &mtrrs.wb_top);
}

/*
 * The part of a free range that is not write-back becomes the firmware's: neither mapped nor given
 * out.
 */
static uint64_t carve(unsigned index)
{
	struct bootinfo_mem *m = &machine.mem[index], whole = *m;
	hpa_t end = whole.base + whole.size, base;
	unsigned extra = 0, count = machine.bi.mem_count;
	uint64_t size;

	if (!mtrr_find(&mtrrs, whole.base, end, false, &base, &size))
		return 0;
	if (count + 2 > MACHINE_MEM_MAX) {
		m->type = BOOT_MEM_FIRMWARE;
		return m->size;
	}
	extra += base > whole.base;
	extra += base + size < end;
	memmove(m + 1 + extra, m + 1, (count - index - 1) * sizeof(*m));
	if (base > whole.base)
		*m++ = (struct bootinfo_mem){whole.base, base - whole.base, BOOT_MEM_FREE, 0};
	*m++ = (struct bootinfo_mem){base, size, BOOT_MEM_FIRMWARE, 0};
	if (base + size < end)
		*m = (struct bootinfo_mem){base + size, end - base - size, BOOT_MEM_FREE, 0};
	machine.bi.mem_count += extra;
	return size;
}

static void drop_uncached(void)
{
	uint64_t dropped = 0;

	read_mtrrs();
	for (unsigned i = 0; has_mtrrs && i < machine.bi.mem_count; i++) {
		if (machine.mem[i].type == BOOT_MEM_FREE)
			dropped += carve(i);
	}
	if (dropped)
		log_line("%lu KiB of RAM stay unused: the firmware's MTRRs do not make them "
			 "write-back",
			(unsigned long)(dropped >> 10));
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
	drop_uncached();
	machine.bi.mem = virt_to_phys(machine.mem);
	copy_array(machine.files, bi->files, &machine.bi.file_count, MACHINE_FILES_MAX,
		sizeof(machine.files[0]), "files");
	copy_array(machine.cpus, bi->cpus, &machine.bi.cpu_count, MACHINE_CPUS_MAX,
		sizeof(machine.cpus[0]), "CPUs");
}

static void clear(void *ctx, hpa_t base, uint64_t size)
{
	(void)ctx;
	memset(phys_to_virt(base), 0, size);
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

/*
 * The loader's memory must stay mapped, but what of it is not write-back is not given out
 * afterwards.
 */
static void reserve_uncached(void)
{
	for (unsigned i = 0; has_mtrrs && i < machine.bi.mem_count; i++) {
		const struct bootinfo_mem *m = &machine.mem[i];
		hpa_t end = m->base + m->size, base = m->base;
		uint64_t size;

		if (m->type != BOOT_MEM_LOADER)
			continue;
		for (; mtrr_find(&mtrrs, base, end, false, &base, &size); base += size)
			frame_pool_mark(&host_frames, base, size, FRAME_RESERVED);
	}
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
	reserve_uncached();
	frame_pool_mark(&host_frames, storage, size, FRAME_OWNER_HV);
	frame_pool_mark(&host_frames, 0, LOW_MEMORY_END, FRAME_RESERVED);
	frame_pool_seal(&host_frames);
}

void machine_release_loader(void)
{
	frame_release_owner(&host_frames, FRAME_OWNER_LOADER);
}

const struct power_acpi *machine_power(void)
{
	static struct power_acpi power;
	const struct bootinfo_acpi *a = &machine.bi.acpi;

	power = (struct power_acpi){
		.pm1a_cnt = a->has_s5 ? a->pm1a_cnt : 0,
		.pm1b_cnt = a->pm1b_cnt,
		.slp_typ_a = a->slp_typ_a,
		.slp_typ_b = a->slp_typ_b,
		.reset_port = a->reset_port,
		.reset_value = a->reset_value,
		.smi_cmd = a->smi_cmd,
		.acpi_enable = a->acpi_enable,
	};
	return &power;
}

const struct bootinfo_file *machine_find_file(const char *path)
{
	for (unsigned i = 0; i < machine.bi.file_count; i++) {
		if (strcmp(machine.files[i].path, path) == 0)
			return &machine.files[i];
	}
	return NULL;
}
