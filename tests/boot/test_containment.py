# SPDX-License-Identifier: Apache-2.0
"""Guests that misbehave end with the cause that fits, or go on until they are killed; beside them a
neighbour runs without a gap, with its memory and registers unchanged.
"""
from framework import BootTest, Expect, Send
from payloads import EXACT, Guest, boot, chain, check_neighbour, ended, neighbour, stopped

ADDRESS = "0x[0-9a-f]+"

# Act (guests/payloads/act.c) and how its guest ends.
ENDS = {
    "triple-fault": "triple fault",
    "msr-read": "triple fault",
    "msr-write": "triple fault",
    "read-end": "read memory that is not its own at 0x400000",
    "read-high": "read memory that is not its own at 0x4000000000",
    "read-below-hole": "read memory that is not its own at 0xafffff00",
    "write-end": "wrote to memory that is not its own at 0x400000",
    "write-high": "wrote to memory that is not its own at 0x4000000000",
    "write-across": "wrote to memory that is not its own at 0x400000",
    "string-across": "wrote to memory that is not its own at 0x400000",
    "exec-end": "executed from 0x400000, which is not its memory",
    "exec-high": "executed from 0x4000000000, which is not its memory",
    "exec-device": "executed from 0xfee00000, which is not its memory",
    "tables-end": f"page tables outside its memory at {ADDRESS}",
    "tables-high": f"page tables outside its memory at {ADDRESS}",
    # Bochs, of a walk into the page that the CPU virtualizes, tells the access that led there.
    "tables-device": f"page tables outside its memory(, reached from| at) {ADDRESS}",
    "idt-end": f"delivering vector 6 touched {ADDRESS}, which is not its memory",
    "stack-end": f"delivering vector 6 touched {ADDRESS}, which is not its memory",
    "stack-unmapped": "triple fault",
    "corrupt-idt": "triple fault",
    "corrupt-gdt": "triple fault",
    "corrupt-tables": "triple fault",
    "vmx-instructions": r"exit 0 \(0x0\)",
    "reserved-bits": r"exit 0 \(0x0\)",
    "port-hammer": r"exit 0 \(0x0\)",
    "mmio-hammer": r"exit 0 \(0x0\)",
    "entry-state": r"exit 0 \(0x0\)",
}

# Acts without an end of their own.
ENDLESS = ("spin", "halt", "sleep", "ipi-storm", "nmi-storm", "timer-storm", "db-loop", "io-storm",
           "wbinvd-loop", "console-flood")

# The same for the Multiboot payload, in 32-bit mode.
MULTIBOOT_ENDS = {"task-switch": "triple fault"}
MULTIBOOT_ENDLESS = ("ac-loop",)

# INT1 does not exist on QEMU's CPU.
QEMU_ENDLESS = tuple(name for name in ENDLESS if name != "db-loop")

# Bochs 2.7 ends for a triple fault, whatever is intercepted, and for CR0.PG without PE. When it
# enters an AMD guest that has interrupts off, none of the machine's gets it out: nothing reaches
# `spin`.
BOCHS_ENDS = {name: cause for name, cause in (ENDS | MULTIBOOT_ENDS).items()
              if cause != "triple fault" and name != "reserved-bits"}
BOCHS_ENDLESS = tuple(name for name in ENDLESS if name != "spin")

NEXT_GUEST, KILL = r"\x1dn", r"\x1dk"


def lines(ends):
    return tuple(stopped(name, cause) for name, cause in ends.items())


def kill(guest):
    """Let it go on while the neighbour ticks three times; then move the focus to it and kill it."""
    return Send(rf"^{guest.name} +\| {guest.payload}: .*" + r"[\s\S]*?tick \d+ [\s\S]*?tick \d+ "
                r"[\s\S]*?tick \d+ ", NEXT_GUEST + KILL)


def ending(ends):
    """What the test of these acts has and expects."""
    acts = chain(*[Guest(name, "multiboot" if name in MULTIBOOT_ENDS else "act", cmdline=name)
                   for name in ends])
    return {**boot(neighbour(), *acts), "lines": lines(ends),
            "steps": (Expect(ended(acts[-1].name)),)}


def endless(names):
    """What the test of these acts has and expects."""
    killed = chain(*[Guest(name, "act", cmdline=name) for name in names],
                   *[Guest(name, "multiboot", cmdline=name) for name in MULTIBOOT_ENDLESS])
    return {**boot(neighbour(), *killed),
            "lines": tuple(stopped(guest.name, "killed") for guest in killed),
            "steps": tuple(kill(guest) for guest in killed) + (Expect(ended(killed[-1].name)),)}


TESTS = [
    BootTest(
        name="containment",
        **ending(ENDS | MULTIBOOT_ENDS),
        **EXACT,
        on={"bochs-svm": ending(BOCHS_ENDS)},
        check=check_neighbour,
        timeout=240,
    ),
    BootTest(
        name="containment-endless",
        **endless(ENDLESS),
        on={"qemu-svm": endless(QEMU_ENDLESS), "bochs-svm": endless(BOCHS_ENDLESS)},
        check=check_neighbour,
        timeout=300,
    ),
]
