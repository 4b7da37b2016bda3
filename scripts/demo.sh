#!/bin/bash
# Records redis-server under load, makes its seccomp profile, and runs it under that profile in runc.
#
# `make demo` sets up first. Root, Linux with BTF and cgroup v2. The results stay in
# build/demo; all else is removed, also after a failure or Ctrl-C. All traffic is on
# loopback, in the second half on that of the container's own network namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

# As a whole it takes about 5 s, and is ended after a minute.
[ -n "${RECORDER_DEMO_TIMED-}" ] || RECORDER_DEMO_TIMED=1 exec timeout --foreground 60 scripts/demo.sh

RECORDER=.venv/bin/recorder
RESULTS=build/demo
LIMIT=15 # seconds that any one step may take

say() { printf '%s\n' "$*"; }
heading() { printf '\n=== %s\n' "$*"; }
fail() {
	say "demo: FAILED: $*" >&2
	exit 1
}

# --- cleaning up

work=$(mktemp -d "${TMPDIR:-/tmp}/recorder-demo-XXXXXX")
recorder_pid='' runc_pid='' id=recorder-demo-$$
container() { timeout "$LIMIT" runc --root "$work/runc" "$@"; }

end_process() { # PID: TERM, and KILL if that is not enough
	[ -n "$1" ] && kill -TERM "$1" 2>/dev/null || return 0
	for _ in $(seq 50); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -KILL "$1" 2>/dev/null || true
}

