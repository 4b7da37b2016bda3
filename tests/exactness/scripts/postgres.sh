# postgres.sh FOLDER BIN: a cluster that initdb made starts, works under two clients, and stops
set -eu
export PATH="$2:$PATH" PGHOST="$1" PGUSER=recorder PGDATABASE=postgres LC_ALL=C
cd "$1"
pg_ctl -D data -s -w -l log -o "-k '$1' -c listen_addresses= -c fsync=on -c shared_buffers=16MB" start
psql -q -c 'create table t as select i, md5(i::text) m from generate_series(1, 20000) i; create index on t (m)'
psql -q -c "copy t to '$1/rows'" -c 'delete from t where i % 3 = 0' -c 'vacuum analyze t' -c checkpoint
psql -At -c 'select count(*) from t where m like $$a%$$'
pgbench -i -q -s 1 >/dev/null 2>&1
pgbench -n -c 2 -t 10 >/dev/null 2>&1
pg_ctl -D data -s -w -m fast stop
