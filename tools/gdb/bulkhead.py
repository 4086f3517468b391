# SPDX-License-Identifier: Apache-2.0
"""gdb commands that show what the hypervisor knows: guests, vCPUs, their last exits and registers.

Loaded by tools/debug.py (`make debug`), or with `source` where gdb is attached to QEMU otherwise.
Memory is read by its physical address, so that the commands work wherever the CPUs are: a guest's
page tables know nothing of the hypervisor. A CPU N here is the hypervisor's, by its APIC ID the one
that QEMU shows as thread N + 1.
"""
import contextlib

import gdb

HV_VIRT_BASE = 0xffffffff80000000  # linker/hypervisor.lds
DIRECT_MAP_BASE = 0xffff800000000000  # arch/x86/cpu/host_map.h
DIRECT_MAP_SIZE = 1 << 46
STACKS_BASE = 0xffffc08000000000
IMAGE_ALIGN = 2 << 20  # the loader puts the image at a multiple of it, below 4 GiB
IMAGE_LIMIT = 4 << 30
EFER_SVME = 0x1000
GPRS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()


# ---- Memory ------------------------------------------------------------------------------------

@contextlib.contextmanager
def physical_memory():
    """Within it, gdb's addresses are physical ones; QEMU's own extension of the protocol."""
    def switch(mode):
        reply = gdb.execute(f"maintenance packet Qqemu.PhyMemMode:{mode}", to_string=True)
        if 'received: "OK"' not in reply:
            raise gdb.GdbError("this gdb stub cannot read physical memory: QEMU's can")
        gdb.execute("maintenance flush dcache", to_string=True)
    switch(1)
    try:
        yield
    finally:
        switch(0)


def read_physical(address, size):
    with physical_memory():
        return bytes(gdb.selected_inferior().read_memory(address, size))


def symbol_address(name, file=None):
    expression = f"&'{file}'::{name}" if file else f"&{name}"
    return int(gdb.parse_and_eval(expression))


class Image:
    """Where the loader has put the hypervisor's image: found by its first bytes of code."""
    physical = None

    @classmethod
    def base(cls):
        if cls.physical is None or not cls.is_at(cls.physical):
            cls.physical = cls.find()
        return cls.physical

    @classmethod
    def is_at(cls, base):
        """The variable tells a running hypervisor from what an earlier one left."""
        offset = symbol_address("host_map_image_offset")
        try:
            value = read_physical(base + offset - HV_VIRT_BASE, 8)
        except gdb.MemoryError:
            return False
        return int.from_bytes(value, "little") == HV_VIRT_BASE - base

    @classmethod
    def find(cls):
        for base in range(0, IMAGE_LIMIT, IMAGE_ALIGN):
            if cls.is_at(base):
                return base
        raise gdb.GdbError("the hypervisor is not in memory yet: `tbreak hv_main`, `continue`, and "
                           "over its first line with `next`")


def to_physical(address):
    if address >= HV_VIRT_BASE:
        return address - HV_VIRT_BASE + Image.base()
    if DIRECT_MAP_BASE <= address < DIRECT_MAP_BASE + DIRECT_MAP_SIZE:
        return address - DIRECT_MAP_BASE
    raise gdb.GdbError(f"{address:#x} is no address of the hypervisor's data")


def load(kind, address):
    """A value of the type at an address of the hypervisor's."""
    kind = kind if isinstance(kind, gdb.Type) else gdb.lookup_type(kind)
    return gdb.Value(read_physical(to_physical(int(address)), kind.sizeof), kind)


def follow(pointer):
    return load(pointer.type.target().strip_typedefs(), pointer)


def variable(name, file=None):
    expression = f"'{file}'::{name}" if file else name
    symbol = gdb.parse_and_eval(expression)
    return load(symbol.type, symbol.address)


def text(pointer, limit=256):
    if not int(pointer):
        return ""
    address = to_physical(int(pointer))
    # A string ends somewhere; the page behind it need not exist.
    data = read_physical(address, min(limit, 4096 - address % 4096))
    return data.split(b"\0")[0].decode("utf-8", "replace")


def array_text(value):
    data = bytes(int(value[i]) & 0xff for i in range(value.type.range()[1] + 1))
    return data.split(b"\0")[0].decode("utf-8", "replace")


# ---- The hypervisor's data ---------------------------------------------------------------------

