# SPDX-License-Identifier: Apache-2.0
"""Every header compiles alone: nobody must know what to include before it."""
import concurrent.futures
import os
import subprocess

from check_lib import TOP, files_ending

# Which compilation a header belongs to, by the longest directory; the target's otherwise.
AREAS = {"boot/": "efi", "tests/": "host", "tools/": "host"}
# Not a header by itself: the host's half of another one, which alone includes it.
PARTS = {"tests/fakes/insn_fake.h": "arch/x86/cpu/insn.h"}
# What cmocka.h itself wants before it; its manual says so.
PRELUDE = {"host": "#include <stdarg.h>\n#include <setjmp.h>\n#include <stddef.h>\n"
                   "#include <stdint.h>\n"}


def area_of(name):
    return next((area for prefix, area in AREAS.items() if name.startswith(prefix)), "target")


def compile_alone(context, name):
    area = area_of(name)
    whole = PARTS.get(name, name)
    source = f'{PRELUDE.get(area, "")}#include "{whole}"\n#include "{whole}"\n'
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
