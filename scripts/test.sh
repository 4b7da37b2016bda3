#!/bin/bash
# Runs the tests that need neither guest nor cluster: in four processes side by side, since most of them wait for
# others most of the time. Those that speak gRPC are apart from the rest: its threads and the forks of tests
# that make tasks by hand do not go together; those that need neither are with them. Those with agents are in one
# process: an agent sees all containers of the machine, also another's. Those that change what the kernel audits
# are in one, too.
#
#   scripts/test.sh [PYTEST_ARGUMENT...]     an argument that is a path: that alone, in one process
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=scripts/again.sh
. scripts/again.sh

PYTEST=(.venv/bin/python -m pytest -q)
AGENTS=(
	tests/agent tests/containers tests/collector/test_{connect_real,serve,serve_collector}.py
	tests/ledger/test_capture_losses.py tests/ledger/test_identity_losses.py
)
SPEAKING=(tests/cli tests/collector tests/unit/{collector,containers,model,profiles,rpc,scripts,service})
AUDITING=(tests/exactness tests/enforcement tests/unit/truth tests/test_truth.py)

caches=$(mktemp -d)
trap 'rm -rf "$caches"' EXIT

for argument; do
	if [ -e "${argument%%::*}" ]; then
		"${PYTEST[@]}" -o "cache_dir=$caches/one" "$@"
		again $? "$caches/one" "${PYTEST[@]}" "$@"
		exit
	fi
done

agents=("${PYTEST[@]}" "${AGENTS[@]}" "$@")
speaking=("${PYTEST[@]}" "${SPEAKING[@]}" "$@")
auditing=("${PYTEST[@]}" "${AUDITING[@]}" "$@")
rest=("${PYTEST[@]}" "$@")
for path in "${AGENTS[@]}"; do
	speaking+=("--ignore=$path")
done
for path in "${AGENTS[@]}" "${SPEAKING[@]}" "${AUDITING[@]}"; do
	rest+=("--ignore=$path")
done

declare -A pids statuses
beside() { # NAME COMMAND...
	local name=$1
	shift
	set -m # else SIGINT would be ignored in it, and in all that its tests start
	"$@" -o "cache_dir=$caches/$name" </dev/null >"$caches/$name.log" 2>&1 &
	pids[$name]=$!
	set +m
}
beside agents "${agents[@]}"
beside speaking "${speaking[@]}"
beside auditing "${auditing[@]}"
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$caches"' INT TERM
"${rest[@]}" -o "cache_dir=$caches/rest"
statuses[rest]=$?
for name in speaking auditing agents; do
	wait "${pids[$name]}"
	statuses[$name]=$?
	cat "$caches/$name.log"
done

failed=0
for name in rest speaking auditing agents; do
	declare -n command=$name
	again "${statuses[$name]}" "$caches/$name" "${command[@]}" || failed=1
done
exit "$failed"
