# SPDX-License-Identifier: Apache-2.0
"""Get the programs that demo and test guests run out of this Debian release's own packages.

usage: fetch_debian.py kernel|kernel-cloud|busybox OUT

The package is downloaded but not installed. What is taken out of it is kept in .cache/ at the top
of the tree under the package file's name, which changes with each update; nothing of it is ever
committed. Without a network the newest copy in the cache serves.
"""
import fcntl
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

CACHE = pathlib.Path(__file__).resolve().parent.parent / ".cache"
# name: (package, the real package behind a meta package, files inside, first that is there)
WANTED = {
    "kernel": ("linux-image-amd64", r"linux-image-\d.*-amd64", ["./boot/vmlinuz-*"]),
    "kernel-cloud": ("linux-image-cloud-amd64", r"linux-image-\d.*-cloud-amd64",
                     ["./boot/vmlinuz-*"]),
    "busybox": ("busybox-static", None, ["./bin/busybox", "./usr/bin/busybox"]),
}


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


def package_file(package, behind):
    """(real package, its file's name) as this machine's package lists have it."""
    if behind:
        depends = re.search(rf"Depends: ({behind})$", output_of("apt-cache", "depends", package),
                            re.MULTILINE)
        if not depends:
            raise FetchError(f"the package lists do not know '{package}'")
        package = depends.group(1)
    uris = output_of("apt-get", "download", "--print-uris", package)
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


def download(package, members, cached):
    print(f"fetch: downloading {package}", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        # As root, apt would fetch as a user who may not write here, and complain.
        output_of("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package,
                  cwd=directory)
        deb = next(pathlib.Path(directory).glob("*.deb"))
        extract(deb, members, f"{directory}/out")
        os.replace(f"{directory}/out", cached)


def newest_cached(name):
    found = sorted(CACHE.glob(f"*.deb.{name}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def fetch_current(name):
    package, behind, members = WANTED[name]
    package, file_name = package_file(package, behind)
    cached = CACHE / f"{file_name}.{name}"
    if not cached.exists():
        download(package, members, cached)
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
