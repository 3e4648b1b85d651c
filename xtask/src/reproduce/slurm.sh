#!/usr/bin/env bash
# @COMMAND@
# on a Slurm cluster: @TASKS@; then a job that writes the report. Submit it with
#
#     bash slurm.sh [OPTIONS OF sbatch]    such as --partition=NAME --time=12:00:00 --cpus-per-task=8 --gres=gpu:1
#
# The options hold for every job. They can also be written below, as further lines #SBATCH. Finished runs are not repeated and interrupted
# ones resume, so it can be submitted again, once none of its jobs is left in the queue.
#SBATCH --job-name=stompp-@EXPERIMENT@
# A task that is preempted, or whose node fails, goes back to the queue. Its log continues.
#SBATCH --requeue
#SBATCH --open-mode=append
# About a minute before the time limit the shell gets SIGUSR1.
#SBATCH --signal=B:USR1@60
set -euo pipefail

@VALUES@

case "${1-}" in
run)
    export RAYON_NUM_THREADS="${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}"
    # A task at its time limit goes back to the queue, too.
    trap 'scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" || true' USR1
    # Before it ends a task, Slurm sends SIGTERM to this shell and to the run, which then writes a checkpoint. The shell waits for that,
    # because Slurm kills whatever is left when the shell ends.
    trap : TERM
    "${reproduce[@]}" --jobs 1 --shard "$SLURM_ARRAY_TASK_ID/$parts" &
    run=$!
    # A signal ends `wait`, but not the run.
    while wait "$run"; code=$?; [ "$code" -gt 128 ] && kill -0 "$run" 2>/dev/null; do :; done
    exit "$code"
    ;;
report)
    # Every task wrote into the same folder, so there is nothing to copy. The signal before the time limit does not end this.
    trap '' USR1
    exec "${reproduce[@]}" --merge "$out"
    ;;
*)
    script=$(realpath "$0")
    jobs=
    # Submits a job that begins when all jobs before it have ended: submit MODE OPTIONS
    submit() {
        local mode=$1 id
        shift
        if ! id=$(sbatch --parsable "$@" --chdir="$logs" ${jobs:+"--dependency=afterany$jobs"} "$script" "$mode"); then
            IFS=: read -ra submitted <<<"${jobs#:}"
            [ -z "$jobs" ] || scancel "${submitted[@]}"
            echo "error: nothing is submitted" >&2
            exit 1
        fi
        jobs+=":${id%%;*}"
    }
    for array in "${arrays[@]}"; do
        submit run "$@" --array="$array"
    done
    submit report "$@"
    echo "Submitted as ${jobs#:}. The logs go to $logs"
    ;;
esac
