# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone: nobody must know what to include before it."""
import concurrent.futures
import os
import subprocess

from check_lib import TOP, files_ending

# Which compilation a header belongs to, by the longest directory; the target's otherwise.
AREAS = {"boot/": "efi", "tests/": "host", "tools/": "host"}
# What cmocka.h itself wants before it; its manual says so.
PRELUDE = {"host": "#include <stdarg.h>\n#include <setjmp.h>\n#include <stddef.h>\n"
                   "#include <stdint.h>\n"}


def area_of(name):
    return next((area for prefix, area in AREAS.items() if name.startswith(prefix)), "target")


def compile_alone(context, name):
    area = area_of(name)
    source = f'{PRELUDE.get(area, "")}#include "{name}"\n#include "{name}"\n'
    run = subprocess.run([context.cc, *context.flags[area], "-fsyntax-only", "-x", "c", "-"],
                         input=source, cwd=TOP, capture_output=True, text=True, check=False)
    if not run.returncode:
        return None
    errors = [line for line in run.stderr.splitlines() if "error:" in line]
    return f"{name}:1: does not compile alone: {(errors or ['no reason given'])[0]}"


def check_headers(context):

    names = files_ending((".h",))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda name: compile_alone(context, name), names))
    return [problem for problem in results if problem], f"{len(names)} headers"


CHECKS = {"headers": check_headers}
