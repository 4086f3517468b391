# SPDX-License-Identifier: Apache-2.0
"""The emulated machines that tools/emulate can boot: a class per emulator, a table of platforms.

A platform knows how to start its emulator and how to read what became of it, nothing else: the
process, the console and the private copy of the image (disk.img) belong to tools/emulate. It has
  max_cpus, extension      what tests and people choose by; extension: "VT-x" or "AMD-V"
  offers, models           the options that not every emulator has; what --cpu-model may be
  lacks()                  why it does not work here, or None
  prepare(dir, port, o)    write its files into `dir`; the command, whose console connects to `port`
  lost                     matches the emulator's output when the machine is beyond help, or None
  verdict(dir, output, status)   what ended it, and what to show: ("poweroff" or "panic", text)
"""
import fcntl
import os
import re
import shutil

# What the hypervisor has a backend for: nobody is sent to a machine that can run no guest.
USABLE_EXTENSIONS = ("VT-x", "AMD-V")


class EmulatorError(Exception):
    """The emulator cannot be started."""


def find_file(package, *candidates):
    """The first file that exists; Debian's releases keep firmware in different places."""
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise EmulatorError(f"there is no {' or '.join(candidates)}: install the package '{package}'")


def find_program(package, *names):
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise EmulatorError(f"'{names[0]}' is not installed: install the package '{package}'")


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class Emulator:
    """What the emulators have in common."""
    lost = None
    offers = frozenset()
    models = re.compile(r"\w+", re.ASCII)

    def __init__(self, extension, model):
        self.extension = extension
        self.model = model

    def parts(self):
        """Programs and firmware by name; EmulatorError where one is missing."""
        raise NotImplementedError

    def lacks(self):
        try:
            self.parts()
        except EmulatorError as e:
            return str(e)
        return None


# ---- Bochs ---------------------------------------------------------------------------------------

class Bochs(Emulator):
    """Debian's Bochs (debugger build), 2.7 and 3.0; OVMF as firmware; com1 as the console.

    Bochs connects to our listening socket: its own server could not bind twice in a row.
    Sound is off because 2.7 crashes on a host without a sound card.
    """
    max_cpus = 8
    MAX_HOST_MB = 2048  # more guest memory than this is swapped to a file by Bochs itself
    # MSRs that the real parts have and the CPU models lack: 17h is read by OVMF, the others by a
    # Linux without a hypervisor. They hold 0; written is only what is 0, or ignored.
    MSRS = "".join(f"0x{msr:x} 0 0x00000000 0x00000000 {reserved} {reserved} {ignored} {ignored}\n"
                   for msr, reserved, ignored in (
                       (0x017, "0xFFFFFFFF", "0x00000000"), (0x034, "0xFFFFFFFF", "0x00000000"),
                       (0x08b, "0x00000000", "0xFFFFFFFF"), (0x140, "0x00000000", "0xFFFFFFFF"),
                       (0x1a0, "0x00000000", "0xFFFFFFFF"), (0x1d9, "0x00000000", "0xFFFFFFFF"),
                       (0x38f, "0x00000000", "0xFFFFFFFF")))
    CONFIG = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={model}, count={cpus}, ips=100000000, reset_on_triple_fault=0, \
