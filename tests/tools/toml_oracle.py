# SPDX-License-Identifier: Apache-2.0
"""Compare the config's TOML parser with Python's tomllib: whatever it accepts, tomllib reads to the
same values. Being stricter is fine, but only for the reasons in STRICTER.

usage: toml_oracle.py build/bulkhead [DOCUMENTS]
"""
import json
import random
import subprocess
import sys
import tomllib

INT64 = range(-2**63, 2**63)

# Refusals of what tomllib accepts, by their message (without place); docs/config.md lists them.
STRICTER = (
    "multi-line strings are not supported", "numbers with a fraction or exponent are not supported",
    "dates and times are not supported", "inline tables are not supported",
    "arrays of tables are not supported", "arrays in arrays are not supported",
    "the number does not fit into 64 bits", "a key has at most", "this escape does not name a character",
    "cannot be added to with dots", "the file is larger than", "the file has more than",
)

ACCEPT = [
    b"", b"\n", b"\r\n", b"# only a comment", b" \t# x\r\n", b"a=1", b"a = 1 # x", b"\ta\t=\t1\t",
    b"a.b.c = 1\na.b.d = 2", b"a . b = 1", b"'a b' = 1\n\"a\\tb\" = 2\n\"\" = 3", b"1 = 1\n-_ = 2\n3.2 = 3",
    b"a='x'", b"a = 'C:\\dir\\n'", b'a = ""', b"a = ''", b'a = "\\b\\t\\n\\f\\r\\"\\\\"',
    b'a = "\\u00e9\\U0001F600\\u0001\\uffff\\U0010FFFF"', "a = \"é€😀\ufeff\u0085\" # é".encode(), b"a = \"tab\there\"",
    b"a = 0\nb = +0\nc = -0\nd = +99\ne = -17\nf = 1_000", b"a = 0xDEAD_beef\nb = 0o755\nc = 0b1101_0",
    b"a = 9223372036854775807\nb = -9223372036854775808\nc = 0x7fffffffffffffff", b"a = 0x00\nb = 0o0_1",
    b"a = true\nb = false", b"a = []", b"a = [ ]", b"a = [1]", b"a = [1,]", b"a = [\n1, # x\n\n2\n,\n3 # y\n]",
    b"a = [\r\n 'x',\r\n]", b"a = [1, 'x', true]", b"[a]\n[b]\n[a.b]", b"[a.b.c]\n[a]\nx = 1\n[a.b]",
    b"[ a . 'b' ]\nx=1", b"[a]\nb.c = 1\n[a.b.d]\nx = 1", b"a.b = 1\n[a.c]\nx = 1", b"[a] # x\n", b"[a]\r\nb=1\r\n",
    b"[true]\nfalse = 1\n[inf]\n[1979-05-27]", b"a = 'it\\'\nb = \"#\" # \"", b"a = [ # ]\n]", b'[""]\n[\'\'.x]',
]