clean() {
	local status=$? log
	trap - EXIT
	set +e
	if [ "$status" != 0 ]; then
		for log in "$work"/*.log; do
			[ -s "$log" ] && say "--- $(basename "$log")" && tail -n 15 "$log"
		done >&2
	fi
	container delete --force "$id" 2>/dev/null
	container delete --force "$id-probe" 2>/dev/null
	end_process "$runc_pid"
	end_process "$recorder_pid"
	rm -rf "$work"
	exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what is needed

[ "$(id -u)" = 0 ] || fail "recording needs root: sudo make demo"
for tool in /usr/bin/redis-server redis-cli redis-benchmark runc nsenter timeout; do
	command -v "$tool" >/dev/null || fail "$tool is missing: make setup (Debian: redis-server redis-tools runc util-linux)"
done
[ -x "$RECORDER" ] || fail "$RECORDER is missing: make setup"
"$RECORDER" check >"$work/check.log" || {
	cat "$work/check.log"
	fail "this machine cannot record: see above"
}
mkdir -p "$RESULTS"

# --- the server and its load

server() { # FOLDER PORT: the command line, one word a line
	# Few clients, so that redis need not raise its limit of open files.
	printf '%s\n' /usr/bin/redis-server --port "$2" --bind 127.0.0.1 --dir "$1" --save '' --maxclients 128
}

enter=() # a prefix that enters the network namespace of the server
cli() { timeout "$LIMIT" "${enter[@]}" redis-cli -h 127.0.0.1 -p "$port" "$@"; }

await() { # PID LOG: until the server answers
	for _ in $(seq 100); do
		[ "$(cli ping 2>/dev/null)" = PONG ] && return 0
		kill -0 "$1" 2>/dev/null || fail "redis-server has ended: see $(basename "$2")"
		sleep 0.1
	done
	fail "redis-server does not answer on port $port"
}

load() { # the same both times: replies, throughput, a snapshot by a forked child
	local reply
	reply=$(cli set greeting "hello from redis")
	say "SET greeting       -> $reply"
	[ "$reply" = OK ] || fail "SET answered '$reply'"
	reply=$(cli get greeting)
	say "GET greeting       -> $reply"
	[ "$reply" = "hello from redis" ] || fail "GET answered '$reply'"
	reply=$(cli eval 'return redis.call("strlen", KEYS[1])' 1 greeting)
	say "EVAL strlen        -> $reply"
	[ "$reply" = 16 ] || fail "EVAL answered '$reply'"
	timeout "$LIMIT" "${enter[@]}" redis-benchmark -h 127.0.0.1 -p "$port" -q -n 20000 -c 20 \
		-t set,get,incr,lpush,lrange_100 | tr '\r' '\n' | grep 'p50=.*msec$' || fail "redis-benchmark failed"
	cli bgsave >/dev/null
	for _ in $(seq 100); do
		cli info persistence | tr -d '\r' >"$work/persistence"
		grep -qx rdb_bgsave_in_progress:0 "$work/persistence" && break
		sleep 0.1
	done
	grep -qx rdb_bgsave_in_progress:0 "$work/persistence" || fail "BGSAVE does not end"
	reply=$(sed -n 's/^rdb_last_bgsave_status://p' "$work/persistence")
	say "BGSAVE             -> $reply"
	[ "$reply" = ok ] || fail "BGSAVE ended with '$reply'"
}

shut_down() { # PID WHAT: a clean end of the server; PID is what waits for it
	local status=0
	cli shutdown save 2>/dev/null || true # it closes the connection instead of an answer
	for _ in $(seq $((LIMIT * 10))); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 "$1" 2>/dev/null || fail "$2 has not ended $LIMIT s after SHUTDOWN"
	wait "$1" || status=$?
	[ "$status" = 0 ] || fail "$2 ended with status $status"
	say "SHUTDOWN           -> status 0"
}

# --- 1

heading "1. Record redis-server while it is under load"
port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$work/recorded"
mapfile -t command < <(server "$work/recorded" "$port")
record=("$RECORDER" record -f record -o "$RESULTS/record.json" --strict --user root --kill-on-exit)
say "$(printf '%q ' "${record[@]}" -- "${command[@]}")"
"${record[@]}" -- "${command[@]}" \
	>"$work/recorded-redis.log" 2>"$work/recorder.log" &
recorder_pid=$!
await "$recorder_pid" "$work/recorder.log"
load
shut_down "$recorder_pid" "the recording"
recorder_pid=''
say
cat "$work/recorder.log"

# --- 2

heading "2. What was seen, and the profile made from it"
make_profile() { # FORMAT WORD...: from the record, with what this machine's runc needs
	run "$RECORDER" profile -f "$1" --base "runc-$version" "${@:2}" "$RESULTS/record.json"
}
run() {
	say "$(printf '%q ' "$@")"
	"$@"
}
version=$(runc --version | sed -n 's/^runc version \([0-9.]*\).*/\1/p')
say "$RECORDER profile -f names $RESULTS/record.json"
"$RECORDER" profile -f names "$RESULTS/record.json" 2>/dev/null | fmt -w 96 | sed 's/^/  /'
make_profile seccomp -o "$RESULTS/redis-server.yaml"
make_profile oci -o "$RESULTS/redis-server.json" 2>/dev/null
say "written:"
say "  $RESULTS/redis-server.yaml  the profile as a Kubernetes object (SeccompProfile)"
say "  $RESULTS/redis-server.json  the same for an OCI runtime"
say "  $RESULTS/record.json        what was seen, from which both were made"

# --- 3

bind() { # PATH OPTIONS: a mount of the machine's own file or folder, read-only
	printf '{"destination": "%s", "type": "bind", "source": "%s", "options": ["%s", "ro", "nosuid", "nodev"]},\n' "$1" "$1" "$2"
}

bundle() { # FOLDER SECCOMP WORD...: a container of the machine's own /usr
	local folder=$1 seccomp=$2 name words mounts
	shift 2
	mkdir -p "$folder/rootfs"/{usr,etc,proc,dev,data} "$folder/data"
	mounts=$(bind /usr rbind)
	for name in bin sbin lib lib32 lib64 libx32; do
		if [ -L "/$name" ]; then
			cp -a "/$name" "$folder/rootfs/$name" # merged /usr
		elif [ -d "/$name" ]; then
			mkdir "$folder/rootfs/$name"
			mounts+=$(bind "/$name" rbind)
		fi
	done
	for name in ld.so.cache localtime; do
		[ ! -f "/etc/$name" ] || mounts+=$(bind "/etc/$name" bind)
	done
	words=$(printf '"%s",' "$@")
	# No capability, and no limit raised: root in here may do nothing special, with or without seccomp.
	cat >"$folder/config.json" <<JSON
{
 "ociVersion": "1.0.2",
 "process": {
  "terminal": false, "user": {"uid": 0, "gid": 0}, "cwd": "/data", "noNewPrivileges": true,
  "args": [${words%,}], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
  "capabilities": {"bounding": [], "effective": [], "permitted": []}
 },
 "root": {"path": "rootfs", "readonly": true},
 "hostname": "demo",
 "mounts": [
  $mounts
  {"destination": "/proc", "type": "proc", "source": "proc"},
  {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
  {"destination": "/data", "type": "bind", "source": "$folder/data", "options": ["bind", "rw", "nosuid", "nodev"]}
 ],
 "linux": {
  "cgroupsPath": "/$(basename "$folder")",
  "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}],
  "seccomp": $seccomp
 }
}
JSON
}

heading "3. Run the same server under the profile, in runc"
port=6379 # in the container's own network namespace
mapfile -t command < <(server /data "$port")
bundle "$work/$id" "$(<"$RESULTS/redis-server.json")" "${command[@]}"
say "runc run $id   (seccomp: $RESULTS/redis-server.json)"
runc --root "$work/runc" run --bundle "$work/$id" --pid-file "$work/pid" "$id" \
	>"$work/confined-redis.log" 2>&1 </dev/null &
runc_pid=$!
for _ in $(seq 100); do
	[ -s "$work/pid" ] && break
	kill -0 "$runc_pid" 2>/dev/null || fail "runc could not start the container"
	sleep 0.1
done
[ -s "$work/pid" ] || fail "runc has not started the container"
server_pid=$(<"$work/pid")
enter=(nsenter --net="/proc/$server_pid/ns/net")
await "$runc_pid" "$work/confined-redis.log"
say "$(grep -E '^(Name|NoNewPrivs|Seccomp):' "/proc/$server_pid/status" | tr '\t\n' ' ;')"
grep -q '^Seccomp:[[:space:]]*2$' "/proc/$server_pid/status" || fail "the server has no seccomp filter"
load

# --- 4

heading "4. A call outside the profile is refused"
refused=0
probe() { # WORD...: allowed without the profile, and refused in the server's own container
	local reply status=0
	rm -rf "$work/$id-probe"
	bundle "$work/$id-probe" null "$@"
	if ! container run --bundle "$work/$id-probe" "$id-probe" >"$work/probe.log" 2>&1 </dev/null; then
		say "$*"
		say "  without the profile: refused by this machine already: $(tail -n 1 "$work/probe.log")"
		return 0
	fi
	say "$*"
	say "  without the profile: it works"
	reply=$(container exec "$id" "$@" 2>&1 </dev/null) || status=$?
	say "  under the profile:   status $status: ${reply%%$'\n'*}"
	[ "$status" != 0 ] || fail "under the profile this should have been refused: $*"
	case $reply in
	*"Operation not permitted"* | *"Function not implemented"*) refused=$((refused + 1)) ;;
	*) fail "under the profile it failed for another reason: $reply" ;;
	esac
}
probe mkdir /data/folder
probe ln -s /proc/1/environ /data/link
probe unshare --user true
[ "$refused" -gt 0 ] || fail "no refusal could be shown"
reply=$(cli get greeting)
say "and the server goes on: GET greeting -> $reply"
[ "$reply" = "hello from redis" ] || fail "after that GET answered '$reply'"
shut_down "$runc_pid" "the container"
runc_pid=''

heading "Done: redis-server works under its profile, and $refused calls outside it were refused"
