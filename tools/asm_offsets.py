# SPDX-License-Identifier: Apache-2.0
"""Turn the `->NAME value` marks of a compiled asm_offsets file into #defines."""
import re
import sys

print("/* generated from arch/x86/cpu/asm_offsets.c.in */")
for line in open(sys.argv[1], encoding="ascii"):
    if m := re.search(r"->(\w+) \$?(-?\d+)", line):
        print(f"#define {m[1]} {m[2]}")