REFUSE = [
    b"\xef\xbb\xbfa = 1", b"a = 1\r", b"a\r= 1", b"# x\ry", b"a = 1\r\r\n", b"a = \"\r\"", b"# \x00", b"# \x7f", b"a = '\x1f'", b"\x0c",
    b"a = '\x80'", b"# \xc0\x80", b"# \xed\xa0\x80", b"# \xf4\x90\x80\x80", b"# \xe0\x80\x80", b"# \xf0\x80\x80\x80",
    b"# \xc3", b"# \xff", b"a = \"\xf0\x9f\x98", b"\xc3\xa9 = 1",
    b"a", b"a =", b"= 1", b"a 1", b"a = = 1", b"a. = 1", b".a = 1", b"a..b = 1", b"a\n= 1", b"a =\n1", b"a b = 1", b"a = 1 b = 2", b"a = 1,",
    b"a = x", b"a = True", b"a = truex", b"a = tru", b"a = yes", b"a = \"x", b"a = 'x", b"a = \"x\n\"", b"a = \"\\x41\"", b"a = \"\\e\"", b"a = \"\\",
    b'a = "\\u12"', b'a = "\\ud800"', b'a = "\\U00110000"', b'a = "\\u0000"', b'a = "\\uD83D\\uDE00"', b"a = \"\\ \"", b'"a\\q" = 1',
    b"a = 01", b"a = 1__0", b"a = _1", b"a = 1_", b"a = +0x1", b"a = -0b1", b"a = 0x", b"a = 0X1", b"a = 0x_1", b"a = 0x1_", b"a = 0o8", b"a = 0b2", b"a = ++1", b"a = +", b"a = -", b"a = 00", b"a = 1 2", b"a = 0xg",
    b"a = 9223372036854775808", b"a = -9223372036854775809", b"a = 0xffffffffffffffff", b"a = 0x8000000000000000", b"a = 99999999999999999999999999",
    b"a = 1.0", b"a = 1e5", b"a = inf", b"a = -nan", b"a = +inf", b"a = .5", b"a = 1979-05-27", b"a = 07:32:00", b"a = 1979-05-27T07:32:00Z",
    b"a = {}", b"a = {b = 1}", b"a = [[1]]", b"a = [1", b"a = [,]", b"a = [1,,2]", b"a = [1 2]", b"a = [1]]", b"a = [", b"a = [#]", b"a = [{}]",
    b'a = """x"""', b"a = '''x'''", b'"""a""" = 1', b"[[a]]", b"[a", b"[]", b"[a]]", b"[a] b = 1", b"[a.]", b"[.a]", b"[a]x", b"[a\n]", b"[ ]", b"[a b]", b"[a=1]",
    b"a = 1\na = 2", b"a = 1\n'a' = 2", b"a = 1\n\"\\u0061\" = 2", b"[a]\n[a]", b"[a]\n['a']", b"[a]\nb = 1\n[a.b]", b"a = 1\n[a]", b"a = 1\na.b = 2", b"a.b = 1\na = 2", b"a = []\n[a.b]", b"a = []\na.b = 1",
    b"[a.b]\n[a]\nb.c = 1", b"a.b = 1\n[a]", b"[a]\nb.c = 1\n[a.b]", b"[a]\nb.c = 1\n[a.b.c]", b"[a.b]\n[a]\n[a]", b"[a.b.c]\n[a]\nb.d = 1", b"[a]\n[b]\n[a]",
    b"a.b.c.d.e.f.g.h.i = 1", b"a=1\n" * 2, b"#" + b"x" * 65534, b"a = [" + b"1," * 4095 + b"]",
]

# A sample of what people write, the ground for mutations.
SAMPLE = b"""# The machine.
[machine]
console = "com1"
housekeeping = 0          # the boot CPU
when_all_stopped = "poweroff"
color = true

[image.debian]
kernel  = "images/vmlinuz"
initrd  = 'images/initrd.img'
cmdline = "console=ttyS0 quoted=\\"x\\" back\\\\slash \\u00e9"

[guest.web]
image   = "debian"
cpus    = [1, 2]
memory  = "256M"
restart = "on-failure"
exit_port = 0xf4

[guest."db"]
image = "debian"
cpus = [
  3, # three
  0x4,
]
memory = "1G"
after = "web"
guest.x.y = 1_000
"""

WORDS = [b"a", b"b", b"c", b"'a'", b'"b"', b'"\\u0063"', b"a.b", b"a . c", b"b.a.c", b"1", b"-", b".", b"=", b" = ", b"[", b"]", b"[[", b",",
         b" ", b"\t", b"\n", b"\n", b"\r\n", b"\r", b"#", b"# x\n", b"\"", b"'", b'"""', b"'''", b"\\", b"\\u00e9", b"\\U0010ffff", b"\\n",
         b"true", b"false", b"0", b"17", b"-5", b"+1", b"1_0", b"0x1F", b"0o17", b"0b11", b"9223372036854775807", b"9223372036854775808",
         b"1.5", b"1e3", b"inf", b"nan", b"1979-05-27", b"{", b"}", b"{a=1}", "é".encode(), "😀".encode(), b"\x00", b"\x7f", b"\xff", b"\xef\xbb\xbf",
         b"[a]\n", b"[b]\n", b"[a.b]\n", b"[c.a]\n", b"a=1\n", b"b=2\n", b"c='x'\n", b"a.b=3\n", b"b.c=4\n", b"x=[1,2]\n"]

