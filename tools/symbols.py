# SPDX-License-Identifier: Apache-2.0
"""Turn `nm -n` output into an assembly table of code symbols for backtraces.

The table is two parallel arrays: 32-bit offsets from the first symbol, and 32-bit offsets into the
names. It goes into its own section at the end of the image so that its size moves no code.
"""
import sys

rows = [line.split() for line in sys.stdin]
code = [(int(r[0], 16), r[2]) for r in rows if len(r) == 3 and r[1] in "tT"]
base = code[0][0] if code else 0
print('\t.section .symbols, "a", @progbits')
print("\t.globl symbols_base, symbols_count, symbols_offsets, symbols_name_offsets, symbols_names")
print("\t.balign 8")
print(f"symbols_base: .quad {base:#x}\nsymbols_count: .long {len(code)}")
print("symbols_offsets:")
for address, _ in code:
    print(f"\t.long {address - base:#x}")
print("symbols_name_offsets:")
at = 0
for _, name in code:
    print(f"\t.long {at}")
    at += len(name) + 1
print("symbols_names:")
for _, name in code:
    print(f'\t.asciz "{name}"')
print('\t.section .note.GNU-stack, "", @progbits')
