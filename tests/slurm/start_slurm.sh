#!/usr/bin/env bash
# A real Slurm of one node on this machine, for the tests: controller, node and authentication, all on loopback.
# Needs root and the packages slurmctld, slurmd, slurm-client and munge (Debian's slurm-wlm brings them).
#
#   tests/slurm/start_slurm.sh          start it, and wait until the node is idle
#   tests/slurm/start_slurm.sh stop     end what it started
set -euo pipefail
state="${CAML_TEST_SLURM:-${TMPDIR:-/tmp}/caml_dask_slurm}"
conf=/etc/slurm/slurm.conf

export PATH="$PATH:/usr/sbin:/sbin"

stop() {
    local daemon pid
    for daemon in slurmd slurmctld munged; do
        pid=$(cat "$state/$daemon.pid" 2>/dev/null || true)
        # The number of a daemon that has ended may be another process' by now.
        if [[ -n $pid && $(cat "/proc/$pid/comm" 2>/dev/null) == "$daemon" ]]; then kill "$pid" || true; fi
        rm -f "$state/$daemon.pid"
    done
}

if [[ "${1:-}" == stop ]]; then
    stop
    exit 0
fi
if [[ -e $conf ]] && ! grep -q 'ClusterName=camltest' $conf; then
    echo "$conf belongs to another Slurm; it is left alone" >&2
    exit 1
fi
if sinfo --noheader --format=%T 2>/dev/null | grep -qE 'idle|mixed|allocated'; then
    echo "Slurm runs already"
    exit 0
fi
mkdir -p "$state"/{ctld,d} /etc/slurm /run/munge /var/log/munge /var/lib/munge
stop
[[ -s /etc/munge/munge.key ]] || mungekey --create
chown -R munge: /etc/munge /run/munge /var/log/munge /var/lib/munge

# Memory is stated, and given out, so that a job that asks for too much is refused as on a real cluster.
memory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 - 512))
cat >$conf <<CONF
ClusterName=camltest
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
ReturnToService=2
MpiDefault=none
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0,sched_interval=1
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
KillWait=5
SlurmctldPidFile=$state/slurmctld.pid
SlurmdPidFile=$state/slurmd.pid
SlurmctldLogFile=$state/slurmctld.log
SlurmdLogFile=$state/slurmd.log
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/d
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$(nproc --all) RealMemory=$memory State=UNKNOWN
PartitionName=regular Nodes=ALL Default=YES MaxTime=01:00:00 State=UP OverSubscribe=FORCE:4
CONF

setpriv --reuid=munge --regid=munge --clear-groups munged --pid-file=/run/munge/munged.pid
ln -sf /run/munge/munged.pid "$state/munged.pid"
slurmctld -c    # without the jobs of a time before, which nothing runs any more
slurmd
for _ in $(seq 60); do
    if sinfo --noheader --format=%T | grep -q idle; then
        echo "Slurm runs: $(sinfo --noheader)"
        exit 0
    fi
    sleep 0.5
done
echo "Slurm did not come up; its logs are in $state" >&2
tail -5 "$state"/*.log >&2
exit 1
