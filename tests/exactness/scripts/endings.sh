# endings.sh FOLDER: processes that end by signals, from outside and by their own fault
cd "$1" || exit 1
ulimit -c 0
sh -c 'kill -KILL $$'
echo $?
sh -c 'kill -SEGV $$'
echo $?
sh -c 'kill -SYS $$'
echo $?
timeout 0.1 sleep 30
echo $?
timeout -s KILL 0.1 sleep 30
echo $?
perl -MTime::HiRes=ualarm,sleep -e '$SIG{ALRM} = sub { print "alarm\n"; exit 4 }; ualarm 50_000; sleep 30'
echo $?
perl -e 'print unpack("p", pack("Q", 8))'
echo $?
/nonexistent/program 2>/dev/null
