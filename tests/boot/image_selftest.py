# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/image.py: what firmware and people would find in the image, and what is refused."""
import binascii
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest
import uuid

TOP = pathlib.Path(__file__).resolve().parents[2]
SECTOR = 512


class ImageTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.image = self.directory / "out.img"
        self.files = {"images/A long file name.elf": b"payload" * 9999, "images/deep/er/x": b"",
                      "top": b"t"}
        (self.directory / "boot.efi").write_bytes(b"MZ efi")
        (self.directory / "my.toml").write_bytes(b"# config\n")
        for name, data in self.files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def make(self, names=None, tool=None):
        script = self.directory / "tool"
        script.write_text(tool or "#!/bin/sh\n[ $1 = files ] || exit 9\n" + "".join(
            f"echo '{name}'\n" for name in (self.files if names is None else names)))
        script.chmod(0o755)
        return subprocess.run([sys.executable, TOP / "tools" / "image.py", self.image,
                               self.directory / "boot.efi", self.directory / "my.toml", script],
                              capture_output=True, text=True, check=False)

    def refused(self, run, message):
        self.assertNotEqual(run.returncode, 0)
        self.assertIn(message, run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        self.assertEqual(list(self.directory.glob("out.img*")), [])

    def header(self, data, lba):
        """The checked fields of a GPT header and its entries."""
        sector = data[lba * SECTOR:(lba + 1) * SECTOR]
        (signature, revision, size, crc, _, own, other, first, last, _, table_lba, count,
         entry_size, table_crc) = struct.unpack_from("<8sIIIIQQQQ16sQIII", sector)
        self.assertEqual((signature, revision, size, own), (b"EFI PART", 0x10000, 92, lba))
        self.assertEqual(binascii.crc32(sector[:16] + bytes(4) + sector[20:92]), crc)
        table = data[table_lba * SECTOR:][:count * entry_size]
        self.assertEqual(binascii.crc32(table), table_crc)
        return other, first, last, table

    def test_partition_table(self):
        self.assertEqual(self.make().returncode, 0)
        data = self.image.read_bytes()
        end = len(data) // SECTOR - 1
        self.assertEqual(data[510:512], b"\x55\xaa")
        self.assertEqual(data[450], 0xEE)
        self.assertEqual(struct.unpack_from("<II", data, 454), (1, end))
        other, first, last, table = self.header(data, 1)
        self.assertEqual(other, end)
        self.assertEqual(self.header(data, end), (1, first, last, table))
        kind, _, start, stop = struct.unpack_from("<16s16sQQ", table)
        self.assertEqual(uuid.UUID(bytes_le=kind),
                         uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b"))
        self.assertTrue(34 <= first <= start < stop <= last < end - 32)
        # FAT32 by what counts, the number of clusters; and it fits the partition.
        bpb = data[start * SECTOR:(start + 1) * SECTOR]
        cluster, reserved, fats = struct.unpack_from("<BHB", bpb, 13)
        hidden, total, fat = struct.unpack_from("<III", bpb, 28)
        self.assertEqual((hidden, total), (start, stop - start + 1))
        self.assertGreaterEqual((total - reserved - fats * fat) // cluster, 65525)

    def test_files(self):
        self.assertEqual(self.make().returncode, 0)
        wanted = {f"bulkhead/{name}": data for name, data in self.files.items()}
        wanted |= {"EFI/BOOT/BOOTX64.EFI": b"MZ efi", "bulkhead/bulkhead.toml": b"# config\n"}
        for name, data in wanted.items():
            got = subprocess.run(["mtype", "-i", f"{self.image}@@1M", f"::/{name}"],
                                 capture_output=True, check=True)
            self.assertEqual(got.stdout, data, name)

    def test_large_and_reproducible(self):
        with open(self.directory / "top", "wb") as file:
            file.truncate(200 << 20)
        self.assertEqual(self.make().returncode, 0)
        first = self.image.read_bytes()
        self.test_partition_table()
        self.assertEqual(self.image.read_bytes(), first)

    def test_refused_configuration(self):
        self.image.write_bytes(b"stale")
        self.refused(self.make(tool="#!/bin/sh\necho my.toml:3:7: no >&2\nexit 1\n"),
                     "my.toml:3:7: no\n")

    def test_missing(self):
        self.refused(self.make(["images/none"]), "images/none")
        self.refused(self.make(tool="#!/none\n"), "cannot run")

    def test_paths(self):
        for name in ("../tool", "/etc/passwd", "images/../../tool"):
            self.refused(self.make([name]), "does not stay below")
        (self.directory / "TOP").write_bytes(b"")
        self.refused(self.make(["top", "TOP"]), "differ in case only")

    def test_devices_are_left_alone(self):
        run = subprocess.run([sys.executable, TOP / "tools" / "image.py", "/dev/null", "a", "b", "c"],
                             capture_output=True, text=True, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("not an ordinary file", run.stderr)


def main():
    result = unittest.main(exit=False, verbosity=0).result
    failed = len(result.failures) + len(result.errors)
    print(f"image-selftest: {result.testsRun - failed} passed, {failed} failed")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
