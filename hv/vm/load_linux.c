/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linux bzImage, boot protocol 2.02 or later (Linux, Documentation/arch/x86, boot.rst and
 * zero-page.rst): by the 64-bit entry where the kernel has one, else by the 32-bit one. Pure; no
 * lock. The header is copied once and checked on the copy.
 */
#include "hv/vm/load_priv.h"
#include "drivers/virt/vga.h"
#include "hv/lib/string.h"

#define HEADER_OFFSET    0x1f1u
#define HEADER_END_KNOWN 0x264u /* the end of init_size */
#define HEADER_END_MAX   0x290u /* boot_params has no room for more */
#define SECTOR           512u
#define SETUP_SECTS_OLD  4u
#define BOOT_FLAG        0xaa55
#define SYSSIZE_UNIT     16u
#define ENTRY64          0x200u /* from the start of the protected-mode code */
#define LOADER_UNDEFINED 0xff
#define MODE_NORMAL      0xffff /* vid_mode: leave the video mode alone */

/* The versions that brought the fields which matter here. */
#define VERSION_CMD_LINE_PTR    0x0202
#define VERSION_INITRD_ADDR_MAX 0x0203
#define VERSION_SYSSIZE         0x0204 /* all of it: 16 bits before */
#define VERSION_RELOCATABLE     0x0205 /* with kernel_alignment */
#define VERSION_CMDLINE_SIZE    0x0206
#define VERSION_SETUP_DATA      0x0209
#define VERSION_INIT_SIZE       0x020a /* with pref_address */
#define VERSION_XLOADFLAGS      0x020c
#define VERSION_MIN             VERSION_CMD_LINE_PTR

/* What boot.rst says of kernels that have no such field. */
#define OLD_INITRD_ADDR_MAX 0x37ffffffu
#define OLD_CMDLINE_SIZE    255u
/* Nothing says what they need to unpack themselves; they are packed to about a half. */
#define OLD_INIT_FACTOR     3u

#define LOADFLAG_LOADED_HIGH BIT(0)
#define XLF_KERNEL_64        BIT(0)

struct linux_header {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t ram_size;
	uint16_t vid_mode;
	uint16_t root_dev;
	uint16_t boot_flag;
	uint8_t jump_opcode;
	uint8_t jump_offset; /* from 202h to the end of the header */
	char magic[4];       /* "HdrS" */
	uint16_t version;
	uint32_t realmode_swtch;
	uint16_t start_sys_seg;
	uint16_t kernel_version;
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t bootsect_kludge;
	uint16_t heap_end_ptr;
	uint8_t ext_loader_ver;
	uint8_t ext_loader_type;
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint32_t hardware_subarch;
	uint64_t hardware_subarch_data;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint8_t later[HEADER_END_MAX - HEADER_END_KNOWN]; /* copied, not looked at */
} PACKED;

struct linux_e820 {
	uint64_t base, size;
	uint32_t type;
} PACKED;

#define LINUX_E820_MAX  128
#define VGA_TEXT_MODE   3
#define VGA_FONT_HEIGHT 16
#define EGA_256K        3

/* What the kernel's 16-bit setup would have asked the video BIOS for. */
struct linux_screen_info {
	uint8_t cursor_column, cursor_row;
	uint8_t other0[4];
	uint8_t mode, columns;
	uint8_t other1[2];
	uint16_t ega_bx; /* BL of INT 10h, AH = 12h, BL = 10h: memory; 10h would mean no EGA */
	uint8_t other2[2];
	uint8_t rows, is_vga;
	uint16_t font_height;
	uint8_t other3[0x40 - 0x12];
} PACKED;

struct linux_boot_params {
	struct linux_screen_info screen;
	uint8_t other0[0x30];
	uint64_t acpi_rsdp_addr;
	uint8_t other1[0x1e8 - 0x78];
	uint8_t e820_entries;
	uint8_t other2[HEADER_OFFSET - 0x1e9];
	struct linux_header hdr;
	uint8_t other3[0x2d0 - HEADER_END_MAX];
	struct linux_e820 e820[LINUX_E820_MAX];
	uint8_t other4[0x1000 - 0xcd0];
} PACKED;

_Static_assert(offsetof(struct linux_header, boot_flag) == 0x1fe - HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_header, magic) == 0x202 - HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_header, cmd_line_ptr) == 0x228 - HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_header, xloadflags) == 0x236 - HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_header, pref_address) == 0x258 - HEADER_OFFSET, "boot.rst");
_Static_assert(
	offsetof(struct linux_header, later) == HEADER_END_KNOWN - HEADER_OFFSET, "boot.rst");
