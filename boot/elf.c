/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks and loads a static ELF64 program. Structures are copied out of the file before use: they
 * may lie anywhere, aligned or not. Pure; must not know where the program comes from.
 */
#include "boot/elf.h"
#include "hv/lib/string.h"

/* System V ABI, "Object files": names as there, in our spelling. */
struct elf64_ehdr {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf64_ehdr) == 64, "Elf64_Ehdr");

struct elf64_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf64_phdr) == 56, "Elf64_Phdr");

#define ET_EXEC   2
#define EM_X86_64 62
#define PT_LOAD   1
#define PF_X      1u

static const uint8_t ident_wanted[] = {
	0x7f, 'E', 'L', 'F', 2 /* ELFCLASS64 */, 1 /* ELFDATA2LSB */, 1 /* EV_CURRENT */};

static int read_header(const void *file, size_t size, struct elf64_ehdr *eh)
{
	if (size < sizeof(*eh))
		return E_INVAL;
	memcpy(eh, file, sizeof(*eh));
	if (memcmp(eh->ident, ident_wanted, sizeof(ident_wanted)))
		return E_INVAL;
	if (eh->type != ET_EXEC || eh->machine != EM_X86_64)
		return E_INVAL;
	if (eh->phentsize != sizeof(struct elf64_phdr))
		return E_INVAL;
	if (!range_within(eh->phoff, eh->phnum * sizeof(struct elf64_phdr), size))
		return E_INVAL;
	return OK;
}

static void read_segment(
	const void *file, const struct elf64_ehdr *eh, unsigned i, struct elf64_phdr *ph)
{
	memcpy(ph, (const char *)file + eh->phoff + i * sizeof(*ph), sizeof(*ph));
}

/* *end is the offset from virt_base where the previous segment ended; ELF wants them ascending. */
static int check_segment(const struct elf64_phdr *ph, size_t file_size, uint64_t virt_base,
	uint64_t limit, uint64_t *end)
{
	if (ph->filesz > ph->memsz || !range_within(ph->offset, ph->filesz, file_size))
		return E_INVAL;
	if (ph->vaddr < virt_base || !range_within(ph->vaddr - virt_base, ph->memsz, limit))
		return E_RANGE;
	if (ph->vaddr - virt_base < *end)
		return E_INVAL;
	*end = ph->vaddr - virt_base + ph->memsz;
	return OK;
}

int boot_elf_check(const void *file, size_t file_size, uint64_t virt_base, uint64_t limit,
	struct boot_elf *elf)
{
	struct elf64_ehdr eh;
	struct elf64_phdr ph;
	uint64_t end = 0;
	bool entry_found = false;
	int ret = read_header(file, file_size, &eh);

	if (ret)
		return ret;
	for (unsigned i = 0; i < eh.phnum; i++) {
		read_segment(file, &eh, i, &ph);
		if (ph.type != PT_LOAD || !ph.memsz)
			continue;
		ret = check_segment(&ph, file_size, virt_base, limit, &end);
		if (ret)
			return ret;
		if ((ph.flags & PF_X) && eh.entry >= ph.vaddr && eh.entry - ph.vaddr < ph.filesz)
			entry_found = true;
	}
	if (!entry_found || end > align_down(limit, PAGE_SIZE))
		return E_RANGE;
	elf->entry = eh.entry;
	elf->size = align_up(end, PAGE_SIZE);
	return OK;
}

int boot_elf_load(
	const void *file, size_t file_size, uint64_t virt_base, void *dest, uint64_t dest_size)
{
	struct elf64_ehdr eh;
	struct elf64_phdr ph;
	struct boot_elf elf;
	int ret = boot_elf_check(file, file_size, virt_base, dest_size, &elf);

	if (ret)
		return ret;
	memset(dest, 0, dest_size);
	memcpy(&eh, file, sizeof(eh));
	for (unsigned i = 0; i < eh.phnum; i++) {
		read_segment(file, &eh, i, &ph);
		if (ph.type != PT_LOAD || !ph.memsz)
			continue;
		memcpy((char *)dest + (ph.vaddr - virt_base), (const char *)file + ph.offset,
			ph.filesz);
	}
	return OK;
}
