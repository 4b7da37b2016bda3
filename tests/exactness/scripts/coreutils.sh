# coreutils.sh FOLDER: files, text and sums with many of the coreutils
set -eu
cd "$1"
mkdir -p tree/a/b tree/c
seq 2000 >tree/numbers
shuf tree/numbers | sort -n --parallel=1 | uniq -c | head -n 5 | tail -n 1
dd if=/dev/zero of=tree/zeros bs=4k count=16 conv=fsync status=none
truncate -s 1M tree/sparse
cp -a tree copy
ln -s numbers tree/link
ln tree/numbers tree/hard
mv copy/zeros copy/nothing
chmod 600 copy/nothing
touch -d '2001-02-03' copy/nothing
stat -c %y copy/nothing
readlink -f tree/link
sha256sum tree/numbers | cut -c 1-8
base64 tree/numbers | tr a-z A-Z | wc -c
split -n 3 tree/numbers tree/part.
cat tree/part.* | cmp - tree/numbers
tee copy/tee <tree/numbers | md5sum
mkfifo pipe
cat pipe >from-pipe &
echo through >pipe
wait
install -m 755 tree/numbers copy/installed
df . >/dev/null
du -s tree >/dev/null
id -u
uname -r
date +%Y >/dev/null
expr 6 \* 7
sync tree/numbers
rm -r tree copy
ls -la
