# SPDX-License-Identifier: Apache-2.0
"""Dependencies go down only: who may include what, as a table.

core -> vm -> {vmx, svm} -> {cpu, phys, back} -> pure machinery -> defs, abi -> lib.
"""
import re

from check_lib import code_of, files_ending, text_of

LIB = ("hv/lib/",)
ABI = LIB + ("hv/abi/", "arch/x86/defs/", "boot/bootinfo.h")
PURE = ABI + ("hv/config/", "hv/mm/", "hv/io/", "hv/trace/", "hv/sched/", "arch/x86/mm/",
              "arch/x86/emul/", "arch/x86/policy/", "drivers/virt/")
MACHINE = PURE + ("arch/x86/cpu/", "drivers/phys/", "drivers/back/")
# What a vendor's extension rests on: it decodes exits and knows no device, no config, no guest.
VENDOR = ABI + ("arch/x86/virt/", "arch/x86/cpu/", "arch/x86/mm/", "hv/mm/", "hv/trace/",
                "asm_offsets.h")

# Directory -> what its files may include besides each other. The longest directory counts.
ALLOWED = {
    "hv/lib": (),
    "hv/abi": LIB,
    "arch/x86/defs": LIB,
    "hv/config": LIB,
    "hv/mm": ABI,
    "hv/io": ABI,
    "hv/trace": ABI,
    "hv/sched": ABI,
    "arch/x86/mm": ABI,
    "arch/x86/emul": ABI,
    "arch/x86/policy": ABI,
    "drivers/virt": LIB + ("dsdt.h",),
    "arch/x86/cpu": ABI + ("arch/x86/mm/", "drivers/phys/", "asm_offsets.h"),
    "drivers/phys": ABI + ("arch/x86/cpu/", "hv/io/screen.h"),
    "drivers/back": MACHINE,
    "arch/x86/virt": ABI + ("arch/x86/cpu/", "arch/x86/mm/"),
    "arch/x86/vmx": VENDOR,
    "arch/x86/svm": VENDOR,
    "hv/vm": MACHINE + ("arch/x86/virt/",),
    "hv/core": MACHINE + ("arch/x86/virt/", "hv/vm/"),
    "boot": LIB + ("hv/config/",),
    "guests": ABI + ("arch/x86/cpu/insn.h",),  # payloads run privileged too
    "tools": LIB + ("hv/config/",),
    "tests": ("",),
}

# One include of one file, and why it is right. An exception that is no longer used is a problem.
EXCEPTIONS = {
    ("arch/x86/cpu/insn.h", "tests/fakes/insn_fake.h"):
        "only in host tests: their privileged instructions",
    ("arch/x86/vmx/vmx_insn.h", "tests/fakes/vmx_fake.h"):
        "only in host tests: their VT-x",
    ("arch/x86/svm/svm_insn.h", "tests/fakes/svm_fake.h"):
        "only in host tests: their AMD-V",
    ("arch/x86/cpu/asm_offsets.c.in", "arch/x86/svm/svm.h"):
        "offsets for assembly; never linked",
    ("arch/x86/cpu/asm_offsets.c.in", "arch/x86/virt/virt.h"):
        "offsets for assembly; never linked",
    ("arch/x86/cpu/asm_offsets.c.in", "arch/x86/vmx/vmx.h"):
        "offsets for assembly; never linked",
    ("hv/mm/memory.c", "arch/x86/cpu/host_map.h"):
        "the running hypervisor's pool; the one impure file there, replaced in host tests",
}

# Headers in angle brackets: the freestanding ones everywhere, others only here.
FREESTANDING = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h"}
SYSTEM = {
    "hv/lib/string.h": {"string.h"},  # host builds: the sanitizers watch the C library's
    "boot/firmware.h": {"efi.h"},
}
HOSTED = ("tools/", "tests/")

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)
VENDOR_WORD = re.compile(r"vmc[sb]", re.IGNORECASE)
# The fake of VT-x, and tests that look at what reaches it.
VENDOR_WORD_ALLOWED = ("arch/x86/", "tests/fakes/", "tests/unit/test_vm", "tests/unit/test_svm")


def row_of(name):
    directories = [d for d in ALLOWED if name.startswith(d + "/")]
    return max(directories, key=len, default=None)


def line_at(text, offset):
    return text.count("\n", 0, offset) + 1


def includes(name):
    """(line, bracket, what) of each include."""
    text = code_of(name, strings=True)
    for match in INCLUDE.finditer(text):
        yield line_at(text, match.start()), match.group(1), match.group(2)


def wrong_system(name, what):
    return not name.startswith(HOSTED) and what not in FREESTANDING | SYSTEM.get(name, set())


def check_layers(_context):
    problems, used, count = [], set(), 0
    for name in files_ending((".c", ".h", ".S", ".c.in")):
        row = row_of(name)
        if row is None:
            problems.append(f"{name}:1: its directory has no row in the table of layers")
            continue
        for line, bracket, what in includes(name):
            count += 1
            if bracket == "<":
                if wrong_system(name, what):
                    problems.append(f"{name}:{line}: <{what}> is not a freestanding header")
            elif (name, what) in EXCEPTIONS:
                used.add((name, what))
            elif not what.startswith((row + "/",) + ALLOWED[row]):
                problems.append(f"{name}:{line}: {row}/ must not include {what}")
    for name, what in EXCEPTIONS.keys() - used:
        problems.append(f"{name}:1: the exception for {what} is not used")
    return problems, f"{count} includes, {len(used)} exceptions"


def check_vendor(_context):
    """No file outside arch/x86 names a vendor's control structure."""
    problems = []
    for name in files_ending((".c", ".h", ".S", ".c.in", ".asl")):
        if name.startswith(VENDOR_WORD_ALLOWED):
            continue
        text = text_of(name)
        problems += [f"{name}:{line_at(text, match.start())}: says '{match.group()}'"
                     for match in VENDOR_WORD.finditer(text)]
    return problems, ""


CHECKS = {"layers": check_layers, "vendor": check_vendor}
