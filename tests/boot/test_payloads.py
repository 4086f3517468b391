# SPDX-License-Identifier: Apache-2.0
"""The virtual PC as seen from inside: payload guests that check what they were promised."""
import dataclasses
import re

from framework import ALL_PLATFORMS, BootTest, Expect, Send, on_models
from payloads import (EXACT, Guest, boot, chain, check_neighbour, ended, neighbour, no_failure,
                      passed, stopped)

# One line each; the guest is called as its payload unless a second one of a kind needs a name.
CPU = [Guest(name, name) for name in ("cpuid", "msr", "paging", "protect", "la57", "debug",
                                     "fpu")]
DEVICES = [Guest(name, name) for name in ("ports", "mmio", "emulation", "interrupts", "pic", "vga",
                                           "rtc", "keyboard")]
DEVICES += [Guest("debugio", "debugio", debug_mmio=True),
            Guest("emulation-buffer", "emulation", cmdline="buffer", debug_mmio=True)]
TIME = [Guest(name, name) for name in ("timer", "halt")]
# The second finds zeroes where the first left its pattern.
MEMORY = [Guest("memory-1", "memory"), Guest("memory-2", "memory", cmdline="quick"),
          Guest("memory-16", "memory", memory="16M"), Guest("memory-17", "memory", memory="16M")]
START = [Guest("hello", "hello", cmdline="one two  three"),
         Guest("multiboot", "multiboot", cmdline="four five"),
         Guest("linux32", "linux32", cmdline="six"),
         Guest("linux32-old", "linux32-old", cmdline="seven  eight")]
ALL = CPU + DEVICES + TIME + MEMORY + START

SAID = [r"^hello +\| hello: one two  three$", r"^multiboot +\| multiboot: multiboot four five\b",
        r"^linux32 +\| linux32: six$", r"^linux32-old +\| linux32: seven  eight$"]
# Byte by byte, and by a string instruction, through the debug ports.
ALL_SAID = [r"^debugio +\| debug port: one line$", *SAID]


# What the payload `cpuid` says is shown, per CPU model: all that the bare CPU has. "?": in some
# versions of the emulator (QEMU 10 has PCIDs, INVPCID and RDPID).
FEATURES = {
    "bochs-vmx": "-la57 +smep +smap -pku -pks -umip +pcid +invpcid +fsgsbase +rdtscp -rdpid",
    "broadwell_ult": "-la57 +smep +smap -pku -pks -umip +pcid +invpcid +fsgsbase +rdtscp -rdpid",
    "corei7_icelake_u": "-la57 +smep +smap +pku -pks +umip +pcid +invpcid +fsgsbase +rdtscp +rdpid",
    "bochs-svm": "-la57 +smep +smap -pku -pks -umip -pcid -invpcid +fsgsbase +rdtscp -rdpid",
    "zambezi": "-la57 -smep -smap -pku -pks -umip -pcid -invpcid -fsgsbase +rdtscp -rdpid",
    "qemu-svm": "+la57 +smep +smap +pku +pks +umip ?pcid ?invpcid +fsgsbase +rdtscp ?rdpid",
    "EPYC": "-la57 +smep +smap -pku -pks -umip ?pcid ?invpcid +fsgsbase +rdtscp ?rdpid",
}


def features(key):
    """The line of the payload `cpuid`."""
    signs = {"+": r"\+", "-": "-", "?": "[+-]"}
    words = (signs[word[0]] + word[1:] for word in ("+nx +1g " + FEATURES[key]).split())
    return (r"^cpuid +\| features: " + " ".join(words),)


def on(cpu, guests):
    return chain(*(dataclasses.replace(g, cpu=cpu) for g in guests))


def told(config, guest, hint):
    """The config with the guest's command line."""
    return config.replace(f"[guest.{guest}]\n", f"[guest.{guest}]\ncmdline = \"{hint}\"\n")


def in_bochs(arguments):
    """Bochs asks who accesses a page to choose between PKRU and PKRS, not whose page it is; on
    bochs-svm an intercepted #DB does not tell its cause to DR6."""
    config = told(arguments["config"], "protect", "keys-by-mode")
    lost = told(config, "debug", "dr6-lost").replace('"four five"', '"four five dr6-lost"')
    return {"bochs-vmx": {"config": config}, "bochs-svm": {"config": lost}}


TWO = boot(neighbour(), *on(1, ALL))
FOUR = boot(*on(0, MEMORY), *on(1, CPU), *on(2, DEVICES), *on(3, TIME + START))
# QEMU's CPUs take turns when it counts instructions, of milliseconds with four: nothing for clocks.
FOUR_QEMU = boot(*on(0, MEMORY), *on(1, CPU), *on(3, START))
ONE = boot(*on(0, ALL))


def model_boot(platform):
    """CPU and clocks; in QEMU a machine of one CPU, so that nothing comes between."""
    cpu = 0 if platform == "qemu-svm" else 1
    arguments = boot(*on(cpu, CPU + TIME))
    return arguments | in_bochs(arguments).get(platform, {}) | {"cpus": cpu + 1}


