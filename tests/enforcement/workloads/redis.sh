#!/bin/sh
# redis-server under redis-benchmark, with an append-only file and a background save. Status 0.
#
# Its own signal is SIGTERM, by which the server shuts down; without one it does so by command.
. "${0%/*}/waiting.sh"

cd "$(mktemp -d)" || exit 1
redis-cli ping 2>/dev/null # refused, as also below if the server is slow
redis-server --port 6379 --bind 127.0.0.1 --save '' --appendonly yes --logfile server.log &
server=$!
(sleep 0.02) &
wait $! # at the end the server may be gone before it is waited for
until redis-cli ping >/dev/null 2>&1; do sleep 0.02; done
wait_for_line ready

redis-benchmark -q -n 1000 -c 10 -t set,get,lpush,lrange_100,zadd >/dev/null
redis-cli set key value
redis-cli get key
redis-cli eval 'return redis.call("incrby", KEYS[1], 41)' 1 count
redis-cli config set maxmemory 100mb
redis-cli bgsave
until redis-cli info persistence | grep -q rdb_bgsave_in_progress:0; do sleep 0.02; done
redis-cli bgrewriteaof
until redis-cli info persistence | grep -q aof_rewrite_in_progress:0; do sleep 0.02; done
redis-cli info persistence | tr -d '\r' | grep _status:

wait_for_line worked
redis-cli shutdown nosave 2>/dev/null
wait "$server"
echo "server $?"
cd /
finish 0
