# SPDX-License-Identifier: Apache-2.0
"""The console on the screen, read off pictures: the boot log, guests, what scrolls, the panic.

The screen must show what the serial console shows, cell by cell, and known lines must be there. On
a machine without a serial port it is the only output. Runs in QEMU, whose cards the firmware has a
framebuffer for.
"""
import dataclasses
import re
import time

import qemu
import screen
import payloads
from framework import TOP, BootTest, Expect, Failure, Send

VERSION = (TOP / "VERSION").read_text(encoding="utf-8").strip()
SETTLE_S = 20  # drawing goes on in slices; this machine may be busy


@dataclasses.dataclass(frozen=True)
class Look:
    """Wait until the screen shows what the console has shown, and a match for each expression."""
    lines: tuple[str, ...]
    colors: tuple[tuple[str, str], ...] = ()  # (expression, colour of its first cell as RRGGBB)
    console: bool = True  # False: the screen shows something else


@dataclasses.dataclass(frozen=True)
class ScreenTest(BootTest):
    hardware: qemu.Hardware = qemu.Hardware()


def said(machine):
    """The hypervisor's part of the console; the firmware and the loader use it too."""
    text = machine.text()
    start = text.find("bulkhead | Bulkhead ")
    return text[start:] if start >= 0 else ""


def problem_with(console, look, text):
    """Why a picture is not what it should be, or None. Without a console text is None."""
    if text is not None:
        for number, row in enumerate(screen.wrapped(text, console.columns, len(console.rows))):
            if console.rows[number] != row:
                return f"row {number} is {console.rows[number]!r}, not {row!r}"
    shown = "\n".join(console.rows)
    for line in look.lines:
        if not re.search(line, shown, re.MULTILINE):
            return f"not on the screen: {line}"
    for line, color in look.colors:
        match = re.search(line, shown, re.MULTILINE)
        if not match:
            return f"not on the screen: {line}"
        row = shown.count("\n", 0, match.start())
        column = match.start() - (shown.rfind("\n", 0, match.start()) + 1)
        ink = console.colors[row][column]
        if ink is None or ink.hex() != color:
            return f"the colour of {match.group()!r} is {ink and ink.hex()}, not {color}"
    return None


class Watcher:
    """Follows a test's steps on a machine."""

    def __init__(self, test, machine, image):
        self.test, self.machine, self.image = test, machine, image
        self.deadline = time.monotonic() + test.timeout
        self.position = 0

    def wait(self, expression):
        wanted = re.compile(expression, re.MULTILINE)
        match = self.machine.wait_until(lambda: wanted.search(self.machine.text(), self.position),
                                        self.deadline)
        if not match:
            raise Failure(f"still waiting for: {expression}")
        self.position = match.end()

    def look(self, look):
        console = problem = None
        serial = self.test.hardware.serial and look.console
        deadline = min(self.deadline, time.monotonic() + SETTLE_S) if serial else self.deadline

        def right():
            nonlocal console, problem
            picture = self.machine.picture()
            self.image.with_name("screen.ppm").write_bytes(picture)
            try:
                console = screen.read(picture)
                problem = problem_with(console, look, said(self.machine) if serial else None)
            except screen.NotReadable as e:
                problem = str(e)
            return problem is None

        if not self.machine.wait_until(right, deadline, pause=0.5):
            rows = "\n".join(console.rows).rstrip() if console else ""
            raise Failure(f"{problem}\n---- the screen ({self.image.with_name('screen.ppm')}):\n{rows}")
        return console

    def step(self, step):
        if isinstance(step, Look):
            return self.look(step)
        self.wait(step.after if isinstance(step, Send) else step.expression)
        if isinstance(step, Send):
            self.machine.send(step.text)
        return None


def boot(test, image, log):
    """Run a ScreenTest; the last word and status are as tools/emulate's."""
    start = time.monotonic()
    console = None
    with qemu.machine(image, log, test.hardware) as machine:
        watcher = Watcher(test, machine, image)
        for step in test.steps:
            console = watcher.step(step) or console
    with open(log, "a", encoding="utf-8") as file:
        if not test.hardware.serial:
            file.write("\n".join(console.rows))
        file.write(f"\nemulate: matched after {time.monotonic() - start:.1f} s\n")
    return "matched", 0


def config(guests, head=""):
    """Guests on a CPU that no machine here has: nothing starts, and each one gives a line."""
    text = f"[machine]\n{head}\n[image.hello]\nkernel = \"images/hello.elf\"\n"
    return text + "".join(f"\n[guest.g{n}]\nimage = \"hello\"\ncpus = [{n + 100}]\nmemory = \"4M\"\n"
                          for n in range(guests))


def running(*guests):
    """The arguments `config` and `files` for guests that do run, in colours."""
    arguments = payloads.boot(*guests)
    text = arguments["config"].replace("\"poweroff\"\n", "\"stay\"\ncolor = true\n", 1)
    return {**COMMON, **arguments, "config": text}


def vga(width, height):
    return ("-device", f"VGA,xres={width},yres={height},vgamem_mb=32")


COMMON = {"files": {"images/hello.elf": "build/guests/hello.elf"}, "checked": False,
          "platforms": ("qemu-svm",), "emulator": boot, "ends": "matched"}
