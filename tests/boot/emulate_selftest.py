# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/emulate against stand-ins for the emulators that play a scenario from the image.

A stand-in reads the real configuration file or arguments, connects to the console as the emulator
does and leaves a log in its words, so that each way of ending takes a fraction of a second.
"""
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest
import unittest.mock

from framework import TOP, emulate
import platforms  # on the path since framework was imported
from platforms import EmulatorError, Kvm, fastest

EMULATE = TOP / "tools" / "emulate"
# One statement per line of the "image"; `line` is the console.
BOCHS = """
config = open("bochsrc").read()
port = int(re.search(r"dev=127.0.0.1:([0-9]+)", config).group(1))
log = open("bochs.log", "w")
"""
QEMU = """
config = " ".join(sys.argv[1:])
port = int(re.search(r"host=127.0.0.1,port=([0-9]+)", config).group(1))
def log(text):
    print(text, file=sys.stderr, flush=True)
"""
STAND_IN = """#!/usr/bin/python3
import os, re, signal, socket, sys, time
{emulator}
def connect():
    return socket.create_connection(("127.0.0.1", port))
def say(*pieces):
    for piece in pieces:
        line.sendall(piece)
        time.sleep(0.05)
def expect(wanted):
    got = b""
    while len(got) < len(wanted):
        piece = line.recv(1)
        if not piece:
            break
        got += piece
    if got != wanted:
        say(b"GOT " + repr(got).encode())
        sys.exit(7)
