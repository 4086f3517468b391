# SPDX-License-Identifier: Apache-2.0
"""`make debug`: gdb stops in the hypervisor by name, and its commands (tools/gdb) tell the truth.

The payload's last exit is its write to the exit port, which ends in vm_stop(); its last registers
are known from what it is.
"""
from framework import BootTest
from payloads import Guest, boot, passed

SEEN = Guest("seen", "hello", cmdline="by gdb")

TESTS = [
    BootTest(
        name="gdb",
        platforms=("qemu-svm",),
        **boot(SEEN),
        gdb=("tbreak hv_main", "continue", "backtrace", "tbreak vm_stop", "continue", "bh-guests",
             "bh-vcpu", "bh-vcpu 0", "bh-exits 3", "bh-guest-regs", "bh-exits 1 0", "detach"),
        lines=(
            r"^gdb \| #0 +hv_main \(.*\) at hv/core/main\.c:\d+$",
            r"^gdb \| NAME +STATE ",
            r"^gdb \| seen +running +1 +1 +[1-9]\d+$",
            r"^gdb \| CPU 1 \(APIC ID 1\): guest seen, vCPU 0, in the hypervisor$",
            r"^gdb \|   exits: .*\bio [1-9]\d+",
            r"^gdb \| CPU 0 \(APIC ID 0\): no guest$",
            r"^gdb \| seen: exit -1: reason 0x7b at 0x20[0-9a-f]{4}, info 0xf4$",
            r"^gdb \| seen: at its last exit$",
            r"^gdb \|   RIP 20[0-9a-f]{4}  RFLAGS [0-9a-f]+$",
            r"^gdb \|   RSP 00000000002[0-9a-f]{5}  RBP ",
            r"^gdb \|   CR0 80000031  .*  EFER 500$",
            r"^gdb \| CPU 0 has no guest$",
            *passed(SEEN),
        ),
        forbidden=("PANIC", "Error occurred in Python"),
    ),
]
