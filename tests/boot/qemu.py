# SPDX-License-Identifier: Apache-2.0
"""A machine of tools/emulate in QEMU, with a screen: its console, its keyboard, pictures of it.

Nothing here waits longer than asked to; what goes wrong is a Failure of the test.
"""
import contextlib
import dataclasses
import json
import pathlib
import select
import socket
import time

from framework import Failure, emulate

platforms = emulate.platforms
QMP = "qmp.sock"  # in the machine's directory
ANSWER_S = 60


@dataclasses.dataclass(frozen=True)
class Hardware:
    display: tuple[str, ...] = ("-vga", "std")
    serial: bool = True
    cpus: int = 2
    memory: int = 512


class NoSerial(platforms.Qemu):
    """The same machine without COM1; the console's connection stays silent."""

    def prepare(self, directory, port, options):
        words = super().prepare(directory, port, options)
        words[words.index("-serial") + 1] = "none"
        return words


class Machine(emulate.Machine):
    """A running QEMU. What the console says goes to the file `log` and is kept."""

    def __init__(self, image, log, hardware):
        options = emulate.Options()
        options.image, options.cpus, options.memory = image, hardware.cpus, hardware.memory
        options.platform = platforms.PLATFORMS["qemu-svm"] if hardware.serial \
            else NoSerial("AMD-V", "max")
        options.extra = (*hardware.display, "-qmp", f"unix:{QMP},server=on,wait=off")
        super().__init__(options)
        self.log, self.qmp, self.raw = log, None, b""

    def __exit__(self, *arguments):
        if self.qmp is not None:
            self.qmp.close()
        return super().__exit__(*arguments)

    def pump(self, seconds):
        """Take what comes for at most that long."""
        files = [file for file in (self.console or self.listener, self.output) if file]
        ready = select.select(files, [], [], seconds)[0]
        if self.output in ready:
            self.listen()
        if self.console is None:
            if self.listener in ready:
                self.accept()
        elif self.console in ready:
            data = self.read()
            self.raw += data
            with open(self.log, "ab") as file:
                file.write(data)
            if not data:
                raise Failure(f"the machine has ended: {self.verdict()[1]}")
        if self.lost or self.process.poll() is not None:
            raise Failure(f"the machine is lost: {self.verdict()[1]}")

    def wait_until(self, found, deadline, pause=0.1):
        """What `found()` gives once that is true, or its last answer."""
        while True:
            answer = found()
            if answer or time.monotonic() > deadline:
                return answer
            end = time.monotonic() + pause
            while time.monotonic() < end:
                self.pump(max(0, end - time.monotonic()))

    def text(self):
        """What the console has said, without escape sequences and carriage returns."""
        return emulate.Script.CONTROL.sub("", self.raw.decode("utf-8", "replace"))

    def send(self, text):
        self.type(emulate.decode_escapes(text))

    def connect(self):
        """The control connection, once QEMU listens."""
        path = pathlib.Path(self.directory, QMP)
        if not self.wait_until(path.exists, time.monotonic() + ANSWER_S):
            raise Failure("QEMU does not start")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            self.qmp = connection.makefile("rw")
        self.qmp.readline()  # a greeting
        self.do("qmp_capabilities")

    def do(self, name, **arguments):
        """A command of QMP and its answer; events in between are not looked at."""
        if self.qmp is None:
            self.connect()
        self.qmp.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.qmp.flush()
        while line := self.qmp.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise Failure(f"QEMU: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise Failure("QEMU does not answer")

    def picture(self):
        """The screen in the PPM format."""
        path = pathlib.Path(self.directory, "screen.ppm")
        self.do("screendump", filename=str(path))
        return path.read_bytes()


@contextlib.contextmanager
def machine(image, log, hardware):
    """A Machine for a `with` block; QEMU's absence and its death are Failures too."""
    try:
        with Machine(image, log, hardware) as running:
            yield running
    except (OSError, platforms.EmulatorError) as e:
        raise Failure(f"QEMU: {e}") from e
