# SPDX-License-Identifier: Apache-2.0
"""Pure code: it refers to nothing but pure code, keeps no state of its own, has no inline assembly.

Looks at the objects that go into the hypervisor, so that nothing depends on how the source looks.
"""
import re
import subprocess

from check_lib import HYPERVISOR, TOP, code_of, files_ending, functions_of

SHARE_MIN = 60  # per cent of code lines

# In the Makefile's list for the sake of the host tests, but impure; and why.
IMPURE = {
    "hv/mm/memory.c": "the running hypervisor's pool",
    "hv/lib/string.c": "REP MOVS and STOS; the host's C library in host tests",
}
# Headers that belong to pure code besides those in its own directories.
PURE_HEADERS = ("arch/x86/defs/", "hv/abi/", "boot/bootinfo.h", "arch/x86/virt/virt.h",
                "arch/x86/virt/timing.h", "arch/x86/svm/svm.h")
# Functions of headers that may use assembly, with no effect but their result.
ASSEMBLY_ALLOWED = {
    "hv/lib/types.h": {"mul_div"},
    "hv/lib/lock.h": {"spin_pause"},
}
ASSEMBLY = re.compile(r"\b(?:__asm__|__asm|asm|__builtin_ia32_\w+)\b")
GENERATED = "gen/"


def directory_of(name):
    return name.rsplit("/", 1)[0] + "/"


def pure_files(context):
    """Pure sources with their headers: of the same name, and all of directories with no other code."""
    sources = [s for s in context.pure + context.boot_pure if s not in IMPURE]
    listed = {*context.pure, *context.boot_pure}
    mixed = {directory_of(name) for name in files_ending((".c", ".S")) if name not in listed}
    whole = tuple({directory_of(s) for s in sources} - mixed)
    own = {s[:-2] + end for s in sources for end in (".h", "_priv.h")}
    return {*sources, *(name for name in files_ending((".h",))
                        if name in own or name.startswith(whole + PURE_HEADERS))}


def symbols(context, path):
    """(undefined, defined, writable) names of an object."""
    undefined, defined, writable = set(), set(), set()
    output = subprocess.run([context.nm, path], capture_output=True, text=True, check=True).stdout
    for line in output.splitlines():
        kind, name = line.split()[-2:]
        (undefined if kind in "Uvw" else defined).add(name)
        if kind in "bBdDC":
            writable.add(name)
    return undefined, defined, writable


def objects(context):
    """source -> object, of everything that must be pure."""
    return {**{s: context.build / "hv" / (s[:-2] + ".o") for s in context.pure},
            **{s: context.build / "efi" / (s[:-2] + ".o") for s in context.boot_pure}}


def headers_of(context, source, path):
    """Files of the tree that an object was made of, from the compiler's own list."""
    listing = path.with_suffix(".d").read_text(encoding="utf-8").split("\n\n", maxsplit=1)[0]
    names = listing.split(":", maxsplit=1)[1].replace("\\\n", " ").split()
    generated = str((context.build / GENERATED).relative_to(TOP)) + "/"
    return {name for name in names
            if name != source and not name.startswith(("/", generated)) and (TOP / name).exists()}


def assembly_in(name):
    text = code_of(name)
    for match in ASSEMBLY.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        inside = [f.name for f in functions_of(name) if f.first <= line <= f.last]
        if not inside or inside[0] not in ASSEMBLY_ALLOWED.get(name, ()):
            yield f"{name}:{line}: assembly in pure code"


def check_symbols(context):
    """Pure objects refer to pure objects only and have no data of their own."""
    if not context.pure:
        return ["Makefile:1: the list of pure sources is empty"], ""
    tables = {source: symbols(context, path) for source, path in objects(context).items()}
    defined = set().union(*(table[1] for source, table in tables.items()
                            if source != "hv/mm/memory.c"))
    # Position-independent code of the loader.
    defined.add("_GLOBAL_OFFSET_TABLE_")
    problems = []
    for source, (undefined, _, writable) in tables.items():
        if source in IMPURE:
            continue
        problems += [f"{source}:1: refers to {name}, which is not pure"
                     for name in sorted(undefined - defined)]
        problems += [f"{source}:1: has data of its own: {name}" for name in sorted(writable)]
    return problems, f"{len(tables) - len(IMPURE)} objects"


def check_assembly(context):
    """No inline assembly in pure code and the headers it really includes, which are pure too."""
    problems, seen = [], set()
    pure = pure_files(context)
    for source, path in objects(context).items():
        if source in IMPURE:
            continue
        headers = headers_of(context, source, path)
        problems += [f"{source}:1: includes {name}, which is not pure"
                     for name in sorted(headers - pure)]
        seen |= headers & pure | {source}
    for name in sorted(seen):
        problems += assembly_in(name)
    return problems, f"{len(seen)} files"


def code_lines(name):
    return sum(1 for line in code_of(name, strings=True).split("\n") if line.strip())


def check_share(context):
    """The share of pure code in hypervisor and loader."""
    total = sum(map(code_lines, files_ending((".c", ".h", ".S"), under=HYPERVISOR)))
    pure = sum(map(code_lines, pure_files(context)))
    share = 100 * pure / total
    note = f"{pure} of {total} code lines are pure, {share:.0f} %"
    problems = [f"Makefile:1: {note}; at least {SHARE_MIN} % must be"] if share < SHARE_MIN else []
    return problems, note


CHECKS = {"purity": check_symbols, "assembly": check_assembly, "pure-share": check_share}
