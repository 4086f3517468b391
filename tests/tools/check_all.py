# SPDX-License-Identifier: Apache-2.0
"""Run the static checks: a line each, every problem as file:line, and a summary.

usage: check_all.py [NAME]...        (make check CHECK="NAME ..."; all without names)
"""
import concurrent.futures
import os
import sys
import time

import check_config_docs
import check_headers
import check_layers
import check_purity
import check_style
import check_tools
from check_lib import Context, Skipped

CHECKS = {name: function
          for module in (check_layers, check_purity, check_style, check_headers, check_config_docs,
                        check_tools)
          for name, function in module.CHECKS.items()}


def run(name, context):
    """(verdict, problems, note, seconds)"""
    start = time.monotonic()
    try:
        problems, note = CHECKS[name](context)
        verdict = "FAILED" if problems else "ok"
    except Skipped as reason:
        problems, note, verdict = [], str(reason), "skipped"
    return verdict, problems, note, time.monotonic() - start


def main():
    names = sys.argv[1:] or list(CHECKS)
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        sys.exit(f"no check is called {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    context = Context.from_environment()
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in zip(names, pool.map(lambda n: run(n, context), names)):
            verdict, problems, note, seconds = result
            counts[verdict] += 1
            about = f"{note}, " if note and verdict != "skipped" else ""
            print(f"check {name:16} {verdict}" + (f": {note}" if verdict == "skipped" else
                                                  f" ({about}{seconds:.1f} s)"), flush=True)
            print("".join(f"  {problem}\n" for problem in problems), end="", flush=True)
    skipped = f"check: {counts['skipped']} skipped\n" if counts["skipped"] else ""
    print(f"{skipped}check: {counts['ok']} passed, {counts['FAILED']} failed")
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
