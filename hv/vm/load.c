/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kinds of guest image share: the memory map, the firmware's tables, placing and copying,
 * the entry state. Pure: knows memory and bytes only. Takes no lock: the guest does not run yet.
 */
#include "hv/vm/load_priv.h"
#include "drivers/virt/acpi_tables.h"
#include "drivers/virt/mp_table.h"
#include "hv/lib/fmt.h"
#include "hv/lib/string.h"

#define EBDA_BASE     0x9fc00u
#define LOW_640K      0xa0000u
#define BIOS_BASE     0xf0000u
#define RSDP_BASE     0xf0000u
#define MP_TABLE_BASE 0xf0100u
#define HIGH_RAM_BASE GIB(4)
#define BDA_EBDA      0x40eu /* segment of the EBDA */
#define BDA_MEM_KIB   0x413u /* KiB of memory below it */

_Static_assert(LOAD_VCPUS_MAX <= ACPI_VCPUS_MAX, "8-bit APIC ids");
_Static_assert(MP_TABLE_BASE + MP_TABLE_SIZE <= MIB(1), "the MP table lies in the BIOS area");

static void map_add(struct load_layout *l, gpa_t base, uint64_t size, enum load_mem_type type)
{
	l->map[l->map_count++] = (struct load_e820){base, size, type};
}

int load_layout_init(struct load_layout *l, const struct guest_mem *mem)
{
	uint64_t low = 0, high = 0;

	memset(l, 0, sizeof(*l));
	for (unsigned i = 0; i < mem->region_count; i++) {
		const struct guest_region *r = &mem->region[i];

		if (r->base >= HIGH_RAM_BASE)
			high = r->size;
		else
			low = r->base + r->size;
	}
	if (low < LOAD_RAM_MIN)
		return E_RANGE;
	l->acpi_base = align_down(low - ACPI_TABLES_SIZE, ACPI_TABLES_SIZE);
	l->acpi_size = low - l->acpi_base;
	l->low_end = l->acpi_base;
	l->rsdp = RSDP_BASE;
	l->mp_table = MP_TABLE_BASE;

	map_add(l, 0, EBDA_BASE, LOAD_MEM_USABLE);
	map_add(l, EBDA_BASE, LOW_640K - EBDA_BASE, LOAD_MEM_RESERVED);
	map_add(l, BIOS_BASE, MIB(1) - BIOS_BASE, LOAD_MEM_RESERVED);
	map_add(l, MIB(1), l->low_end - MIB(1), LOAD_MEM_USABLE);
	map_add(l, l->acpi_base, l->acpi_size, LOAD_MEM_ACPI);
	map_add(l, ACPI_ECAM_BASE, ACPI_ECAM_SIZE, LOAD_MEM_RESERVED);
	map_add(l, ACPI_IOAPIC_BASE, PAGE_SIZE, LOAD_MEM_RESERVED);
	map_add(l, ACPI_HPET_BASE, PAGE_SIZE, LOAD_MEM_RESERVED);
	map_add(l, ACPI_LAPIC_BASE, PAGE_SIZE, LOAD_MEM_RESERVED);
	if (high)
		map_add(l, HIGH_RAM_BASE, high, LOAD_MEM_USABLE);
	return OK;
}

/*
 * IBM PC: kernels find the EBDA, and where usable memory ends, by two words in the BIOS data area.
 */
static int bda_write(const struct guest_mem *mem)
{
	const uint16_t ebda_segment = EBDA_BASE >> 4, mem_kib = EBDA_BASE >> 10;
	const uint8_t ebda_kib = (LOW_640K - EBDA_BASE) >> 10;

	if (guest_mem_write(mem, BDA_EBDA, &ebda_segment, sizeof(ebda_segment)) ||
		guest_mem_write(mem, BDA_MEM_KIB, &mem_kib, sizeof(mem_kib)) ||
		guest_mem_write(mem, EBDA_BASE, &ebda_kib, sizeof(ebda_kib)))
		return E_RANGE;
	return OK;
}

