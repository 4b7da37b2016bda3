#!/bin/bash
# Runs the tests that need neither guest nor cluster: in three processes side by side, since most of them wait for
# others most of the time. Those that speak gRPC are apart from the rest: its threads and the forks of tests
# that make tasks by hand do not go together. Those with agents are in one process: an agent sees all
# containers of the machine, also another's.
#
#   scripts/test.sh [PYTEST_ARGUMENT...]     an argument that is a path: that alone, in one process
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

PYTEST=(.venv/bin/python -m pytest -q)
AGENTS=(
	tests/agent tests/collector tests/containers
	tests/ledger/test_capture_losses.py tests/ledger/test_identity_losses.py
)
SPEAKING=(tests/cli tests/unit/containers tests/unit/rpc)

for argument; do
	if [ -e "${argument%%::*}" ]; then
		exec "${PYTEST[@]}" "$@"
	fi
done

ignored=()
for path in "${AGENTS[@]}" "${SPEAKING[@]}"; do
	ignored+=("--ignore=$path")
done
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
"${PYTEST[@]}" "${AGENTS[@]}" "$@" >"$logs/agents" 2>&1 &
agents=$!
"${PYTEST[@]}" "${SPEAKING[@]}" "$@" >"$logs/speaking" 2>&1 &
speaking=$!
trap 'kill "$agents" "$speaking" 2>/dev/null; rm -rf "$logs"' INT TERM
"${PYTEST[@]}" "${ignored[@]}" "$@"
rest=$?
wait "$speaking"
other=$?
wait "$agents"
status=$?
cat "$logs/speaking" "$logs/agents"
[ "$rest" = 0 ] && [ "$other" = 0 ] && [ "$status" = 0 ]
