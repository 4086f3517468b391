# SPDX-License-Identifier: Apache-2.0
"""What Linux says of its machine (guests/demo/look): read from a console and judged.

A guest may complain of what is in debian_messages.txt, where each message has its reason, and of
what the same emulator without Bulkhead makes the kernel complain of, which bare_messages.txt has.
"""
import pathlib
import re

HERE = pathlib.Path(__file__).parent
DIFFERENCES = HERE / "debian_messages.txt"
BARE = HERE / "bare_messages.txt"
BEGIN = "# on "  # PLATFORM: a machine; its messages follow
# MemTotal leaves out the kernel and what it sets aside at once, such as a page's description.
MEMORY_LEAST = 3 / 4


def committed_lines(path):
    """The lines that are not comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def recorded():
    """{platform: lines} of bare_messages.txt, those that tell the machine among them."""
    found, current = {}, []
    for line in BARE.read_text(encoding="utf-8").splitlines():
        if line.startswith(BEGIN):
            current = found.setdefault(line[len(BEGIN):].split(":")[0], [])
        if line:
            current.append(line)
    return found


def complaints(text, guest="debian"):
    """What the kernel warned of, without times; `guest` "": of the bare machine. None: not shown."""
    prefix = re.escape(f"{guest} | ") if guest else ""
    shown = re.search(rf"^{prefix}messages begin$(.*?)^{prefix}messages end$", text, re.M | re.S)
    if not shown:
        return None
    lines = shown[1]
    if guest:
        # A line that waits for its end while the neighbour speaks goes on behind the prefix.
        lines = re.sub(rf"\n(?!{prefix}).*", "", lines)
        lines = re.sub(rf"\n{prefix}(?!\[ *[\d.]+\] )", "", lines)
    return re.findall(rf"^{prefix}\[ *[\d.]+\] (.+?) *$", lines, re.M)


def without_addresses(message):
    """The record names no web pages."""
    return re.sub(r"https?://\S+", "(address)", message)


def comparable(message):
    """A count of milliseconds makes no other message."""
    return re.sub(r"\d+", "0", without_addresses(message))


def unknown(messages, bare):
    """Those that neither the list of differences nor the bare machine's messages have."""
    bare = {comparable(message) for message in bare}
    patterns = committed_lines(DIFFERENCES)
    return [message for message in messages if comparable(message) not in bare
            and not any(re.fullmatch(pattern, message) for pattern in patterns)]


def check_messages(text, platform=""):
    """The kernel's complaints are among the known ones, of the bare platform too if one is named."""
    messages = complaints(text)
    if messages is None:
        return "no kernel messages were shown"
    new = unknown(messages, recorded().get(platform, []))
    return f"the kernel complains: {'; '.join(new)}" if new else None


def facts(text):
    """{name: [each line's words]} of what `look` says."""
    found = {}
    for name, words in re.findall(r"^debian \| look: (\w+) (.*)$", text, re.M):
        found.setdefault(name, []).append(words.split())
    return found


def check_timer(counts, cpus):
    """The local timer interrupts each CPU."""
    if len(counts) != 2 or any(len(row) != cpus for row in counts):
        return f"local timer interrupts: {counts}"
    idle = [cpu for cpu in range(cpus) if int(counts[1][cpu]) <= int(counts[0][cpu])]
    return f"no local timer interrupts on CPUs {idle}: {counts}" if idle else None


def check_machine(cpus, memory, platform):
    """A check: Linux sees that many CPUs and MB, and its clocks are TSC and LAPIC."""
    def check(text):
        said = facts(text)
        online = said.get("cpus")
        if online != [[f"0-{cpus - 1}"]]:
            return f"CPUs online: {online}"
        size = said.get("memory")
        if not size or not memory * MEMORY_LEAST <= int(size[0][0]) / 1024 <= memory:
            return f"memory: {size}, not {memory} MB"
        if said.get("clocksource") != [["tsc"]]:
            return f"clock source: {said.get('clocksource')}"
        events = said.get("clockevents", [[]])[0]
        if len(events) != cpus or set(events) - {"lapic", "lapic-deadline"}:
            return f"clock events: {events}"
        return check_timer(said.get("timer", []), cpus) or check_messages(text, platform)
    return check
