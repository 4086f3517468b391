# SPDX-License-Identifier: Apache-2.0
"""Plant known defects, one at a time, and see the test that is named in each catch it.

The tree is copied to build/mutants/tree, which keeps its own build directory, so that only what a
mutant changes is compiled again. tests/mutants/README.md says what a mutant is.
"""
import argparse
import dataclasses
import fnmatch
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from check_lib import TOP, files

MUTANTS = TOP / "tests" / "mutants"
TREE = TOP / "build" / "mutants" / "tree"
BUILD_TIMEOUT, TEST_TIMEOUT = 900, 900
HEADER_END = re.compile(r"^(?:diff |--- )", re.MULTILINE)
PROBLEM = re.compile(r"^  (\S+?):\d+: (.*)$", re.MULTILINE)


class Broken(Exception):
    """This mutant shows nothing: it does not apply, does not build, or its test fails without it."""


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    path: pathlib.Path
    about: str
    kind: str
    test: str
    touched: tuple  # files that the patch changes


def read_mutant(path):
    text = path.read_text(encoding="utf-8")
    start = HEADER_END.search(text)
    header = text[:start.start()] if start else text
    caught = re.search(r"^Caught-by: (unit|check|boot) (\S+)$", header, re.MULTILINE)
    about = " ".join(line for line in header.splitlines() if not line.startswith("Caught-by:"))
    if not start or not caught or not about.strip():
        sys.exit(f"{path}: needs a description, a line 'Caught-by: KIND TEST' and a patch")
    touched = re.findall(r"^(?:---|\+\+\+) [ab]/(\S+)", text[start.start():], re.MULTILINE)
    return Mutant(path.stem, path, about.strip(), *caught.groups(), tuple(dict.fromkeys(touched)))


def copy_tree():
    """Make the copy as the tree is; files that are the same already keep their time."""
    wanted = set(files())
    if TREE.exists():
        for path in [p for p in TREE.rglob("*") if p.is_file() or p.is_symlink()]:
            name = str(path.relative_to(TREE))
            if name not in wanted and not name.startswith(("build/", ".cache")) \
                    and "__pycache__" not in name:
                path.unlink()
    for name in sorted(wanted):
        source, copy = TOP / name, TREE / name
        if not copy.exists() or source.read_bytes() != copy.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)
            shutil.copy(source, copy)  # with a new time, so that make sees it
    # What was downloaded once serves here too.
    if (TOP / ".cache").exists() and not (TREE / ".cache").exists():
        (TREE / ".cache").symlink_to(TOP / ".cache")


def run(command, timeout):
    """(status, output) of a command in the copy, away from the make that called us."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    environment["DEPS_DONE"] = "1"
    # Two files of the same second and length would be taken for the same by Python.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True,
                              errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as late:
        return 1, f"no end within {late.timeout:.0f} s"
    return done.returncode, done.stdout + done.stderr


def build(targets):
    if not targets:
        return
    status, output = run(["make", f"-j{os.cpu_count()}", *targets], BUILD_TIMEOUT)
    if status:
        lines = output.strip().splitlines() or ["no reason given"]
        raise Broken("does not build: " + next((s for s in lines if "error" in s), lines[-1]))


def run_unit(test):
    """(failed, what failed first)"""
    build([f"build/unit/{test}"])
    status, output = run([sys.executable, "tests/tools/run_unit.py", f"build/unit/{test}"],
                         TEST_TIMEOUT)
    first = re.search(r"^\[  FAILED  \] (?!\d)(\w+)|(AddressSanitizer: [\w-]+)|(runtime error.*)",
                      output, re.MULTILINE)
    return status != 0, next((g for g in first.groups() if g), "") if first else ""


def run_check(test):
    status, output = run(["make", "check", f"CHECK={test}"], TEST_TIMEOUT)
    if not re.search(rf"^check {re.escape(test)} ", output, re.MULTILINE):
        raise Broken(f"check {test} did not run")
    return status != 0, {problem.groups() for problem in PROBLEM.finditer(output)}


def run_boot(test):
    build(["all", "build/bulkhead"])
    status, output = run([sys.executable, "tests/boot/run.py", "--only", test, "--only",
                          f"{test}.*"], TEST_TIMEOUT)
    if not re.search(r"^boot-test: (?!0 passed, 0 failed)", output, re.MULTILINE):
        raise Broken(f"there is no boot test {test}")
    reason = re.search(r"FAILED .*\n  (.*)", output)
    return status != 0, reason.group(1)[:100] if reason else ""


RUNNERS = {"unit": run_unit, "check": run_check, "boot": run_boot}


def plant(mutant):
    patch = ["patch", "--batch", "--forward", "--strip=1", "--ignore-whitespace",
             "--no-backup-if-mismatch", "--reject-file=-", f"--input={mutant.path}"]
    status, output = run(patch, 60)
    if status:
        raise Broken("the patch does not apply: " + output.strip().splitlines()[-1])


def contents(names):
    return {name: (TREE / name).read_bytes() if (TREE / name).exists() else None for name in names}


def restore(before):
    for name, data in before.items():
        if data is None:
            (TREE / name).unlink(missing_ok=True)
        else:
            (TREE / name).write_bytes(data)


def verdict(mutant, baselines):
    """(caught, by what)"""
    before = contents(mutant.touched)
    runner = RUNNERS[mutant.kind]
    key = mutant.kind, mutant.test
    try:
        if key not in baselines:
            baselines[key] = runner(mutant.test)
        failed_before, seen_before = baselines[key]
        if failed_before and mutant.kind != "check":
            raise Broken(f"{mutant.test} fails without it: {seen_before}")
        plant(mutant)
        failed, seen = runner(mutant.test)
    except Broken as problem:
        return False, str(problem)
    finally:
        restore(before)
    if mutant.kind == "check":
        # Of a check that fails anyway, it is what this mutant adds that counts.
        seen = sorted(": ".join(p) for p in seen - seen_before)
        return failed and bool(seen), (seen or [""])[0]
    return failed, seen


def parse_arguments():
    parser = argparse.ArgumentParser(description="Plant known defects and see tests catch them.")
    parser.add_argument("--only", metavar="NAME", action="append", help="shell patterns")
    parser.add_argument("--kind", choices=RUNNERS, action="append", help="all by default")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    mutants = [m for m in map(read_mutant, sorted(MUTANTS.glob("*.patch")))
               if (not arguments.kind or m.kind in arguments.kind)
               and (not arguments.only or any(fnmatch.fnmatch(m.name, o) for o in arguments.only))]
    mutants.sort(key=lambda m: (list(RUNNERS).index(m.kind), m.test, m.name))
    if arguments.list:
        print("".join(f"{m.name:28} {m.kind:5} {m.test:20} {m.about}\n" for m in mutants), end="")
        return 0
    copy_tree()
    caught, baselines = 0, {}
    for mutant in mutants:
        start = time.monotonic()
        good, what = verdict(mutant, baselines)
        caught += good
        print(f"mutant {mutant.name:28} {'caught' if good else 'MISSED'} by {mutant.kind} "
              f"{mutant.test}" + (f": {what}" if what else "")
              + f" ({time.monotonic() - start:.1f} s)", flush=True)
        if not good:
            print(f"  {mutant.about}", flush=True)
    print(f"mutants: {len(mutants)} planted, {caught} caught")
    return 0 if mutants and caught == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
