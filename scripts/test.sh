#!/bin/bash
# Runs the tests that need neither guest nor cluster: in three processes side by side, since most of them wait for
# others most of the time. Those that speak gRPC are apart from the rest: its threads and the forks of tests
# that make tasks by hand do not go together; those that need neither are with them. Those with agents are in one
# process: an agent sees all containers of the machine, also another's.
#
#   scripts/test.sh [PYTEST_ARGUMENT...]     an argument that is a path: that alone, in one process
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
# shellcheck source=scripts/again.sh
. scripts/again.sh

PYTEST=(.venv/bin/python -m pytest -q)
AGENTS=(
	tests/agent tests/collector tests/containers
	tests/ledger/test_capture_losses.py tests/ledger/test_identity_losses.py
)
SPEAKING=(tests/cli tests/unit/{collector,containers,model,profiles,rpc,scripts,service})

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
rest=("${PYTEST[@]}" "$@")
for path in "${AGENTS[@]}" "${SPEAKING[@]}"; do
	rest+=("--ignore=$path")
done

"${agents[@]}" -o "cache_dir=$caches/agents" >"$caches/agents.log" 2>&1 &
agents_pid=$!
"${speaking[@]}" -o "cache_dir=$caches/speaking" >"$caches/speaking.log" 2>&1 &
speaking_pid=$!
trap 'kill "$agents_pid" "$speaking_pid" 2>/dev/null; rm -rf "$caches"' INT TERM
"${rest[@]}" -o "cache_dir=$caches/rest"
rest_status=$?
wait "$speaking_pid"
speaking_status=$?
wait "$agents_pid"
agents_status=$?
cat "$caches/speaking.log" "$caches/agents.log"

again "$rest_status" "$caches/rest" "${rest[@]}"
rest_status=$?
again "$speaking_status" "$caches/speaking" "${speaking[@]}"
speaking_status=$?
again "$agents_status" "$caches/agents" "${agents[@]}"
agents_status=$?
[ "$rest_status" = 0 ] && [ "$speaking_status" = 0 ] && [ "$agents_status" = 0 ]
