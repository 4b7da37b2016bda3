#!/bin/bash
# Sets up a checkout: system packages, the virtual environment .venv, the command .venv/bin/recorder.
#
#   scripts/setup.sh [build] [demo] [test] [guest] [cluster] [image]   which groups of packages; without one, the first three
#
# On Debian 12 as root it installs with apt what is missing. Elsewhere, or as another
# user, it installs no system package: if all is there it goes on, else it says what is missing.
# Nothing to do takes a moment: a stamp holds what was set up last.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=/usr/bin/python3 # Debian's own: python3-bpfcc is for no other
STAMPS=.venv/.setup
PATH=$PATH:/usr/sbin:/sbin # runc, nginx and bpftool are there, and not on everybody's PATH

# PACKAGE=PROBE[|PROBE...]: there if one probe is. A probe is a command on PATH (wherever it comes
# from: node need not be Debian's), a path or pattern beginning with /, py:MODULE or so:LIBRARY.
packages_build=(
	python3-bpfcc=py:bcc libbpf1=so:libbpf.so.1 python3-venv=py:ensurepip
	clang=clang llvm=llvm-strip libbpf-dev=/usr/include/bpf/bpf_helpers.h
	bpftool=bpftool make=make git=git
	"linux-libc-dev=/usr/include/*/asm/unistd.h"
)
packages_demo=(redis-server=redis-server redis-tools=redis-benchmark runc=runc)
packages_test=(
	strace=strace runc=runc crun=crun podman=podman conmon=conmon containerd=containerd
	containernetworking-plugins="/usr/lib/cni/bridge|/opt/cni/bin/bridge"
	gcc=gcc gcc-multilib="/usr/lib/gcc/x86_64-linux-gnu/*/32/libgcc.a"
	libc6-dev="/usr/lib/*-linux-gnu/libc.a" libc6-dev-i386=/usr/lib32/libc.a
	libseccomp2=so:libseccomp.so.2 libseccomp-dev=/usr/include/seccomp.h
	redis-server=redis-server redis-tools=redis-benchmark
	nginx-light=nginx postgresql="/usr/lib/postgresql/*/bin/initdb" stress-ng=stress-ng
	busybox-static=busybox perl=perl nodejs=node openssl=openssl
	procps=ps iproute2=ip
	apparmor=apparmor_parser secilc=secilc
)
packages_guest=(
	qemu-system-x86=qemu-system-x86_64 qemu-utils=qemu-img mmdebstrap=mmdebstrap
	"debian-archive-keyring=/usr/share/keyrings/debian-archive-keyring.gpg"
	e2fsprogs=mke2fs kmod=depmod zstd=zstd lz4=lz4 util-linux=setpriv
	gcc=gcc libc6-dev="/usr/lib/*-linux-gnu/libc.a"
)
packages_cluster=(
	golang-1.19-go=/usr/lib/go-1.19/bin/go
	"debian-archive-keyring=/usr/share/keyrings/debian-archive-keyring.gpg"
	etcd-server=etcd kubernetes-client=kubectl openssl=openssl
	containerd=containerd runc=runc crun=crun busybox-static=busybox
	containernetworking-plugins="/usr/lib/cni/bridge|/opt/cni/bin/bridge"
	iptables=iptables conntrack=conntrack dnsmasq-base=dnsmasq iproute2=ip util-linux=nsenter
	mmdebstrap=mmdebstrap podman=podman conmon=conmon
	gcc=gcc gcc-multilib="/usr/lib/gcc/x86_64-linux-gnu/*/32/libgcc.a"
	libc6-dev="/usr/lib/*-linux-gnu/libc.a" libc6-dev-i386=/usr/lib32/libc.a
)
packages_image=("podman=podman|buildah" git=git)

say() { echo "setup: $*" >&2; }

fail() {
	say "$@"
	exit 1
}