def check_screen(text):
    """The first view has 25 rows, the second, scrolled by one, begins with the second row."""
    rows = [line for line in text.splitlines() if re.match(r"bulkhead +\| vga: screen \|", line)]
    if len(rows) < 50 or "first row" not in rows[0] or "the last row" not in rows[24]:
        return f"the screen has {len(rows)} rows"
    if "second row" not in rows[-25] or "below the screen" not in rows[-1]:
        return "the start address does not scroll the screen"
    return no_failure(text)


def verify(text):
    return no_failure(text) or check_neighbour(text)


def lines(guests):
    return tuple(line for guest in guests for line in passed(guest))


TESTS = [
    BootTest(
        name="payloads-2-cpus",
        **TWO,
        on=in_bochs(TWO),
        **EXACT,
        lines=lines(ALL) + tuple(ALL_SAID),
        steps=(Expect(ended(ALL[-1].name)),),
        check=verify,
        timeout=240,
    ),
    # Bochs 3.0 with several CPUs counts each VM exit of another CPU as an instruction of CPU 0 (the
    # variable of its SMP loop does not survive longjmp), which ends a shadow of STI or MOV SS there
    # too soon: what looks at shadows runs on the others, and on CPU 0 where that is the only one.
    BootTest(
        name="payloads-4-cpus",
        **FOUR,
        on=in_bochs(FOUR) | {"qemu-svm": {
            **FOUR_QEMU, "lines": lines(CPU + MEMORY + START) + tuple(SAID)}},
        lines=lines(ALL) + tuple(ALL_SAID),
        **EXACT,
        cpus=4,
        check=no_failure,
        timeout=300,
    ),
    BootTest(
        name="payloads-1-cpu",
        **ONE,
        on={platform: in_bochs(ONE).get(platform, {}) | {
            "lines": lines(ALL) + tuple(SAID) + features(platform)}
            for platform in ("bochs-vmx", "bochs-svm", "qemu-svm")},
        **EXACT,
        lines=lines(ALL) + tuple(ALL_SAID),
        cpus=1,
        check=no_failure,
        timeout=240,
    ),
    # What stands in text memory, as lines: 25 rows from the start address on; of a guest that
    # fails, without being asked for.
    BootTest(
        name="screen-text",
        **boot(Guest("vga", "vga", 0, cmdline="wait"), Guest("dead", "vga", 1, cmdline="die")),
        steps=(Send(r"vga +\| the screen is drawn\n", r"\x1dv"),
               Send(r"vga: screen \|the last row .*>\n", r"\x1dv-"),
               Send(r"vga +\| the screen is scrolled\n", r"\x1dv"),
               Send(r"vga: screen \|below the screen\n", "-"), Expect(ended("vga"))),
        lines=(r"^bulkhead +\| vga: screen \|first row$",
               r"^bulkhead +\| vga: screen \|  second row: \. is not ASCII$",
               r"^bulkhead +\| vga: screen \|the last row ends in column 80 -+>$",
               *passed(Guest("vga", "vga")), r"^bulkhead +\| dead: screen \|first row$",
               stopped("dead", r"exit 3 \(0x3\)")),
        check=check_screen,
    ),
    # The power button reaches the guest as an SCI, which switches itself off.
    BootTest(
        name="power-button",
        **boot(Guest("button", "button", 0)),
        steps=(Send(r"button +\| press the power button\n", r"\x1do"), Expect(ended("button"))),
        lines=(r"^bulkhead +\| button: power button pressed$", r"^button +\| powering off$",
               stopped("button", "powered off")),
        check=no_failure,
    ),
] + [
    BootTest(
        name=f"payloads-{model}",
        **model_boot(platform),
        lines=lines(CPU + TIME) + features(model),
        **EXACT,
        check=no_failure,
        timeout=240,
        **on_models({platform: model + more}),
    )
    # Payloads know QEMU's own CPU by its brand.
    for platform, model, more in (("bochs-vmx", "broadwell_ult", ""),
                                  ("bochs-vmx", "corei7_icelake_u", ""),
                                  ("bochs-svm", "zambezi", ""),
                                  ("qemu-svm", "EPYC", ",model-id=QEMU"))
]

# Several CPUs of one guest: they share CPU 0 with the hypervisor's work, or have CPUs of their own.
# In Bochs no interrupt of the machine's gets a CPU out of a guest that it entered with IF = 0.
SMP = ("smp", "ipi")


def smp_boot(cpus, cmdline=""):
    guests = chain(*(Guest(name, name, cpus=cpus, cmdline=cmdline) for name in SMP))
    return boot(*guests) | {"cpus": max(cpus) + 1}


TESTS += [
    BootTest(
        name=f"payloads-smp-{len(cpus)}" + ("-apart" if cpus[0] else ""),
        **smp_boot(cpus),
        **EXACT,
        lines=lines([Guest(name, name) for name in SMP]),
        check=no_failure,
        platforms=platforms,
        on={bochs: smp_boot(cpus, "exits") for bochs in ("bochs-vmx", "bochs-svm")},
        timeout=240,
    )
    for cpus, platforms in (((0, 1), ALL_PLATFORMS), ((1, 2), ALL_PLATFORMS),
                            ((0, 1, 2, 3), ALL_PLATFORMS), ((1, 2, 3, 4), ("qemu-svm",)),
                            ((0, 1, 2, 3, 4, 5, 6, 7), ("qemu-svm",)))
]
