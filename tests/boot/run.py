# SPDX-License-Identifier: Apache-2.0
"""Run the boot tests: a line each, the end of the log of those that fail, and what passed where.

Each test runs on each platform that it is for and that is asked for; where a platform does not work
on this machine its tests are skipped, which is said and not counted as passed. The log is
build/boot-test/NAME.PLATFORM.log; a failed test's files stay in build/boot-test/NAME.PLATFORM/.
"""
import argparse
import concurrent.futures
import dataclasses
import fnmatch
import importlib
import os
import pathlib
import sys

import framework
import platforms

TAIL_LINES = 40
# Only for the order; a test's timeout is for the slowest.
SPEED = {"bochs-vmx": 1, "bochs-svm": 1, "qemu-svm": 4, "qemu-kvm": 20}


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A test on a platform."""
    test: framework.BootTest
    platform: str

    @property
    def label(self):
        return f"{self.test.name}.{self.platform}"

    def is_wanted(self, patterns):
        return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns
                                   for name in (self.test.name, self.label))

    def is_lengthy(self):
        return self.test.timeout / SPEED[self.platform]


def discover():
    """Every test of tests/boot/test_*.py."""
    found = []
    for path in sorted(pathlib.Path(__file__).parent.glob("test_*.py")):
        found += importlib.import_module(path.stem).TESTS
    names = [test.name for test in found]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f"two boot tests are called '{name}'")
    return found


def parse_arguments():
    build = framework.TOP / "build"
    parser = argparse.ArgumentParser(description="Boot Bulkhead in emulators and read its console.")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="run these tests, NAME or NAME.PLATFORM; shell patterns; may be repeated")
    parser.add_argument("--platform", action="append", choices=list(platforms.PLATFORMS),
                        help="on these; may be repeated; default: "
                             + ", ".join(framework.DEFAULT_PLATFORMS))
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1),
                        help="emulators at a time")
    parser.add_argument("--long", action="store_true", help="run the long tests instead")
    parser.add_argument("--list", action="store_true", help="only list the tests")
    parser.add_argument("--efi", type=pathlib.Path, default=build / "BOOTX64.EFI")
    parser.add_argument("--tool", type=pathlib.Path, default=build / "bulkhead",
                        help="the host tool `bulkhead`")
    parser.add_argument("--work", type=pathlib.Path, default=build / "boot-test")
    arguments = parser.parse_args()
    arguments.platform = arguments.platform or framework.DEFAULT_PLATFORMS
    return arguments


def report(run, problem, seconds, log):
    print(f"boot {run.label:36} {'FAILED' if problem else 'ok'} ({seconds:.1f} s)", flush=True)
    if problem:
        print(f"  {problem}")
        tail = framework.plain_text(log).splitlines()[-TAIL_LINES:] if log.exists() else []
        print("".join(f"  | {line}\n" for line in tail), end="", flush=True)


def run_all(runs, runner, jobs):
    """{run: "ok" or "FAILED"} and {run: problem} of those that failed; the lengthy tests first, so
    that none is left alone at the end."""
    results, problems = {}, {}
    pool = concurrent.futures.ThreadPoolExecutor(max(1, jobs))
    try:
        running = {pool.submit(framework.timed, runner.run, run.test, run.platform, run.label): run
                   for run in sorted(runs, key=Run.is_lengthy, reverse=True)}
        for done in concurrent.futures.as_completed(running):
            run = running[done]
            problem, seconds = done.result()
            results[run] = "FAILED" if problem else "ok"
            if problem:
                problems[run] = problem
            report(run, problem, seconds, runner.work / f"{run.label}.log")
    finally:
        # After Ctrl-C, which the emulators have had too, no further test starts.
        pool.shutdown(cancel_futures=True)
    return results, problems


def table(results, columns):
    """What passed where, as lines."""
    rows = {}
    for run, result in results.items():
        rows.setdefault(run.test.name, {})[run.platform] = result
    yield f"{'':28}" + "".join(f"{column:12}" for column in columns)
    for name in sorted(rows):
        yield f"{name:28}" + "".join(f"{rows[name].get(column, '-'):12}" for column in columns)


def main():
    arguments = parse_arguments()
    runs = [run for test in discover() for platform in arguments.platform
            if platform in test.platforms and test.long == arguments.long
            and (run := Run(test, platform)).is_wanted(arguments.only)]
    if arguments.list:
        print("".join(f"{run.label}\n" for run in runs), end="")
        return 0
    reasons = {platform: platforms.PLATFORMS[platform].lacks() for platform in arguments.platform}
    results = {run: "skipped" for run in runs if reasons[run.platform]}
    for run in results:
        print(f"boot {run.label:36} skipped: {reasons[run.platform]}")
    runner = framework.Runner(arguments.efi.resolve(), arguments.tool.resolve(),
                              arguments.work.resolve())
    ran, problems = run_all([run for run in runs if run not in results], runner, arguments.jobs)
    results |= ran
    print("\n".join(line.rstrip() for line in table(results, arguments.platform)))
    outcomes = list(results.values())
    passed, failed = outcomes.count("ok"), outcomes.count("FAILED")
    for platform, reason in reasons.items():
        skipped = sum(run.platform == platform for run in runs)
        if reason and skipped:
            print(f"boot-test: {skipped} skipped on {platform}: {reason}")
    # Once more at the end, where one looks first.
    for run, problem in problems.items():
        print(f"boot-test: FAILED {run.label}: {str(problem).splitlines()[0]}")
    # No test at all proves nothing.
    print(f"boot-test: {passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
