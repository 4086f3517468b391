/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multiboot 1 images (Multiboot Specification 0.6.96): ELF executables, or any file whose header
 * has the address fields. Pure; no lock. The header is copied once and checked on the copy.
 */
#include "hv/vm/load_priv.h"
#include "drivers/virt/vga.h"
#include "hv/lib/string.h"

#define SEARCH_SIZE 8192u /* the header lies in here, 4-byte aligned */
#define MAGIC       0x1badb002u
#define ENTRY_MAGIC 0x2badb002u /* EAX at entry */

#define HEADER_PAGE_ALIGN BIT(0)
#define HEADER_MEMORY     BIT(1)
#define HEADER_VIDEO      BIT(2)
#define HEADER_MUST_KNOW  0xffffu /* unknown flags here: the loader must refuse */
#define HEADER_ADDRESSES  BIT(16)

#define INFO_MEMORY      BIT(0)
#define INFO_CMDLINE     BIT(2)
#define INFO_MODS        BIT(3)
#define INFO_MMAP        BIT(6)
#define INFO_LOADER_NAME BIT(9)
#define INFO_FRAMEBUFFER BIT(12)

#define MODE_TYPE_MAX    1 /* linear graphics 0, text 1 */
#define FRAMEBUFFER_TEXT 2
#define TEXT_CELL_BITS   16

struct mb_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
	uint32_t mode_type, width, height, depth;
};
#define HEADER_BASE_SIZE      12u /* without address and graphics fields */
#define HEADER_ADDRESSES_SIZE 32u

struct mb_info {
	uint32_t flags;
	uint32_t mem_lower, mem_upper; /* KiB from 0, KiB from 1 MiB */
	uint32_t boot_device;
	uint32_t cmdline;
	uint32_t mods_count, mods_addr;
	uint32_t syms[4];
	uint32_t mmap_length, mmap_addr;
	uint32_t drives_length, drives_addr;
	uint32_t config_table;
	uint32_t boot_loader_name;
	uint32_t apm_table;
	uint32_t vbe[4]; /* zero: there is no VBE */
	uint32_t framebuffer, framebuffer_high;
	uint32_t framebuffer_pitch; /* bytes per line */
	uint32_t framebuffer_width, framebuffer_height;
	uint8_t framebuffer_bpp, framebuffer_type;
	uint8_t color_info[6];
};

struct mb_module {
	uint32_t start, end, string, reserved;
};

struct mb_mmap {
	uint32_t size; /* of what follows */
	uint64_t base, length;
	uint32_t type;
} PACKED;

/* Everything the information structure points to, except the command line, in one page. */
struct mb_page {
	struct mb_info info;
	struct mb_module module;
	struct mb_mmap mmap[LOAD_E820_MAX];
	char loader_name[16];
	char module_name[16];
};

_Static_assert(offsetof(struct mb_header, mode_type) == HEADER_ADDRESSES_SIZE, "Multiboot 3.1.1");
_Static_assert(sizeof(struct mb_header) == 48, "Multiboot 3.1.1");
_Static_assert(offsetof(struct mb_info, mmap_length) == 44, "Multiboot 3.3");
_Static_assert(offsetof(struct mb_info, boot_loader_name) == 64, "Multiboot 3.3");
_Static_assert(offsetof(struct mb_info, framebuffer) == 88, "Multiboot 3.3");
_Static_assert(offsetof(struct mb_info, framebuffer_type) == 109, "Multiboot 3.3");
_Static_assert(sizeof(struct mb_info) == 116, "Multiboot 3.3");
_Static_assert(sizeof(struct mb_mmap) == 24, "Multiboot 3.3");
_Static_assert(sizeof(struct mb_page) <= PAGE_SIZE, "the information fits its page");

/* The header without its address and graphics fields, at this file offset? */
static bool header_at(const struct load_ctx *ctx, uint64_t at, struct mb_header *h)
{
	memset(h, 0, sizeof(*h));
	return at + HEADER_BASE_SIZE <= SEARCH_SIZE &&
	       load_file_read(ctx, at, h, HEADER_BASE_SIZE) == OK && h->magic == MAGIC &&
	       h->magic + h->flags + h->checksum == 0;
}

/*
 * It and its file offset; false if there is none. Only where the magic number is do we look closer.
 */
static bool header_find(const struct load_ctx *ctx, struct mb_header *h, uint64_t *offset)
{
	uint64_t end = MIN(ctx->req->kernel_size, (uint64_t)SEARCH_SIZE);
	uint32_t piece[128];

	for (uint64_t at = 0; at < end; at += sizeof(piece)) {
		uint64_t size = MIN(end - at, sizeof(piece));

		if (load_file_read(ctx, at, piece, size))
			return false;
		for (unsigned i = 0; i < size / sizeof(piece[0]); i++) {
			*offset = at + i * sizeof(piece[0]);
			if (piece[i] == MAGIC && header_at(ctx, *offset, h))
				return true;
		}
	}
	return false;
}

bool load_multiboot_detect(const struct load_ctx *ctx)
{
	struct mb_header h;
	uint64_t offset;

	return header_find(ctx, &h, &offset);
}

