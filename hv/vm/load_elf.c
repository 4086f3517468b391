/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF executables: program headers of ELF32 and ELF64 become one neutral list of segments, and an
 * ELF64 payload is started as hv/abi/payload.h says. Pure; no lock; headers are copied, then
 * checked.
 */
#include "hv/vm/load_priv.h"
#include "hv/abi/payload.h"
#include "hv/lib/string.h"

#define ELFCLASS32  1
#define ELFCLASS64  2
#define ELFDATA2LSB 1
#define EI_CLASS    4
#define EI_DATA     5
#define ET_EXEC     2
#define EM_386      3
#define EM_X86_64   62
#define PT_LOAD     1
#define PHDRS_MAX   64

struct elf32_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint32_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf64_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf32_phdr {
	uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};

struct elf64_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

_Static_assert(sizeof(struct elf32_header) == 52 && sizeof(struct elf32_phdr) == 32, "ELF");
_Static_assert(sizeof(struct elf64_header) == 64 && sizeof(struct elf64_phdr) == 56, "ELF");
_Static_assert(PAYLOAD_LOW_BASE == LOAD_LOW_BASE && PAYLOAD_LOW_END == LOAD_LOW_END, "payload ABI");
_Static_assert(
	sizeof(struct payload_info) + LOAD_E820_MAX * sizeof(struct payload_mem) <= PAGE_SIZE,
	"the information block fits its page");

static bool magic_is_elf(const uint8_t *ident)
{
	return !memcmp(ident, "\177ELF", 4) && ident[EI_DATA] == ELFDATA2LSB;
}

bool load_elf_detect(const struct load_ctx *ctx)
{
	uint8_t ident[16];

	return load_file_read(ctx, 0, ident, sizeof(ident)) == OK && magic_is_elf(ident) &&
	       ident[EI_CLASS] == ELFCLASS64;
}

/* Either class's file header in the larger one's shape. */
static int header_read(struct load_ctx *ctx, struct elf64_header *h)
{
	struct elf32_header h32;

	if (load_file_read(ctx, 0, h->ident, sizeof(h->ident)) || !magic_is_elf(h->ident))
		return load_fail(ctx, E_INVAL, "not an ELF file");
	if (h->ident[EI_CLASS] == ELFCLASS64) {
		if (load_file_read(ctx, 0, h, sizeof(*h)))
			return load_fail(ctx, E_INVAL, "ELF: the file ends in the file header");
	} else {
		if (load_file_read(ctx, 0, &h32, sizeof(h32)))
			return load_fail(ctx, E_INVAL, "ELF: the file ends in the file header");
		h->type = h32.type;
		h->machine = h32.machine;
		h->entry = h32.entry;
		h->phoff = h32.phoff;
		h->phentsize = h32.phentsize;
		h->phnum = h32.phnum;
	}
	return OK;
}

static int header_check(struct load_ctx *ctx, const struct elf64_header *h)
{
	bool wide = h->ident[EI_CLASS] == ELFCLASS64;
	size_t phdr_size = wide ? sizeof(struct elf64_phdr) : sizeof(struct elf32_phdr);

	if (h->ident[EI_CLASS] != ELFCLASS64 && h->ident[EI_CLASS] != ELFCLASS32)
		return load_fail(ctx, E_INVAL, "ELF: class %u is unknown", h->ident[EI_CLASS]);
	if (h->machine != (wide ? EM_X86_64 : EM_386))
		return load_fail(ctx, E_UNSUP, "ELF: made for machine %u, not for x86", h->machine);
	if (h->type != ET_EXEC)
		return load_fail(ctx, E_UNSUP,
			"ELF: type %u is not an executable at fixed addresses (link with -static -no-pie)",
			h->type);
	if (h->phentsize != phdr_size)
		return load_fail(ctx, E_INVAL, "ELF: program headers of %u bytes, not %u",
			h->phentsize, (unsigned)phdr_size);
	if (!h->phnum || h->phnum > PHDRS_MAX)
		return load_fail(
			ctx, E_INVAL, "ELF: %u program headers, not 1 - %u", h->phnum, PHDRS_MAX);
	if (!range_within(h->phoff, h->phnum * phdr_size, ctx->req->kernel_size))
		return load_fail(ctx, E_INVAL, "ELF: the program headers lie outside the file");
	return OK;
}