present() { # PROBE
	case $1 in
	/*) compgen -G "$1" >/dev/null ;;
	py:*) "$PYTHON" -c 'import sys, importlib.util as u; sys.exit(u.find_spec(sys.argv[1]) is None)' "${1#py:}" 2>/dev/null ;;
	# not by a pipe, whose first end would die of SIGPIPE now and then
	so:*) grep -q "[[:space:]]${1#so:} " <<<"$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p 2>/dev/null)" ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

find_missing() { # ENTRY...: sets missing (packages) and lacks (what was looked for)
	local entry probe found
	missing=() lacks=()
	for entry; do
		found=
		while read -r probe; do
			if present "$probe"; then
				found=1
				break
			fi
		done < <(tr '|' '\n' <<<"${entry#*=}")
		[ -n "$found" ] && continue
		missing+=("${entry%%=*}")
		lacks+=("${entry%%=*} (${entry#*=})")
	done
}

# --- system packages

POLICY=/usr/sbin/policy-rc.d # asked by postinst scripts before they start a daemon
MARK='# made by scripts/setup.sh of profile-recorder for as long as it installs'

forbid_daemons() {
	if [ -e "$POLICY" ] && ! grep -qF "$MARK" "$POLICY"; then
		say "$POLICY exists and is kept: it decides whether installed daemons start"
		return
	fi
	trap 'rm -f "$POLICY"' EXIT # also after INT and TERM: bash runs it before it ends
	printf '#!/bin/sh\n%s\nexit 101\n' "$MARK" >"$POLICY"
	chmod 755 "$POLICY"
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		install --no-install-recommends "$@" </dev/null
}

install_missing() {
	find_missing "$@"
	[ ${#missing[@]} -gt 0 ] || return 0
	local system="an unknown system" ID='' VERSION_ID='' PRETTY_NAME=''
	if [ -r /etc/os-release ]; then
		# shellcheck source=/dev/null
		. /etc/os-release
		system=${PRETTY_NAME:-$ID}
	fi
	if [ "$ID" != debian ] || [ "$VERSION_ID" != 12 ]; then
		fail "this is $system; packages are installed on Debian 12 only. Install what provides these, then run it again (Debian package, what was looked for): ${lacks[*]}"
	fi
	if [ "$(id -u)" != 0 ]; then
		fail "not root, and packages are missing. Run \`sudo make setup\`, or: sudo apt-get install --no-install-recommends ${missing[*]}"
	fi
	say "installing with apt: ${missing[*]}"
	forbid_daemons
	if ! apt_install "${missing[@]}"; then
		say "apt-get could not install them: refreshing the package lists and trying once more"
		apt-get -q update
		apt_install "${missing[@]}" || fail "apt-get cannot install ${missing[*]}: see its messages above"
	fi
	find_missing "$@"
	[ ${#missing[@]} -eq 0 ] || fail "installed, but still not found: ${lacks[*]}"
}

# Loader bcc compiles with kernel headers: the running kernel's, or, where the archive has none for
# it (a kernel that somebody built), the distribution's, which will do for commands and plain cgroups.
headers_entry() {
	local release architecture
	release=$(uname -r)
	if apt-cache show "linux-headers-$release" >/dev/null 2>&1; then
		echo "linux-headers-$release=/lib/modules/$release/build/include/generated/autoconf.h"
	else
		architecture=$(dpkg --print-architecture 2>/dev/null || echo amd64)
		echo "linux-headers-$architecture=/lib/modules/*/build/include/generated/autoconf.h"
	fi
}

# --- the virtual environment

make_environment() {
	"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
		fail "$PYTHON is missing or older than 3.11: install python3 3.11 or later there"
	if [ -d .venv ] && ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.argv[1] != sys.prefix)' "$PWD/.venv" 2>/dev/null; then
		say ".venv is broken or was made elsewhere: making it anew"
		rm -rf .venv
	fi
	[ -d .venv ] || "$PYTHON" -m venv --system-site-packages .venv
	local pip=(.venv/bin/python -m pip --disable-pip-version-check --no-input -q install --no-deps)
	"${pip[@]}" -r requirements.lock ||
		fail "pip could not install requirements.lock: see its messages above (network? pip's index?)"
	"${pip[@]}" --no-build-isolation -e . || fail "pip could not install this checkout: see its messages above"
	[ -x .venv/bin/recorder ] || fail ".venv/bin/recorder was not made: see [project.scripts] in pyproject.toml"
}

# --- what is to be done

[ $# -gt 0 ] || set -- build demo test
# a stamp's text: the checkout's place (an editable install names it) and what set-up depends on
key="$PWD $(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum)"
current() { [ -x .venv/bin/recorder ] && [ -r "$STAMPS/$1" ] && [ "$(<"$STAMPS/$1")" = "$key" ]; }

todo=()
for group in build "$@"; do
	case $group in
	build | demo | test | guest | cluster | image) ;;
	*) fail "unknown group $group (build, demo, test, guest, cluster, image)" ;;
	esac
	current "$group" || todo+=("$group")
done
[ ${#todo[@]} -gt 0 ] || exit 0

[ "$(uname -s)" = Linux ] || fail "the recorder needs Linux, this is $(uname -s)"
packages_test+=("$(headers_entry)")
wanted=()
for group in "${todo[@]}"; do
	declare -n list="packages_$group"
	wanted+=("${list[@]}")
done
install_missing "${wanted[@]}"
current environment || make_environment
mkdir -p "$STAMPS"
for group in environment "${todo[@]}"; do
	printf '%s\n' "$key" >"$STAMPS/$group"
done