int load_tables(
	const struct load_layout *l, const struct guest_mem *mem, const struct load_cpus *cpus)
{
	struct acpi_build acpi = {
		.vcpu_count = cpus->count, .base = l->acpi_base, .size = ACPI_TABLES_SIZE};
	struct mp_build mp = {
		.vcpu_count = cpus->count,
		.cpu_signature = cpus->signature,
		.cpu_features = cpus->features,
		.base = l->mp_table,
		.size = MP_TABLE_SIZE,
	};
	int err;

	if (!cpus->count || cpus->count > LOAD_VCPUS_MAX)
		return E_INVAL;
	acpi.buf = guest_mem_map(mem, acpi.base, acpi.size, NULL);
	mp.buf = guest_mem_map(mem, mp.base, mp.size, NULL);
	if (!acpi.buf || !mp.buf)
		return E_RANGE;
	err = acpi_tables_build(&acpi);
	if (!err)
		err = mp_table_build(&mp);
	if (!err)
		err = guest_mem_write(mem, l->rsdp, acpi.rsdp, sizeof(acpi.rsdp));
	return err ? err : bda_write(mem);
}

int load_fail(struct load_ctx *ctx, int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fmt_vstring(ctx->result->error, sizeof(ctx->result->error), format, args);
	va_end(args);
	return status;
}

int load_file_read(const struct load_ctx *ctx, uint64_t offset, void *buf, uint64_t size)
{
	if (!range_within(offset, size, ctx->req->kernel_size))
		return E_RANGE;
	memcpy(buf, (const char *)ctx->req->kernel + offset, size);
	return OK;
}

int load_copy(struct load_ctx *ctx, gpa_t to, const void *from, uint64_t size, const char *what)
{
	if (guest_mem_write(ctx->mem, to, from, size))
		return load_fail(
			ctx, E_RANGE, "%s: no RAM at 0x%llx", what, (unsigned long long)to);
	ctx->result->bytes_copied += size;
	return OK;
}

void *load_low_page(struct load_ctx *ctx, gpa_t gpa)
{
	void *page = guest_mem_map(ctx->mem, gpa, PAGE_SIZE, NULL);

	if (page)
		memset(page, 0, PAGE_SIZE);
	else
		load_fail(ctx, E_RANGE, "no RAM at 0x%llx", (unsigned long long)gpa);
	return page;
}

static bool overlaps(gpa_t a, uint64_t a_size, gpa_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static bool usable(const struct load_layout *l, gpa_t base, uint64_t size)
{
	for (unsigned i = 0; i < l->map_count; i++) {
		const struct load_e820 *e = &l->map[i];

		if (e->type == LOAD_MEM_USABLE && base >= e->base &&
			range_within(base - e->base, size, e->size))
			return true;
	}
	return false;
}

static int segment_check(struct load_ctx *ctx, const struct load_image *image, unsigned i)
{
	const struct load_segment *s = &image->segment[i];
	unsigned long long base = s->base, size = s->size;

	if (!range_within(s->file_offset, s->file_size, ctx->req->kernel_size))
		return load_fail(ctx, E_INVAL,
			"segment %u lies outside the file (offset 0x%llx, 0x%llx bytes)", i,
			(unsigned long long)s->file_offset, (unsigned long long)s->file_size);
	if (s->file_size > s->size)
		return load_fail(
			ctx, E_INVAL, "segment %u: more bytes in the file than in memory", i);
	if (!usable(ctx->layout, s->base, s->size))
		return load_fail(ctx, E_RANGE,
			"segment %u (0x%llx bytes at 0x%llx) does not fit: usable RAM is 0 - 0x%x and 1 MiB - 0x%llx",
			i, size, base, EBDA_BASE, (unsigned long long)ctx->layout->low_end);
	if (overlaps(s->base, s->size, LOAD_LOW_BASE, LOAD_LOW_END - LOAD_LOW_BASE))
		return load_fail(ctx, E_RANGE,
			"segment %u at 0x%llx overlaps the loader's area 0x%x - 0x%x", i, base,
			LOAD_LOW_BASE, LOAD_LOW_END);
	for (unsigned k = 0; k < i; k++) {
		if (overlaps(s->base, s->size, image->segment[k].base, image->segment[k].size))
			return load_fail(
				ctx, E_INVAL, "segments %u and %u overlap at 0x%llx", k, i, base);
	}
	return OK;
}

int load_image_check(struct load_ctx *ctx, const struct load_image *image)
{
	bool entry_inside = false;

	if (!image->segment_count)
		return load_fail(ctx, E_INVAL, "the kernel has nothing to load");
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct load_segment *s = &image->segment[i];
		int err = segment_check(ctx, image, i);

		if (err)
			return err;
		if (image->entry >= s->base && image->entry - s->base < s->file_size)
			entry_inside = true;
	}
	if (!entry_inside)
		return load_fail(ctx, E_INVAL, "entry point 0x%llx is in no loaded segment",
			(unsigned long long)image->entry);
	if (image->entry >= GIB(4))
		return load_fail(ctx, E_RANGE, "entry point 0x%llx is not below 4 GiB",
			(unsigned long long)image->entry);
	return OK;
}

