# namespaces.sh: new user-visible worlds: mounts, pids, host name, network
set -eu
unshare --mount --pid --fork --uts --ipc --net --mount-proc sh -c '
	hostname inside
	hostname
	mount -t tmpfs none /mnt
	echo x >/mnt/x
	umount /mnt
	ip link set lo up
	ls /proc | grep -c "^[0-9]"
	unshare --user --map-root-user id -u
'
