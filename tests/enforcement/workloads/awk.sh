#!/bin/sh
# awk, sed and grep on generated text: arrays, getline from a command, sed -i, output into a pipe. Status 0.
. "${0%/*}/waiting.sh"
wait_for_line ready

cd "$(mktemp -d)" || exit 1
awk 'BEGIN { for (i = 1; i <= 20000; i++) printf "%d user%d %d\n", i, i % 17, (i * 7919) % 1009 }' >table
awk '{ sum[$2] += $3; n[$2]++ } END { for (u in sum) print u, n[u], sum[u] }' table | sort | sed -n 1,4p
awk '$3 > 1000 { print | "sort -k3n | tail -n 2" }' table
awk 'BEGIN { while (("echo one; echo two" | getline line) > 0) print "got", line; system("exit 3"); close("x") }'
sed -i -e 's/user\([0-9]*\)/u[\1]/' -e '10001,$d' table
sed -n -e '$p' -e '1p' -e '/u\[16\].* 5$/w picked' table
grep -c 'u\[3\]' table
awk -F'[][]' '{ print > ("by-" $2) }' table
ls by-* | wc -l
cat by-7 | awk 'END { print NR }' -
cd /

wait_for_line worked
finish 0
