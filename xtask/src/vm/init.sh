#!/bin/sh
# The first process of an emulated machine: makes a usual system of it, runs one command, reports how it ended.
# The virtio ports carry, in this order: the command's standard output, its standard error, and its exit status.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LANG=C.UTF-8 TERM=dumb

# pivot_root(2) refuses to leave the root that the kernel boots with, and containers want to. Mounted over itself it is
# a mount like any other.
if [ "$1" != again ]; then
	mount --bind / /real-root
	cd /real-root || exit
	mount --move . /
	exec chroot . /init again
fi

mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
mount -t devtmpfs -o nosuid devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs /dev/shm
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs /run
# /tmp stays what it is, in memory too: files of this run may be in it.
mount -t debugfs -o nosuid,nodev,noexec debugfs /sys/kernel/debug
mount -t tracefs -o nosuid,nodev,noexec tracefs /sys/kernel/tracing
mount -t bpf -o nosuid,nodev,noexec,mode=700 bpf /sys/fs/bpf
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
for controller in cpu memory pids; do
	echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
done
# As systemd leaves it; `ip netns` and container engines rely on it.
mount --make-rshared /
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr

hostname netobs-vm
# The kernel asks for further modules itself, by the names that nft, iptables, ip and tc use.
modprobe -a virtio_pci virtio_console veth bridge br_netfilter nf_conntrack nf_nat nf_tables
ip link set lo up

tries=0
while [ ! -c /dev/vport0p3 ] && [ $tries -lt 100 ]; do
	tries=$((tries + 1))
	usleep 50000
done

# Through pipes, since a port can be opened only once and programs open /dev/stderr.
mkfifo /run/.stdout /run/.stderr
cat </run/.stdout >/dev/vport0p1 &
out=$!
cat </run/.stderr >/dev/vport0p2 &
err=$!

cd /root || exit
sh /.netobs/command </dev/null >/run/.stdout 2>/run/.stderr
status=$?
rm /run/.stdout /run/.stderr

# What the command left running may hold the pipes for ever: its output is awaited for a moment only. A process that
# has ended has no open files, though it is still listed.
tries=0
while [ -e /proc/$out/fd/1 ] || [ -e /proc/$err/fd/1 ]; do
	tries=$((tries + 1))
	[ $tries -gt 40 ] && break
	usleep 50000
done
echo $status >/dev/vport0p3
reboot -f
