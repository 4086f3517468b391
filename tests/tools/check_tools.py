# SPDX-License-Identifier: Apache-2.0
"""The tools that everything else is tested with are tested themselves; each takes seconds."""
import re
import subprocess
import sys

from check_lib import TOP


def run(name, *arguments):
    """(problems, note) of a program with its own tests."""
    done = subprocess.run([sys.executable, name, *arguments], cwd=TOP, capture_output=True,
                          text=True, errors="replace", check=False)
    output = done.stderr + done.stdout
    last = (output.strip().splitlines() or ["says nothing"])[-1]
    if not done.returncode:
        return [], last
    failed = re.findall(r"^(?:FAIL|ERROR): (\w+)", output, re.MULTILINE) or [last]
    return [f"{name}:1: {what}" for what in failed], ""


def check_emulate(_context):
    return run("tests/boot/emulate_selftest.py")


def check_image(_context):
    return run("tests/boot/image_selftest.py")


def check_toml(context):
    """The config's parser against Python's."""
    return run("tests/tools/toml_oracle.py", str(context.build / "bulkhead"))


CHECKS = {"emulate": check_emulate, "image": check_image, "toml-oracle": check_toml}
