# cgroups.sh: arranges its own processes in cgroups below its own, as a nested manager does
set -eu
mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
own=$mount$(sed -n 's/^0:://p' /proc/self/cgroup)
mkdir "$own/first" "$own/second"
(echo 0 >"$own/first/cgroup.procs"; exec nice -n 1 id -u)
sh -c 'read -r word; exec nproc --all' <<TEXT &
x
TEXT
sleep 30 &
echo $! >"$own/second/cgroup.procs"
kill $!
wait
echo 1 >"$own/first/cgroup.kill"
rmdir "$own/first" "$own/second"
