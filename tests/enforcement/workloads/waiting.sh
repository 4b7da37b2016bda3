# For the shell workloads: `wait_for_line` says its argument and waits for a line on stdin.
#
# A signal with a trap ends `read` early, with the status that also the end of stdin has.
# Meanwhile `sleep` is in a call that the kernel resumes by restart_syscall after a stop.

trap 'echo signal; signalled=1' USR1
sleep 60 &
sleeper=$!
trap 'kill $sleeper' EXIT

wait_for_line() {
	echo "$1"
	signalled=
	until read -r _; do
		[ "$signalled" ] || exit 1
		signalled=
	done
}

finish() { # STATUS
	echo done
	exit "$1"
}
