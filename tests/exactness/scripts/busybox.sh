# busybox.sh FOLDER BUSYBOX: a static shell and its applets
set -eu
cd "$1"
for name in sh seq sort grep sed awk tar gzip sha1sum; do ln -s "$2" "$name"; done
PATH="$1"
seq 300 | sort -r | grep 7 | sed 's/7/seven/' | awk 'END { print NR }'
seq 100 >f
tar cf a.tar f
gzip a.tar
sha1sum f
sh -c 'kill -9 $$' || echo "status $?"
