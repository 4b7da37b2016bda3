# chain.sh FIVE FIVE32 THREADS32: execs from one ABI to the other and back, forty short lives
set -eu
"$1"
"$2"
env "$2"
nice -n 1 env sh -c 'exec "$0"' "$2"
"$3" 50 /bin/true
for _ in 1 2 3 4 5 6 7 8 9 10; do "$1"; "$2"; "$1"; "$2"; done
