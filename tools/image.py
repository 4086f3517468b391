# SPDX-License-Identifier: Apache-2.0
"""Make a bootable disk image: GPT with one FAT32 EFI system partition, from ordinary files.

usage: image.py OUT EFI CONFIG TOOL

EFI becomes EFI/BOOT/BOOTX64.EFI and CONFIG bulkhead/bulkhead.toml; every file that CONFIG names
is looked up beside it and becomes bulkhead/<its path>. `TOOL files CONFIG` checks the configuration
and lists these files; what it refuses makes no image. Needs no root, only mtools, and the same
input gives the same image, byte for byte. Writing the image to a USB stick makes that bootable.
"""
import binascii
import os
import pathlib
import struct
import subprocess
import sys
import uuid

SECTOR = 512
ALIGN = 2048  # sectors before the partition: 1 MiB
ENTRIES, ENTRY_SIZE = 128, 128
TABLE_SECTORS = ENTRIES * ENTRY_SIZE // SECTOR
# Emulated IDE disks end at a whole cylinder of 16 heads and 63 sectors.
CYLINDER = 16 * 63
# The firmware takes what has fewer clusters for FAT16; many real machines boot FAT32 only.
FAT32_MIN_CLUSTERS = 65525
MIN_SECTORS = 36 * 2048
MAX_FILE = (1 << 32) - 1
ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
# Fixed identities and times keep the image reproducible.
DISK_ID = uuid.UUID("b0163ead-0000-4000-8000-000000000001")
ESP_ID = uuid.UUID("b0163ead-0000-4000-8000-000000000002")
FAT_SERIAL = "b0163ead"
EPOCH = "1700000000"


class ImageError(Exception):
    """No image can be made; the text says why. Empty: it has been said already."""


def named_files(tool, config):
    """The files the configuration names, as relative paths, after Bulkhead's own check."""
    try:
        run = subprocess.run([tool, "files", config], stdout=subprocess.PIPE, check=False)
    except OSError as e:
        raise ImageError(f"cannot run {tool}: {e.strerror}") from e
    if run.returncode:
        raise ImageError()
    return run.stdout.decode("utf-8", "surrogateescape").splitlines()


def contents(efi, config, tool):
    """{path in the image: source file}"""
    files = {"EFI/BOOT/BOOTX64.EFI": efi, "bulkhead/bulkhead.toml": config}
    folded = {path.lower(): path for path in files}
    for name in named_files(tool, config):
        parts = pathlib.PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or not parts:
            raise ImageError(f"{config}: '{name}' does not stay below the configuration's directory")
        path = str(pathlib.PurePosixPath("bulkhead", *parts))
        # FAT compares names without case.
        if folded.setdefault(path.lower(), path) != path:
            raise ImageError(f"{config}: '{name}' and '{folded[path.lower()]}' differ in case only")
        if path not in files:
            files[path] = os.path.join(os.path.dirname(config), name)
    for source in files.values():
        if not os.path.isfile(source):
            raise ImageError(f"there is no file '{source}'")
        if os.path.getsize(source) > MAX_FILE:
            raise ImageError(f"'{source}' is larger than FAT allows (4 GiB)")
    return files


def directories(files):
    """Every directory above the files, parents first; one spelling of each, as FAT has it."""
    found = {}
    for path in files:
        for parent in reversed(pathlib.PurePosixPath(path).parents[:-1]):
            found.setdefault(str(parent).lower(), str(parent))
    return list(found.values())


def layout(files):
    """(sectors of the partition, sectors of the disk, sectors per cluster) that hold the files."""
    data = sum(-(-os.path.getsize(source) // 4096) * 8 for source in files.values())
    data += data // 32 + 4096  # both FATs, directories, some room
    disk = ALIGN + max(MIN_SECTORS, data) + TABLE_SECTORS + 1
    disk = -(-disk // CYLINDER) * CYLINDER
    partition = disk - ALIGN - TABLE_SECTORS - 1
    cluster = 1
    while cluster < 8 and partition // (cluster * 2) > FAT32_MIN_CLUSTERS * 33 // 32:
        cluster *= 2
    return partition, disk, cluster


def gpt_header(disk, partition, lba, backup_lba, table_lba, table):
    """UEFI specification, GPT header: 92 bytes, its CRC computed with the field zero."""
    def header(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, lba, backup_lba,
                           2 + TABLE_SECTORS, disk - TABLE_SECTORS - 2, DISK_ID.bytes_le, table_lba,
                           ENTRIES, ENTRY_SIZE, binascii.crc32(table))
    return header(binascii.crc32(header(0))).ljust(SECTOR, b"\0")


def write_partition_table(file, disk, partition):
    """Protective MBR, primary and backup GPT."""
    mbr_entry = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, disk - 1)
    table = struct.pack("<16s16sQQQ72s", ESP_TYPE.bytes_le, ESP_ID.bytes_le, ALIGN,
                        ALIGN + partition - 1, 0, "Bulkhead".encode("utf-16-le"))
    table = table.ljust(ENTRIES * ENTRY_SIZE, b"\0")
    last = disk - 1
    backup_table = last - TABLE_SECTORS
    file.seek(0)
    file.write(bytes(446) + mbr_entry.ljust(64, b"\0") + b"\x55\xaa")
    file.write(gpt_header(disk, partition, 1, last, 2, table) + table)
    file.seek(backup_table * SECTOR)
    file.write(table + gpt_header(disk, partition, last, 1, backup_table, table))


def mtools(*command):
    environment = {**os.environ, "MTOOLSRC": os.devnull, "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC",
                   "SOURCE_DATE_EPOCH": EPOCH, "LC_ALL": "C.UTF-8"}
    try:
        run = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    except FileNotFoundError as e:
        raise ImageError(f"'{command[0]}' is not installed: install the package 'mtools'") from e
    if run.returncode:
        raise ImageError(f"{command[0]} failed: {run.stdout.strip()}")


def write_image(out, files):
    partition, disk, cluster = layout(files)
    with open(out, "wb") as file:
        file.truncate(disk * SECTOR)
        write_partition_table(file, disk, partition)
    drive = f"{out}@@{ALIGN * SECTOR}"
    mtools("mformat", "-i", drive, "-F", "-c", str(cluster), "-T", str(partition), "-h", "16",
           "-s", "63", "-H", str(ALIGN), "-N", FAT_SERIAL, "-v", "BULKHEAD", "::")
    mtools("mmd", "-i", drive, *(f"::/{path}" for path in directories(files)))
    for path, source in files.items():
        mtools("mcopy", "-i", drive, source, f"::/{path}")


def make_image(out, efi, config, tool):
    if os.path.lexists(out) and not os.path.isfile(out):
        raise ImageError(f"'{out}' is not an ordinary file: make an image, then copy it there")
    # A stale image must not pass for the result of a refused configuration.
    pathlib.Path(out).unlink(missing_ok=True)
    files = contents(efi, config, tool)
    unfinished = f"{out}.unfinished"
    try:
        write_image(unfinished, files)
        os.replace(unfinished, out)
    finally:
        pathlib.Path(unfinished).unlink(missing_ok=True)


def main():
    if len(sys.argv) != 5:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 4
    try:
        make_image(*sys.argv[1:])
    except (ImageError, OSError) as e:
        if str(e):
            print(f"image: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
