# runc.sh FOLDER RUNC: a Go program, with its threads and the signals by which it preempts them
set -eu
cd "$1"
"$2" --version | head -n 1
"$2" spec
test -s config.json
"$2" --root "$1/state" list -q
"$2" --root "$1/state" state none 2>/dev/null || echo none
