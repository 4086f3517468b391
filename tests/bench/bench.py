# SPDX-License-Identifier: Apache-2.0
"""Measure Bulkhead's figures: build/bench.json and a table; status 1 when one misses its target.

Two boots in Bochs, where one instruction is one tick of the TSC, so that figures are path lengths
and the same on each run. What is measured how, and why: docs/bench.md. Logs are
build/bench/NAME.log.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests" / "boot"))
sys.path.insert(0, str(TOP / "tools"))
import fetch_debian  # noqa: E402  (a tool of this tree)
import framework  # noqa: E402
import initrd  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SOURCE_FOLDERS = ("arch", "boot", "drivers", "hv", "linker")
SOURCE_SUFFIXES = (".c", ".h", ".S", ".in", ".asl", ".lds")


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. target None: shown, not judged."""
    key: str
    text: str
    target: float | None = None
    peer: str = ""


ROWS = (
    Row("cpuid_ticks", "CPUID exit, ticks", 150, "KVM 982"),
    Row("rdmsr_ticks", "RDMSR exit (IA32_APIC_BASE), ticks", None, "KVM 1,092"),
    Row("hypercall_ticks", "VMCALL -> #UD -> handler that skips it, ticks", None,
        "KVM (AMD-V) 1,060, a real hypercall"),
    Row("port_ticks", "port write to the UART model, ticks", 300, "KVM, user space 2,994"),
    Row("port_read_ticks", "port read from the UART model, ticks"),
    Row("mmio_ticks", "MMIO write to the LAPIC model, ticks", 600, "KVM, user space 5,409"),
    Row("mmio_read_ticks", "MMIO read from the LAPIC model, ticks"),
    Row("x2apic_ticks", "WRMSR to the LAPIC model (x2APIC), ticks"),
    Row("hlt_ticks", "HLT to the handler of a pending interrupt, ticks", None, "KVM 2,565"),
    Row("cpuid_vmread", "VMREADs per CPUID exit", 5),
    Row("cpuid_vmwrite", "VMWRITEs per CPUID exit", 2),
    Row("cpuid_msr", "RDMSRs and WRMSRs per CPUID exit", 0),
    Row("mmio_vmread", "VMREADs per MMIO exit"),
    Row("linux_share", "hypervisor's share of a Linux boot, %", 5),
    Row("start_instructions", "`run` to the first guest instruction, 128 MiB", 300_000,
        "LightVM 2.3 ms"),
    Row("bytes_per_guest", "hypervisor memory per guest, bytes", 48 << 10, "Firecracker 5 MiB"),
    Row("bytes_per_vcpu", "hypervisor memory per vCPU, bytes", 24 << 10),
    Row("efi_bytes", "BOOTX64.EFI, bytes", 512 << 10, "xen.efi 2,827,721"),
    Row("source_lines", "source, hypervisor and loader, lines of code", 30_000,
        "Jailhouse 11 k, ACRN 102 k"),
)

CONFIG = """\
[machine]
console = "com1"
when_all_stopped = "poweroff"
"""
PAYLOAD = """
[image.{name}]
kernel = "images/{name}.elf"

[guest.{name}]
image = "{name}"
cpus = [0]
memory = "{memory}"
exit_port = 0xf4
"""
LINUX = """
[image.linux]
kernel = "images/vmlinuz"
initrd = "images/initrd.img"
cmdline = "console=ttyS0"

[guest.linux]
image = "linux"
cpus = [0]
memory = "256M"
"""


def linux_initrd():
    """BusyBox, and an init that says `demo: ready` and powers off."""
    path = TOP / "build" / "bench" / "initrd.img"
    busybox = framework.fetched("busybox")
    busybox.chmod(0o755)
    path.write_bytes(initrd.make_initrd(busybox, {"etc/inittab": HERE / "inittab",
                                                  "etc/rc": HERE / "rc"}))
    return path


def exits_boot(build):
    """One CPU: ticks are exact. The guest shares it with the hypervisor's work."""
    return framework.BootTest(
        name="exits", cpus=1, config=CONFIG + PAYLOAD.format(name="bench", memory="128M"),
        files={"images/bench.elf": str(build / "guests" / "bench.elf")},
        lines=(r"^bench +\| PASS bench",))


def linux_boot(build):
    """One CPU here too. While `counter` sleeps, the memory that Linux left is cleaned for `hello`."""
    return framework.BootTest(
        name="linux", cpus=1,
        config=CONFIG + LINUX
        + PAYLOAD.format(name="counter", memory="4M") + 'after = "linux"\ncmdline = "20"\n'
        + PAYLOAD.format(name="hello", memory="128M") + 'after = "counter"\n',
        timeout=240,
        files={"images/vmlinuz": framework.debian_kernel, "images/initrd.img": linux_initrd,
               **{f"images/{name}.elf": str(build / "guests" / f"{name}.elf")
                  for name in ("counter", "hello")}},
        lines=(r"^linux +\| demo: ready", r"linux stopped: powered off",
               r"^hello +\| PASS hello"))


# ---- From logs to figures ------------------------------------------------------

def numbers(text, expression):
    match = re.search(expression, text, re.MULTILINE)
    if not match:
        raise framework.Failure(f"missing: {expression}")
    return [int(group) for group in match.groups()]


