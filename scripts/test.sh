#!/bin/bash
# Runs the tests that need neither guest nor cluster: in two processes side by side, since most of them wait for
# others most of the time. Those that speak gRPC have a process of their own: its threads and the forks
# of tests that make tasks by hand do not go together.
#
#   scripts/test.sh [PYTEST_ARGUMENT...]     an argument that is a path: that alone, in one process
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

PYTEST=(.venv/bin/python -m pytest -q)
SPEAKING=(
	tests/agent tests/cli tests/collector tests/containers tests/unit/collector tests/unit/containers tests/unit/rpc
	tests/ledger/test_capture_losses.py tests/ledger/test_identity_losses.py
)

for argument; do
	if [ -e "${argument%%::*}" ]; then
		exec "${PYTEST[@]}" "$@"
	fi
done

ignored=()
for path in "${SPEAKING[@]}"; do
	ignored+=("--ignore=$path")
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"${PYTEST[@]}" "${SPEAKING[@]}" "$@" >"$log" 2>&1 &
speaking=$!
trap 'kill "$speaking" 2>/dev/null; rm -f "$log"' INT TERM
"${PYTEST[@]}" "${ignored[@]}" "$@"
status=$?
wait "$speaking"
other=$?
cat "$log"
[ "$status" = 0 ] && [ "$other" = 0 ]
