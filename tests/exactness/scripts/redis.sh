# redis.sh FOLDER: a server under load, a snapshot, a rewrite of its log, and its end
set -eu
cd "$1"
redis-server --port 0 --unixsocket "$1/socket" --dir "$1" --save '' --appendonly yes --logfile log --io-threads 2 &
tries=0
until redis-cli -s socket ping >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 500 ]
	sleep 0.02
done
redis-benchmark -s socket -q -n 300 -c 5 -t set,get,incr,lpush,rpop,sadd,hset,zadd,mset -P 4 >/dev/null
redis-cli -s socket eval 'return redis.call("dbsize")' 0 >/dev/null
redis-cli -s socket save
redis-cli -s socket bgrewriteaof
redis-cli -s socket config set maxclients 100
redis-cli -s socket info | grep -c :
redis-cli -s socket shutdown nosave
wait
