# SPDX-License-Identifier: Apache-2.0
"""Run the boot tests: a line each, the end of the log of those that fail, and a summary.

Logs are build/boot-test/NAME.log; the files of a failed test stay in build/boot-test/NAME/.
"""
import argparse
import concurrent.futures
import fnmatch
import importlib
import os
import pathlib
import sys

import framework

TAIL_LINES = 40


def discover():
    """Every test of tests/boot/test_*.py: [(label, test, platform)]."""
    found = []
    for path in sorted(pathlib.Path(__file__).parent.glob("test_*.py")):
        for test in importlib.import_module(path.stem).TESTS:
            for platform in test.platforms:
                suffix = f".{platform}" if len(test.platforms) > 1 else ""
                found.append((test.name + suffix, test, platform))
    labels = [label for label, _, _ in found]
    for label in labels:
        if labels.count(label) > 1:
            sys.exit(f"two boot tests are called '{label}'")
    return found


def parse_arguments():
    build = framework.TOP / "build"
    parser = argparse.ArgumentParser(description="Boot Bulkhead in emulators and read its console.")
    parser.add_argument("--only", metavar="NAME", action="append",
                        help="run these tests; shell patterns; may be repeated")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1),
                        help="emulators at a time")
    parser.add_argument("--list", action="store_true", help="only list the tests")
    parser.add_argument("--efi", type=pathlib.Path, default=build / "BOOTX64.EFI")
    parser.add_argument("--tool", type=pathlib.Path, default=build / "bulkhead",
                        help="the host tool `bulkhead`")
    parser.add_argument("--work", type=pathlib.Path, default=build / "boot-test")
    return parser.parse_args()


def report(label, problem, seconds, log):
    print(f"boot {label:32} {'FAILED' if problem else 'ok'} ({seconds:.1f} s)", flush=True)
    if problem:
        print(f"  {problem}")
        tail = framework.plain_text(log).splitlines()[-TAIL_LINES:] if log.exists() else []
        print("".join(f"  | {line}\n" for line in tail), end="", flush=True)


def main():
    arguments = parse_arguments()
    tests = [each for each in discover() if not arguments.only
             or any(fnmatch.fnmatchcase(each[0], only) for only in arguments.only)]
    if arguments.list:
        print("".join(f"{label}\n" for label, _, _ in tests), end="")
        return 0
    runner = framework.Runner(arguments.efi.resolve(), arguments.tool.resolve(),
                              arguments.work.resolve())
    failed = 0
    pool = concurrent.futures.ThreadPoolExecutor(max(1, arguments.jobs))
    try:
        running = {pool.submit(framework.timed, runner.run, test, platform, label): label
                   for label, test, platform in tests}
        for done in concurrent.futures.as_completed(running):
            label = running[done]
            problem, seconds = done.result()
            failed += problem is not None
            report(label, problem, seconds, runner.work / f"{label}.log")
    finally:
        # After Ctrl-C, which the emulators have had too, no further test starts.
        pool.shutdown(cancel_futures=True)
    # No test at all proves nothing.
    print(f"boot-test: {len(tests) - failed} passed, {failed} failed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
