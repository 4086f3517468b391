# SPDX-License-Identifier: Apache-2.0
"""Run fuzz targets for a while each: a line each, the report of those that found something.

A program fuzz_NAME is a libFuzzer target with its corpus in build/fuzz/corpus/fuzz_NAME/; any other
compares on random input until it is done. What made a target fail is kept in
build/fuzz/findings/; running the program with that file as argument shows it again.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

ROUNDS_PER_SECOND = 60000  # of a comparison; a guess on the low side
OPTIONS = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1"]


def command_of(program, seconds):
    if not program.name.startswith("fuzz_"):
        return [program, str(seconds * ROUNDS_PER_SECOND), str(int.from_bytes(os.urandom(4)))]
    corpus = program.parent / "corpus" / program.name
    findings = program.parent / "findings"
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(exist_ok=True)
    return [program, corpus, f"-max_total_time={seconds}", f"-artifact_prefix={findings}/"
            f"{program.name}-", *OPTIONS]


def work_done(program, output):
    """How much was tried, for the line; 0 if nothing was."""
    name = r"stat::number_of_executed_units:\s+(\d+)" if program.name.startswith("fuzz_") \
        else r"(\d+)"
    found = re.search(name, output)
    return int(found.group(1)) if found else 0


def fuzz(program, seconds):
    start = time.monotonic()
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    try:
        run = subprocess.run(command_of(program, seconds), capture_output=True, text=True,
                             errors="replace", timeout=seconds * 4 + 120, env=environment,
                             check=False)
        output, status = run.stdout + run.stderr, run.returncode
    except subprocess.TimeoutExpired as late:
        output, status = f"no end within {late.timeout:.0f} s\n", 1
    tried = work_done(program, output)
    return status == 0 and tried > 0, tried, time.monotonic() - start, output


def parse_arguments():
    parser = argparse.ArgumentParser(description="Fuzz the pure code.")
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        running = {pool.submit(fuzz, program.resolve(), arguments.seconds): program.name
                   for program in arguments.programs}
        for done in concurrent.futures.as_completed(running):
            good, tried, seconds, output = done.result()
            failed += not good
            print(f"fuzz {running[done]:20} {'ok' if good else 'FAILED'} ({tried} inputs, "
                  f"{seconds:.1f} s)", flush=True)
            if not good:
                print("".join(f"  | {line}\n" for line in output.splitlines()[-60:]), end="")
    print(f"fuzz: {len(arguments.programs) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
