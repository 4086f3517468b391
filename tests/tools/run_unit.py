# SPDX-License-Identifier: Apache-2.0
"""Run test programs one by one, a line each, the output of those that fail, and a summary.

test_NAME is a cmocka program. Any other compares many things and prints first how many.
"""
import os
import re
import subprocess
import sys
import time



def work_done(program, output):
    """(how much was tried, of what)"""
    if os.path.basename(program).startswith("test_"):
        return output.count("[ RUN      ]"), "tests"
    found = re.search(r"^(\d+) ", output, re.MULTILINE)
    return int(found.group(1)) if found else 0, "comparisons"


failed = []
for program in sys.argv[1:]:
    start = time.monotonic()
    try:
        run = subprocess.run([program], capture_output=True, text=True, timeout=300, errors="replace",
                             env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"})
        output, good = run.stdout + run.stderr, run.returncode == 0
    except subprocess.TimeoutExpired as e:
        output, good = f"no end within {e.timeout} s\n", False
    # A program that ran no test proves nothing.
    ran, what = work_done(program, output)
    good = good and ran > 0
    print(f"unit {os.path.basename(program):32} {'ok' if good else 'FAILED'}"
          f" ({ran} {what}, {time.monotonic() - start:.1f} s)", flush=True)
    if not good:
        failed.append(program)
        print(output)
print(f"unit: {len(sys.argv) - 1 - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed or len(sys.argv) == 1 else 0)