_Static_assert(offsetof(struct linux_screen_info, rows) == 0x0e, "screen_info.h");
_Static_assert(sizeof(struct linux_screen_info) == 0x40, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, acpi_rsdp_addr) == 0x70, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820_entries) == 0x1e8, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, hdr) == HEADER_OFFSET, "zero-page.rst");
_Static_assert(offsetof(struct linux_boot_params, e820) == 0x2d0, "zero-page.rst");
_Static_assert(sizeof(struct linux_boot_params) == 4096, "zero-page.rst");
_Static_assert(LOAD_E820_MAX <= LINUX_E820_MAX, "the whole map fits the zero page");

bool load_linux_detect(const struct load_ctx *ctx)
{
	char magic[4];

	return load_file_read(ctx, HEADER_OFFSET + offsetof(struct linux_header, magic), magic,
		       sizeof(magic)) == OK &&
	       !memcmp(magic, "HdrS", sizeof(magic));
}

/* Where the header of that version ends at the earliest: behind the last field that is needed. */
static unsigned header_end_min(uint16_t version)
{
	static const struct {
		uint16_t version, end;
	} row[] = {
		{VERSION_INIT_SIZE, 0x264},
		{VERSION_CMDLINE_SIZE, 0x23c},
		{VERSION_RELOCATABLE, 0x235},
		{VERSION_INITRD_ADDR_MAX, 0x230},
		{VERSION_CMD_LINE_PTR, 0x22c},
	};
	unsigned i = 0;

	while (i < ARRAY_SIZE(row) - 1 && version < row[i].version)
		i++;
	return row[i].end;
}

/* The header says by its own jump how long it is. */
static int header_read(struct load_ctx *ctx, struct linux_header *h)
{
	unsigned end, end_min;
	uint8_t jump_offset;
	uint16_t version;

	memset(h, 0, sizeof(*h));
	if (load_file_read(ctx, 0x201, &jump_offset, sizeof(jump_offset)) ||
		load_file_read(ctx, 0x206, &version, sizeof(version)))
		return load_fail(ctx, E_INVAL, "bzImage: the file ends in the setup header");
	if (version < VERSION_MIN)
		return load_fail(ctx, E_UNSUP,
			"bzImage: boot protocol %u.%02u; 2.02 or later is needed", version >> 8,
			version & 0xffu);
	end = 0x202u + jump_offset;
	end_min = header_end_min(version);
	if (end < end_min || end > HEADER_END_MAX)
		return load_fail(ctx, E_INVAL,
			"bzImage: the setup header ends at 0x%x, not in 0x%x - 0x%x", end, end_min,
			HEADER_END_MAX);
	if (load_file_read(ctx, HEADER_OFFSET, h, end - HEADER_OFFSET))
		return load_fail(ctx, E_INVAL, "bzImage: the file ends in the setup header");
	return OK;
}

/* What is in the place of a field that this version does not have means something else. */
static struct linux_header header_known(const struct linux_header *raw)
{
	struct linux_header h = *raw;

	if (h.version < VERSION_INITRD_ADDR_MAX)
		h.initrd_addr_max = OLD_INITRD_ADDR_MAX;
	if (h.version < VERSION_RELOCATABLE)
		h.relocatable_kernel = 0;
	if (h.version < VERSION_CMDLINE_SIZE)
		h.cmdline_size = OLD_CMDLINE_SIZE;
	if (h.version < VERSION_INIT_SIZE) {
		h.pref_address = 0;
		h.init_size = 0;
	}
	if (h.version < VERSION_XLOADFLAGS)
		h.xloadflags = 0;
	return h;
}

static int header_check(struct load_ctx *ctx, const struct linux_header *h)
{
	if (h->boot_flag != BOOT_FLAG)
		return load_fail(ctx, E_INVAL, "bzImage: no boot flag AA55h at 0x1fe");
	if (!(h->loadflags & LOADFLAG_LOADED_HIGH))
		return load_fail(
			ctx, E_UNSUP, "bzImage: a zImage, which loads low, is not supported");
	if (h->relocatable_kernel &&
		(!h->kernel_alignment || h->kernel_alignment & (h->kernel_alignment - 1)))
		return load_fail(ctx, E_INVAL,
			"bzImage: kernel_alignment 0x%x is not a power of two",
			h->kernel_alignment);
	if (!h->syssize && h->version >= VERSION_SYSSIZE)
		return load_fail(ctx, E_INVAL, "bzImage: syssize is 0");
	return OK;
}

