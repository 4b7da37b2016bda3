#!/bin/sh
# A repository from init to a merge, a clone, a fetch and gc. Status 0.
. "${0%/*}/waiting.sh"
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_AUTHOR_DATE='1700000000 +0000'
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org GIT_COMMITTER_DATE='1700000000 +0000'
wait_for_line ready

cd "$(mktemp -d)" || exit 1
git init -q -b main one
cd one || exit 1
seq 1 500 >numbers
mkdir folder
for name in a b c d e f; do seq 1 "$(printf %d "'$name")" >folder/$name; done
git add .
git commit -q -m first
git checkout -q -b side
sed -i s/^7$/seven/ numbers
git commit -q -a -m side
git checkout -q main
sed -i s/^400$/four/ numbers
git commit -q -a -m main
git merge -q side -m merge
git log --oneline --graph | cat
git diff --stat HEAD~1 | cat
git tag v1
git gc -q
git fsck 2>/dev/null
git clone -q . ../two
cd ../two || exit 1
git mv numbers figures
git stash -q
git stash pop -q
git status --short
git fetch -q
git grep -c seven
git rev-parse v1
cd /

wait_for_line worked
finish 0
