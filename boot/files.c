/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the config and the files it names from the volume this program came from. Must not know the
 * config's syntax (list.c). Only the config itself is indispensable: what is wrong in it or missing
 * beside it is the hypervisor's to report, guest by guest. No locks.
 */
#include "boot/loader.h"
#include "boot/convert.h"
#include "hv/lib/string.h"

#define CONFIG_PATH     "\\bulkhead\\bulkhead.toml"
#define CONFIG_SIZE_MAX MIB(1)
#define PIECE_SIZE      MIB(1)
#define PROGRESS_STEP   MIB(8) /* shorter files are there before a line is read */
#define PATH_UNITS_MAX  (BOOT_PATH_MAX + 16)

enum { FILE_NOT_FOUND = -1, FILE_NO_MEMORY = -2, FILE_READ_ERROR = -3 };

static EFI_STATUS open_volume(EFI_HANDLE image, EFI_FILE_HANDLE *root)
{
	static EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
	static EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
	EFI_LOADED_IMAGE_PROTOCOL *loaded;
	EFI_FILE_IO_INTERFACE *fs;
	EFI_STATUS status;

	status = firmware_bs->HandleProtocol(image, &loaded_image_guid, (void **)&loaded);
	if (EFI_ERROR(status))
		return status;
	status = firmware_bs->HandleProtocol(loaded->DeviceHandle, &file_system_guid, (void **)&fs);
	return EFI_ERROR(status) ? status : fs->OpenVolume(fs, root);
}

static EFI_STATUS file_size(EFI_FILE_HANDLE file, uint64_t *size)
{
	static EFI_GUID info_guid = EFI_FILE_INFO_ID;
	static union {
		EFI_FILE_INFO info;
		uint8_t bytes[sizeof(EFI_FILE_INFO) + 2 * 256]; /* a FAT name has 255 units */
	} buffer;
	UINTN length = sizeof(buffer);
	EFI_STATUS status = file->GetInfo(file, &info_guid, &length, &buffer);

	if (EFI_ERROR(status))
		return status;
	*size = buffer.info.FileSize;
	return buffer.info.Attribute & EFI_FILE_DIRECTORY ? EFI_NOT_FOUND : EFI_SUCCESS;
}

static EFI_STATUS open_file(
	EFI_FILE_HANDLE root, const uint16_t *path, EFI_FILE_HANDLE *file, uint64_t *size)
{
	EFI_STATUS status = root->Open(root, file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0);

	if (EFI_ERROR(status))
		return status;
	status = file_size(*file, size);
	if (EFI_ERROR(status))
		(*file)->Close(*file);
	return status;
}

static void print_progress(const char *path, uint64_t done, uint64_t size)
{
	firmware_print("\r  %s  %u of %u MiB  %u%%", path, (unsigned)(done >> 20),
		(unsigned)(size >> 20), (unsigned)(done * 100 / size));
}

/* Fill whole pages: what follows the file in its last one must not be the firmware's leftovers. */
static EFI_STATUS read_file(EFI_FILE_HANDLE file, const char *path, uint64_t base, uint64_t size)
{
	uint64_t done = 0;

	while (done < size) {
		UINTN piece = MIN(size - done, PIECE_SIZE);
		EFI_STATUS status = file->Read(file, &piece, (void *)(base + done));

		if (EFI_ERROR(status))
			return status;
		if (!piece)
			return EFI_END_OF_FILE;
		done += piece;
		if (size >= PROGRESS_STEP && done % PROGRESS_STEP == 0)
			print_progress(path, done, size);
	}
	memset((void *)(base + size), 0, align_up(size, PAGE_SIZE) - size);
	return EFI_SUCCESS;
}

static EFI_STATUS load(EFI_FILE_HANDLE root, const uint16_t *wide, const char *path,
	enum boot_mem_type type, uint64_t size_max, uint64_t *base, uint64_t *size)
{
	uint64_t align = type == BOOT_MEM_FILES ? MIB(2) : PAGE_SIZE;
	EFI_FILE_HANDLE file;
	EFI_STATUS status = open_file(root, wide, &file, size);

	if (EFI_ERROR(status))
		return status;
	status = *size > size_max ? EFI_BAD_BUFFER_SIZE : firmware_alloc(*size, align, type, base);
	if (!EFI_ERROR(status)) {
		status = read_file(file, path, *base, *size);
		if (EFI_ERROR(status))
			firmware_free_last();
	}
	file->Close(file);
	return status;
}

static int32_t file_status(EFI_STATUS status)
{
	if (status == EFI_NOT_FOUND)
		return FILE_NOT_FOUND;
	return status == EFI_OUT_OF_RESOURCES ? FILE_NO_MEMORY : FILE_READ_ERROR;
}

static void load_named(EFI_FILE_HANDLE root, struct bootinfo_file *f)
{
	uint16_t wide[PATH_UNITS_MAX];
	EFI_STATUS status = EFI_NOT_FOUND; /* FAT cannot hold a name that is not UTF-16 */

	if (!boot_convert_path(wide, ARRAY_SIZE(wide), f->path))
		status = load(root, wide, f->path, BOOT_MEM_FILES, BIT(52), &f->base, &f->size);
	if (!EFI_ERROR(status)) {
		firmware_print("\r  %s  %u KiB                    \n", f->path,
			(unsigned)(align_up(f->size, KIB(1)) >> 10));
		return;
	}
	f->base = 0;
	f->size = 0;
	f->status = file_status(status);
	firmware_print("\r  warning: bulkhead/%s: %s\n", f->path, firmware_status_text(status));
}

static EFI_STATUS load_config(struct loader *l, EFI_FILE_HANDLE root)
{
	uint16_t wide[PATH_UNITS_MAX];
	EFI_STATUS status = EFI_INVALID_PARAMETER;

	if (!boot_convert_utf16(wide, ARRAY_SIZE(wide), CONFIG_PATH))
		status = load(root, wide, CONFIG_PATH, BOOT_MEM_LOADER, CONFIG_SIZE_MAX,
			&l->info->config, &l->info->config_size);
	if (EFI_ERROR(status))
		firmware_print("bulkhead: cannot read " CONFIG_PATH
			       " on the volume this program was started from: %s\n",
			firmware_status_text(status));
	return status;
}

static EFI_STATUS load_all(struct loader *l, EFI_FILE_HANDLE root)
{
	struct bootinfo_file *files;
	uint64_t base;
	EFI_STATUS status = load_config(l, root);

	if (EFI_ERROR(status))
		return status;
	status = firmware_alloc(LIST_FILES_MAX * sizeof(*files), PAGE_SIZE, BOOT_MEM_LOADER, &base);
	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: no memory for the list of files\n");
		return status;
	}
	files = (struct bootinfo_file *)base;
	l->info->files = base;
	l->info->file_count = boot_list_files(
		(const char *)l->info->config, l->info->config_size, files);
	for (unsigned i = 0; i < l->info->file_count; i++)
		load_named(root, &files[i]);
	return EFI_SUCCESS;
}

EFI_STATUS files_load(struct loader *l)
{
	EFI_FILE_HANDLE root;
	EFI_STATUS status = open_volume(l->image, &root);

	if (EFI_ERROR(status)) {
		firmware_print("bulkhead: the volume this program was started from cannot be read: "
			       "%s\n",
			firmware_status_text(status));
		return status;
	}
	status = load_all(l, root);
	root->Close(root);
	return status;
}
