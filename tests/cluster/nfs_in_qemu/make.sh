#!/usr/bin/env bash
# Fetch a kernel and the NFS server of Debian into a folder, and pack what boots them: make.sh FOLDER
# Needs Debian packages qemu-system-x86, busybox-static, cpio and kmod; nothing is installed.
set -euo pipefail
here=$(dirname "$(realpath "$0")"); lab=$(realpath -m "$1")
mkdir -p "$lab/debs" "$lab/root" "$lab/kernel"
cd "$lab/debs"
kernel=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ {print $2}')
apt-get download "$kernel" nfs-kernel-server nfs-common rpcbind libnfsidmap1 libevent-core-2.1-7 libtirpc3 \
    libtirpc-common libwrap0 keyutils libkeyutils1 libcap2 libdevmapper1.02.1 libsqlite3-0
for deb in *.deb; do
    if [[ $deb == linux-image* ]]; then dpkg -x "$deb" "$lab/kernel"; else dpkg -x "$deb" "$lab/root"; fi
done
modules=$lab/kernel/lib/modules/$(ls "$lab/kernel/lib/modules")
depmod -b "$lab/kernel" "$(basename "$modules")"
rm -rf "$lab/init"; mkdir -p "$lab/init/bin" "$lab/init/m"
cp "$(command -v busybox)" "$lab/init/bin/"
number=100
for module in virtio_pci 9pnet_virtio 9p overlay nfsv4 nfsd; do
    modprobe --dirname "$lab/kernel" --set-version "$(basename "$modules")" --show-depends "$module" |
        awk '/^insmod/ {print $2}'
done | awk '!seen[$0]++' | while read -r file; do cp "$file" "$lab/init/m/$number.ko"; number=$((number + 1)); done
sed "s|@GUEST@|$here/guest.sh $lab|" "$here/init.sh" >"$lab/init/init"
chmod +x "$lab/init/init"
(cd "$lab/init" && find . | cpio -o -H newc --quiet | gzip -1 >"$lab/initrd.gz")