def exit_figures(log):
    """`bench NAME TICKS` lines."""
    found = dict(re.findall(r"^bench +\| bench (\w+) ([\d.]+)$", log, re.MULTILINE))
    return {f"{name}_ticks": float(ticks) for name, ticks in found.items()}


def start_figures(log):
    """Bytes copied are counted apart: one tick per quadword (REP MOVSQ)."""
    memory, vcpus, tables = numbers(
        log, r"measure hello memory (\d+) vcpus (\d+) tables (\d+)$")
    start, copied = numbers(log, r"measure hello start (\d+) copied (\d+)$")
    return {"start_instructions": start - copied // 8, "start_bytes_copied": copied,
            "bytes_per_vcpu": vcpus, "bytes_page_tables": tables,
            "bytes_per_guest": memory - tables - vcpus}


def stub_instructions(elf):
    """Instructions between the two readings of the clock that neither sees: the entry stubs."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=vmx_enter", elf],
                          capture_output=True, text=True, check=True).stdout
    text += subprocess.run(["objdump", "-d", "--no-show-raw-insn",
                            "--disassemble=vmx_exit_entry", elf],
                           capture_output=True, text=True, check=True).stdout
    return len(re.findall(r"^ *[0-9a-f]+:\t", text, re.MULTILINE))


def linux_figures(log, stub):
    """Sleep in HLT is nobody's; the clock's own cost is taken off, the stubs' is added."""
    host, total, idle, exits, own = numbers(
        log, r"measure linux host (\d+) of (\d+) idle (\d+) exits (\d+) own (\d+)/1000$")
    total -= idle + exits * own // 1000
    host += exits * stub - exits * own // 1000
    return {"linux_share": round(100 * host / total, 2), "linux_exits": exits,
            "linux_ticks": total, "linux_ticks_per_exit": round(host / exits, 1)}


def access_figures(program):
    """What tests/unit/test_vmx_price.c counts in its fake CPU."""
    run = subprocess.run([program], capture_output=True, text=True, check=False)
    found = {}
    for name, counts in re.findall(r"^accesses (\w+) (.*)$", run.stdout, re.MULTILINE):
        count = dict(re.findall(r"(\w+)=(\d+)", counts))
        found |= {f"{name}_vmread": int(count["vmread"]),
                  f"{name}_vmwrite": int(count["vmwrite"]),
                  f"{name}_msr": int(count["rdmsr"]) + int(count["wrmsr"])}
    return found


def code_lines(text):
    """Lines that hold more than comment."""
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match.group().count("\n"), text,
                  flags=re.DOTALL)
    return sum(bool(re.sub(r"//.*", "", line).strip()) for line in text.splitlines())


def source_lines():
    return sum(code_lines(path.read_text(encoding="utf-8"))
               for folder in SOURCE_FOLDERS for path in (TOP / folder).rglob("*")
               if path.suffix in SOURCE_SUFFIXES)


def measure(build, timed):
    work = build / "bench"
    work.mkdir(parents=True, exist_ok=True)
    plain = framework.Runner(build / "BOOTX64.EFI", build / "bulkhead", work)
    timing = dataclasses.replace(plain, efi=timed / "BOOTX64.EFI")
    boots = ((linux_boot(build), timing), (exits_boot(build), plain))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(runner.run, test, "bochs-vmx", test.name)
                     for test, runner in boots]:
            done.result()
    logs = {test.name: framework.plain_text(work / f"{test.name}.log") for test, _ in boots}
    return (exit_figures(logs["exits"]) | start_figures(logs["linux"])
            | linux_figures(logs["linux"], stub_instructions(timed / "hypervisor.elf"))
            | access_figures(build / "unit" / "test_vmx_price")
            | {"efi_bytes": (build / "BOOTX64.EFI").stat().st_size,
               "source_lines": source_lines()})


# ---- The table -----------------------------------------------------------------

def shown(number):
    if number is None:
        return ""
    return f"{number:,.1f}".removesuffix(".0") if isinstance(number, float) else f"{number:,}"


def table(figures):
    """Print the rows; returns how many miss their targets. What is missing misses."""
    missed = 0
    print(f"{'':46} {'Bulkhead':>10} {'target':>10}  peer")
    for row in ROWS:
        value = figures.get(row.key)
        bad = row.target is not None and (value is None or value > row.target)
        missed += bad
        print(f"{row.text:46} {shown(value) or '?':>10} {shown(row.target):>10}  "
              f"{row.peer}{'  MISSED' if bad else ''}")
    return missed


def main():
    parser = argparse.ArgumentParser(description="Measure the figures of docs/bench.md.")
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build")
    parser.add_argument("--timed", type=pathlib.Path, default=TOP / "build" / "timed",
                        help="the build with -DEXIT_TIMING")
    arguments = parser.parse_args()
    try:
        figures = measure(arguments.build.resolve(), arguments.timed.resolve())
    except (framework.Failure, fetch_debian.FetchError, OSError,
            subprocess.CalledProcessError) as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    rows = {row.key: {"value": figures.get(row.key), "target": row.target, "peer": row.peer}
            for row in ROWS}
    rows |= {key: {"value": value} for key, value in figures.items() if key not in rows}
    (arguments.build / "bench.json").write_text(json.dumps(rows, indent=1) + "\n",
                                                encoding="utf-8")
    missed = table(figures)
    print(f"bench: {missed} missed" if missed else "bench: all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
