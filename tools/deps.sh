#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install the Debian packages that a command of this tree needs and that are missing.
#
# usage: tools/deps.sh [build|clang|run|debug|test]...        (default: build)
#
# Works on Debian 12 and 13. Says what it installs; uses sudo where it is not root. On other systems
# it says what is missing and stops.
set -eu

# gcc only recommends libc6-dev.
BUILD='gcc libc6-dev make gnu-efi acpica-tools binutils mtools python3'
RUN='qemu-system-x86 ovmf bochs bochsbios vgabios util-linux'
DEBUG='gdb'
TEST='libcmocka-dev clang lld libclang-rt-dev clang-format libzydis-dev libcapstone-dev cpio git'

say() { echo "deps: $*" >&2; }

wanted=
for group in "${@:-build}"; do
	case $group in
	build) wanted="$wanted $BUILD" ;;
	clang) wanted="$wanted $BUILD clang" ;;
	run) wanted="$wanted $BUILD $RUN" ;;
	debug) wanted="$wanted $BUILD $RUN $DEBUG" ;;
	test) wanted="$wanted $BUILD $RUN $DEBUG $TEST" ;;
	*) say "unknown set '$group'; there are build, clang, run, debug and test"; exit 4 ;;
	esac
done

# One question for all packages: this runs before every build.
installed=
if command -v dpkg-query >/dev/null; then
	# shellcheck disable=SC2086
	installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' $wanted 2>/dev/null |
		sed -n 's/ installed$//p' | tr '\n' ' ')
fi
missing=
for package in $wanted; do
	case " $installed $missing " in
	*" $package "*) ;;
	*) missing="${missing:+$missing }$package" ;;
	esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	say "this is not Debian; install what corresponds to: $missing"
	exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root=sudo
	if ! command -v sudo >/dev/null; then
		say "needed, and neither root nor sudo is there to install it: $missing"
		exit 1
	fi
fi

say "installing $missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1
}
# shellcheck disable=SC2086
install() { apt install --no-install-recommends $missing; }

# A fresh machine has no package lists, and old ones may name files that are gone.
if ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || ! install; then
	say "fetching the package lists"
	{ apt update && install; } || { cat "$log" >&2; exit 1; }
fi