exec(open("disk.img").read())
"""
POWER_OFF = "log.write('00747730045i[ACPI  ] ACPI control: soft power off\\n'); sys.exit(1)\n"
TRIPLE = "log.write('1p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution\\n')\n" \
         "sys.exit(1)\n"
HANG = "time.sleep(60)\n"


class Finished:
    def __init__(self, status, output, errors):
        self.status = status
        self.output = output
        self.errors = errors.decode()
        self.last = self.errors.splitlines()[-1] if errors else ""


class EmulateTest(unittest.TestCase):
    platform, program, emulator = "bochs-vmx", "bochs-bin", BOCHS

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        for name in ("bin", "tmp"):
            (self.directory / name).mkdir()
        program = self.directory / "bin" / self.program
        program.write_text(STAND_IN.replace("{emulator}", self.emulator))
        program.chmod(0o755)
        self.image = self.directory / "disk image"
        self.environment = {**os.environ, "TMPDIR": str(self.directory / "tmp"),
                            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}

    def start(self, scenario, *arguments, connect=True, **keywords):
        self.scenario = ("line = connect()\n" if connect else "") + scenario
        self.image.write_text(self.scenario)
        return subprocess.Popen([EMULATE, self.platform, self.image, *arguments],
                                env=self.environment, **keywords)

    def finish(self, process):
        output, errors = process.communicate(timeout=30)
        # Whatever happened: the image is as it was, and nothing is left behind.
        self.assertEqual(self.image.read_text(), self.scenario)
        self.assertEqual(list((self.directory / "tmp").iterdir()), [])
        return Finished(process.returncode, output, errors)

    def emulate(self, scenario, *arguments, connect=True):
        return self.finish(self.start(scenario, *arguments, connect=connect,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE))

    def check(self, result, status, word):
        self.assertEqual(result.status, status, result.errors)
        self.assertRegex(result.last, rf"^emulate: {word} after [0-9.]+ s$")

    def check_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process, pid = self.started(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
            process.send_signal(number)
            result = self.finish(process)
            self.check(result, 128 + number, "ended")
            self.assert_gone(pid)

    def check_killed_hard(self):
        process, pid = self.started(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
        process.kill()
        process.communicate()
        self.assert_gone(pid)

    def started(self, *arguments, **keywords):
        """A run whose machine has told its process number."""
        process = self.start("say(b'pid %d.' % os.getpid())\nopen('disk.img', 'w')\n" + HANG,
                             *arguments, stderr=subprocess.PIPE, **keywords)
        text = b""
        while not text.endswith(b"."):
            text += process.stdout.read(1)
        return process, int(text[4:-1])

    def assert_gone(self, pid):
        for _ in range(50):
            if not pathlib.Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        self.fail("the emulator is still there")


class BochsTest(EmulateTest):

    # ---- Matching and typing

    def test_until(self):
        result = self.emulate("say(b'one\\r\\ntwo\\r\\n')\n" + HANG, "--until", "^one$\n^two$")
        self.check(result, 0, "matched")
        self.assertEqual(result.output, b"one\r\ntwo\r\n")

    def test_pieces_colours_and_utf8(self):
        scenario = "say(b'\\x1b', b'[3', b'1mgr\\xc3', b'\\xbcn\\x1b[', b'0m!', b'\\xff.')\n" + HANG
        result = self.emulate(scenario, "--until", "^grün!\ufffd\\.")
        self.check(result, 0, "matched")
        self.assertIn(b"\x1b[31mgr\xc3\xbcn\x1b[0m!", result.output)

    def test_endless_escape_sequence_does_not_hide_text(self):
        scenario = "say(b'\\x1b[' + b'1' * 9000, b'1' * 9000, b' now')\n" + HANG
        self.check(self.emulate(scenario, "--until", "now", "--timeout", "5"), 0, "matched")

    def test_send(self):
        scenario = "say(b'login: '); expect(b'root\\n\\x03A'); say(b'done')\n" + HANG
        self.check(self.emulate(scenario, "--send", "login: $", r"root\n\x03\101",
                                "--until", "done"), 0, "matched")

    def test_send_text_may_look_like_an_option(self):
        scenario = "say(b'? '); expect(b'--until'); say(b'done')\n" + HANG
        self.check(self.emulate(scenario, "--send", r"\? ", "--until", "--until", "done"),
                   0, "matched")

    def test_sends_wait_in_order_and_behind_the_previous_match(self):
        scenario = ("say(b'b a '); expect(b'1')\n"
                    "line.settimeout(0.5)\n"
                    "try: early = line.recv(1)\n"
                    "except TimeoutError: early = b''\n"
                    "line.settimeout(None)\n"
                    "say(b'early ' if early else b'b '); expect(b'2'); say(b'end')\n" + HANG)
        result = self.emulate(scenario, "--send", "a", "1", "--send", "b", "2", "--until", "end",
                              "--timeout", "10")
        self.check(result, 0, "matched")

    def test_until_counts_only_behind_the_last_send(self):
        scenario = "say(b'ready go'); expect(b'x')\n" + HANG
        result = self.emulate(scenario, "--send", "go", "x", "--until", "ready", "--timeout", "1")
        self.check(result, 1, "timeout")
        self.assertIn("still waiting for: ready", result.errors)

    def test_matches_what_came_just_before_the_end(self):
        self.check(self.emulate("say(b'last words')\n" + POWER_OFF, "--until", "words"),
                   0, "matched")

    def test_much_output(self):
        scenario = "say(b'x' * 999 + b'\\n', *[b'y' * 65536] * 20, b'z')\n" + HANG
        self.check(self.emulate(scenario, "--until", "^x*$(?:.|\n)*z|yz", "--timeout", "20"),
                   0, "matched")

    # ---- Ways to end

    def test_poweroff(self):
        self.check(self.emulate("say(b'bye')\n" + POWER_OFF), 0, "poweroff")

    def test_poweroff_before_until(self):
        self.check(self.emulate("say(b'bye')\n" + POWER_OFF, "--until", "hello"), 3, "ended")

    def test_poweroff_before_send(self):
        self.check(self.emulate("say(b'bye')\n" + POWER_OFF, "--send", "hello", ""), 3, "ended")

    def test_triple_fault(self):
        result = self.emulate("say(b'bye')\n" + TRIPLE, "--until", "hello")
        self.check(result, 2, "panic")
        self.assertIn("exception with no resolution", result.errors)

    def test_emulator_dies(self):
        self.check(self.emulate("os.kill(os.getpid(), signal.SIGSEGV)\n"), 2, "panic")

    def test_emulator_dies_before_connecting(self):
        result = self.emulate("print('bad model'); sys.exit(1)\n", connect=False)
        self.check(result, 2, "panic")
        self.assertIn("bad model", result.errors)

    def test_host_panic(self):
        scenario = "say(b'\\x1b[1mbulkhead\\x1b[0m | PAN', b'IC: x\\r\\n', b'rip')\n" + HANG
        result = self.emulate(scenario, "--until", "hello", "--timeout", "20")
        self.check(result, 2, "panic")
        self.assertTrue(result.output.endswith(b"rip"))

    def test_host_panic_then_poweroff(self):
        self.check(self.emulate("say(b'bulkhead | PANIC: x')\n" + POWER_OFF), 2, "panic")

    def test_timeout(self):
        for connect in (True, False):
            start = time.monotonic()
            self.check(self.emulate(HANG, "--timeout", "0.7", connect=connect), 1, "timeout")
            self.assertTrue(0.7 <= time.monotonic() - start < 5)

    def test_usage(self):
        image = str(self.image)
        self.image.write_text("")
        for arguments in ([], ["bochs-vmx"], ["qemu-none", image], ["bochs-vmx", image, "more"],
                          ["bochs-vmx", image + "x"], ["bochs-vmx", str(self.directory)],
                          ["bochs-vmx", image, "--until", "("], ["bochs-vmx", image, "--until"],
                          ["bochs-vmx", image, "--send", "x"], ["bochs-vmx", image, "--what"],
                          ["bochs-vmx", image, "--send", "x", r"\q"],
                          ["bochs-vmx", image, "--cpus", "0"],
                          ["bochs-vmx", image, "--cpus", "9"],
                          ["bochs-vmx", image, "--memory", "much"],
                          ["bochs-vmx", image, "--timeout", "nan"],
                          ["bochs-vmx", image, "--cpu-model", "a b"],
                          ["bochs-svm", image, "--cpu-model", "ryzen,ips=1"],
                          ["qemu-svm", image, "--cpu-model", "max, -svm"],
                          ["qemu-svm", image, "--cpu-model", "-svm"],
                          ["bochs-vmx", image, "--gdb", "x"],
                          ["qemu-svm", image, "--cpus", "256"],
                          ["bochs-svm", image, "--icount", "7"],
                          ["--available"], ["--available", "qemu-none"]):
            run = subprocess.run([EMULATE, *arguments], env=self.environment, check=False,
                                 capture_output=True, timeout=10)
            self.assertEqual(run.returncode, 4, arguments)
            self.assertNotIn(b"Traceback", run.stderr)

    def test_options_reach_the_machine(self):
        scenario = "say(re.sub(r'(?s).*(model=\\w+, count=\\d+).*(guest=\\d+).*', " \
                   "r'\\1 \\2 .', config).encode())\n" + HANG
        self.check(self.emulate(scenario, "--cpus=3", "--memory", "640", "--cpu-model", "broadwell_ult",
                                "--until", "model=broadwell_ult, count=3 guest=640 "), 0, "matched")

    # ---- Nothing is left behind

    def test_signals(self):
        self.check_signals()

    def test_killed_hard(self):
        self.check_killed_hard()

    def test_nobody_reads(self):
        process = self.start("for _ in range(99): say(b'x')\n" + HANG, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        process.stdout = None
        self.check(self.finish(process), 3, "ended")

    # ---- A person at the terminal

    def at_terminal(self, scenario, typed, *arguments):
        """Run on a pseudo-terminal, typing when `type now` appears; (status, what was seen)."""
        self.scenario = "line = connect()\n" + scenario
        self.image.write_text(self.scenario)
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(EMULATE, [EMULATE, self.platform, self.image, *arguments], self.environment)
        before = termios.tcgetattr(terminal)
        seen, sent, end = b"", False, time.monotonic() + 20
        while time.monotonic() < end:
            try:
                if select.select([terminal], [], [], 0.1)[0]:
                    seen += os.read(terminal, 4096)
            except OSError:
                break
            if not sent and b"type now" in seen:
                os.write(terminal, typed)
                sent = True
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.assertEqual(termios.tcgetattr(terminal), before)
        os.close(terminal)
        return status, seen

    def test_terminal_is_the_keyboard(self):
        scenario = "say(b'type now'); expect(b'a\\x03\\r\\x01\\x1d'); say(b'good')\n" + POWER_OFF
        status, seen = self.at_terminal(scenario, b"a\x03\r\x01\x01\x1d")
        self.assertEqual(status, 0, seen)
        self.assertIn(b"good", seen)
        self.assertNotIn(b"GOT", seen)

    def test_leaving(self):
        status, seen = self.at_terminal("say(b'type now')\n" + HANG, b"\x01x")
        self.assertEqual(status, 0, seen)
        self.assertIn(b"emulate: ended after", seen)
        status, seen = self.at_terminal("say(b'type now')\n" + HANG, b"\x01x", "--until", "never")
        self.assertEqual(status, 3, seen)

    def test_escapes(self):
        for text, wanted in ((r"a\n\r\t\e\0\\", b"a\n\r\t\x1b\0\\"), (r"\x1d\x1dg", b"\x1d\x1dg"),
                             (r"\0330", b"\x1b0"), ("\u00fc", b"\xc3\xbc"), (r"\"\'\?", b"\"'?")):
            self.assertEqual(emulate.decode_escapes(text), wanted)


class AmdBochsTest(EmulateTest):
    platform = "bochs-svm"

    def test_options_reach_the_machine(self):
        scenario = "say(re.sub(r'(?s).*(model=\\w+),.*(ignore_bad_msrs=\\d).*', " \
                   "r'\\1 \\2 .', config).encode())\n" + HANG
        self.check(self.emulate(scenario, "--until", "model=ryzen ignore_bad_msrs=1"), 0, "matched")
        self.check(self.emulate(scenario, "--cpu-model", "zambezi", "--until", "model=zambezi "),
                   0, "matched")


class QemuTest(EmulateTest):
    platform, program, emulator = "qemu-svm", "qemu-system-x86_64", QEMU

    def test_both_directions(self):
        scenario = "say(b'login: '); expect(b'root\\n'); say(b'done')\n" + HANG
        self.check(self.emulate(scenario, "--send", "login: $", r"root\n", "--until", "done"),
                   0, "matched")

    def test_power_off(self):
        self.check(self.emulate("say(b'bye')\n"), 0, "poweroff")
        self.check(self.emulate("say(b'bye')\n", "--until", "hello"), 3, "ended")

    def test_reset_comes_back(self):
        scenario = "say(b'one '); log('CPU Reset (CPU 0)\\nRIP=000000000000fff0'); say(b'two')\n"
        self.check(self.emulate(scenario + HANG, "--until", "one two"), 0, "matched")

    def test_triple_fault(self):
        """The machine goes on, as QEMU's does; what it says by then does not count."""
        scenario = "say(b'bye'); log('before\\nTriple fault\\nCPU Reset (CPU 0)'); log('RIP=12345')\n"
        result = self.emulate(scenario + "time.sleep(2); say(b'hello')\n" + HANG, "--until", "hello")
        self.check(result, 2, "panic")
        self.assertRegex(result.errors, "\nemulate: Triple fault\nCPU Reset.*\nRIP=12345\n")
        self.assertEqual(result.output, b"bye")

    def test_triple_fault_then_power_off(self):
        self.check(self.emulate("say(b'bye'); log('Triple fault')\n"), 2, "panic")

    def test_triple_fault_of_many_cpus(self):
        """What follows is long; the line itself comes in pieces, behind much else."""
        scenario = "say(b'bye'); log('x' * 2000000); sys.stderr.write('Tri'); sys.stderr.flush()\n" \
                   "time.sleep(0.1); log('ple fault'); log('y' * 2000000)\n"
        result = self.emulate("log('')\n" + scenario.replace("'x' * 2000000", "'x\\n' * 1000000"))
        self.check(result, 2, "panic")
        self.assertIn("emulate: Triple fault\nyyy", result.errors)

    def test_emulator_ends(self):
        result = self.emulate("log('no such model'); sys.exit(1)\n", connect=False)
        self.check(result, 2, "panic")
        self.assertIn("no such model\nQEMU ended with status 1", result.errors)
        self.check(self.emulate("log('qemu: terminating on signal 15 from pid 1'); sys.exit(0)\n"),
                   2, "panic")

    def test_timeout(self):
        self.check(self.emulate(HANG, "--timeout", "0.7"), 1, "timeout")

    def test_options_reach_the_machine(self):
        scenario = "say(config.encode(), b'.')\n" + HANG
        for arguments, wanted in (
                ((), "-cpu max -smp 2 -m 1024 "),
                (("--cpus=3", "--memory", "640", "--cpu-model", "EPYC-Rome-v2"),
                 "-cpu EPYC-Rome-v2 -smp 3 -m 640 "),
                (("--cpu-model", "max,-xsave,+npt,model-id=x"), "-cpu max,-xsave,\\+npt,model-id=x "),
                (("--gdb", "some,where"), "-S -gdb unix:/.*some,,where,server=on"),
                (("--icount", "7"), "-cpu max,-x2apic.*-icount shift=7")):
            self.check(self.emulate(scenario, *arguments, "--until", wanted), 0, "matched")

    def test_variables_are_a_private_copy(self):
        scenario = "open('variables.fd', 'r+').write('x'); say(b'written')\n" + HANG
        self.check(self.emulate(scenario, "--until", "written"), 0, "matched")

    def test_extra_arguments(self):
        """From Python, as tests that look at the screen do."""
        self.image.write_text("line = connect()\nsay(config.encode())\n" + HANG)
        options = emulate.Options()
        options.platform, options.image = platforms.PLATFORMS[self.platform], self.image
        options.extra = ("-vga", "std", "-qmp", "unix:qmp,server=on,wait=off")
        path = os.environ["PATH"]
        os.environ["PATH"] = self.environment["PATH"]
        try:
            with emulate.Machine(options) as machine:
                machine.accept()
                text = b""
                while not text.endswith(b"wait=off"):
                    text += machine.read()
        finally:
            os.environ["PATH"] = path
        self.assertIn(b" -vga std -qmp unix:qmp,", text)

    def test_nothing_is_left(self):
        self.check_signals()
        self.check_killed_hard()


