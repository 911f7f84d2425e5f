#!/bin/busybox sh
# First program of the virtual machine: this machine's files, to be read alone, with a layer in memory above them.
B=/bin/busybox
$B mkdir -p /proc /sys /dev /host /up /new
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs dev /dev
for m in /m/*.ko; do $B insmod $m || echo "$m was not loaded"; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,ro,cache=loose hostroot /host
$B mount -t tmpfs -o size=2g tmpfs /up
$B mkdir /up/u /up/w
$B mount -t overlay -o lowerdir=/host,upperdir=/up/u,workdir=/up/w overlay /new
$B mount --move /proc /new/proc; $B mount --move /sys /new/sys; $B mount --move /dev /new/dev
exec $B switch_root /new /bin/bash @GUEST@
