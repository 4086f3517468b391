# SPDX-License-Identifier: Apache-2.0
"""What the static checks share: the files of the tree, and C text without comments or strings.

A check is a function that takes a Context and returns (problems, note): problems are lines
"file:line: what is wrong", the note is for the summary. It raises Skipped where it cannot run.
"""
import dataclasses
import functools
import os
import pathlib
import re
import shlex
import subprocess

TOP = pathlib.Path(__file__).resolve().parents[2]
C_ENDINGS = (".c", ".h")
CODE_ENDINGS = (".c", ".h", ".S", ".c.in", ".asl", ".lds")
HYPERVISOR = ("hv/", "arch/", "drivers/", "boot/")
SCRIPT_ENDINGS = (".py", ".sh", ".mk")


class Skipped(Exception):
    """The check cannot run here; the text says why."""


@dataclasses.dataclass(frozen=True)
class Context:
    """What the Makefile knows, taken from the environment."""
    cc: str
    nm: str
    build: pathlib.Path
    flags: dict  # area of the tree -> compiler flags
    pure: list  # sources that must be pure
    boot_pure: list

    @classmethod
    def from_environment(cls):
        get = os.environ.get
        return cls(cc=get("CHECK_CC", "gcc"), nm=get("CHECK_NM", "nm"),
                   build=TOP / get("CHECK_BUILD", "build"),
                   flags={area: shlex.split(get(f"CHECK_{area.upper()}_CFLAGS", ""))
                          for area in ("target", "efi", "host")},
                   pure=get("CHECK_PURE", "").split(),
                   boot_pure=get("CHECK_BOOT_PURE", "").split())


@functools.cache
def files():
    """Every file of the tree that is, or could be, committed: paths from the top."""
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                             cwd=TOP, capture_output=True, text=True, check=False)
    if listing.returncode == 0 and is_git_top():
        names = listing.stdout.split("\0")
    else:
        names = walk()
    return sorted(name for name in set(names) if name and (TOP / name).is_file())


def is_git_top():
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=TOP, capture_output=True,
                         text=True, check=False)
    return top.returncode == 0 and pathlib.Path(top.stdout.strip()).resolve() == TOP


def walk():
    """A tree without git: everything but what is built."""
    for directory, below, names in os.walk(TOP):
        relative = os.path.relpath(directory, TOP)
        below[:] = [d for d in below if d not in (".git", ".cache", "__pycache__")
                    and not (relative == "." and d == "build")]
        yield from (os.path.normpath(os.path.join(relative, name)) for name in names)


def files_ending(endings, under=("",)):
    return [name for name in files() if name.endswith(endings) and name.startswith(tuple(under))]


@functools.cache
def text_of(name):
    return (TOP / name).read_text(encoding="utf-8", errors="replace")


def is_script(name):
    return name.endswith(SCRIPT_ENDINGS) or "." not in name.rsplit("/", 1)[-1] \
        and text_of(name).startswith("#!")


TOKEN = re.compile(r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL)


@functools.cache
def code_of(name, strings=False):
    """C text without comments and, unless asked for, strings: blanks in their place."""
    def blank(match):
        token = match.group()
        if token[0] in "\"'" and strings:
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text_of(name))


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    first: int  # line of its name's declaration
    last: int

    @property
    def lines(self):
        return self.last - self.first + 1


@functools.cache
def functions_of(name):
    """Functions of a C file laid out as clang-format leaves it: the braces are in column 0."""
    lines = code_of(name).split("\n")
    found, start = [], None
    for i, line in enumerate(lines):
        if line.rstrip() == "{":
            start = i
            while start and lines[start - 1].strip() and lines[start - 1][0] not in "}#" \
                    and not lines[start - 1].rstrip().endswith(";"):
                start -= 1
            heading = re.search(r"(\w+)\s*\(", " ".join(lines[start:i]))
        elif line.rstrip() == "}" and start is not None:
            found.append(Function(heading.group(1) if heading else "?", start + 1, i + 1))
            start = None
    return found