/* The protected-mode code in the file. The header counts it in units, the last may be begun. */
static int code_find(struct load_ctx *ctx, const struct linux_header *h, struct load_segment *s)
{
	uint64_t sects = h->setup_sects ? h->setup_sects : SETUP_SECTS_OLD;
	uint64_t size = ctx->req->kernel_size, have, said;

	s->file_offset = (sects + 1) * SECTOR;
	have = size > s->file_offset ? size - s->file_offset : 0;
	said = h->version < VERSION_SYSSIZE ? have : (uint64_t)h->syssize * SYSSIZE_UNIT;
	if (!have || have + SYSSIZE_UNIT <= said)
		return load_fail(ctx, E_INVAL,
			"bzImage: the file is cut short: %llu bytes, its header says %llu",
			(unsigned long long)size, (unsigned long long)(s->file_offset + said));
	s->file_size = MIN(said, have);
	return OK;
}

/*
 * Where the kernel goes. A relocatable kernel loaded below its preferred address moves itself there
 * anyway, one that is not relocatable always does, so the preferred address must fit in every case.
 */
static int place(struct load_ctx *ctx, const struct linux_header *h, struct load_image *image)
{
	struct load_segment *s = &image->segment[0];
	int err = code_find(ctx, h, s);

	if (err)
		return err;
	image->segment_count = 1;
	s->size = h->version < VERSION_INIT_SIZE ? s->file_size * OLD_INIT_FACTOR
						 : MAX((uint64_t)h->init_size, s->file_size);
	s->base = h->pref_address;
	if (!s->base && !h->relocatable_kernel)
		s->base = h->code32_start;
	s->base = MAX(s->base, MIB(1));
	if (s->base > GIB(4))
		return load_fail(ctx, E_RANGE,
			"bzImage: preferred address 0x%llx is not below 4 GiB",
			(unsigned long long)s->base);
	if (h->relocatable_kernel)
		s->base = align_up(s->base, h->kernel_alignment);
	image->entry = s->base + (h->xloadflags & XLF_KERNEL_64 ? ENTRY64 : 0);

	if (!range_within(s->base, s->size, ctx->layout->low_end))
		return load_fail(ctx, E_RANGE,
			"the kernel needs RAM up to 0x%llx, the guest's ends at 0x%llx: give it more memory",
			(unsigned long long)(s->base + s->size),
			(unsigned long long)ctx->layout->low_end);
	return load_image_check(ctx, image);
}

static int boot_params_write(struct load_ctx *ctx, const struct linux_header *h, gpa_t base)
{
	const struct load_layout *l = ctx->layout;
	struct linux_boot_params *bp = load_low_page(ctx, LOAD_INFO);

	if (!bp)
		return E_RANGE;
	bp->screen = (struct linux_screen_info){
		.mode = VGA_TEXT_MODE,
		.columns = VGA_COLUMNS,
		.ega_bx = EGA_256K,
		.rows = VGA_ROWS,
		.is_vga = 1,
		.font_height = VGA_FONT_HEIGHT,
	};
	bp->hdr = *h;
	bp->hdr.vid_mode = MODE_NORMAL;
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.code32_start = (uint32_t)base;
	bp->hdr.cmd_line_ptr = LOAD_CMDLINE;
	bp->hdr.ramdisk_image = (uint32_t)ctx->result->initrd_base;
	bp->hdr.ramdisk_size = ctx->result->initrd_base ? (uint32_t)ctx->req->initrd_size : 0;
	if (h->version >= VERSION_SETUP_DATA)
		bp->hdr.setup_data = 0;
	bp->acpi_rsdp_addr = l->rsdp;
	bp->e820_entries = (uint8_t)l->map_count;
	for (unsigned i = 0; i < l->map_count; i++)
		bp->e820[i] = (struct linux_e820){l->map[i].base, l->map[i].size, l->map[i].type};
	return OK;
}

int load_linux(struct load_ctx *ctx)
{
	struct load_image image;
	const struct load_segment *kernel = &image.segment[0];
	struct linux_header raw, h;
	int err = header_read(ctx, &raw);

	if (err)
		return err;
	h = header_known(&raw);
	err = header_check(ctx, &h);
	if (!err)
		err = place(ctx, &h, &image);
	if (!err)
		err = load_cmdline(ctx, NULL, h.cmdline_size);
	if (!err)
		err = load_initrd(ctx, &image, h.initrd_addr_max + 1ull);
	if (!err)
		err = load_copy(ctx, kernel->base,
			(const char *)ctx->req->kernel + kernel->file_offset, kernel->file_size,
			"kernel");
	if (!err)
		err = boot_params_write(ctx, &raw, kernel->base);
	if (!err)
		err = h.xloadflags & XLF_KERNEL_64
			      ? load_entry_long(ctx, image.entry)
			      : load_entry_flat32(ctx, image.entry, LOAD_CS_LINUX);
	if (err)
		return err;
	ctx->result->kernel_base = kernel->base;
	ctx->result->entry.rsi = LOAD_INFO;
	return OK;
}
