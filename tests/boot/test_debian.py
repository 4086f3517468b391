# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernels: console, shell, clocks, kernel messages, reboot and power-off.

Proves that the virtual PC is complete enough for a stock kernel, and that a second guest goes on
beside it.
"""
import pathlib
import re

from framework import BootTest, Expect, Send, debian_kernel, debian_kernel_generic, demo_initrd

# What the kernel complains about, each with its reason; compared exactly (debian_messages.txt).
MESSAGES = pathlib.Path(__file__).with_name("debian_messages.txt")

CONFIG = """
[machine]
when_all_stopped = "poweroff"

[image.debian]
kernel  = "images/vmlinuz"
initrd  = "images/initrd.img"
cmdline = "console=ttyS0"

[image.beacon]
kernel = "images/beacon.elf"

[guest.debian]
image  = "debian"
cpus   = [1]
memory = "{memory}"

[guest.beacon]
image  = "beacon"
cpus   = [0]
memory = "4M"
"""

SHELL = r"^debian \| demo:/# "


def known_messages():
    """The committed lines that are not comments; `#` lines above each give the reason."""
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def check_messages(text):
    """The kernel's complaints are among the known ones."""
    shown = re.search(r"^debian \| messages begin$(.*?)^debian \| messages end$", text, re.M | re.S)
    if not shown:
        return "no kernel messages were shown"
    known = known_messages()
    # A line that waits for its end while the neighbour speaks goes on behind the prefix.
    lines = re.sub(r"\n(?!debian \|).*", "", shown[1])
    lines = re.sub(r"\ndebian \| (?!\[ *[\d.]+\] )", "", lines)
    for line in re.findall(r"^debian \| (.+)$", lines, re.M):
        message = re.sub(r"^\[ *[\d.]+\] ", "", line)
        if not any(re.fullmatch(pattern, message) for pattern in known):
            return f"the kernel complains: {line}"
    return None


def check_clock(text):
    """The local timer interrupts: the count grows over a second of sleep."""
    counts = [int(n) for n in re.findall(r"^debian \| LOC: +(\d+)", text, re.M)]
    if len(counts) < 2 or counts[1] <= counts[0]:
        return f"LOC does not grow: {counts}"
    return check_messages(text)


LOOK = (r"cat /proc/interrupts | grep LOC; sleep 1; cat /proc/interrupts | grep LOC; "
        r"echo messages b''egin; dmesg -l emerg,alert,crit,err,warn; echo messages e''nd\n")

TESTS = [
    BootTest(
        name="debian-demo",
        config=CONFIG.format(memory="256M"),
        files={
            "images/vmlinuz": debian_kernel_generic,
            "images/initrd.img": demo_initrd,
            "images/beacon.elf": "build/guests/beacon.elf",
        },
        steps=(
            Send(SHELL, LOOK),
            Send(r"^debian \| messages end", r"poweroff -f\n"),
            Expect(r"^bulkhead \| debian stopped: powered off$"),
            # The neighbour outlives it.
            Expect(r"^beacon \| beacon \d+: checksum ok$"),
        ),
        check=check_clock,
        icount="",  # what is typed may get stuck in QEMU 7.2 while it counts instructions
        timeout=400,
    ),
    # Its virtual terminal is on the VGA, and seen there.
    BootTest(
        name="debian-screen",
        config=CONFIG.format(memory="128M").replace("console=ttyS0", "console=tty0 console=ttyS0"),
        files={
            "images/vmlinuz": debian_kernel_generic,
            "images/initrd.img": demo_initrd,
            "images/beacon.elf": "build/guests/beacon.elf",
        },
        steps=(
            Send(SHELL, r"echo it is d''rawn > /dev/tty0; echo do''ne\n"),
            Send(r"^debian \| done", r"\x1dv"),
            Expect(r"^bulkhead \| debian: screen \|it is drawn$"),
        ),
        lines=(r"^debian \| \[.*Console: colour VGA\+ 80x25", r"^bulkhead \| debian: screen \|\[ .*"),
        platforms=("qemu-svm",),
        icount="",  # what is typed may get stuck in QEMU 7.2 while it counts instructions
        timeout=400,
    ),
    BootTest(
        name="debian-reboot",
        config=CONFIG.format(memory="128M"),
        files={
            "images/vmlinuz": debian_kernel,
            "images/initrd.img": demo_initrd,
            "images/beacon.elf": "build/guests/beacon.elf",
        },
        steps=(
            Send(SHELL, LOOK),
            Send(r"^debian \| messages end", r"reboot -f\n"),
            Expect(r"^debian \| \[    0.000000\] Linux version"),
        ),
        check=check_clock,
        icount="",  # what is typed may get stuck in QEMU 7.2 while it counts instructions
        timeout=400,
    ),
]
