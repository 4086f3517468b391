# SPDX-License-Identifier: Apache-2.0
"""Other machines: housekeeping on another CPU, CPUs without XSAVE or without what guests need.

Proves that the console and the life of guests do not hang on CPU 0, that guests run where old CPUs
lack what new ones have, and that a machine that can run no guest says so once and still answers its
keys.
"""
from framework import BootTest, Expect, Send, on_models
from payloads import Guest, boot, chain, passed

ON_EACH_CPU = (Guest("zero", "counter", 0, cmdline="3"), Guest("one", "counter", 1, cmdline="3"))
OLD = ("cpuid", "msr", "fpu")


def machine(arguments, text):
    """The same with other lines in [machine]."""
    head, rest = arguments["config"].split("\n\n", 1)
    return {**arguments, "config": f"{head}\n{text}\n\n{rest}"}


def said_once(text):
    count = text.count("no guest can run: ")
    return None if count == 1 else f"the reason is given {count} times"


def no_guest(name, reason, models):
    """A machine on which no guest can run: it gives the reason, and its console works."""
    return BootTest(
        name=name,
        config=boot(*ON_EACH_CPU)["config"].replace("poweroff", "stay"),
        files=boot(*ON_EACH_CPU)["files"],
        steps=(Send("^bulkhead +\\| all guests have stopped", r"\x1dp"),
               Expect("^bulkhead +\\| zero +refused"), Expect("^bulkhead +\\| one +refused")),
        lines=(rf"^bulkhead \| no guest can run: {reason}",),
        forbidden=("PANIC", " started: "),
        check=said_once,
        **on_models(models),
    )


TESTS = [
    BootTest(
        name="housekeeping-1",
        **machine(boot(*ON_EACH_CPU), "housekeeping = 1"),
        lines=tuple(line for guest in ON_EACH_CPU for line in passed(guest)),
    ),
    BootTest(
        name="old-cpu",
        **boot(*chain(*(Guest(name, name) for name in OLD))),
        lines=tuple(line for name in OLD for line in passed(Guest(name, name))),
        **on_models({"bochs-vmx": "corei5_arrandale_m520", "bochs-svm": "phenom_8650_toliman",
                     "qemu-svm": "max,-xsave"}),
    ),
    no_guest("no-ept", "VT-x of this CPU lacks EPT", {"bochs-vmx": "core2_penryn_t9600"}),
    no_guest("no-svm", "this CPU has no AMD-V$", {"qemu-svm": "max,-svm"}),
    no_guest("no-npt", "AMD-V of this CPU lacks nested paging", {"qemu-svm": "qemu64"}),
]
