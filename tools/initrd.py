# SPDX-License-Identifier: Apache-2.0
"""Make an initial RAM file system (cpio "newc", not compressed) around a static BusyBox; no root needed.

usage: initrd.py OUT BUSYBOX [PATH=FILE]...

Holds /bin/busybox, a link for each of its applets, /init (BusyBox's init), /dev/console and FILE as
PATH, with FILE's permissions. Not compressed: unpacking costs an emulated guest more than reading.
"""
import os
import stat
import subprocess
import sys

DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr"]
# Everything is in /bin; the other places that scripts name lead there.
LINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "init": "bin/busybox"}
CONSOLE = os.makedev(5, 1)


class Archive:
    """A cpio archive in the "newc" format: Linux, Documentation/driver-api/early-userspace."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0
        self.names = set()

    def add(self, name, mode, content=b"", device=0):
        self.inode += 1
        self.names.add(name)
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, os.major(device),
                  os.minor(device), len(path), 0)
        self.data += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self.pad(4)
        self.data += content
        self.pad(4)

    def pad(self, size):
        self.data += bytes(-len(self.data) % size)

    def finish(self):
        self.add("TRAILER!!!", 0)
        self.pad(512)
        return bytes(self.data)


def make_initrd(busybox, files, lister=None):
    """The archive as bytes; files is {path inside: path of the source}.

    `lister`: a BusyBox that runs here and says which applets there are, if the other does not.
    """
    archive = Archive()
    for name in DIRECTORIES:
        archive.add(name, stat.S_IFDIR | 0o755)
    for name, target in LINKS.items():
        archive.add(name, stat.S_IFLNK | 0o777, target.encode())
    # init's messages need a console before devtmpfs is there.
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE)
    with open(busybox, "rb") as file:
        archive.add("bin/busybox", stat.S_IFREG | 0o755, file.read())
    for applet in subprocess.check_output([lister or busybox, "--list"], text=True).split():
        if applet not in ("busybox", "init") and f"bin/{applet}" not in files:
            archive.add(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")
    for name, source in files.items():
        parent = os.path.dirname(name)
        if parent and parent not in archive.names:
            archive.add(parent, stat.S_IFDIR | 0o755)
        with open(source, "rb") as file:
            archive.add(name, stat.S_IFREG | (0o755 if os.access(source, os.X_OK) else 0o644),
                        file.read())
    return archive.finish()


def main():
    if len(sys.argv) < 3 or any("=" not in argument for argument in sys.argv[3:]):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 4
    out, busybox, *rest = sys.argv[1:]
    try:
        data = make_initrd(busybox, dict(argument.split("=", 1) for argument in rest))
        with open(out, "wb") as file:
            file.write(data)
    except (OSError, subprocess.SubprocessError) as e:
        print(f"initrd: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