BANNER = rf"^bulkhead \| Bulkhead {re.escape(VERSION)}$"
CPU_1 = r"^bulkhead \| CPU 1: APIC ID 1$"
ALL_STOPPED = r"^bulkhead \| all guests have stopped$"
PANIC = r"^bulkhead \| PANIC: asked for by the debug key$"
HALTED = r"^bulkhead \| stopped: all CPUs are halted$"
BACKTRACE = r"^bulkhead \|   housekeeping_poll\+0x[0-9a-f]+ \(0x[0-9a-f]+\)$"

# One shares the housekeeping CPU, which draws between its instructions.
COUNTERS = (payloads.Guest("zero", "counter", 0, cmdline="5"),
            payloads.Guest("one", "counter", 1, cmdline="60"))
COUNTED = tuple(line for guest in COUNTERS for line in payloads.passed(guest))

TESTS = [
    # The boot log, then keys and their answers, then the panic below all that.
    ScreenTest(
        name="screen",
        config=config(2),
        steps=(
            Expect(ALL_STOPPED),
            Look((BANNER, r"^bulkhead \| screen: 50 lines of 160 characters$", CPU_1,
                  r"^bulkhead \| bulkhead\.toml:\d+:\d+: guest\.g1: .*CPU 101", ALL_STOPPED)),
            Send("", r"\x1dp"),
            Expect(r"^bulkhead \| g1 +\S+ +101 +4M +0"),
            Look((BANNER, r"^bulkhead \| NAME +STATE +CPU +MEMORY +STARTS  LAST$")),
            Send("", r"\x1dD"),
            Expect(HALTED),
            Look((BANNER, PANIC, r"^bulkhead \| CPU \d+ \(APIC ID \d+\) of 2, version ", BACKTRACE, HALTED)),
        ),
        forbidden=(),
        **COMMON,
    ),
    # More lines than fit, lines longer than the screen is wide, colours.
    ScreenTest(
        name="screen-small",
        config=config(60, "color = true\n"),
        hardware=qemu.Hardware(display=vga(640, 480)),
        steps=(
            Expect(ALL_STOPPED),
            Look((r"^bulkhead \| g59 is not started: its config has a mistake$", ALL_STOPPED),
                 ((r"^bulkhead \| all", "ffffff"), (r"all guests have stopped$", "c8c8c8"))),
            Send("", r"\x1d?"),
            Expect(r"^bulkhead \| after Ctrl-\]: n next guest.*$"),
            Look((r"^bulkhead \| after Ctrl-\]: n next guest.*\n.*Ctrl-\] sends Ctrl-\]$",)),
            Send("", r"\x1dD"),
            Expect(HALTED),
            Look((PANIC, BACKTRACE, HALTED), ((PANIC, "c8c8c8"),)),
        ),
        forbidden=(),
        **COMMON,
    ),
    # Guests' lines, with their names in colours; the first ones have scrolled away.
    ScreenTest(
        name="screen-guests",
        steps=(Expect(ALL_STOPPED),
               Look((r"^one \| counter 60$", r"^one \| PASS counter$", ALL_STOPPED),
                    ((r"^one \| counter 60$", "48b048"), (r"counter 60$", "c8c8c8")))),
        lines=COUNTED,
        **running(*COUNTERS),
    ),
    ScreenTest(
        name="screen-only-guests",
        hardware=qemu.Hardware(serial=False),
        steps=(Look((r"^zero \| counter 5$", r"^one \| counter 30$")),
               Look((r"^one \| PASS counter$", ALL_STOPPED))),
        **running(*COUNTERS),
    ),
    # A guest's own screen instead of the console, followed as it changes, until the key comes
    # again.
    ScreenTest(
        name="screen-view",
        steps=(
            Expect(r"vga +\| the screen is drawn$"),
            Send("", r"\x1dv"),
            Look((r"\Ascreen of vga; Ctrl-\] v: back\nfirst row\n  second row: \. is not ASCII\n",
                  r"^the last row ends in column 80 -+>$"),
                 console=False),
            Send("", "-"),
            Expect(r"vga +\| the screen is scrolled$"),
            Look((r"\Ascreen of vga; Ctrl-\] v: back\n  second row", r"^below the screen$"),
                 console=False),
            Send("", r"\x1dv"),
            Look((r"^vga \| the screen is scrolled$",)),
            Send("", r"-"),
            Expect(ALL_STOPPED),
            Look((r"^vga \| PASS vga$", ALL_STOPPED)),
        ),
        **running(payloads.Guest("vga", "vga", 1, cmdline="wait")),
    ),
    # No serial port: nothing but the screen says anything. Its glyphs are enlarged.
    ScreenTest(
        name="screen-only",
        config=config(2),
        hardware=qemu.Hardware(display=vga(2560, 1440), serial=False),
        steps=(Look((BANNER, r"^bulkhead \| screen: 45 lines of 160 characters$", CPU_1,
                     r"^bulkhead \| bulkhead\.toml:\d+:\d+: guest\.g1: .*CPU 101", ALL_STOPPED)),),
        lines=(BANNER, ALL_STOPPED),
        **COMMON,
    ),
]
