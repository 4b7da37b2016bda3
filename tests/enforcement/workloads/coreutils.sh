#!/bin/sh
# Pipelines of coreutils, files and links in a new directory. Status 4.
. "${0%/*}/waiting.sh"
wait_for_line ready

cd "$(mktemp -d)" || exit 1
seq 1 20000 | tac | tr 0-9 a-j | sort | uniq -c | head -n 3
seq 1 500000 | wc -l
seq 1 3000 | shuf --random-source=/bin/sh | sort -n | sha256sum
dd if=/dev/zero of=zeros bs=4096 count=256 2>/dev/null
cp zeros copy
ln -s copy link
ln copy hard
mv copy moved
chmod 640 moved
touch -d 2001-02-03 moved
stat -c '%n %s %a %h' moved
ls -l --time-style=+%Y | wc -l
mkdir -p a/b/c
echo text >a/b/c/file
cp -r a d
rm -r a
du -s --apparent-size d/b/c/file
cat d/b/c/file | tee out1 out2
paste out1 out2
split -n 4 zeros part.
cat part.* | cmp - zeros
comm -12 out1 out2
truncate -s 100 zeros
head -c 10 zeros | od -An -tx1
date -u -d @0 +%F
(sleep 0.02; echo slept) &
wait $!
timeout 5 sleep 0.01
pwd >/dev/null
cd /

wait_for_line worked
finish 4
