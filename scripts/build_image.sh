#!/bin/bash
# Builds the image of deploy/Dockerfile with podman, or with buildah.
#
#   scripts/build_image.sh [NAME[:TAG]] [OPTION...]     NAME: localhost/profile-recorder:VERSION; options are podman build's
#
#   TARGET=bcc       the larger image, for nodes without BTF (default: runtime)
#   BASE=IMAGE       what it is built from (default: docker.io/library/debian:bookworm-slim)
#   BUILDER=COMMAND  such as "podman --root DIR" (default: podman, else buildah)
#   SOURCE_DATE_EPOCH=SECONDS  the time in all layers (default: that of the last commit)
#
# Where apt and pip fetch from, and which CA they trust, is this machine's own configuration. It is mounted
# while the image is built and in no layer of it.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
	echo "image: $*" >&2
	exit 1
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
name=localhost/profile-recorder:$version
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
	name=$1
	shift
fi
if [ -z "${BUILDER:-}" ]; then
	BUILDER=$(command -v podman || command -v buildah) ||
		fail "neither podman nor buildah is there: scripts/setup.sh image installs podman (Debian 12, root)"
fi
: "${TARGET:=runtime}"
: "${BASE:=docker.io/library/debian:bookworm-slim}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}"

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
touch "$secrets"/{apt.conf,sources.list,pip.conf,ca.crt}

# --- the machine's certificates: the base image has none of its own
ca=/etc/ssl/certs/ca-certificates.crt
if [ -r "$ca" ]; then
	cp "$ca" "$secrets/ca.crt"
	echo 'Acquire::https::CAInfo "/run/secrets/ca.crt";' >>"$secrets/apt.conf"
fi

# --- apt's mirrors, where this machine is the same Debian as the base
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null || true)
if [ "$suite" = bookworm ] && command -v apt-get >/dev/null; then
	apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
		awk -v suite="$suite" '$4 == "Packages" && ($2 == suite || index($2, suite "-") == 1) && $3 == "main" && $2 !~ /backports/ {
			print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1, $2, $3 }' |
		sort -u >"$secrets/sources.list"
	if [ -s "$secrets/sources.list" ]; then
		printf 'Dir::Etc::SourceList "/run/secrets/sources.list";\nDir::Etc::SourceParts "/dev/null";\n' >>"$secrets/apt.conf"
	fi
	apt-config dump | grep -E '^Acquire::(http|https)::(Proxy|Timeout)|^Acquire::Check-' >>"$secrets/apt.conf" || true
fi

# --- pip's index, less what only this machine's file system has
{
	echo '[global]'
	[ ! -s "$secrets/ca.crt" ] || echo 'cert = /run/secrets/ca.crt'
	for key in index-url extra-index-url trusted-host proxy timeout; do
		value=$(python3 -m pip config get "global.$key" 2>/dev/null || true)
		words=()
		for word in $value; do
			case $word in /* | file:*) ;; *) words+=("$word") ;; esac
		done
		[ ${#words[@]} -eq 0 ] || echo "$key = ${words[*]}"
	done
} >"$secrets/pip.conf"

options=(
	--file deploy/Dockerfile --target "$TARGET" --tag "$name" --build-arg "BASE=$BASE" --build-arg "VERSION=$version"
	--timestamp "$SOURCE_DATE_EPOCH" --format oci
	# what RUN does needs no container of its own, nor more limits than a small machine allows
	--isolation chroot --network host --ulimit nofile=1024:1024 --ulimit nproc=4096:4096
)
for each in apt.conf sources.list pip.conf ca.crt; do
	options+=(--secret "id=$each,src=$secrets/$each")
done
$BUILDER build "${options[@]}" "$@" .
echo "image: $name is built" >&2
