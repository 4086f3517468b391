#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Debian's kernels complain of on the emulated machines without a hypervisor.

usage: bare.py record [PLATFORM]...    write bare_messages.txt anew for these, or for all
       bare.py compare                 boot bare once more in QEMU and judge the long test's console

The machine, its firmware and the boot disk are tools/emulate's; the firmware's own shell starts the
kernel, with the initial RAM disk and command line that guests have; only init's table differs, so
that nothing need be typed. On a busy host timer interrupts come so late that bare Linux panics now
and then, so it gets TRIES; counting instructions instead, QEMU 7.2 starves all CPUs but one.
`compare` says what a guest complains of that neither the bare machine does, today, nor the list of
differences has.
"""
import re
import sys

import framework
import image
import stage_demo
from framework import BootTest, Expect
from linux import BARE, BEGIN, complaints, recorded, unknown, without_addresses

HEAD = """\
# Kernel messages of level warning and above that Debian's kernels print on the emulators without
# Bulkhead. Written by `tests/boot/bare.py record`; numbers in them are not compared.
# debian_messages.txt has what only guests say.
"""
CMDLINE = "console=ttyS0"
INITTAB = "::sysinit:/etc/rc\n::wait:/bin/look\n"
# CPUID 15h gives the real part's frequency in Bochs, and a timed MWAITX never wakes there.
BOCHS = f"{CMDLINE} tsc_early_khz=100000 clearcpuid=221"
COMPARED = "qemu-svm"
TRIES = 4
LONG_LOG = framework.TOP / "build" / "boot-test" / f"debian-smp-generic.{COMPARED}.log"
WORK = framework.TOP / "build" / "bare"
KERNELS = {"cloud": framework.debian_kernel, "generic": framework.debian_kernel_generic}
# platform: (kernel, CPUs, MB, command line). In Bochs the cloud kernel finds no other CPUs, for
# there is no ACPI, and each boot takes minutes.
MACHINES = {
    "bochs-vmx": [("cloud", 1, 256, BOCHS)],
    "qemu-svm": [("cloud", 4, 256, CMDLINE), ("generic", 8, 512, CMDLINE)],
    "bochs-svm": [("cloud", 1, 256, BOCHS)],
}


def write_image(out, kernel, cmdline):
    """A disk on which the firmware finds no loader, and so starts its shell, and that our script."""
    script = WORK / "startup.nsh"
    script.write_text(f"fs0:\r\n\\bare\\vmlinuz.efi {cmdline} initrd=\\bare\\initrd.img\r\n",
                      encoding="ascii")
    inittab, initrd = WORK / "inittab", WORK / "initrd.img"
    inittab.write_text(INITTAB, encoding="ascii")
    stage_demo.write_initrd(initrd, inittab=inittab)
    image.write_image(str(out), {"startup.nsh": script, "bare/vmlinuz.efi": KERNELS[kernel](),
                                 "bare/initrd.img": initrd})


def boot(platform, kernel, cpus, memory, cmdline):
    """The messages of one boot; Failure if there are none."""
    WORK.mkdir(parents=True, exist_ok=True)
    label = f"{kernel}.{platform}"
    disk, log = WORK / f"{label}.img", WORK / f"{label}.log"
    write_image(disk, kernel, cmdline)
    test = BootTest(name=label, cpus=cpus, memory=memory, icount="",
                    timeout=300 if platform == COMPARED else 900,
                    steps=(Expect(r"^messages end$|end Kernel panic"),))
    runner = framework.Runner(WORK, WORK, WORK)
    for _ in range(TRIES):
        log.write_bytes(b"")
        end, _ = runner.boot(test, platform, disk, log)
        text = framework.plain_text(log)
        messages = complaints(text, guest="")
        if messages is not None:
            break
    disk.unlink()
    if messages is None:
        raise framework.Failure(f"the bare machine ended with '{end}', see {log}")
    return re.search(r"Linux version (\S+)", text)[1], messages


def record(names):
    kept = recorded()
    for platform in names or MACHINES:
        lines = []
        for kernel, cpus, memory, cmdline in MACHINES[platform]:
            print(f"bare: {platform}, {kernel} kernel", flush=True)
            release, messages = boot(platform, kernel, cpus, memory, cmdline)
            lines.append(f"{BEGIN}{platform}: Linux {release}, {cpus} CPUs, {cmdline}")
            lines += sorted(set(map(without_addresses, messages)))
        kept[platform] = lines
    text = "".join("\n" + "\n".join(kept[name]) + "\n" for name in MACHINES if name in kept)
    BARE.write_text(HEAD + text, encoding="utf-8")
    return 0


def compare():
    """As record() boots it, against the guest of the long test."""
    machine = next(each for each in MACHINES[COMPARED] if each[0] == "generic")
    guest = complaints(framework.plain_text(LONG_LOG)) if LONG_LOG.exists() else None
    if guest is None:
        raise framework.Failure(f"{LONG_LOG} has no kernel messages: `make test-long` makes it")
    _, bare = boot(COMPARED, *machine)
    new = unknown(guest, bare)
    for message in new:
        print(f"bare: only the guest says: {message}")
    print(f"bare: {len(guest)} messages in the guest, {len(bare)} on the bare machine")
    return 1 if new else 0


def main():
    command, *names = sys.argv[1:] or [""]
    if command not in ("record", "compare") or set(names) - set(MACHINES):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 4
    try:
        failed = record(names) if command == "record" else compare()
    except (framework.Failure, image.ImageError, OSError) as e:
        print(f"bare: {e}", file=sys.stderr)
        failed = 1
    if command == "compare":
        print(f"bare: {1 - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