class Works(platforms.Emulator):
    def lacks(self):
        return None


class Lacks(platforms.Emulator):
    def lacks(self):
        return "not here"


class ChoiceTest(unittest.TestCase):
    def choose(self, kvm, extensions=("VT-x", "AMD-V"), qemu=Works):
        return fastest({"qemu-kvm": kvm, "qemu-svm": qemu("AMD-V", ""),
                        "bochs-vmx": Works("VT-x", ""), "bochs-svm": Works("AMD-V", "")}, extensions)

    def test_order(self):
        self.assertEqual(self.choose(Works("VT-x", "")), ("qemu-kvm", ""))
        self.assertEqual(self.choose(Lacks("VT-x", "")), ("qemu-svm", "qemu-kvm: not here"))
        self.assertEqual(self.choose(Lacks("VT-x", ""), qemu=Lacks),
                         ("bochs-vmx", "qemu-kvm: not here; qemu-svm: not here"))

    def test_an_extension_that_is_not_supported_is_not_chosen(self):
        name, reasons = self.choose(Works("AMD-V", ""), extensions=("VT-x",))
        self.assertEqual(name, "bochs-vmx")
        self.assertEqual(reasons.count("AMD-V is not supported yet"), 2)

    def test_nothing_works(self):
        nothing = {name: Lacks("VT-x", "") for name in platforms.BY_SPEED}
        with self.assertRaisesRegex(EmulatorError, "bochs-vmx: not here"):
            fastest(nothing)


