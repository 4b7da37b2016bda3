# bash.sh FOLDER: pipelines, process substitution, a coprocess, traps, job control
set -u
cd "$1" || exit 1
for i in {1..200}; do echo "$((i * i % 17)) $i"; done | sort -n | uniq -c -w 3 | sort -rn | head -n 3
diff <(seq 10) <(seq 11)
paste <(seq 3) <(seq 4 6) | while read -r a b; do echo "$((a * b))"; done
coproc doubler { while read -r line; do echo "$line$line"; done; }
pid=$doubler_PID # bash forgets it as soon as the coprocess has ended
echo ab >&"${doubler[1]}"
read -r answer <&"${doubler[0]}"
echo "$answer"
eval "exec ${doubler[1]}>&-"
wait "$pid"
trap 'echo usr1' USR1
kill -USR1 $$
set -m
sleep 30 &
kill -TERM $!
wait $!
echo "ended with $?"
(exit 3) || echo "sub-shell: $?"
mapfile -t lines < <(printf '%s\n' one two)
cat <<TEXT
${lines[*]}
TEXT
ulimit -n
type -t cd
false | true
echo "${PIPESTATUS[*]}"
