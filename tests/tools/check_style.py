# SPDX-License-Identifier: Apache-2.0
"""How files look: licence, white space, width, length, layout, and what they must not mention."""
import ast
import re
import shutil
import statistics
import subprocess

from check_lib import (C_ENDINGS, CODE_ENDINGS, HYPERVISOR, SCRIPT_ENDINGS, TOP, Skipped,
                       code_of, files, files_ending, functions_of, is_script, text_of)

COLUMNS = 100
TAB = 8
FUNCTION_LINES = 60
FILE_LINES, FILE_LINES_MAX = 500, 700
FORMAT_VERSION = 14  # later ones lay out a few things differently

# Functions that may be longer, and why. One that is no longer so is a problem.
LONG_FUNCTIONS = {
    ("tests/unit/test_config.c", "everything_given"): "one config with every key, and each value",
}
# Files whose lines are data that reads better unbroken.
WIDE_FILES = {"tests/tools/toml_oracle.py": "documents, one a line"}

# Hosts that files may name; anything else is somebody's own mirror or machine.
HOSTS = {"www.apache.org", "deb.debian.org", "snapshot.debian.org", "www.debian.org",
         "security.debian.org", "toml.io", "127.0.0.1", "localhost"}
# Paths of one person's machine. A name under /tmp that is made at run time is none.
FORBIDDEN = re.compile(
    r"(?<![\w./$}-])/(?:work|home|root|Users)/\w+"
    r"|(?<![\w./$}-])/tmp/(?![\w.-]*X{6})[\w.-]+"
    r"|(?i:\b(?:index[-]url|artifact[o]ry|gopro[x]y|\.npm[r]c|pip[.]conf)\b)")
STRING = re.compile(r'"(?:\\.|[^"\\])*"')
URL = re.compile(r"\b(?:https?|ftp)://([\w-]+(?:\.[\w.-]+|(?=:\d)))")

SPDX = re.compile(r"SPDX-License-Identifier: [\w.-]+")


def numbered(name):
    return enumerate(text_of(name).splitlines(), 1)


def sources():
    return [name for name in files() if name.endswith(CODE_ENDINGS) or is_script(name)
            or name == "Makefile"]


def check_licence(_context):
    problems = []
    for name in sources():
        lines = text_of(name).splitlines() or [""]
        first = lines[1] if lines[0].startswith("#!") and len(lines) > 1 else lines[0]
        if not SPDX.search(first):
            problems.append(f"{name}:1: does not begin with an SPDX line")
    return problems, f"{len(sources())} files"


def check_space(_context):
    """Tabs are for indentation in C and only there; no blanks at the end; LF, also at the end."""
    problems = []
    for name in files():
        data = (TOP / name).read_bytes()
        # A blank is the first column of an unchanged empty line in a patch.
        if b"\0" in data or name.endswith(".patch"):
            continue
        if data and not data.endswith(b"\n"):
            problems.append(f"{name}:{data.count(10) + 1}: no line feed at the end")
        if b"\r\n" in data:
            problems.append(f"{name}:1: lines end with CR LF")
        for number, line in numbered(name):
            if line != line.rstrip(" \t"):
                problems.append(f"{name}:{number}: white space at the end")
            indent = re.match(r"[ \t]*", line).group()
            if " \t" in indent or name.endswith(C_ENDINGS) and " " * TAB in indent:
                problems.append(f"{name}:{number}: tabs and spaces mixed")
            if name.endswith(".py") and "\t" in indent:
                problems.append(f"{name}:{number}: a tab in Python")
    return problems, f"{len(files())} files"


def check_width(_context):
    """Lines of code fit; only a string may stick out, for it must be found by searching."""
    problems = []
    for name in files_ending(CODE_ENDINGS + (".py",)):
        if name in WIDE_FILES:
            continue
        for number, line in numbered(name):
            width = len(line.expandtabs(TAB))
            if width <= COLUMNS:
                continue
            if len(STRING.sub('""', line).expandtabs(TAB)) > COLUMNS:
                problems.append(f"{name}:{number}: {width} columns wide")
    return problems, f"{COLUMNS} columns"


