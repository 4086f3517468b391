# SPDX-License-Identifier: Apache-2.0
"""Guests' LAPICs with and without the CPU's help: the same payloads pass either way."""
from framework import BootTest
from payloads import Guest, boot, chain, no_failure, passed

PAYLOADS = ("interrupts", "timer", "halt", "pic", "msr", "mmio")
# Bochs: see test_payloads.py.
GUESTS = chain(*(Guest(name, name, 1) for name in PAYLOADS),
               *(Guest(name, name, cpus=(0, 1), cmdline="exits") for name in ("smp", "ipi")))


def apic_test(name, machine, parts, cpu_model=""):
    """One boot; `parts`: what the hypervisor says that the CPU does."""
    return BootTest(
        name=f"apic-{name}",
        **boot(*GUESTS, machine=machine),
        platforms=("bochs-vmx",),
        cpu_model=cpu_model,
        lines=(rf"^bulkhead \| APIC virtualization: {parts}$",
               *(line for guest in GUESTS for line in passed(guest))),
        check=no_failure,
        timeout=240,
    )


TESTS = [
    apic_test("virtual", "apic_virtualization = true\n",
              "TPR shadow, page, x2APIC, registers, delivery"),
    # Without the key: what Bochs 3.0 does wrong is left out.
    apic_test("sound", "", "TPR shadow, page, x2APIC, registers"),
    apic_test("trapped", "apic_virtualization = false\n", "none"),
    # A CPU that knows the TPR, in the page and as an MSR, and nothing else.
    apic_test("tpr-only", "", "TPR shadow, page, x2APIC", "corei7_ivy_bridge_3770k"),
]
