# SPDX-License-Identifier: Apache-2.0
"""What a boot test is, and how one is run.

A test is data: a configuration with its files becomes an image (tools/image.py), the image boots in
an emulator (tools/emulate), and the console is compared with what the test says. Tests live in
tests/boot/test_*.py, each with a list TESTS of BootTest. Nothing is ever tried twice.
"""
import dataclasses
import functools
import importlib.machinery
import importlib.util
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tools"))
import debug  # noqa: E402  (tools of this tree)
import fetch_debian  # noqa: E402
import platforms  # noqa: E402
import stage_demo  # noqa: E402

# Where a test runs unless it or the command line says otherwise: where guests can run.
DEFAULT_PLATFORMS = tuple(name for name in ("bochs-vmx", "qemu-svm", "bochs-svm")
                          if platforms.PLATFORMS[name].extension in platforms.USABLE_EXTENSIONS)
ALL_PLATFORMS = tuple(platforms.PLATFORMS)


def load_emulate():
    """tools/emulate as a module."""
    loader = importlib.machinery.SourceFileLoader("emulate", str(TOP / "tools" / "emulate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("emulate", loader))
    loader.exec_module(module)
    return module


emulate = load_emulate()


@dataclasses.dataclass(frozen=True)
class Expect:
    """Wait until the expression is seen behind the previous step's match."""
    expression: str


@dataclasses.dataclass(frozen=True)
class Send:
    """Wait for the expression likewise, then type: C escapes are decoded, nothing is added."""
    after: str
    text: str


@dataclasses.dataclass(frozen=True)
class BootTest:
    """One boot. Expressions are Python's with re.MULTILINE, on the console without colours."""
    name: str
    config: str = ""  # the text of bulkhead.toml
    # Path below bulkhead/ → contents: a path below the top of the tree, bytes, or a function that
    # gives a path, such as debian_kernel.
    files: dict[str, str | bytes | Callable[[], os.PathLike]] = dataclasses.field(
        default_factory=dict)
    folder: str = ""  # instead of both: a folder below the top of the tree with bulkhead.toml
    checked: bool = True  # False: a configuration that the host tool refuses boots all the same
    platforms: tuple[str, ...] = ALL_PLATFORMS  # where it makes sense
    long: bool = False  # only in `make test-long`
    # Platform → fields that are others there: cpu_model, lines, …
    on: dict[str, dict] = dataclasses.field(default_factory=dict)
    # Boots it instead of tools/emulate, if that cannot: (test, image, log) → (last word, status).
    emulator: Callable | None = None
    cpus: int = 2
    memory: int = 512
    cpu_model: str = ""
    # QEMU without KVM counts instructions, of 2^icount ns each: then time in a guest does not
    # depend on what else this machine does. While all CPUs sleep, time is real, unless ,sleep=off
    # says that it leaps; then QEMU 7.2 may never wake up for a key. "": CPUs run side by side.
    icount: str = "4"
    timeout: int = 120  # wall seconds on a slow, busy machine
    steps: tuple[Expect | Send, ...] = ()
    # emulate's last word; default: matched if the last step is Expect, else poweroff
    ends: str = ""
    lines: tuple[str, ...] = ()  # each must match somewhere, in any order
    forbidden: tuple[str, ...] = ("PANIC",)  # none may match anywhere
    check: Callable[[str], str | None] | None = None  # judges the console; returns what is wrong
    # Commands for gdb, attached from the first instruction on; what it says follows the console,
    # each line behind "gdb | ". QEMU only. The last command detaches.
    gdb: tuple[str, ...] = ()

    def for_platform(self, platform):
        return dataclasses.replace(self, **self.on.get(platform, {}))

    def expected_end(self):
        if self.ends:
            return self.ends
        return "matched" if self.steps and isinstance(self.steps[-1], Expect) else "poweroff"


def on_models(models):
    """The arguments that run a test with a CPU model (tools/emulate) on each of these platforms."""
    return {"platforms": tuple(models),
            "on": {platform: {"cpu_model": model} for platform, model in models.items()}}


fetching = threading.Lock()


@functools.cache
def fetched(name):
    return fetch_debian.fetch(name)


def debian_kernel():
    """Debian's small kernel, the quick one; an ACPI MADT is needed for more than one CPU."""
    with fetching:
        return fetched("kernel-cloud")


def debian_kernel_generic():
    """Debian's ordinary kernel, the one of the demo."""
    with fetching:
        return fetched("kernel")


def demo_initrd():
    """The demo guest's initial RAM disk: says `demo: ready`, then gives a shell."""
    with fetching:
        return made_initrd()


def debian_kernel_i386():
    """Debian 12's 32-bit kernel with PAE."""
    with fetching:
        return fetched("kernel-i386")


def demo_initrd_i386():
    """The same with a 32-bit BusyBox."""
    with fetching:
        return made_initrd(i386=True)


@functools.cache
def made_initrd(i386=False):
    path = TOP / "build" / "boot-test" / f"demo-initrd{'-i386' if i386 else ''}.img"
    path.parent.mkdir(parents=True, exist_ok=True)
    stage_demo.write_initrd(path, i386)
    return path


class Failure(Exception):
    """A test did not pass; the text says why."""


@dataclasses.dataclass
class Runner:
    efi: pathlib.Path
    tool: pathlib.Path
    work: pathlib.Path

    def run(self, test, platform, label):
        """Run a test on a platform; Failure if it does not pass. The log is work/LABEL.log."""
        test = test.for_platform(platform)
        directory = self.work / label
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        log = self.work / f"{label}.log"
        log.write_bytes(b"")
        image = directory / "disk.img"
        self.build(test, directory, image, log)
        if test.emulator:
            end, status = test.emulator(test, image, log)
        else:
            end, status = self.boot(test, platform, image, log)
        text = plain_text(log)
        problems = list(judge(test, text, end, status))
        if problems:
            raise Failure("; ".join(problems))
        shutil.rmtree(directory)

    def build(self, test, directory, image, log):
        folder = TOP / test.folder if test.folder else stage(test, directory / "files")
        tool = self.tool if test.checked else unchecked_tool(test, directory)
        run = subprocess.run([sys.executable, TOP / "tools" / "image.py", image, self.efi,
                              folder / "bulkhead.toml", tool], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        log.write_bytes(run.stdout)
        if run.returncode:
            raise Failure("no image")

    def boot(self, test, platform, image, log):
        """Run the emulator; returns its last word and its status."""
        command = ["setpriv", "--pdeathsig", "TERM", TOP / "tools" / "emulate", platform, image,
                   "--cpus", str(test.cpus), "--memory", str(test.memory),
                   "--timeout", str(test.timeout)]
        if test.cpu_model:
            command += ["--cpu-model", test.cpu_model]
        if test.icount and "icount" in platforms.PLATFORMS[platform].offers:
            command += ["--icount", test.icount]
        command += step_arguments(test.steps)
        with open(log, "ab") as file, tempfile.TemporaryDirectory(prefix="gdb.") as folder:
            socket = pathlib.Path(folder) / "gdb"  # in a short path, as sockets need it
            machine = subprocess.Popen(command + (["--gdb", socket] if test.gdb else []),
                                       stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.PIPE)
            said = self.run_gdb(test, socket, machine) if test.gdb else b""
            errors = machine.communicate()[1]
            file.write(b"\n" + said + errors)
        word = re.search(rb"^emulate: (\w+) after [0-9.]+ s\s*\Z", errors, re.MULTILINE)
        return (word.group(1).decode() if word else "no last word"), machine.returncode

    def run_gdb(self, test, socket, machine):
        """What gdb says, as lines of a log. It ends with the machine, if not before."""
        if not debug.wait_for(socket, machine):
            return b"gdb | has no machine\n"
        elf = self.efi.with_name("hypervisor.elf")
        command = debug.gdb_command(elf, socket, "-batch", *itertools.chain.from_iterable(
            ("-ex", each) for each in test.gdb))
        run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, check=False)
        return b"".join(b"gdb | " + line + b"\n" for line in run.stdout.splitlines())


def step_arguments(steps):
    """Typing nothing is waiting."""
    arguments = []
    for number, step in enumerate(steps, 1):
        if isinstance(step, Send):
            arguments += ["--send", step.after, step.text]
        elif number == len(steps):
            arguments += ["--until", step.expression]
        else:
            arguments += ["--send", step.expression, ""]
    return arguments


def stage(test, folder):
    """Put the configuration and its files into `folder`."""
    folder.mkdir()
    (folder / "bulkhead.toml").write_text(test.config, encoding="utf-8")
    for name, source in test.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            target.write_bytes(source)
            continue
        try:
            shutil.copyfile(source() if callable(source) else TOP / source, target)
        except (OSError, fetch_debian.FetchError) as e:
            raise Failure(str(e)) from e
    return folder


def unchecked_tool(test, directory):
    """Stands in for the host tool: lists the files, checks nothing."""
    tool = directory / "list-files"
    listing = directory / "list"
    listing.write_text("".join(f"{name}\n" for name in test.files), encoding="utf-8")
    tool.write_text(f"#!/bin/sh\ncat '{listing}'\n", encoding="utf-8")
    tool.chmod(0o755)
    return tool


def plain_text(log):
    return emulate.Script.CONTROL.sub("", log.read_bytes().decode("utf-8", "replace"))


def rejoined(console):
    """What lines would be if others had not cut them: a source's unfinished line is ended after a
    while when another has something to say, and goes on behind the prefix. Nothing in the console
    says which lines those are, so each is joined with its source's next if another's are between.
    """
    last, previous, joined = {}, "", []
    for line in console.splitlines():
        source, bar, said = line.partition(" | ")
        if bar and source in last and source != previous:
            joined.append(last[source] + said)
        last[source], previous = line, source
    return "\n".join(joined)


def judge(test, text, end, status):
    """What is wrong with a run, as sentences."""
    console = text.rpartition("\nemulate: ")[0]
    if end != test.expected_end() or status != emulate.STATUS[end]:
        waiting = re.search(r"still waiting for: .*", text)
        yield (f"ended with '{end}' (status {status}), not '{test.expected_end()}'"
               + (f", {waiting.group()}" if waiting else ""))
    for line in test.lines:
        if not any(re.search(line, part, re.MULTILINE) for part in (console, rejoined(console))):
            yield f"missing: {line}"
    for line in test.forbidden:
        match = re.search(line, console, re.MULTILINE)
        if match:
            yield f"forbidden: {match.group()!r}"
    problem = test.check(console) if test.check else None
    if problem:
        yield problem


def timed(function, *arguments):
    """(what went wrong or None, seconds)"""
    start = time.monotonic()
    try:
        function(*arguments)
        problem = None
    except Failure as e:
        problem = str(e)
    return problem, time.monotonic() - start
