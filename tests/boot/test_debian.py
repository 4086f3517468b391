# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernels: console, shell, clocks, kernel messages, reboot and power-off.

Proves that the virtual PC is complete enough for a stock kernel, and that a second guest goes on
beside it.
"""
import functools
import re

from framework import (ALL_PLATFORMS, BootTest, Expect, Send, debian_kernel, debian_kernel_generic,
                       debian_kernel_i386, demo_initrd, demo_initrd_i386)
from linux import check_machine, check_messages

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

# Nobody else, and nothing on the command line but the console.
ALONE = """
[machine]
when_all_stopped = "poweroff"

[image.debian]
kernel  = "images/vmlinuz"
initrd  = "images/initrd.img"
cmdline = "console=ttyS0"

[guest.debian]
image  = "debian"
cpus   = {cpus}
memory = "{memory}M"
"""

SHELL = r"^debian \| demo:/# "


def check_clock(text, platform):
    """The local timer interrupts: the count grows over a second of sleep."""
    counts = [int(n) for n in re.findall(r"^debian \| LOC: +(\d+)", text, re.M)]
    if len(counts) < 2 or counts[1] <= counts[0]:
        return f"LOC does not grow: {counts}"
    return check_messages(text, platform)


LOOK = (r"cat /proc/interrupts | grep LOC; sleep 1; cat /proc/interrupts | grep LOC; "
        r"echo messages b''egin; dmesg -l emerg,alert,crit,err,warn; echo messages e''nd\n")


def smp(kernel, cpus, memory, platform, initrd=demo_initrd):
    """The fields for a guest with all CPUs of a machine, or in Bochs all but CPU 0."""
    # Bochs lets no interrupt of the machine out of a guest that it entered with IF = 0: of Linux,
    # which begins so, the hypervisor's work would get no CPU.
    first = 1 if platform.startswith("bochs") else 0
    return {
        "config": ALONE.format(cpus=list(range(first, first + cpus)), memory=memory),
        "files": {"images/vmlinuz": kernel, "images/initrd.img": initrd},
        "cpus": first + cpus,
        "check": check_machine(cpus, memory, platform),
    }


def smp_test(name, kernel, memory, qemu_cpus, initrd=demo_initrd, **more):
    """Debian with several CPUs; in Bochs two, for each costs the time of all."""
    return BootTest(
        name=name,
        on={each: smp(kernel, qemu_cpus if each.startswith("qemu") else 2, memory, each, initrd)
            for each in ALL_PLATFORMS},
        memory=1024,
        steps=(
            Send(SHELL, r"look\n"),
            Send(r"^debian \| messages end", r"poweroff -f\n"),
            Expect(r"^bulkhead \| debian stopped: powered off$"),
        ),
        ends="matched",
        icount="",  # what is typed may get stuck in QEMU 7.2 while it counts instructions
        timeout=600,
        **more,
    )


TESTS = [
    smp_test("debian-smp", debian_kernel, 256, qemu_cpus=4),
    smp_test("debian-smp-generic", debian_kernel_generic, 512, qemu_cpus=8, long=True),
    # By the 32-bit boot protocol. In Bochs it takes six minutes with one CPU.
    smp_test("debian-smp-i386", debian_kernel_i386, 256, qemu_cpus=4, initrd=demo_initrd_i386,
             platforms=("qemu-svm", "qemu-kvm"), long=True),
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
        on={each: {"check": functools.partial(check_clock, platform=each)}
            for each in ALL_PLATFORMS},
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
        on={each: {"check": functools.partial(check_clock, platform=each)}
            for each in ALL_PLATFORMS},
        icount="",  # what is typed may get stuck in QEMU 7.2 while it counts instructions
        timeout=400,
    ),
]
