#!/usr/bin/env bash
# A run as a chain of SGE job arrays: no driver and no scheduler, so nothing runs longer than a task. Made by
# `caml-dask array-script --system sge`.
#
#   TASKS=50 ./sge_array.sh results cells/*.csv
#   TASKS=50 OPTIONS="--network 87B144" ./sge_array.sh results cells/*.csv
#
# Each stage of the analysis is an array of TASKS tasks, which begins when the previous array has ended, even if some of
# its tasks failed: a killed task loses only its units. The last job writes the summary and lists what is not finished;
# call the same command again to finish it. Queue, account, time and memory of the jobs are taken from
# SUBMIT, such as SUBMIT="-q regular.q -P lab -l h_rt=01:00:00 -l h_vmem=2G".
# 2 GB suit tiles of 200,000 localizations; a task has one core. All nodes must see the inputs and the results, nothing
# else.
set -euo pipefail
if [[ $# -lt 2 ]]; then
    echo "usage: [TASKS=n] [OPTIONS=...] [SUBMIT=...] $0 OUT INPUT..." >&2
    exit 2
fi
out=$(realpath -m "$1")
shift
tasks=${TASKS:-10}
caml_dask=${CAML_DASK:-caml-dask}    # the command, if it is not on the PATH of the nodes
SUBMIT=${SUBMIT:-}                   # further words for each submission
logs=$out/.run/jobs
quoted="'${out//\'/\'\\\'\'}'"    # for the shell of the jobs

# shellcheck disable=SC2086  # OPTIONS and SUBMIT are several words
stages=$($caml_dask plan "$@" --out "$out" --resume ${OPTIONS:-})
mkdir -p "$logs"

# Submit caml-$name with a command, as an array or as one job, to begin when the job before it has ended.
submit() {
    local kind=$1 job said after=()
    if [[ -n $before ]]; then after=(-hold_jid "$before"); fi
    job="#!/bin/sh
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
exec $caml_dask $2 --out $quoted"
    # shellcheck disable=SC2086
    case $kind in
    array) said=$(qsub -terse -N "caml-$name" -t "1-$tasks" -S /bin/sh -V -j y -o "$logs/" "${after[@]}" $SUBMIT <<<"$job") ;;
    job) said=$(qsub -terse -N "caml-$name" -S /bin/sh -V -j y -o "$logs/caml-$name.log" "${after[@]}" $SUBMIT <<<"$job") ;;
    esac
    before=$(tail -n 1 <<<"$said" | sed 's/\..*//')
}

before=
for name in $stages; do
    if ((tasks > 1)); then
        submit array "unit $name \$((SGE_TASK_ID - 1)) --of $tasks"
    else
        submit job "unit $name 0 --of 1"
    fi
done
name=finish
submit job finish
echo "submitted; job $before writes $out/summary.json at the end, and its output to $logs/caml-finish.log"
