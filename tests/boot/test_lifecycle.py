# SPDX-License-Identifier: Apache-2.0
"""How guests end, what follows, and who is started again."""
import re

from framework import BootTest, Expect
from payloads import Guest, boot, chain, ended, stopped

AGAIN = "; it is started again"
RESETS = ("cf9", "kbc", "port92", "init")

ENDINGS = chain(Guest("seven", "exit", cmdline="7"), Guest("off", "poweroff"),
                Guest("zero", "exit", restart="on-failure"), Guest("last", "counter", cmdline="3"))


def count(text, name):
    return len(re.findall(rf"^bulkhead +\| {name} started: ", text, re.M))


def check_once(text):
    """Nobody was started twice."""
    for guest in ENDINGS:
        if count(text, guest.name) != 1:
            return f"{guest.name} was started {count(text, guest.name)} times"
    return None


TESTS = [
    BootTest(
        name="endings",
        **boot(*ENDINGS),
        lines=(stopped("seven", r"exit 7 \(0x7\)"), stopped("off", "powered off"), stopped("zero", r"exit 0 \(0x0\)"),
               r"^last +\| counter 3$", stopped("last", r"exit 0 \(0x0\)")),
        check=check_once,
    ),
    BootTest(
        name="restarts",
        **boot(Guest("failing", "exit", 0, cmdline="5", restart="on-failure"),
               Guest("always", "exit", 1, cmdline="0", restart="always")),
        lines=(stopped("always", r"exit 0 \(0x0\)" + AGAIN),),
        steps=(Expect(ended("failing")),) * 3,
    ),
    # A reset is not an end: the guest is started again whatever `restart` says.
    BootTest(
        name="resets",
        **boot(*[Guest(f"reset-{how}", "reset", cpu, cmdline=how)
                 for cpu, how in enumerate(RESETS)]),
        lines=(stopped("reset-init", "reset by INIT" + AGAIN),) + tuple(
            stopped(f"reset-{how}", "reset" + AGAIN) for how in RESETS[:-1]),
        steps=tuple(Expect(ended(f"reset-{how}")) for how in RESETS) * 2,
        cpus=4,
        timeout=180,
    ),
    BootTest(
        name="reset-by-ones",
        **boot(Guest("ones", "act", cmdline="port-ones")),
        steps=(Expect(ended("ones")),),
    ),
]
