# SPDX-License-Identifier: Apache-2.0
"""Measure Bulkhead's figures: build/bench.json and a table; status 1 when one misses its target.

Two boots on each emulated platform and one more where the CPU helps with the LAPIC, on all of which
the guest's clock counts instructions, so that figures are path lengths and the same on each run.
What is measured how, and why: docs/bench.md. Logs are build/bench/NAME-PLATFORM.log.
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
import platforms  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
SOURCE_FOLDERS = ("arch", "boot", "drivers", "hv", "linker")
SOURCE_SUFFIXES = (".c", ".h", ".S", ".in", ".asl", ".lds")
# QEMU's TSC counts ns of a clock that each instruction moves on by 2^ICOUNT. Small enough that the
# hypervisor's timer, which follows the same clock, does not come in each round of the exits.
ICOUNT = 4
# MOV, STI and one of the two RDTSC around HLT.
AROUND_HLT = 3


# In the order of the table's columns. The first one's figures stand at the top of build/bench.json.
PLATFORMS = ("bochs-vmx", "bochs-svm", "qemu-svm")
FIRST, *OTHERS = PLATFORMS
AMD = tuple(OTHERS)
ONCE = (FIRST,)  # the same wherever it runs
VIRTUAL = "_virtual"  # of figures with APIC virtualization, which all others are without


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table. target None: shown, not judged."""
    key: str
    text: str
    target: float | None = None
    peers: tuple[str, ...] = ()  # of each platform; only one: of all
    on: dict[str, float] = dataclasses.field(default_factory=dict)  # targets that are others there
    platforms: tuple[str, ...] = PLATFORMS  # what it applies to

    def target_on(self, platform):
        return self.on.get(platform, self.target)

    def peer_on(self, platform):
        if len(self.peers) > 1:
            return self.peers[PLATFORMS.index(platform)]
        return "".join(self.peers)

    def missed(self, platform, value):
        """What is missing misses."""
        target = self.target_on(platform)
        return (platform in self.platforms and target is not None
                and (value is None or value > target))


