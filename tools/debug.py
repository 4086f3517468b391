#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Boot an image in QEMU under gdb, with the hypervisor's symbols and commands.

usage: tools/debug.py IMAGE [PLATFORM [option of tools/emulate]...]

PLATFORM is qemu-svm or qemu-kvm. The machine waits at its first instruction. Its console goes to
build/debug/console.log. When gdb ends, so does the machine. docs/debugging.md has an example.
"""
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = TOP / "tools" / "gdb" / "bulkhead.py"
LISTENING_S = 20


def gdb_command(elf, socket, *arguments):
    """gdb attached to the machine that waits at the socket."""
    return ["gdb", "-q", "-nx", "-ex", "set pagination off", "-ex", f"target remote {socket}",
            "-x", str(COMMANDS), *arguments, str(elf)]


def emulate_command(image, platform, socket, *options):
    return ["setpriv", "--pdeathsig", "TERM", str(TOP / "tools" / "emulate"), platform, str(image),
            "--gdb", str(socket), *options]


def wait_for(socket, machine):
    """Whether the machine listens."""
    end = time.monotonic() + LISTENING_S
    while not socket.exists():
        if machine.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def run(image, platform, options, console):
    with tempfile.TemporaryDirectory(prefix="debug.") as directory, open(console, "wb") as file:
        socket = pathlib.Path(directory) / "gdb"
        machine = subprocess.Popen(emulate_command(image, platform, socket, "--timeout", "0",
                                                   *options),
                                   stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                   start_new_session=True)  # Ctrl-C is for gdb
        try:
            if not wait_for(socket, machine):
                sys.stderr.write(console.read_text(errors="replace"))
                return 2
            return subprocess.run(gdb_command(TOP / "build" / "hypervisor.elf", socket),
                                  check=False).returncode
        finally:
            machine.terminate()
            machine.wait()


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.stderr.write(__doc__)
        return 4
    image, platform, *options = sys.argv[1:] + ["qemu-svm"] * (len(sys.argv) == 2)
    console = TOP / "build" / "debug" / "console.log"
    console.parent.mkdir(parents=True, exist_ok=True)
    print(f"The machine stands at its first instruction. Its console: tail -f {console.relative_to(TOP)}\n"
          "To begin with: tbreak hv_main, continue, next; then bh-guests; help user-defined")
    signal.signal(signal.SIGINT, lambda *_: None)  # a handler, so that gdb does not inherit it
    return run(image, platform, options, console)


if __name__ == "__main__":
    sys.exit(main())
