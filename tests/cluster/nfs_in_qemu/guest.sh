#!/usr/bin/env bash
# Inside the virtual machine: an NFSv4.2 server on loopback, then what FOLDER/test.sh says.
lab=$1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:$lab/root/usr/sbin:$lab/root/sbin
libraries=$lab/root/usr/lib/x86_64-linux-gnu:$lab/root/lib/x86_64-linux-gnu
mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /tmp; hostname vm; ip link set lo up
echo "127.0.0.1 localhost vm" >/etc/hosts
mkdir -p /export /shared /var/lib/nfs
mount -t tmpfs tmpfs /export; mount -t tmpfs tmpfs /var/lib/nfs
mkdir -p /var/lib/nfs/{v4recovery,sm,sm.bak,nfsdcltrack}; touch /var/lib/nfs/{etab,rmtab}
mount -t nfsd nfsd /proc/fs/nfsd
for file in nfsv4leasetime nfsv4gracetime; do echo 10 >/proc/fs/nfsd/$file; done
echo "/export *(rw,no_root_squash,insecure,fsid=0,no_subtree_check,async)" >/etc/exports
LD_LIBRARY_PATH=$libraries rpcbind -w
LD_LIBRARY_PATH=$libraries exportfs -ra
LD_LIBRARY_PATH=$libraries rpc.mountd -N 2
LD_LIBRARY_PATH=$libraries rpc.nfsd -N 3 4
sleep 2; sleep 12  # the grace of the server
uname -sr
bash "$lab/test.sh"
echo o >/proc/sysrq-trigger; sleep 10
