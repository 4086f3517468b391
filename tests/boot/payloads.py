# SPDX-License-Identifier: Apache-2.0
"""Configurations of payload guests (guests/README.md), and what their consoles must say."""
import dataclasses
import re

NEIGHBOUR = "neighbour"
GAP_MAX_MS = 300  # of guest time, between two of the neighbour's ticks
TICKS_MIN = 3

# For a test that types nothing: in QEMU nothing at all depends on real time (BootTest.icount).
EXACT = {"icount": "4,sleep=off"}


@dataclasses.dataclass(frozen=True)
class Guest:
    name: str
    payload: str
    cpu: int = 1
    cmdline: str = ""
    after: str = ""
    restart: str = "no"
    memory: str = "4M"
    debug_mmio: bool = False
    cpus: tuple[int, ...] = ()  # instead of cpu, for several

    def table(self):
        cpus = list(self.cpus or (self.cpu,))
        text = (f"\n[guest.{self.name}]\nimage = \"{self.payload}\"\ncpus = {cpus}\n"
                f"memory = \"{self.memory}\"\nexit_port = 0xf4\nrestart = \"{self.restart}\"\n")
        text += f"cmdline = \"{self.cmdline}\"\n" if self.cmdline else ""
        text += "debug_mmio = true\n" if self.debug_mmio else ""
        return text + (f"after = \"{self.after}\"\n" if self.after else "")


def neighbour(cpu=0):
    return Guest(NEIGHBOUR, "neighbour", cpu)


def chain(*guests):
    """The guests one after the other."""
    return [guests[0]] + [dataclasses.replace(guest, after=previous.name)
                          for previous, guest in zip(guests, guests[1:])]


def file_name(payload):
    """Of guests/linux32 come bzImages, of all others ELF files."""
    return payload + (".bzimage" if payload.startswith("linux32") else ".elf")


def boot(*guests, machine=""):
    """The arguments `config` and `files` of a BootTest; `machine`: more keys of that table."""
    payloads = sorted({guest.payload for guest in guests})
    config = f"[machine]\nwhen_all_stopped = \"poweroff\"\n{machine}"
    config += "".join(f"\n[image.{name}]\nkernel = \"images/{file_name(name)}\"\n"
                      for name in payloads)
    return {"config": config + "".join(guest.table() for guest in guests),
            "files": {f"images/{name}": f"build/guests/{name}" for name in map(file_name, payloads)}}


def stopped(name, cause):
    """The line that says how a guest ended; `cause` is an expression."""
    return rf"^bulkhead +\| {name} stopped: {cause}$"


def ended(name):
    """For Expect: the whole line, however it ended."""
    return rf"^bulkhead +\| {name} stopped: .*\n"


def passed(guest):
    """The lines of a payload that finds everything in order."""
    return [rf"^{guest.name} +\| PASS {guest.payload}$", stopped(guest.name, r"exit 0 \(0x0\)")]


def check_neighbour(text):
    """It ran all the time, without a gap, and nothing of it changed."""
    # In one piece: a line that was cut by another guest's goes on in the next with the prefix.
    said = "".join(re.findall(rf"^{NEIGHBOUR} +\| (.*)$", text, re.M))
    complaint = re.search(r"(CORRUPT|FAIL).*?(?=tick \d|$)", said)
    if complaint:
        return f"the neighbour says: {complaint.group()}"
    ticks = [(int(n), int(ms))
             for n, ms in re.findall(r"tick (\d+) t=(\d+) checksum ok", said)]
    if len(ticks) < TICKS_MIN:
        return f"the neighbour ticked {len(ticks)} times"
    for (n, ms), (next_n, next_ms) in zip(ticks, ticks[1:]):
        if next_n != n + 1:
            return f"the neighbour's tick {next_n} follows tick {n}"
        if not 0 <= next_ms - ms <= GAP_MAX_MS:
            return f"the neighbour stood still from {ms} to {next_ms} ms"
    return None


def no_failure(text):
    """No payload complained."""
    match = re.search(r"^[a-z0-9-]+ +\| FAIL .*$", text, re.M)
    return match.group() if match else None
