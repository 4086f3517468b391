# SPDX-License-Identifier: Apache-2.0
"""docs/config.md against the code: keys, what is required, choices, and every message."""
import re

from check_lib import text_of

DOCS, KEYS, MESSAGES = "docs/config.md", "hv/config/config.c", "hv/config/errors.c"
# Section of the documentation -> table of keys in the parser.
SECTIONS = {"machine": "machine_keys", "image.N": "image_keys", "guest.N": "guest_keys"}
SEVERITIES = {"No guest starts": "CONFIG_SYNTAX", "Its guest does not start": "CONFIG_MEANING",
              "Warnings": "CONFIG_WARNING"}
STRING = r'"((?:\\.|[^"\\])*)"'


def unescape(text):
    return re.sub(r"\\(.)", r"\1", text)


def array(source, name):
    """The text between the braces of a C array."""
    found = re.search(rf"\b{name}\[\w*\] = \{{(.*?)\}};", source, re.DOTALL)
    return found.group(1) if found else ""


def keys_in_code():
    """section -> {key: (required, choices)}"""
    source = text_of(KEYS)
    keys = {}
    for section, table in SECTIONS.items():
        rows = re.findall(r'\{"(\w+)",\s*(\w+),\s*(\w+),\s*\w+,\s*[^,]*?,\s*(\w+)\}',
                          array(source, table))
        keys[section] = {name: (required == "true", tuple(
            re.findall(STRING, array(source, choices)) if choices != "NULL" else ()))
            for name, _, required, choices in rows}
    return keys


def keys_in_docs():
    """section -> {key: (line, required, choices)}"""
    keys, section = {}, None
    for number, line in enumerate(text_of(DOCS).splitlines(), 1):
        if line.startswith("#"):
            heading = re.fullmatch(r"## `\[([\w.]+)\]`", line)
            section = heading.group(1) if heading else None
        row = re.match(r"\| `(\w+)` \| ([^|]*) \| ([^|]*) \|", line)
        if section and row:
            choices = tuple(re.findall(r'`"([^"`]*)"`', row.group(2)))
            keys.setdefault(section, {})[row.group(1)] = (
                number, row.group(3).strip() == "required", choices)
    return keys


def check_keys(_context):
    code, docs, problems = keys_in_code(), keys_in_docs(), []
    for section, table in SECTIONS.items():
        if not code[section]:
            problems.append(f"{KEYS}:1: no keys found in {table}")
        documented = docs.get(section, {})
        problems += [f"{DOCS}:1: [{section}] does not document the key {key}"
                     for key in code[section].keys() - documented.keys()]
        for key, (line, required, choices) in documented.items():
            if key not in code[section]:
                problems.append(f"{DOCS}:{line}: the parser does not know {section}.{key}")
            elif (required, choices) != code[section][key]:
                problems.append(f"{DOCS}:{line}: {key}: documented as {required, choices}, "
                                f"the parser has {code[section][key]}")
    return problems, f"{sum(map(len, code.values()))} keys"


def messages_in_code():
    """text with … for what varies -> severity"""
    messages = {}
    for severity, text in re.findall(r"\{(CONFIG_\w+),\s*" + STRING + r"\}", text_of(MESSAGES)):
        # The last %s of some is a suggestion or the rest of a chain.
        text = re.sub(r'("|%s)%s$', r"\1", unescape(text))
        messages[re.sub(r"%(?:\.\d+)?s", "…", text)] = severity
    return messages


def messages_in_docs():
    """text -> (line, severity)"""
    messages, severity = {}, None
    for number, line in enumerate(text_of(DOCS).splitlines(), 1):
        if line.startswith("#"):
            severity = SEVERITIES.get(line.lstrip("# "))
        item = re.fullmatch(r"- `(.*)`", line)
        if severity and item:
            messages[item.group(1)] = (number, severity)
    return messages


def check_messages(_context):
    code, docs = messages_in_code(), messages_in_docs()
    problems = [f"{DOCS}:1: does not list the message '{text}'" for text in code.keys() - docs.keys()]
    for text, (line, severity) in docs.items():
        if text not in code:
            problems.append(f"{DOCS}:{line}: there is no such message")
        elif severity != code[text]:
            problems.append(f"{DOCS}:{line}: the message is {code[text]}, not {severity}")
    if not code:
        problems.append(f"{MESSAGES}:1: no messages found")
    return problems, f"{len(code)} messages"


CHECKS = {"config-keys": check_keys, "config-messages": check_messages}
