#!/bin/bash
# Runs every test with full counts, none skipped, and writes how it went to docs/last-full-test.txt.
set -uo pipefail
cd "$(dirname "$0")/.."

report=docs/last-full-test.txt
started=$(date +%s)
date=$(date -u '+%Y-%m-%d %H:%M UTC')
commit=$(git rev-parse --short HEAD 2>/dev/null || echo none)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit, with uncommitted changes"
output=$(mktemp)
trap 'rm -f "$output"' EXIT

TEST_SCALE=1 RECORDER_REQUIRE_ALL=1 scripts/test.sh ${PYTEST_ARGS:-} 2>&1 | tee "$output"
status=${PIPESTATUS[0]}

mkdir -p docs
{
	echo "date:     $date"
	echo "commit:   $commit"
	echo "kernel:   $(uname -r), $(uname -m), $(nproc) CPUs"
	echo "duration: $(($(date +%s) - started)) s"
	echo "result:   $([ "$status" = 0 ] && echo passed || echo "failed (status $status)")"
	echo "summary:  $(grep -E '^[0-9]+ (passed|failed)' "$output" | paste -sd '+' | xargs)"
} >"$report"
cat "$report"
exit "$status"