KEYS = [b"a", b"b", b"c", b"'a'", b'"b"', b'"\\u0063"', b"1", b'""', b"x-y"]
VALUES = [b"1", b"-0", b"+7", b"0x_", b"0xfF", b"1_2", b"true", b"false", b'"s"', b"'l'", b'"\\t\\u20ac"', b"[]", b"[1,2,]", b"['x', \"y\"]",
          b"[\n1, # c\n]", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775808", b"1.5", b"{}", b"'''x'''", b"07", b"2020-01-01"]


def key(rng):
    return rng.choice([b".", b".", b" . "]).join(rng.choice(KEYS) for _ in range(rng.choice([1, 1, 1, 2, 2, 3])))


def by_grammar(rng):
    """Lines that are good by themselves; what can go wrong is how tables meet."""
    end = rng.choice([b"\n", b"\n", b"\r\n"])
    # Rarely a value that is not in the subset.
    values = VALUES if rng.random() < 0.3 else VALUES[:3] + VALUES[4:17]
    lines = []
    for _ in range(rng.randrange(1, 9)):
        lines.append(b"[" + key(rng) + b"]" if rng.random() < 0.4 else key(rng) + b" = " + rng.choice(values))
    return end.join(lines) + rng.choice([b"", end])


def by_words(rng):
    return b"".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 14)))


def by_mutation(rng, corpus):
    text = bytearray(rng.choice(corpus))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(text) + 1)
        end = min(len(text), at + rng.choice([0, 0, 1, 1, 2, 10]))
        text[at:end] = rng.choice([b"", rng.choice(WORDS), bytes([rng.randrange(256)]), bytes(text[at:at + rng.randrange(20)])])
    return bytes(text)


def documents(count):
    rng = random.Random(20)
    corpus = [SAMPLE] * 40 + [SAMPLE.replace(b"\n", b"\r\n")] * 5 + ACCEPT + REFUSE[:-2]
    makers = [by_grammar, by_grammar, by_words, lambda r: by_mutation(r, corpus), lambda r: by_mutation(r, corpus)]
    return [rng.choice(makers)(rng) for _ in range(count)]


def run(tool, texts):
    frames = b"".join(b"%d\n" % len(t) + t for t in texts)
    answer = subprocess.run([tool, "dump"], input=frames, capture_output=True, timeout=300)
    lines = answer.stdout.split(b"\n")
    if answer.returncode or lines.pop() != b"" or len(lines) != len(texts):
        sys.exit(f"toml_oracle: {tool} dump: status {answer.returncode}, {len(lines)} answers to {len(texts)} documents\n"
                 f"{answer.stderr.decode(errors='replace')}")
    return lines


def no_duplicates(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise ValueError("a key twice in one table")
    return dict(pairs)


def same(a, b):
    """Equal values of equal types: 1 is not true."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b and (not isinstance(a, int) or a in INT64)


def oracle(text):
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return None


def verdict(text, line, counts):
    """What is wrong with the answer, or None."""
    theirs = oracle(text)
    if line.startswith(b"!"):
        counts["refused"] += 1
        if theirs is None:
            return None
        counts["stricter"] += 1
        # Only reasons the documentation gives.
        return None if any(reason in line.decode() for reason in STRICTER) else "refused without a documented reason"
    counts["accepted"] += 1
    try:
        ours = json.loads(line.decode(), object_pairs_hook=no_duplicates)
    except ValueError as error:
        return f"the dump is no JSON: {error}"
    if theirs is None:
        return "accepted, tomllib refuses it"
    return None if same(ours, theirs) else f"tomllib reads {theirs!r}"


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    generated = documents(int(sys.argv[2]) if len(sys.argv) == 3 else 6000)
    texts = ACCEPT + REFUSE + [SAMPLE] + generated
    lines = run(sys.argv[1], texts)
    counts = {"accepted": 0, "refused": 0, "stricter": 0}
    for i, (text, line) in enumerate(zip(texts, lines)):
        wrong = verdict(text, line, counts)
        if i < len(ACCEPT) and line.startswith(b"!"):
            wrong = "must be accepted"
        if len(ACCEPT) <= i < len(ACCEPT) + len(REFUSE) and not line.startswith(b"!"):
            wrong = "must be refused"
        if wrong:
            sys.exit(f"toml_oracle: {wrong}\ndocument: {text!r}\nanswer: {line.decode(errors='replace')}")
    # A generator that makes nothing acceptable would prove nothing.
    if counts["accepted"] < len(texts) // 5 or counts["refused"] < len(texts) // 5:
        sys.exit(f"toml_oracle: documents are one-sided: {counts}")
    print(f"toml_oracle: {len(texts)} documents, {counts['accepted']} accepted with tomllib's values, "
          f"{counts['refused']} refused ({counts['stricter']} of them only by the subset)")


main()
