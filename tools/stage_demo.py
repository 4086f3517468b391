# SPDX-License-Identifier: Apache-2.0
"""Put the demo together: its configuration and, below images/, everything that names.

usage: stage_demo.py OUT_DIR BEACON_ELF [kernel|kernel-cloud]

`kernel` is Debian's ordinary one, `kernel-cloud` its small one, which boots faster.
"""
import pathlib
import shutil
import sys

import fetch_debian
import initrd

DEMO = pathlib.Path(__file__).resolve().parent.parent / "guests" / "demo"
INITRD_FILES = {"bin/dmesg": "dmesg", "bin/look": "look", "etc/inittab": "inittab", "etc/rc": "rc",
                "etc/profile": "profile"}


def write_initrd(out, i386=False, **instead):
    """`i386`: with a 32-bit BusyBox; `instead`: other files for some of guests/demo/."""
    files = {name: instead.get(source, DEMO / source) for name, source in INITRD_FILES.items()}
    busybox = fetch_debian.fetch("busybox")
    busybox.chmod(0o755)
    inside = fetch_debian.fetch("busybox-i386") if i386 else busybox
    pathlib.Path(out).write_bytes(initrd.make_initrd(inside, files, lister=busybox))


def stage(out, beacon, kernel):
    images = pathlib.Path(out) / "images"
    images.mkdir(parents=True, exist_ok=True)
    write_initrd(images / "initrd.img")
    shutil.copyfile(fetch_debian.fetch(kernel), images / "vmlinuz")
    shutil.copyfile(beacon, images / "beacon.elf")
    shutil.copyfile(DEMO / "bulkhead.toml", pathlib.Path(out) / "bulkhead.toml")


def main():
    kernel = sys.argv[3] if len(sys.argv) == 4 else "kernel"
    if len(sys.argv) not in (3, 4) or kernel not in ("kernel", "kernel-cloud"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 4
    try:
        stage(sys.argv[1], sys.argv[2], kernel)
    except (fetch_debian.FetchError, OSError) as e:
        print(f"stage_demo: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
