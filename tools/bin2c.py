# SPDX-License-Identifier: Apache-2.0
"""Print a file as a C array: bin2c.py NAME FILE."""
import sys

name, path = sys.argv[1:]
with open(path, "rb") as f:
    data = f.read()
print(f"static const unsigned char {name}[{len(data)}] = {{")
for i in range(0, len(data), 12):
    print("\t" + " ".join(f"0x{b:02x}," for b in data[i : i + 12]))
print("};")
