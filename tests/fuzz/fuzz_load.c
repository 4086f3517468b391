/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest loading on hostile files: the unit tests' fixture driven by bytes. The first byte picks a
 * valid image to start from, the second the size of the initrd, the third patches or a raw file;
 * what follows is the file itself or patches of it (two bytes where, one byte how many, that many
 * bytes).
 */
#include "tests/unit/test_load.h"

#define RAM MIB(34)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)

static void (*const builder[])(struct load_fixture *) = {
	fx_linux, fx_mb, fx_mb_elf32, fx_elf, fx_linux32};

static void file_patch(struct load_fixture *f, const uint8_t *data, size_t size)
{
	while (size > 3) {
		unsigned at = (data[0] | data[1] << 8) % (f->req.kernel_size - 8), n = data[2] % 9;

		data += 3;
		size -= 3;
		if (n > size)
			n = (unsigned)size;
		memcpy(f->file + at, data, n);
		data += n;
		size -= n;
	}
}

static bool usable(const struct load_fixture *f, gpa_t base, uint64_t size)
{
	for (unsigned i = 0; i < f->layout.map_count; i++) {
		const struct load_e820 *e = &f->layout.map[i];

		if (e->type == LOAD_MEM_USABLE && base >= e->base &&
			range_within(base - e->base, size, e->size))
			return true;
	}
	return false;
}

/* Whatever loads: enters in usable RAM, leaves the firmware's tables alone, has a whole initrd. */
static void loaded_check(struct load_fixture *f, const uint8_t *initrd)
{
	const struct load_entry *e = &f->result.entry;

	MUST(!f->result.error[0]);
	MUST(usable(f, e->rip, 1) && e->rip < GIB(4));
	MUST(e->rip < 0x10000 || e->rip >= 0x20000);
	MUST(usable(f, f->result.kernel_base, 1));
	MUST(fx_get(f, f->layout.acpi_base, 4) == 0xcccccccc);
	MUST(fx_get(f, 0xf0000, 8) == 0xcccccccccccccccc);
	MUST(fx_get(f, e->gdt_base + LOAD_DS(e->cs), 8) == LOAD_DESC_DATA);
	if (!f->req.initrd_size)
		return;
	MUST(usable(f, f->result.initrd_base, f->req.initrd_size));
	MUST(f->result.initrd_base % PAGE_SIZE == 0);
	for (uint64_t i = 0; i < f->req.initrd_size; i++)
		MUST(fx_get(f, f->result.initrd_base + i, 1) == initrd[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct load_fixture *f;
	static uint8_t initrd[256];
	void *exact;

	if (size < 4)
		return 0;
	if (!f) {
		f = fx_create(RAM);
		memset(initrd, 0x77, sizeof(initrd));
		memset(fx_at(f, f->layout.acpi_base), 0xcc, 64);
		memset(fx_at(f, 0xf0000), 0xcc, 64);
	}
	memset(f->file, 0, FX_FILE_MAX);
	builder[data[0] % ARRAY_SIZE(builder)](f);
	f->req.initrd = initrd;
	f->req.initrd_size = data[1];
	if (data[2] & 1) {
		f->req.kernel_size = size - 3 < FX_FILE_MAX ? size - 3 : FX_FILE_MAX;
		memcpy(f->file, data + 3, f->req.kernel_size);
	} else {
		file_patch(f, data + 3, size - 3);
	}

	/* The file in an allocation of its exact size, so that a read past its end is seen. */
	exact = malloc(f->req.kernel_size);
	memcpy(exact, f->file, f->req.kernel_size);
	f->req.kernel = exact;
	if (load_guest(&f->req, &f->mem, &f->result) == OK)
		loaded_check(f, initrd);
	else
		MUST(f->result.error[0]);
	free(exact);
	return 0;
}
