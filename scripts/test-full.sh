#!/bin/bash
# Runs tests with full counts, none skipped, and writes how it went to docs/last-full-test.txt.
#
#   scripts/test-full.sh [test] [guest] [cluster]     which tiers; without one, all of them
#
# The report has a paragraph for each tier; one that is not run keeps that of its last run. In guests counts are a
# tenth of those elsewhere, but for those that are what a test is about: what is emulated is some twenty times slower.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

report=docs/last-full-test.txt
commit=$(git rev-parse --short HEAD 2>/dev/null || echo none)
[ -z "$(git status --porcelain 2>/dev/null)" ] || commit="$commit, with uncommitted changes"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TEST_SCALE=1 RECORDER_REQUIRE_ALL=1

run() { # TIER
	# shellcheck disable=SC2086 # PYTEST_ARGS are words
	case $1 in
	test) scripts/test.sh ${PYTEST_ARGS:-} ;;
	guest) make guests && scripts/test.sh tests/guest ${PYTEST_ARGS:-} ;;
	cluster) make cluster && scripts/test.sh tests/cluster tests/deploy ${PYTEST_ARGS:-} ;;
	esac
}

say() { # TIER DATE SECONDS STATUS
	echo "tier:     $1"
	echo "date:     $2"
	echo "commit:   $commit"
	echo "kernel:   $(uname -r), $(uname -m), $(nproc) CPUs"
	echo "duration: $3 s"
	echo "result:   $([ "$4" = 0 ] && echo passed || echo "failed (status $4)")"
	echo "summary:  $(grep -E '^[0-9]+ (passed|failed)' "$work/output" | paste -sd '+' | xargs)"
}

[ $# -gt 0 ] || set -- test guest cluster
for tier; do
	case $tier in
	test | guest | cluster) ;;
	*)
		echo "test-full: unknown tier $tier (test, guest, cluster)" >&2
		exit 2
		;;
	esac
done
failed=0
for tier; do
	date=$(date -u '+%Y-%m-%d %H:%M UTC') started=$SECONDS
	run "$tier" 2>&1 | tee "$work/output"
	status=${PIPESTATUS[0]}
	[ "$status" = 0 ] || failed=1
	{
		# the paragraphs of the others
		awk -v RS= -v ORS='\n\n' -v tier="$tier" '$1 == "tier:" && $2 != tier' "$report" 2>/dev/null
		say "$tier" "$date" "$((SECONDS - started))" "$status"
	} >"$work/report"
	cp "$work/report" "$report"
done
cat "$report"
exit "$failed"