int load_image_copy(struct load_ctx *ctx, const struct load_image *image)
{
	const char *file = ctx->req->kernel;

	ctx->result->kernel_base = image->segment[0].base;
	for (unsigned i = 0; i < image->segment_count; i++) {
		const struct load_segment *s = &image->segment[i];
		uint64_t rest = s->size - s->file_size;
		int err = load_copy(ctx, s->base, file + s->file_offset, s->file_size, "kernel");

		if (!err && guest_mem_fill(ctx->mem, s->base + s->file_size, 0, rest))
			err = load_fail(ctx, E_RANGE, "segment %u: no RAM behind it", i);
		if (err)
			return err;
		ctx->result->bytes_cleared += rest;
		ctx->result->kernel_base = MIN(ctx->result->kernel_base, s->base);
	}
	return OK;
}

/*
 * Highest aligned place of size bytes in [1 MiB, limit) off the image, 0 if there is none. Each
 * restart goes below one more segment for good, so there are at most segment_count of them.
 */
static gpa_t place_high(const struct load_image *image, uint64_t size, uint64_t align, gpa_t limit)
{
	for (unsigned round = 0; round <= image->segment_count; round++) {
		const struct load_segment *hit = NULL;
		gpa_t at;

		if (limit < MIB(1) || size > limit - MIB(1))
			return 0;
		at = align_down(limit - size, align);
		if (at < MIB(1))
			return 0;
		for (unsigned i = 0; i < image->segment_count && !hit; i++) {
			const struct load_segment *s = &image->segment[i];

			if (overlaps(at, size, s->base, s->size))
				hit = s;
		}
		if (!hit)
			return at;
		limit = hit->base;
	}
	return 0;
}

int load_initrd(struct load_ctx *ctx, const struct load_image *image, gpa_t limit)
{
	uint64_t size = ctx->req->initrd_size;
	gpa_t at;

	if (!size)
		return OK;
	limit = MIN(limit, ctx->layout->low_end);
	at = place_high(image, size, GUEST_CHUNK_SIZE, limit);
	if (!at)
		at = place_high(image, size, PAGE_SIZE, limit);
	if (!at)
		return load_fail(ctx, E_RANGE,
			"no room for the initrd (%llu KiB) beside the kernel below 0x%llx: give the guest more memory",
			(unsigned long long)(size >> 10), (unsigned long long)limit);
	ctx->result->initrd_base = at;
	return load_copy(ctx, at, ctx->req->initrd, size, "initrd");
}

int load_cmdline(struct load_ctx *ctx, const char *name, uint64_t max)
{
	const char *text = ctx->req->cmdline ? ctx->req->cmdline : "";
	uint64_t name_size = name ? strlen(name) : 0, text_size = strlen(text);
	uint64_t size = name_size + (name_size && text_size) + text_size;
	char *to;

	max = MIN(max, LOAD_CMDLINE_MAX - 1ull);
	if (size > max)
		return load_fail(ctx, E_RANGE,
			"the command line has %llu characters, this kernel takes %llu",
			(unsigned long long)size, (unsigned long long)max);
	to = load_low_page(ctx, LOAD_CMDLINE);
	if (!to)
		return E_RANGE;
	if (name_size)
		memcpy(to, name, name_size);
	if (name_size && text_size)
		to[name_size] = ' ';
	memcpy(to + size - text_size, text, text_size);
	return OK;
}

