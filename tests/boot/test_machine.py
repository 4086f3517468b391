# SPDX-License-Identifier: Apache-2.0
"""The hypervisor itself: mistakes in the config at boot, the keys of the console, the panic screen.

Proves that a mistake stops only what it concerns and is said in words, and that a panic's backtrace
is true: each name and offset is compared with nm.
"""
import re
import subprocess

from framework import TOP, BootTest, Expect, Send

FILES = {"images/hello.elf": "build/guests/hello.elf", "images/counter.elf": "build/guests/counter.elf"}

MISTAKES = """
[machine]
when_all_stopped = "poweroff"

[image.hello]
kernel = "images/hello.elf"
cmdline = "I run"

[image.lost]
kernel = "images/lost.elf"

[guest.good]
image = "hello"
cpus = [1]
memory = "4M"
exit_port = 0xf4

[guest.twice]
image = "hello"
cpus = [1]
memory = "4M"

[guest.absent]
image = "hello"
cpus = [7]
memory = "4M"

[guest.big]
image = "hello"
cpus = [0]
memory = "64G"

[guest.fileless]
image = "lost"
cpus = [0]
memory = "4M"

[guest.typo]
image = "hello"
cpus = [0]
memroy = "4M"
memory = "4M"

[guest.round]
image = "hello"
cpus = [0]
memory = "4M"
after = "trip"

[guest.trip]
image = "hello"
cpus = [0]
memory = "4M"
after = "round"
"""

SYNTAX = """
[machine]
when_all_stopped = "poweroff"

[image.hello]
kernel = "images/hello.elf"

[guest.one
image = "hello"
"""

IDLE = """
[image.hello]
kernel = "images/hello.elf"

[guest.one]
image = "hello"
cpus = [1]
memory = "4M"

[guest.two]
image = "hello"
cpus = [1]
memory = "4M"
after = "one"
"""


def no_other_started(text):
    """Only the guest without a mistake."""
    started = re.findall(r"^bulkhead \| (\S+) started:", text, re.M)
    return None if started == ["good"] else f"started: {started}"


def nothing_started(text):
    return "a guest was started" if re.search(r"^bulkhead \| \S+ started:", text, re.M) else None


def backtrace_agrees(text):
    """At least three `function+0x…` lines, and nm says the same of their addresses."""
    lines = re.findall(r"^bulkhead \| +(\w+)\+0x([0-9a-f]+) \(0x([0-9a-f]+)\)$", text, re.M)
    if len(lines) < 3:
        return f"only {len(lines)} lines of backtrace"
    output = subprocess.check_output(["nm", TOP / "build" / "hypervisor.elf"], text=True)
    symbols = {}
    for row in output.splitlines():
        value, _, name = row.split()
        symbols.setdefault(name, set()).add(int(value, 16))
    for name, offset, address in lines:
        if int(address, 16) - int(offset, 16) not in symbols.get(name, ()):
            return f"nm does not agree with {name}+0x{offset}"
    return None


TESTS = [
    BootTest(
        name="config-mistakes",
        config=MISTAKES,
        files=FILES,
        checked=False,
        lines=(
            r"^good \| hello: I run$",
            r"^bulkhead \| bulkhead\.toml:20:\d+: guest\.twice: CPU 1 is also given to guest\.good",
            r"^bulkhead \| bulkhead\.toml:25:\d+: guest\.absent: .*CPU 7",
            r"^bulkhead \| bulkhead\.toml:31:\d+: guest\.big: ",
            r"^bulkhead \| bulkhead\.toml:10:\d+: image\.lost: .*images/lost\.elf",
            r"^bulkhead \| bulkhead\.toml:41:\d+: guest\.typo: .*did you mean \"memory\"",
            r"^bulkhead \| bulkhead\.toml:48:\d+: guest\.round: ",
            r"^bulkhead \| twice is not started: its config has a mistake$",
            r"^bulkhead \| all guests have stopped: powering off$",
        ),
        check=no_other_started,
    ),
    BootTest(
        name="config-syntax",
        config=SYNTAX,
        files=FILES,
        checked=False,
        steps=(Expect(r"^bulkhead \| bulkhead\.toml:8:\d+: .*no guest is started"),),
        check=nothing_started,
    ),
    BootTest(
        name="console-keys",
        config=IDLE,
        files=FILES,
        steps=(
            Send(r"^bulkhead \| one started", r"\x1dp"),
            Send(r"^bulkhead \| one +running +1 +4M +1", r"\x1dk"),
            Send(r"^bulkhead \| one stopped: killed$", r"\x1dn"),
            Send(r"^bulkhead \| focus: two$", r"\x1dr"),
            Send(r"^bulkhead \| two stopped: restart asked for; it is started again$", r"\x1dD"),
            Expect(r"^bulkhead \| stopped: all CPUs are halted"),
        ),
        ends="matched",
        forbidden=(),
        lines=(r"^bulkhead \| PANIC: asked for by the debug key$",),
        check=backtrace_agrees,
    ),
]
