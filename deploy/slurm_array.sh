#!/usr/bin/env bash
# A run as a chain of Slurm job arrays: no driver and no scheduler, so nothing runs longer than a task.
#
#   TASKS=50 deploy/slurm_array.sh results cells/*.csv
#   TASKS=50 OPTIONS="--network 87B144" deploy/slurm_array.sh results cells/*.csv
#
# Each stage of the analysis is an array of TASKS tasks, which begins when the previous array has ended, even if some of
# its tasks failed: a killed task loses only its units. The last job writes the summary and lists what is not finished;
# call the same command again to finish it. sbatch reads partition, account, time and memory from SBATCH_PARTITION,
# SBATCH_ACCOUNT, SBATCH_TIMELIMIT and SBATCH_MEM_PER_NODE; 2 GB suit tiles of 200,000 localizations. A task has one core.
# All nodes must see the inputs and the results, nothing else.
set -euo pipefail
if [[ $# -lt 2 ]]; then
    echo "usage: [TASKS=n] [OPTIONS=...] $0 OUT INPUT..." >&2
    exit 2
fi
out=$(realpath -m "$1")
quoted="'${out//\'/\'\\\'\'}'"    # for the shell of the jobs
shift
tasks=${TASKS:-10}
caml_dask=${CAML_DASK:-caml-dask}    # the command, if it is not on the PATH of the nodes

# One thread per task, because a task has one core.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1

# shellcheck disable=SC2086  # OPTIONS are several words
stages=$($caml_dask plan "$@" --out "$out" --resume ${OPTIONS:-})
logs="$out/.run/%x-%A_%a.log"
dependency=()
for stage in $stages; do
    job=$(sbatch --parsable --job-name="caml-$stage" --array="0-$((tasks - 1))" --ntasks=1 --cpus-per-task=1 \
        --output="$logs" "${dependency[@]}" \
        --wrap="$caml_dask unit $stage \$SLURM_ARRAY_TASK_ID --of $tasks --out $quoted")
    dependency=(--dependency="afterany:${job%%;*}")
done
job=$(sbatch --parsable --job-name=caml-finish --ntasks=1 --cpus-per-task=1 --output="$out/.run/caml-finish.log" \
    "${dependency[@]}" --wrap="$caml_dask finish --out $quoted")
echo "submitted; job ${job%%;*} writes $out/summary.json at the end, and its output to $out/.run/caml-finish.log"
