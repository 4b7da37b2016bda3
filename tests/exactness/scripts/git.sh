# git.sh FOLDER: commits, a merge, a clone, garbage collection
set -eu
cd "$1"
export HOME="$1" GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat GIT_EDITOR=true
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@localhost GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@localhost
git -c init.defaultBranch=main init -q repository
cd repository
git config gc.auto 0
seq 500 >file
git add file
git commit -q -m first
git checkout -q -b side
echo side >>file
git commit -q -a -m side
git checkout -q main
echo other >other
git add other
git commit -q -m other
git merge -q -m merge side
git log --oneline --graph | wc -l
git diff --stat HEAD~1
git gc -q
git fsck --no-progress
git clone -q . ../clone
git -C ../clone log -1 --format=%s
git stash list
git archive HEAD | tar t
