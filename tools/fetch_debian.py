# SPDX-License-Identifier: Apache-2.0
"""Get the programs that demo and test guests run out of this Debian release's own packages.

usage: fetch_debian.py kernel|kernel-cloud|busybox|kernel-i386|busybox-i386 OUT

The package is downloaded but not installed. What is taken out of it is kept in .cache/ at the top
of the tree under the package file's name, which changes with each update; nothing of it is ever
committed. Without a network the newest copy in the cache serves.

The i386 ones are those of Debian 12, the last release with 32-bit kernels, wherever this runs: by
package lists of their own in .cache/. Neither root nor another architecture in dpkg is needed.
"""
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

CACHE = pathlib.Path(__file__).resolve().parent.parent / ".cache"
# name: (package, the real package behind a meta package, files inside, first that is there)
WANTED = {
    "kernel": ("linux-image-amd64", r"linux-image-\d.*-amd64", ["./boot/vmlinuz-*"]),
    "kernel-cloud": ("linux-image-cloud-amd64", r"linux-image-\d.*-cloud-amd64",
                     ["./boot/vmlinuz-*"]),
    "busybox": ("busybox-static", None, ["./bin/busybox", "./usr/bin/busybox"]),
    "kernel-i386": ("linux-image-686-pae", r"linux-image-\d.*-686-pae", ["./boot/vmlinuz-*"]),
    "busybox-i386": ("busybox-static", None, ["./bin/busybox", "./usr/bin/busybox"]),
}
I386 = CACHE / "i386"  # apt's files for those
I386_RELEASE = "bookworm"
I386_LISTS_LAST_S = 86400
KEYRINGS = [pathlib.Path("/usr/share/keyrings/debian-archive-keyring" + suffix)
            for suffix in (".gpg", ".pgp")]


class FetchError(Exception):
    """Nothing can be had; the text says why."""


def output_of(*command, cwd=None):
    """stdout of a command; FetchError with what it said if it fails."""
    try:
        run = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, check=False, text=True,
                             env={**os.environ, "LC_ALL": "C"}, capture_output=True)
    except FileNotFoundError as e:
        raise FetchError(f"'{command[0]}' is not there: this needs Debian") from e
    if run.returncode:
        raise FetchError(f"{' '.join(command)}: {run.stderr.strip()}")
    return run.stdout


def update_lists():
    print("fetch: fetching the package lists", file=sys.stderr)
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    output_of(*sudo, "apt-get", "-qq", "update")


def debian_mirror():
    """Where this machine has Debian itself from."""
    targets = output_of("apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian",
                        "Component: main", "Created-By: Packages")
    if not targets:
        raise FetchError("the package lists name no Debian archive")
    return targets.split()[0]


def i386_options():
    """What makes apt look at Debian 12's i386 packages, and at nothing else; with fresh lists."""
    lists, source = I386 / "lists", I386 / "sources.list"
    options = [word for option in (
        "APT::Architecture=i386", "APT::Architectures=i386", f"Dir::Etc::SourceList={source}",
        "Dir::Etc::SourceParts=-", f"Dir::State::Lists={lists}", "Dir::State::Status=/dev/null",
        f"Dir::Cache={I386}/cache", "Acquire::Languages=none", "APT::Sandbox::User=root",
    ) for word in ("-o", option)]
    keys = [path for path in KEYRINGS if path.exists()]
    if not keys:
        raise FetchError(f"there is no {KEYRINGS[0]}")
    wanted = f"deb [arch=i386 signed-by={keys[0]}] {debian_mirror()} {I386_RELEASE} main\n"
    # The file is as old as the lists.
    if source.exists() and source.read_text(encoding="utf-8") == wanted \
       and time.time() - source.stat().st_mtime < I386_LISTS_LAST_S:
        return options
    print(f"fetch: fetching the i386 package lists of {I386_RELEASE}", file=sys.stderr)
    for directory in (lists / "partial", I386 / "cache" / "archives" / "partial"):
        directory.mkdir(parents=True, exist_ok=True)
    source.write_text(wanted, encoding="utf-8")
    try:
        output_of("apt-get", "-qq", *options, "-o", "APT::Update::Error-Mode=any", "update")
    except FetchError:
        source.unlink()
        raise
    return options


def package_file(package, behind, options):
    """(real package, its file's name) as the package lists have it."""
    if behind:
        depends = re.search(rf"Depends: ({behind})$",
                            output_of("apt-cache", *options, "depends", package), re.MULTILINE)
        if not depends:
            raise FetchError(f"the package lists do not know '{package}'")
        package = depends.group(1)
    uris = output_of("apt-get", *options, "download", "--print-uris", package)
    name = re.match(r"'[^']*' (\S+\.deb) ", uris)
    if not name:
        raise FetchError(f"the package lists have no file for '{package}'")
    return package, name.group(1)


def extract(deb, members, out):
    """Write one file of a package to `out`; unpacking all of a kernel takes 400 MB."""
    with open(out, "wb") as file, \
         subprocess.Popen(["dpkg", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-xO", "--wildcards", *members], stdin=archive.stdout, stdout=file,
                       stderr=subprocess.DEVNULL, check=False)
    if archive.returncode or not os.path.getsize(out):
        raise FetchError(f"{deb} holds none of {' '.join(members)}")


def download(package, members, cached, options):
    print(f"fetch: downloading {package}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        # As root, apt would fetch as a user who may not write here, and complain.
        output_of("apt-get", "-qq", *options, "-o", "APT::Sandbox::User=root", "download", package,
                  cwd=directory)
        deb = next(pathlib.Path(directory).glob("*.deb"))
        extract(deb, members, f"{directory}/out")
        os.replace(f"{directory}/out", cached)


def newest_cached(name):
    found = sorted(CACHE.glob(f"*.deb.{name}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def fetch_current(name):
    package, behind, members = WANTED[name]
    options = i386_options() if name.endswith("-i386") else []
    package, file_name = package_file(package, behind, options)
    cached = CACHE / f"{file_name}.{name}"
    if not cached.exists():
        download(package, members, cached, options)
    return cached


def fetch(name):
    """The path of the wanted file in the cache; it is downloaded if need be."""
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return fetch_current(name)
        except FetchError as e:
            # No lists at all on a fresh machine, or lists that name a file that is gone.
            problem = e
        cached = newest_cached(name)
        if cached:
            return cached
        try:
            update_lists()
        except FetchError as e:
            raise FetchError(f"{problem}\n{e}") from e
        return fetch_current(name)


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in WANTED:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 4
    try:
        cached = fetch(sys.argv[1])
        os.makedirs(os.path.dirname(sys.argv[2]) or ".", exist_ok=True)
        shutil.copyfile(cached, sys.argv[2])
    except (FetchError, OSError) as e:
        print(f"fetch: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