/* One segment from the header's address fields, for files that are not ELF. */
static int addresses_parse(struct load_ctx *ctx, uint64_t offset, struct load_image *image)
{
	struct load_segment *s = &image->segment[0];
	struct mb_header h;
	uint64_t before;

	if (load_file_read(ctx, offset, &h, HEADER_ADDRESSES_SIZE))
		return load_fail(ctx, E_INVAL, "Multiboot: the file ends in the header");
	before = (uint64_t)h.header_addr - h.load_addr;
	if (before > offset) /* also where load_addr is above header_addr: before is then huge */
		return load_fail(ctx, E_INVAL,
			"Multiboot: load_addr 0x%x and header_addr 0x%x do not fit a header at 0x%x",
			h.load_addr, h.header_addr, (unsigned)offset);
	s->file_offset = offset - before;
	s->base = h.load_addr;
	s->file_size = ctx->req->kernel_size - s->file_offset;
	if (h.load_end_addr) {
		if (h.load_end_addr <= h.load_addr)
			return load_fail(ctx, E_INVAL,
				"Multiboot: load_end_addr 0x%x is not above load_addr 0x%x",
				h.load_end_addr, h.load_addr);
		s->file_size = h.load_end_addr - h.load_addr;
	}
	s->size = s->file_size;
	if (h.bss_end_addr) {
		if (h.bss_end_addr < h.load_addr + s->file_size)
			return load_fail(ctx, E_INVAL,
				"Multiboot: bss_end_addr 0x%x lies in the loaded part",
				h.bss_end_addr);
		s->size = h.bss_end_addr - h.load_addr;
	}
	image->segment_count = 1;
	image->entry = h.entry_addr;
	return OK;
}

/*
 * What the image would like to see. Whatever it is, it must do with another mode (3.1.4), so the
 * virtual PC's text is an answer; only a kind of mode that the specification does not have is not
 * understood.
 */
static int video_check(struct load_ctx *ctx, uint64_t offset)
{
	struct mb_header h;

	if (load_file_read(ctx, offset, &h, sizeof(h)))
		return load_fail(ctx, E_INVAL, "Multiboot: the file ends in the header");
	if (h.mode_type > MODE_TYPE_MAX)
		return load_fail(ctx, E_UNSUP,
			"Multiboot: the image wants a video mode of unknown type 0x%x",
			h.mode_type);
	return OK;
}

static int image_parse(struct load_ctx *ctx, struct load_image *image)
{
	struct mb_header h;
	uint64_t offset;
	uint32_t unknown;

	if (!header_find(ctx, &h, &offset))
		return load_fail(ctx, E_INVAL, "Multiboot: no header");
	unknown = h.flags & HEADER_MUST_KNOW &
		  ~(uint32_t)(HEADER_PAGE_ALIGN | HEADER_MEMORY | HEADER_VIDEO);
	if (unknown)
		return load_fail(ctx, E_UNSUP, "Multiboot: unknown requirements 0x%x", unknown);
	if (h.flags & HEADER_VIDEO) {
		int err = video_check(ctx, offset);

		if (err)
			return err;
	}
	if (h.flags & HEADER_ADDRESSES)
		return addresses_parse(ctx, offset, image);
	return load_elf_parse(ctx, image);
}

static int info_write(struct load_ctx *ctx)
{
	const struct load_layout *l = ctx->layout;
	struct load_result *result = ctx->result;
	struct mb_page *page = load_low_page(ctx, LOAD_INFO);

	if (!page)
		return E_RANGE;
	page->info = (struct mb_info){
		.flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODS | INFO_MMAP | INFO_LOADER_NAME |
			 INFO_FRAMEBUFFER,
		.mem_lower = (uint32_t)(l->map[0].size >> 10),
		.mem_upper = (uint32_t)((l->low_end - MIB(1)) >> 10),
		.cmdline = LOAD_CMDLINE,
		.mmap_length = (uint32_t)(l->map_count * sizeof(struct mb_mmap)),
		.mmap_addr = LOAD_INFO + offsetof(struct mb_page, mmap),
		.boot_loader_name = LOAD_INFO + offsetof(struct mb_page, loader_name),
		.framebuffer = VGA_TEXT_BASE,
		.framebuffer_pitch = VGA_COLUMNS * TEXT_CELL_BITS / 8,
		.framebuffer_width = VGA_COLUMNS,
		.framebuffer_height = VGA_ROWS,
		.framebuffer_bpp = TEXT_CELL_BITS,
		.framebuffer_type = FRAMEBUFFER_TEXT,
	};
	for (unsigned i = 0; i < l->map_count; i++)
		page->mmap[i] = (struct mb_mmap){
			sizeof(struct mb_mmap) - 4, l->map[i].base, l->map[i].size, l->map[i].type};
	memcpy(page->loader_name, "Bulkhead", sizeof("Bulkhead"));
	memcpy(page->module_name, "initrd", sizeof("initrd"));
	if (result->initrd_base) {
		page->info.mods_count = 1;
		page->info.mods_addr = LOAD_INFO + offsetof(struct mb_page, module);
		page->module = (struct mb_module){
			.start = (uint32_t)result->initrd_base,
			.end = (uint32_t)(result->initrd_base + ctx->req->initrd_size),
			.string = LOAD_INFO + offsetof(struct mb_page, module_name),
		};
	}
	return OK;
}

int load_multiboot(struct load_ctx *ctx)
{
	struct load_image image;
	int err = image_parse(ctx, &image);

	if (!err)
		err = load_image_check(ctx, &image);
	if (!err)
		err = load_cmdline(ctx, ctx->req->name, LOAD_CMDLINE_MAX);
	if (!err)
		err = load_initrd(ctx, &image, GIB(4));
	if (!err)
		err = load_bios(ctx);
	if (!err)
		err = load_image_copy(ctx, &image);
	if (!err)
		err = info_write(ctx);
	if (!err)
		err = load_entry_flat32(ctx, image.entry, LOAD_CS_MULTIBOOT);
	if (err)
		return err;
	ctx->result->entry.rax = ENTRY_MAGIC;
	ctx->result->entry.rbx = LOAD_INFO;
	return OK;
}