static int phdr_read(
	struct load_ctx *ctx, const struct elf64_header *h, unsigned i, struct elf64_phdr *p)
{
	uint64_t at = h->phoff + (uint64_t)i * h->phentsize;
	struct elf32_phdr p32;

	if (h->ident[EI_CLASS] == ELFCLASS64)
		return load_file_read(ctx, at, p, sizeof(*p));
	if (load_file_read(ctx, at, &p32, sizeof(p32)))
		return E_RANGE;
	*p = (struct elf64_phdr){
		.type = p32.type,
		.offset = p32.offset,
		.vaddr = p32.vaddr,
		.paddr = p32.paddr,
		.filesz = p32.filesz,
		.memsz = p32.memsz,
	};
	return OK;
}

/*
 * The entry point in the file header is virtual; where segments are linked high but loaded low,
 * the physical one is at the same distance from its segment's start.
 */
int load_elf_parse(struct load_ctx *ctx, struct load_image *image)
{
	struct elf64_header h;
	struct elf64_phdr p;
	int err = header_read(ctx, &h);

	if (!err)
		err = header_check(ctx, &h);
	if (err)
		return err;
	image->segment_count = 0;
	image->entry = h.entry;
	for (unsigned i = 0; i < h.phnum; i++) {
		if (phdr_read(ctx, &h, i, &p))
			return load_fail(
				ctx, E_INVAL, "ELF: program header %u lies outside the file", i);
		if (p.type != PT_LOAD || !p.memsz)
			continue;
		if (image->segment_count == LOAD_SEGMENTS_MAX)
			return load_fail(ctx, E_UNSUP, "ELF: more than %u segments to load",
				LOAD_SEGMENTS_MAX);
		image->segment[image->segment_count++] = (struct load_segment){
			p.offset, p.filesz, p.paddr, p.memsz};
		if (h.entry >= p.vaddr && h.entry - p.vaddr < p.memsz)
			image->entry = p.paddr + (h.entry - p.vaddr);
	}
	return OK;
}

static int info_write(struct load_ctx *ctx)
{
	const struct load_layout *l = ctx->layout;
	struct payload_info *info = load_low_page(ctx, LOAD_INFO);
	struct payload_mem *map;

	if (!info)
		return E_RANGE;
	map = (struct payload_mem *)(info + 1);
	*info = (struct payload_info){
		.magic = PAYLOAD_MAGIC,
		.version = PAYLOAD_VERSION,
		.size = sizeof(*info),
		.cpu_count = ctx->req->vcpu_count,
		.cmdline = LOAD_CMDLINE,
		.map = LOAD_INFO + sizeof(*info),
		.map_count = l->map_count,
		.module = ctx->result->initrd_base,
		.module_size = ctx->result->initrd_base ? ctx->req->initrd_size : 0,
		.rsdp = l->rsdp,
	};
	for (unsigned i = 0; i < l->map_count; i++)
		map[i] = (struct payload_mem){l->map[i].base, l->map[i].size, l->map[i].type, 0};
	return OK;
}

int load_elf(struct load_ctx *ctx)
{
	struct load_image image;
	int err = load_elf_parse(ctx, &image);

	if (!err)
		err = load_image_check(ctx, &image);
	if (!err)
		err = load_cmdline(ctx, NULL, LOAD_CMDLINE_MAX);
	if (!err)
		err = load_initrd(ctx, &image, GIB(4));
	if (!err)
		err = load_image_copy(ctx, &image);
	if (!err)
		err = info_write(ctx);
	if (!err)
		err = load_entry_long(ctx, image.entry);
	if (!err)
		ctx->result->entry.rdi = LOAD_INFO;
	return err;
}