def enum_names(kind, prefix):
    return {field.enumval: field.name.removeprefix(prefix).lower().replace("_", " ")
            for field in gdb.lookup_type(kind).fields()}


def guests():
    """Each struct guest of the config, in its order."""
    file = "hv/core/guests.c"
    table = gdb.parse_and_eval(f"'{file}'::guests")
    kind = table.type.target()
    for index in range(int(variable("count", file))):
        yield load(kind, int(table.address) + index * kind.sizeof)


def vm_cpus(guest):
    if not int(guest["vm"]):
        return
    vm = follow(guest["vm"])
    for index in range(int(vm["cpu_count"])):
        if int(vm["cpu"][index]):
            yield follow(vm["cpu"][index])


def cpus():
    """(struct cpu) of each CPU that has started."""
    table = variable("cpus", "arch/x86/cpu/cpu.c")
    first, last = table.type.range()
    return [follow(table[i]) for i in range(first, last + 1) if int(table[i])]


def thread_of(cpu):
    for thread in gdb.selected_inferior().threads():
        if thread.num - 1 == int(cpu["apic_id"]):
            return thread
    return None


def choose_cpu(argument):
    """The CPU with the number that was given, else the one whose thread is selected."""
    for cpu in cpus():
        thread = thread_of(cpu)
        if argument and int(cpu["index"]) == parse_number(argument) \
                or not argument and thread and thread == gdb.selected_thread():
            return cpu
    raise gdb.GdbError(f"CPU {argument or 'of this thread'} has not been started")


def parse_number(argument):
    try:
        return int(argument, 0)
    except ValueError:
        raise gdb.GdbError(f"'{argument}' is no number") from None


def vcpu_on(cpu):
    """(guest, vm_cpu) that this CPU owns, or (None, None)."""
    for guest in guests():
        for vm_cpu in vm_cpus(guest):
            if int(vm_cpu["vcpu"]["cpu"]) == int(cpu["index"]):
                return guest, vm_cpu
    return None, None


def require_vcpu(cpu):
    guest, vm_cpu = vcpu_on(cpu)
    if guest is None:
        raise gdb.GdbError(f"CPU {int(cpu['index'])} has no guest")
    return guest, vm_cpu["vcpu"]


@contextlib.contextmanager
def on_thread(cpu):
    before, thread = gdb.selected_thread(), thread_of(cpu)
    if thread is None:
        raise gdb.GdbError(f"no thread of gdb's is CPU {int(cpu['index'])}")
    thread.switch()
    try:
        yield
    finally:
        before.switch()


def register(name):
    """Flag registers have a type that only printing knows how to make a number of."""
    return int(gdb.execute(f"output/x ${name}", to_string=True), 16)


def is_in_guest(cpu):
    """By its RIP: the hypervisor executes nothing outside its own text."""
    with on_thread(cpu):
        rip = register("rip")
        return not symbol_address("hv_text_start") <= rip < symbol_address("hv_text_end")


def vmcb_of(vcpu):
    """Where AMD-V keeps the guest's registers; None with VT-x, which keeps them in the CPU."""
    if text(follow(vcpu["ops"])["name"]) != "AMD-V":
        return None
    return follow(load("struct svm_vcpu", vcpu["vendor"])["vmcb"])


# ---- Commands ----------------------------------------------------------------------------------

class Command(gdb.Command):
    """The class's own text is the command's help."""

    def __init__(self, name):
        self.__doc__ = type(self).__doc__
        super().__init__(name, gdb.COMMAND_USER)

    def invoke(self, argument, _from_tty):
        self.run(*gdb.string_to_argv(argument))


class Guests(Command):
    """All guests of the config: state, CPUs, exits and how the last run ended."""

    def run(self):
        states = enum_names("enum guest_state", "GUEST_")
        print(f"{'NAME':20} {'STATE':10} {'CPU':8} {'STARTS':>6} {'EXITS':>12}  LAST")
        for guest in guests():
            vcpus = [each["vcpu"] for each in vm_cpus(guest)]
            numbers = ",".join(str(int(v["cpu"])) for v in vcpus) or "-"
            exits = sum(int(v["recorder_at"]) for v in vcpus)
            print(f"{text(guest['name']):20} {states[int(guest['state'])]:10} "
                  f"{numbers:8} {int(guest['starts']):6} "
                  f"{exits:12}  {array_text(guest['stop']['text'])}".rstrip())