ignore_bad_msrs={ignore_bad_msrs}, msrs=msrs.txt
memory: guest={memory}, host={host_memory}
romimage: file="{firmware}", address={firmware_address:#x}
vgaromimage: file="{vga_bios}"
pci: enabled=1, chipset=i440fx
ata0-master: type=disk, path=disk.img, mode=flat
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
port_e9_hack: enabled=1
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
clock: sync=none, time0=1700000000
panic: action=fatal
log: bochs.log
"""

    def __init__(self, extension, model, ignore_bad_msrs):
        super().__init__(extension, model)
        self.ignore_bad_msrs = ignore_bad_msrs

    def parts(self):
        return {
            "program": find_program("bochs", "bochs-bin", "bochs"),
            "firmware": find_file("ovmf", "/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF.fd"),
            "vga_bios": find_file("bochsbios", "/usr/share/bochs/VGABIOS-lgpl-latest",
                                  "/usr/share/bochs/VGABIOS-lgpl-latest.bin",
                                  "/usr/share/vgabios/vgabios.bin"),
        }

    def prepare(self, directory, port, options):
        parts = self.parts()
        files = {
            "msrs.txt": self.MSRS,
            "debugger.rc": "c\nq\n",
            "bochsrc": self.CONFIG.format(
                model=options.cpu_model or self.model, cpus=options.cpus,
                ignore_bad_msrs=self.ignore_bad_msrs, memory=options.memory,
                host_memory=min(options.memory, self.MAX_HOST_MB),
                # The firmware ends at 4 GiB, whatever the size of this build of it.
                firmware_address=(1 << 32) - os.path.getsize(parts["firmware"]), port=port,
                **parts),
        }
        for name, text in files.items():
            with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                file.write(text)
        return [parts["program"], "-q", "-f", "bochsrc", "-rc", "debugger.rc"]

    def verdict(self, directory, output, _status):
        log = read_text(os.path.join(directory, "bochs.log"))
        # Power-off is a "panic" to Bochs too, and so is the shutdown port.
        if re.search(r"ACPI control: soft power off|Shutdown port: shutdown requested", log):
            return "poweroff", ""
        panic = re.search(r"^.*>>PANIC<<.*$", log + output, re.MULTILINE)
        tail = "\n".join(output.splitlines()[-20:] + log.splitlines()[-60:])
        return "panic", f"{tail}\n{panic.group().strip() if panic else 'Bochs ended unexpectedly'}"


# ---- QEMU ----------------------------------------------------------------------------------------

class Qemu(Emulator):
    """Debian's QEMU, 7.2 and 10.0, without KVM: a q35 with OVMF, a virtio disk and COM1.

    A machine reset comes back, as in Bochs. QEMU resets the machine for a triple fault too, and to
    QMP both have the reason guest-reset; only its log tells them apart. So the log of CPU resets is
    on: it has a line for a triple fault (none for one that a guest's SHUTDOWN intercept catches),
    then the state in which the reset found each CPU. The clock begins where Bochs's does.
    """
    max_cpus = 255
    accelerator = "tcg"
    offers = frozenset(("icount", "gdb"))
    models = re.compile(r"\w[\w.-]*(?:,[+-]?[\w.-]+(?:=[\w.-]+)?)*", re.ASCII)
    log = ("-d", "cpu_reset")
    lost = re.compile(r"^Triple fault\b|\bterminating on signal \d+", re.MULTILINE)
    noise = re.compile(r"(?!)")
    LINES_SHOWN = 100

    def parts(self):
        # 13 has the 4 MB builds only, and variables fit only the code of their size.
        code = find_file("ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd")
        return {
            "program": find_program("qemu-system-x86", "qemu-system-x86_64"),
            "code": code,
            "variables": find_file("ovmf", code.replace("OVMF_CODE", "OVMF_VARS")),
        }

    def prepare(self, directory, port, options):
        parts = self.parts()
        shutil.copyfile(parts["variables"], os.path.join(directory, "variables.fd"))
        model, more = options.cpu_model or self.model, list(options.extra)
        if options.icount is not None:
            # Reading the clock by an MSR is not foreseen there: QEMU 10 ends with "Bad icount read".
            model += ",-x2apic,-tsc-deadline"
            more += ["-icount", f"shift={options.icount}"]
        if options.gdb is not None:
            more += ["-S", "-gdb", f"unix:{options.gdb.replace(',', ',,')},server=on,wait=off"]
        return [
            parts["program"], "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", f"q35,accel={self.accelerator}", "-cpu", model,
            "-smp", str(options.cpus), "-m", str(options.memory),
            "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={parts['code']}",
            "-drive", "if=pflash,unit=1,format=raw,file=variables.fd",
            "-drive", "if=none,id=disk,format=raw,file=disk.img",
            "-device", "virtio-blk-pci,drive=disk,bootindex=0",
            "-chardev", f"socket,id=console,host=127.0.0.1,port={port}",
            "-serial", "chardev:console",
            "-rtc", "base=2023-11-14T22:13:20,clock=vm", *self.log, *more,
        ]

    def verdict(self, _directory, output, status):
        lines = [line for line in output.splitlines()
                 if self.lost.search(line) or not self.noise.search(line)]
        if self.lost.search(output):
            return "panic", "\n".join(lines[:self.LINES_SHOWN])
        if status == 0:
            return "poweroff", ""
        return "panic", "\n".join(lines[-self.LINES_SHOWN:] + [f"QEMU ended with status {status}"])


class Kvm(Qemu):
    """The same machine with the host's CPU, where KVM lets a guest have virtualization itself.

    There is no line for a triple fault here, but KVM's reason for returning to QEMU can be traced:
    8 shutdown (a triple fault), 9 failed entry, 17 internal error.
    """
    accelerator = "kvm"
    offers = frozenset(("gdb",))
    log = ("-d", "cpu_reset", "-trace", "kvm_run_exit")
    lost = re.compile(r"kvm_run_exit cpu_index \d+, reason (?:8|9|17)$|" + Qemu.lost.pattern,
                      re.MULTILINE)
    noise = re.compile(r"kvm_run_exit cpu_index")
    KVM_GET_API_VERSION, API_VERSION = 0xAE00, 12

    def __init__(self, device="/dev/kvm", cpuinfo="/proc/cpuinfo", modules="/sys/module"):
        flags = re.search(r"^flags\s*:(.*)$", read_text(cpuinfo), re.MULTILINE)
        flags = flags.group(1).split() if flags else ()
        super().__init__("VT-x" if "vmx" in flags else "AMD-V" if "svm" in flags else None, "host")
        self.device, self.modules = device, modules

    def parts(self):
        self.require_kvm()
        return super().parts()

    def require_kvm(self):
        try:
            file = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        except OSError as e:
            raise EmulatorError(f"KVM cannot be used: {self.device}: {e.strerror}") from e
        try:
            version = fcntl.ioctl(file, self.KVM_GET_API_VERSION)
        except OSError as e:
            raise EmulatorError(f"KVM cannot be used: {self.device}: {e.strerror}") from e
        finally:
            os.close(file)
        if version != self.API_VERSION:
            raise EmulatorError(f"KVM cannot be used: it has version {version} of its interface, "
                                f"not {self.API_VERSION}")
        if not self.extension:
            raise EmulatorError("KVM cannot be used: the CPU has neither VT-x nor AMD-V")
        module = "kvm_intel" if self.extension == "VT-x" else "kvm_amd"
        if read_text(f"{self.modules}/{module}/parameters/nested").strip() not in ("1", "Y"):
            raise EmulatorError(f"KVM gives its guests no {self.extension}: load the module with "
                                f"`modprobe {module} nested=1`")


# ---- The table -----------------------------------------------------------------------------------

PLATFORMS = {
    "bochs-vmx": Bochs("VT-x", "corei7_skylake_x", ignore_bad_msrs=0),
    # Its firmware reads MSRs that Bochs's AMD models do not have, and no list can add them.
    "bochs-svm": Bochs("AMD-V", "ryzen", ignore_bad_msrs=1),
    "qemu-svm": Qemu("AMD-V", "max"),
    "qemu-kvm": Kvm(),
}
BY_SPEED = ("qemu-kvm", "qemu-svm", "bochs-vmx", "bochs-svm")


def fastest(platforms=PLATFORMS, extensions=USABLE_EXTENSIONS):
    """(name of the fastest platform on which guests can run here, why not a faster one)"""
    reasons = []
    for name in BY_SPEED:
        platform = platforms[name]
        reason = platform.lacks()
        if reason is None and platform.extension in extensions:
            return name, "; ".join(reasons)
        reasons.append(f"{name}: {reason or f'{platform.extension} is not supported yet'}")
    raise EmulatorError("no platform works here: " + "; ".join(reasons))
