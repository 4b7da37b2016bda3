# Sourced: a test that failed beside others is run once more, alone.
#
# On a machine with two cores and neighbours a test may fail for nothing but what ran beside it. That is found out here,
# not passed over: what passed only when it was run again is printed, and written to $RECORDER_AGAIN_LOG.
#
#   RECORDER_AGAIN=N   at most N tests of one pytest run; 0 (the default): none

# again STATUS CACHE PYTEST...: the status of that run of pytest (cache_dir=CACHE), or of what failed in it, run again
again() {
	local status=$1 cache=$2 failed names
	shift 2
	failed=$cache/v/cache/lastfailed
	if [ "$status" != 1 ] || [ "${RECORDER_AGAIN:-0}" = 0 ] || [ ! -s "$failed" ]; then
		return "$status"
	fi
	names=$(.venv/bin/python -c 'import json, sys; print(*json.load(open(sys.argv[1])), sep="\n")' "$failed")
	if [ "$(wc -l <<<"$names")" -gt "$RECORDER_AGAIN" ]; then
		return "$status"
	fi
	printf '=== once more, alone:\n%s\n' "$names"
	"$@" -o "cache_dir=$cache" --last-failed --last-failed-no-failures=none || return
	tee -a "${RECORDER_AGAIN_LOG:-/dev/null}" <<<"$names" | sed 's/^/passed only when it was run again, alone: /'
}