class Vcpu(Command):
    """What a CPU's guest is about, by default this thread's.
bh-vcpu [CPU]: where the vCPU is, what waits for it, what it has exited for."""

    def run(self, argument=""):
        cpu = choose_cpu(argument)
        guest, vm_cpu = vcpu_on(cpu)
        number = int(cpu["index"])
        if guest is None:
            print(f"CPU {number} (APIC ID {int(cpu['apic_id'])}): no guest")
            return
        vcpu = vm_cpu["vcpu"]
        where = "in the guest" if is_in_guest(cpu) else "in the hypervisor"
        print(f"CPU {number} (APIC ID {int(cpu['apic_id'])}): guest {text(guest['name'])}, "
              f"vCPU {int(vcpu['id'])}, {where}")
        print(f"  struct vm_cpu at {int(guest_cpu_address(guest, vcpu)):#x}, last exit at "
              f"{int(vcpu['rip']):#x}, attention {int(vcpu['attention']):#x}"
              + (", halted" if vm_cpu["halted"] else ""))
        for name in ("event", "reinject"):
            event = vcpu[name]
            if event["valid"]:
                print(f"  {name}: vector {int(event['vector'])}, type {int(event['type'])}")
        names = enum_names("enum exit_reason", "EXIT_")
        counts = [(int(vcpu["exits"][n]), name) for n, name in names.items() if name != "count"]
        print("  exits: " + (", ".join(f"{name} {count}" for count, name in sorted(counts)[::-1]
                                       if count) or "none"))


def guest_cpu_address(guest, vcpu):
    return follow(guest["vm"])["cpu"][int(vcpu["id"])]


class Exits(Command):
    """The last exits of a CPU's guest, the oldest first.
bh-exits [COUNT] [CPU]: the reason is the vendor's number (VT-x: basic exit reason, AMD-V:
EXITCODE), info what matters of it: a port, an MSR, the low half of an address."""

    def run(self, count="16", cpu=""):
        guest, vcpu = require_vcpu(choose_cpu(cpu))
        recorder, end = vcpu["recorder"], int(vcpu["recorder_at"])
        size = recorder.type.range()[1] + 1
        for number in range(end - min(parse_number(count), size, end), end):
            entry = recorder[number % size]
            print(f"{text(guest['name'])}: exit {number - end}: reason {int(entry['raw']):#x} at "
                  f"{int(entry['rip']):#x}, info {int(entry['info']):#x}")


class GuestRegs(Command):
    """The registers of a CPU's guest.
bh-guest-regs [CPU]: those in the CPU while it runs the guest, else those at its last exit."""
    CONTROL = ("cr0", "cr2", "cr3", "cr4", "efer")

    def run(self, argument=""):
        cpu = choose_cpu(argument)
        guest, vcpu = require_vcpu(cpu)
        if is_in_guest(cpu):
            with on_thread(cpu):
                values = {name: register(name) for name in (*GPRS, "rip", "eflags", *self.CONTROL)}
            values["rflags"] = values.pop("eflags")
            print(f"{text(guest['name'])}: now, as its CPU has them")
        else:
            values = {name: int(vcpu["gpr"][n]) for n, name in enumerate(GPRS)}
            values["rip"] = int(vcpu["rip"])
            del values["rsp"]
            vmcb = vmcb_of(vcpu)
            if vmcb is not None:
                values.update({name: int(vmcb[name]) for name in (*self.CONTROL, "rsp", "rflags")})
            print(f"{text(guest['name'])}: at its last exit")
        if "efer" in values:
            values["efer"] &= ~EFER_SVME  # not the guest's own
        self.show(values)

    def show(self, values):
        print("  " + "  ".join(f"{name.upper()} {values[name]:x}" for name in ("rip", "rflags")
                               if name in values))
        for first in range(0, len(GPRS), 4):
            print("  " + "  ".join(f"{name.upper():3} " + (f"{values[name]:016x}" if name in values
                                                           else "?" * 16)
                                   for name in GPRS[first:first + 4]))
        if "cr0" in values:
            print("  " + "  ".join(f"{name.upper()} {values[name]:x}" for name in self.CONTROL))
        else:
            print("  VT-x keeps the others in the CPU: see a post-mortem, or stop in the guest")


Guests("bh-guests")
Vcpu("bh-vcpu")
Exits("bh-exits")
GuestRegs("bh-guest-regs")
