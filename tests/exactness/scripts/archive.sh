# archive.sh FOLDER: tar and gzip both ways
set -eu
cd "$1"
mkdir -p in out
seq 5000 >in/numbers
ln -s numbers in/link
tar czf a.tar.gz in
tar xzf a.tar.gz -C out
cmp in/numbers out/in/numbers
tar tf a.tar.gz
gzip -9 <in/numbers | gunzip | cmp - in/numbers
