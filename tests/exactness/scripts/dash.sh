# dash.sh FOLDER: background jobs, signals between processes, redirections, exec
cd "$1" || exit 1
trap 'echo got it' USR1
(kill -USR1 $$)
mkfifo turn
(read -r word <turn; echo "turn: $word" >answer) &
echo mine >turn
wait
cat answer
exec 3>out 4<answer
cat <&4 >&3
exec 3>&- 4<&-
umask 077
times >/dev/null
(ulimit -f 100; echo limited >limited)
test -x /bin/sh && command -v sh
find . -type f -print0 | xargs -0 -n 1 grep -c . | sed 's/^/lines: /' | awk '{ n += $2 } END { print n }'
exec sh -c 'echo last; exit 5'