static int gdt_write(struct load_ctx *ctx, uint64_t code)
{
	uint64_t *gdt = load_low_page(ctx, LOAD_GDT);
	struct load_entry *e = &ctx->result->entry;

	if (!gdt)
		return E_RANGE;
	gdt[e->cs / 8] = code;
	gdt[LOAD_DS(e->cs) / 8] = LOAD_DESC_DATA;
	e->gdt_base = LOAD_GDT;
	e->gdt_limit = LOAD_GDT_LIMIT;
	return OK;
}

#define PTE_P        BIT(0)
#define PTE_RW       BIT(1)
#define PTE_A        BIT(5)
#define PTE_D        BIT(6)
#define PTE_PS       BIT(7)
#define IDENTITY_GIB 4

/* Identity map of the first 4 GiB with 2 MiB pages: what the boot protocols ask for, and more. */
static int identity_map_write(struct load_ctx *ctx)
{
	uint64_t *pml4 = load_low_page(ctx, LOAD_PML4);
	uint64_t *pdpt = load_low_page(ctx, LOAD_PDPT);

	if (!pml4 || !pdpt)
		return E_RANGE;
	pml4[0] = LOAD_PDPT | PTE_P | PTE_RW | PTE_A;
	for (unsigned g = 0; g < IDENTITY_GIB; g++) {
		uint64_t *pd = load_low_page(ctx, LOAD_PD + g * PAGE_SIZE);

		if (!pd)
			return E_RANGE;
		pdpt[g] = (LOAD_PD + g * PAGE_SIZE) | PTE_P | PTE_RW | PTE_A;
		for (unsigned i = 0; i < 512; i++)
			pd[i] = (GIB(g) + MIB(2) * i) | PTE_P | PTE_RW | PTE_PS | PTE_A | PTE_D;
	}
	return OK;
}

#define CR0_PE   BIT(0)
#define CR0_ET   BIT(4)
#define CR0_NE   BIT(5)
#define CR0_PG   BIT(31)
#define CR4_PAE  BIT(5)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

int load_entry_long(struct load_ctx *ctx, uint64_t rip)
{
	ctx->result->entry = (struct load_entry){
		.mode = LOAD_MODE_LONG,
		.rip = rip,
		.rsp = LOAD_STACK_TOP,
		.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG,
		.cr3 = LOAD_PML4,
		.cr4 = CR4_PAE,
		.efer = EFER_LME | EFER_LMA,
		.cs = LOAD_CS_LINUX,
	};
	if (identity_map_write(ctx))
		return E_RANGE;
	return gdt_write(ctx, LOAD_DESC_CODE64);
}

int load_entry_flat32(struct load_ctx *ctx, uint64_t rip, uint16_t cs)
{
	ctx->result->entry = (struct load_entry){
		.mode = LOAD_MODE_FLAT32,
		.rip = rip,
		.rsp = LOAD_STACK_TOP,
		.cr0 = CR0_PE | CR0_ET | CR0_NE,
		.cs = cs,
	};
	return gdt_write(ctx, LOAD_DESC_CODE32);
}

int load_guest(
	const struct load_request *req, const struct guest_mem *mem, struct load_result *result)
{
	static const struct {
		bool (*detect)(const struct load_ctx *ctx);
		int (*load)(struct load_ctx *ctx);
		enum load_kind kind;
	} format[] = {
		{load_linux_detect, load_linux, LOAD_LINUX},
		{load_multiboot_detect, load_multiboot, LOAD_MULTIBOOT},
		{load_elf_detect, load_elf, LOAD_ELF64},
	};
	struct load_ctx ctx = {.req = req, .layout = req->layout, .mem = mem, .result = result};

	memset(result, 0, sizeof(*result));
	for (unsigned i = 0; i < ARRAY_SIZE(format); i++) {
		if (!format[i].detect(&ctx))
			continue;
		result->kind = format[i].kind;
		return format[i].load(&ctx);
	}
	return load_fail(&ctx, E_UNSUP,
		"the kernel is neither a Linux bzImage, a Multiboot 1 image nor an ELF64 executable");
}