ROWS = (
    Row("cpuid_ticks", "CPUID exit", 150, ("982", "1,123", "2,418"), {"qemu-svm": 220}),
    Row("rdmsr_ticks", "RDMSR exit (IA32_APIC_BASE)", None, ("1,092", "1,183", "2,489")),
    Row("hypercall_ticks", "VMCALL or VMMCALL -> #UD -> handler", None, ("-", "1,060", "2,559")),
    Row("port_ticks", "port write to the UART model", 300, ("2,994", "2,863", "2,826")),
    Row("port_read_ticks", "port read from the UART model"),
    Row("pm_timer_ticks", "PM timer read"),
    Row("pit_count_ticks", "PIT count read"),
    Row("port_61_ticks", "port 61h read"),
    Row("mmio_ticks", "MMIO write to the LAPIC model", 600, ("5,409", "4,863", "4,872")),
    Row("mmio_read_ticks", "MMIO read from the LAPIC model"),
    Row("x2apic_ticks", "WRMSR to the LAPIC model (x2APIC)"),
    *(Row(f"{name}{suffix}_ticks", text + more, platforms=platforms_of)
      for name, text in (("mmio", "TPR write"), ("lapic_id", "LAPIC ID read"),
                         ("eoi", "EOI write"), ("cr8", "CR8 write"),
                         ("x2apic", "TPR WRMSR"), ("x2apic_id", "LAPIC ID RDMSR"),
                         ("x2apic_eoi", "EOI WRMSR"), ("hlt", "HLT to the handler"))
      for suffix, more, platforms_of in (("", "", PLATFORMS), (VIRTUAL, ", by the CPU", ONCE))
      if suffix or name not in ("mmio", "x2apic", "hlt")),
    Row("hlt_ticks", "HLT to the handler of a pending interrupt", None,
        ("2,565", "2,492", "3,783")),
    Row("cpuid_vmread", "VMREADs per CPUID exit", 5, platforms=(FIRST,)),
    Row("cpuid_vmwrite", "VMWRITEs per CPUID exit", 2, platforms=(FIRST,)),
    Row("cpuid_msr", "RDMSRs and WRMSRs per CPUID exit", 0),
    Row("cpuid_reread", "VMCB groups read anew after a CPUID exit", 0, platforms=AMD),
    Row("mmio_vmread", "VMREADs per MMIO exit", platforms=(FIRST,)),
    Row("linux_share", "hypervisor's share of a Linux boot, %", 5),
    Row("start_instructions", "`run` to the first guest instruction", 300_000,
        ("LightVM 2.3 ms",)),
    Row("bytes_per_guest", "hypervisor memory per guest, bytes", 48 << 10, ("Firecracker 5 MiB",)),
    Row("bytes_per_vcpu", "hypervisor memory per vCPU, bytes", 24 << 10),
    Row("efi_bytes", "BOOTX64.EFI, bytes", 512 << 10, ("xen.efi 2,827,721",), platforms=ONCE),
    Row("source_lines", "source, hypervisor and loader, lines of code", 30_000,
        ("Jailhouse 11 k, ACRN 102 k",), platforms=ONCE),
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


def exits_boot(build, virtual=False):
    """One CPU: ticks are exact. The guest shares it with the hypervisor's work."""
    return framework.BootTest(
        name="exits" + virtual * VIRTUAL, cpus=1, icount=str(ICOUNT),
        config=CONFIG + f"apic_virtualization = {str(virtual).lower()}\n"
        + PAYLOAD.format(name="bench", memory="128M"),
        files={"images/bench.elf": str(build / "guests" / "bench.elf")},
        lines=(r"^bench +\| PASS bench",))


def linux_boot(build, disk):
    """One CPU here too. While `counter` sleeps, the memory that Linux left is cleaned for `hello`."""
    return framework.BootTest(
        name="linux", cpus=1, icount=str(ICOUNT),
        config=CONFIG + LINUX
        + PAYLOAD.format(name="counter", memory="4M") + 'after = "linux"\ncmdline = "20"\n'
        + PAYLOAD.format(name="hello", memory="128M") + 'after = "counter"\n',
        timeout=300,
        files={"images/vmlinuz": framework.debian_kernel, "images/initrd.img": str(disk),
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


def ticks_per_instruction(platform):
    return 1 << ICOUNT if "icount" in platforms.PLATFORMS[platform].offers else 1


def exit_figures(log, ticks, suffix=""):
    """`bench NAME TICKS` lines."""
    found = {f"{name}{suffix}_ticks": round(float(number) / ticks, 1) for name, number in re.findall(
        r"^bench +\| bench (\w+) ([\d.]+)$", log, re.MULTILINE)}
    if f"hlt{suffix}_ticks" in found:
        found[f"hlt{suffix}_ticks"] -= AROUND_HLT
    return found


def start_figures(log, ticks):
    """Bytes copied are counted apart: one instruction per quadword (REP MOVSQ)."""
    memory, vcpus, tables = numbers(
        log, r"measure hello memory (\d+) vcpus (\d+) tables (\d+)$")
    start, copied = numbers(log, r"measure hello start (\d+) copied (\d+)$")
    return {"start_instructions": start // ticks - copied // 8, "start_bytes_copied": copied,
            "bytes_per_vcpu": vcpus, "bytes_page_tables": tables,
            "bytes_per_guest": memory - tables - vcpus}


def stub_instructions(elf, platform):
    """Instructions between the two readings of the clock that neither sees: the entry stubs."""
    names = ("svm_enter",) if platform in AMD else ("vmx_enter", "vmx_exit_entry")
    text = "".join(subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={name}", elf],
        capture_output=True, text=True, check=True).stdout for name in names)
    return len(re.findall(r"^ *[0-9a-f]+:\t", text, re.MULTILINE))


def linux_figures(log, stub, ticks):
    """Sleep in HLT is nobody's; the clock's own cost is taken off, the stubs' is added."""
    host, total, idle, exits, own = numbers(
        log, r"measure linux host (\d+) of (\d+) idle (\d+) exits (\d+) own (\d+)/1000$")
    own = exits * own // 1000
    total = (total - idle - own) // ticks
    host = (host - own) // ticks + exits * stub
    return {"linux_share": round(100 * host / total, 2), "linux_exits": exits,
            "linux_ticks": total, "linux_ticks_per_exit": round(host / exits, 1)}


def access_figures(program, prefix=""):
    """What the price tests of tests/unit count in their fake CPUs."""
    run = subprocess.run([program], capture_output=True, text=True, check=False)
    found = {}
    for name, counts in re.findall(rf"^accesses {prefix}(\w+) (.*)$", run.stdout, re.MULTILINE):
        count = {key: int(number, 0) for key, number in re.findall(r"(\w+)=(\w+)", counts)}
        found[f"{name}_msr"] = count["rdmsr"] + count["wrmsr"]
        found |= {f"{name}_{key}": count[key] for key in ("vmread", "vmwrite") if key in count}
        if "dirty" in count:
            found[f"{name}_reread"] = count["dirty"].bit_count()
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


def boot_all(build, timed):
    """Platform → boot → what the console showed."""
    work = build / "bench"
    work.mkdir(parents=True, exist_ok=True)
    plain = framework.Runner(build / "BOOTX64.EFI", build / "bulkhead", work)
    timing = dataclasses.replace(plain, efi=timed / "BOOTX64.EFI")
    boots = [(test, runner, platform)  # the long ones first
             for test, runner in ((linux_boot(build, linux_initrd()), timing),
                                  (exits_boot(build), plain))
             for platform in PLATFORMS] + [(exits_boot(build, True), plain, FIRST)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = [(pool.submit(runner.run, test, platform, f"{test.name}-{platform}"), test,
                    platform) for test, runner, platform in boots]
        logs = {platform: {} for platform in PLATFORMS}
        for future, test, platform in running:
            try:
                future.result()
            except framework.Failure as e:
                raise framework.Failure(f"{test.name} on {platform}: {e}") from e
            logs[platform][test.name] = framework.plain_text(
                work / f"{test.name}-{platform}.log")
    return logs


def measure(build, timed):
    """Platform → figures; those that are the same everywhere are the first platform's."""
    figures = {}
    for platform, logs in boot_all(build, timed).items():
        ticks = ticks_per_instruction(platform)
        accesses = (access_figures(build / "unit" / "test_svm_price", "svm_") if platform in AMD
                    else access_figures(build / "unit" / "test_vmx_price"))
        stub = stub_instructions(timed / "hypervisor.elf", platform)
        figures[platform] = (exit_figures(logs["exits"], ticks)
                             | start_figures(logs["linux"], ticks)
                             | linux_figures(logs["linux"], stub, ticks) | accesses)
        if exits_boot(build, True).name in logs:
            figures[platform] |= exit_figures(logs[exits_boot(build, True).name], ticks, VIRTUAL)
    figures[FIRST] |= {"efi_bytes": (build / "BOOTX64.EFI").stat().st_size,
                       "source_lines": source_lines()}
    return figures


# ---- The table -----------------------------------------------------------------

def shown(number):
    if number is None:
        return ""
    return f"{number:,.1f}".removesuffix(".0") if isinstance(number, float) else f"{number:,}"


def same_or_each(words):
    """One word if all are the same, else one for each platform."""
    return words[0] if len(set(words)) == 1 else " / ".join(words)


def table(figures):
    """Print the rows; returns how many figures miss their targets."""
    missed = 0
    print(f"{'instructions, unless it says otherwise':44}"
          + "".join(f"{platform:>11}" for platform in PLATFORMS)
          + f"{'target':>18}  peer (KVM)")
    for row in ROWS:
        cells, bad = "", []
        for platform in PLATFORMS:
            value = figures[platform].get(row.key)
            cells += f"{(shown(value) or '?') if platform in row.platforms else '':>11}"
            bad += [platform] if row.missed(platform, value) else []
        missed += len(bad)
        target = same_or_each([shown(row.target_on(each)) for each in row.platforms])
        peer = same_or_each([row.peer_on(each) for each in row.platforms])
        print(f"{row.text:44}{cells}{target:>18}  {peer}"
              + (f"  MISSED on {', '.join(bad)}" if bad else ""))
    return missed


def report(figures):
    """What build/bench.json holds."""
    def entries(platform):
        mine = figures[platform]
        rows = {row.key: {"value": mine.get(row.key), "target": row.target_on(platform),
                          "peer": row.peer_on(platform)}
                for row in ROWS if platform in row.platforms}
        return rows | {key: {"value": value} for key, value in mine.items() if key not in rows}
    return entries(FIRST) | {"platforms": {platform: entries(platform) for platform in OTHERS}}


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
    (arguments.build / "bench.json").write_text(json.dumps(report(figures), indent=1) + "\n",
                                                encoding="utf-8")
    missed = table(figures)
    print(f"bench: {missed} missed" if missed else "bench: all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