class KvmTest(unittest.TestCase):
    """Where KVM cannot be used, the reason is named; most machines that run this are such."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        (self.directory / "kvm").write_text("")
        self.version = Kvm.API_VERSION
        self.enterContext(unittest.mock.patch.object(platforms.fcntl, "ioctl",
                                                     lambda *_: self.version))

    def lacks(self, flags, **nested):
        (self.directory / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} sse\n")
        for module, value in nested.items():
            path = self.directory / module / "parameters" / "nested"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value + "\n")
        kvm = Kvm(str(self.directory / "kvm"), str(self.directory / "cpuinfo"), str(self.directory))
        self.extension = kvm.extension
        try:
            kvm.require_kvm()
        except EmulatorError as e:
            return str(e)
        return None

    def test_usable(self):
        for flags, module, value in (("vmx", "kvm_intel", "Y"), ("svm", "kvm_amd", "1")):
            self.assertIsNone(self.lacks(flags, **{module: value}))
            self.assertEqual(self.extension, "VT-x" if flags == "vmx" else "AMD-V")

    def test_not_usable(self):
        self.assertIn("neither VT-x nor AMD-V", self.lacks("vmxnot", kvm_intel="Y"))
        self.assertIn("modprobe kvm_amd nested=1", self.lacks("svm", kvm_intel="Y"))
        self.assertIn("modprobe kvm_amd nested=1", self.lacks("svm", kvm_amd="0"))
        self.version = 11
        self.assertIn("version 11", self.lacks("vmx", kvm_intel="Y"))
        (self.directory / "kvm").unlink()
        self.assertIn("No such file", self.lacks("vmx", kvm_intel="Y"))

    def test_asked_from_the_shell(self):
        run = subprocess.run([EMULATE, "--available", "qemu-kvm"], capture_output=True, text=True,
                             check=False)
        reason = platforms.PLATFORMS["qemu-kvm"].lacks()
        self.assertEqual(run.returncode, 2 if reason else 0)
        self.assertEqual(run.stdout, f"{reason}\n" if reason else "")

    def test_triple_fault(self):
        kvm = Kvm()
        exits = [f"7@1700000000.1:kvm_run_exit cpu_index 0, reason {n}" for n in (2, 6, 18, 2)]
        self.assertEqual(kvm.verdict("", "\n".join(exits), 0), ("poweroff", ""))
        exits.insert(2, exits[0].replace("reason 2", "reason 8"))
        word, shown = kvm.verdict("", "\n".join(exits + ["CPU Reset (CPU 0)"]), 0)
        self.assertEqual((word, shown), ("panic", exits[2] + "\nCPU Reset (CPU 0)"))


def main():
    result = unittest.main(exit=False, verbosity=0, argv=sys.argv[:1] + sys.argv[1:]).result
    failed = len(result.failures) + len(result.errors)
    print(f"emulate-selftest: {result.testsRun - failed} passed, {failed} failed")
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
