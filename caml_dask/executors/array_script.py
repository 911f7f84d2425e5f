"""Scripts that submit a run as a chain of job arrays, one for each batch system; files under deploy/ are made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ArraySystem:
    """What a batch system wants, in words of the shell.

    Parameters
    ----------
    title : its name.
    settings : how queue, time and memory are given to all jobs.
    index : variable of a task with its number, from 1.
    array : submits the script on stdin as `caml-$name` with `$tasks` tasks that write to `$logs`, after the job that
        `after` names; prints what `number` reads.
    single : the same for a job that is no array; many systems know no array of one task.
    after : sets the array `after`, words that let a job wait for the one in `$before`, even if that failed.
    number : sed program that makes the number of a job of what submitting prints.
    """

    title: str
    settings: str
    index: str
    array: str
    single: str
    after: str
    number: str


SYSTEMS: Mapping[str, ArraySystem] = {
    "slurm": ArraySystem(
        title="Slurm",
        settings="SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT and SBATCH_MEM_PER_NODE",
        index="SLURM_ARRAY_TASK_ID",
        array='sbatch --parsable --job-name="caml-$name" --array="1-$tasks" --ntasks=1 --cpus-per-task=1 '
        '--output="$logs/caml-$name-%A_%a.log" "${after[@]}" $SUBMIT',
        single='sbatch --parsable --job-name="caml-$name" --ntasks=1 --cpus-per-task=1 '
        '--output="$logs/caml-$name.log" "${after[@]}" $SUBMIT',
        after='after=(--dependency="afterany:$before")',
        number="s/;.*//",
    ),
    "pbs": ArraySystem(
        title="PBS",
        settings='SUBMIT, such as SUBMIT="-q regular -A lab -l walltime=01:00:00 -l select=1:ncpus=1:mem=2gb"',
        index="PBS_ARRAY_INDEX",
        array='qsub -V -N "caml-$name" -J "1-$tasks" -j oe -o "$logs/" "${after[@]}" $SUBMIT',
        single='qsub -V -N "caml-$name" -j oe -o "$logs/caml-$name.log" "${after[@]}" $SUBMIT',
        after='after=(-W "depend=afterany:$before")',
        number="",
    ),
    "lsf": ArraySystem(
        title="LSF",
        settings='SUBMIT, such as SUBMIT="-q regular -P lab -W 60 -M 2GB"',
        index="LSB_JOBINDEX",
        array='bsub -J "caml-$name[1-$tasks]" -n 1 -o "$logs/caml-$name-%J_%I.log" "${after[@]}" $SUBMIT',
        single='bsub -J "caml-$name" -n 1 -o "$logs/caml-$name.log" "${after[@]}" $SUBMIT',
        after='after=(-w "ended($before)")',
        number=r"s/^Job <\([0-9]*\)>.*/\1/",
    ),
    "sge": ArraySystem(
        title="SGE",
        settings='SUBMIT, such as SUBMIT="-q regular.q -P lab -l h_rt=01:00:00 -l h_vmem=2G"',
        index="SGE_TASK_ID",
        array='qsub -terse -N "caml-$name" -t "1-$tasks" -S /bin/sh -V -j y -o "$logs/" "${after[@]}" $SUBMIT',
        single='qsub -terse -N "caml-$name" -S /bin/sh -V -j y -o "$logs/caml-$name.log" "${after[@]}" $SUBMIT',
        after='after=(-hold_jid "$before")',
        number=r"s/\..*//",
    ),
}

_SCRIPT = """#!/usr/bin/env bash
# A run as a chain of @TITLE@ job arrays: no driver and no scheduler, so nothing runs longer than a task. Made by
# `caml-dask array-script --system @NAME@`.
#
#   TASKS=50 ./@NAME@_array.sh results cells/*.csv
#   TASKS=50 OPTIONS="--network 87B144" ./@NAME@_array.sh results cells/*.csv
#
# Each stage of the analysis is an array of TASKS tasks, which begins when the previous array has ended, even if some of
# its tasks failed: a killed task loses only its units. The last job writes the summary and lists what is not finished;
# call the same command again to finish it. Queue, account, time and memory of the jobs are taken from
# @SETTINGS@.
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
quoted="'${out//\\'/\\'\\\\\\'\\'}'"    # for the shell of the jobs

# shellcheck disable=SC2086  # OPTIONS and SUBMIT are several words
stages=$($caml_dask plan "$@" --out "$out" --resume ${OPTIONS:-})
mkdir -p "$logs"

# Submit caml-$name with a command, as an array or as one job, to begin when the job before it has ended.
submit() {
    local kind=$1 job said after=()
    if [[ -n $before ]]; then @AFTER@; fi
    job="#!/bin/sh
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
exec $caml_dask $2 --out $quoted"
    # shellcheck disable=SC2086
    case $kind in
    array) said=$(@ARRAY@ <<<"$job") ;;
    job) said=$(@SINGLE@ <<<"$job") ;;
    esac
    before=$(tail -n 1 <<<"$said" | sed '@NUMBER@')
}

before=
for name in $stages; do
    if ((tasks > 1)); then
        submit array "unit $name \\$((@INDEX@ - 1)) --of $tasks"
    else
        submit job "unit $name 0 --of 1"
    fi
done
name=finish
submit job finish
echo "submitted; job $before writes $out/summary.json at the end, and its output to $logs/caml-finish.log"
"""


def array_script(system: str) -> str:
    """The script that submits all arrays of a run to a batch system.

    Parameters
    ----------
    system : of `SYSTEMS`.
    """
    chosen = SYSTEMS[system]
    filled = _SCRIPT
    for mark, words in (
        ("TITLE", chosen.title),
        ("NAME", system),
        ("SETTINGS", chosen.settings),
        ("AFTER", chosen.after),
        ("INDEX", chosen.index),
        ("ARRAY", chosen.array),
        ("SINGLE", chosen.single),
        ("NUMBER", chosen.number),
    ):
        filled = filled.replace(f"@{mark}@", words)
    return filled