def python_functions(name):
    tree = ast.parse(text_of(name), filename=name)
    return [(node.name, node.lineno, node.end_lineno - node.lineno + 1) for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def all_functions():
    """(file, function, line, lines)"""
    for name in files_ending(C_ENDINGS):
        yield from ((name, f.name, f.first, f.lines) for f in functions_of(name))
    for name in files_ending((".py",)):
        yield from ((name, *f) for f in python_functions(name))


def check_functions(_context):
    problems, lengths, excused = [], [], set()
    for name, function, line, lines in all_functions():
        if name.startswith(HYPERVISOR):
            lengths.append(lines)
        if lines <= FUNCTION_LINES:
            continue
        if (name, function) in LONG_FUNCTIONS:
            excused.add((name, function))
        else:
            problems.append(f"{name}:{line}: {function} has {lines} lines")
    problems += [f"{name}:1: {function} is in the list of long functions and is not long"
                 for name, function in LONG_FUNCTIONS.keys() - excused]
    if len(lengths) < 100:
        problems.append(f"Makefile:1: only {len(lengths)} functions found; the search is broken")
        return problems, ""
    deciles = statistics.quantiles(lengths, n=10)
    return problems, (f"{len(lengths)} in hypervisor and loader, median "
                      f"{statistics.median(lengths):.0f}, p90 {deciles[8]:.0f}, "
                      f"longest {max(lengths)} lines")


def check_files(_context):
    problems, long = [], []
    for name in files_ending(CODE_ENDINGS + SCRIPT_ENDINGS):
        count = text_of(name).count("\n")
        if count > FILE_LINES_MAX and not name.startswith("tests/"):
            problems.append(f"{name}:1: {count} lines, at most {FILE_LINES_MAX} may be")
        elif count > FILE_LINES:
            long.append(f"{name} {count}")
    return problems, f"over {FILE_LINES} lines: " + (", ".join(long) or "none")


def check_words(_context):
    """No tracked file mentions places that only one machine has."""
    problems = []
    for name in files():
        if name.endswith(".patch"):
            continue  # planted mistakes
        for number, line in numbered(name):
            problems += [f"{name}:{number}: mentions {match.group()}"
                         for match in FORBIDDEN.finditer(line)]
            problems += [f"{name}:{number}: names the host {match.group(1)}"
                         for match in URL.finditer(line) if match.group(1) not in HOSTS]
    return problems, ""


def check_format(_context):
    tool = shutil.which(f"clang-format-{FORMAT_VERSION}") or shutil.which("clang-format")
    if not tool:
        raise Skipped("clang-format is not installed")
    version = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout
    if f"version {FORMAT_VERSION}." not in version:
        raise Skipped(f"needs clang-format {FORMAT_VERSION}, this is {version.strip()}")
    names = files_ending(C_ENDINGS)
    run = subprocess.run([tool, "--dry-run", *names], cwd=TOP, capture_output=True, text=True,
                         check=False)
    # One line per file: `make format` repairs them all at once.
    places = {}
    for match in re.finditer(r"^(\S+?):(\d+):\d+: warning", run.stderr, re.MULTILINE):
        places.setdefault(match.group(1), match.group(2))
    problems = [f"{name}:{line}: `make format` lays this out differently"
                for name, line in places.items()]
    if run.returncode and not problems:
        problems.append(f".clang-format:1: {run.stderr.strip()[:200]}")
    return problems, f"{len(names)} files"


def check_guards(_context):
    """Include guards are named after the file, so that no two can be the same."""
    problems = []
    for name in files_ending((".h",)):
        guard = re.sub(r"\W", "_", name).upper()
        found = re.search(r"^#ifndef (\w+)\n#define (\w+)$", code_of(name), re.MULTILINE)
        if not found or {*found.groups()} != {guard}:
            problems.append(f"{name}:1: its include guard must be {guard}")
    return problems, ""


CHECKS = {"licence": check_licence, "space": check_space, "width": check_width,
          "functions": check_functions, "files": check_files, "words": check_words,
          "guards": check_guards, "format": check_format}
