#!/usr/bin/env bash
# Start the virtual machine that make.sh made, for at most so many seconds: boot.sh FOLDER SECONDS
set -euo pipefail
lab=$(realpath "$1")
timeout "$2" nice qemu-system-x86_64 -accel tcg,thread=multi -cpu Nehalem -smp 2 -m 6144 -nographic -no-reboot -nic none \
    -kernel "$lab"/kernel/boot/vmlinuz-* -initrd "$lab/initrd.gz" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off" \
    -virtfs local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap </dev/null
