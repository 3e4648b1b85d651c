#!/usr/bin/env bash
# Runs a sweep by the script of `reproduce --slurm` on a real Slurm with one node, this machine. Tasks are requeued and preempted in the
# middle of their runs. The results must equal those of an undisturbed sweep without Slurm, byte for byte.
#
#     tests/slurm/check.sh target/debug/xtask
#
# Needs root. Installs Debian's packages slurmctld, slurmd, slurm-client and munge if they are missing, and is skipped if it cannot. The
# daemons have their configuration, ports and files in a temporary folder, so a Slurm of this machine is not touched. They are stopped at
# the end.
set -euo pipefail

xtask=$(realpath "$1")
# A ResNet-8 in floats, and two binary ones (STE, StoMPP+STE) that begin with its weights: parts 1, 9 and 11 of 14.
sweep=(pretrained --only 'resnet8-*-bnn-*l*t*')

skip() {
    echo "skipped: $1"
    exit 0
}

[ "$(id -u)" = 0 ] || skip "Slurm's daemons need root"
PATH=$PATH:/usr/sbin # The daemons are there.
installed() { command -v munged && command -v slurmctld && command -v slurmd && command -v sbatch; } >/dev/null
if ! installed; then
    { apt-get update && apt-get install --yes --no-install-recommends slurmctld slurmd slurm-client munge; } >/dev/null 2>&1 || true
    installed || skip "Debian's packages of Slurm cannot be installed"
fi

# Slurm's own files must have plain names. The sweep's folder must not: the script has to quote it.
work=$(mktemp --directory)
chmod 755 "$work" # munged refuses a folder that others cannot reach.
out="$work/a sweep's \$HOME"
logs=$out/smoke/pretrained/slurm
daemons=()

stop() {
    local code=$? cwd
    trap - EXIT
    if [ "$code" != 0 ]; then
        echo "failed after $SECONDS s; what the jobs and the daemons wrote:"
        tail -n 20 "$logs"/*.out "$work"/*.log 2>/dev/null || true
    fi
    # Jobs first: they go on without the daemons.
    scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 100); do
        [ -n "$(squeue --noheader 2>/dev/null)" ] || break
        sleep 0.2
    done
    kill "${daemons[@]}" 2>/dev/null || true
    wait
    # What is left if the controller has failed. Every process of Slurm and of the jobs has its current folder in $work.
    cd /
    for cwd in /proc/[0-9]*/cwd; do
        case $(readlink "$cwd" 2>/dev/null || true) in
        "$work"*) kill -KILL "$(basename "$(dirname "$cwd")")" 2>/dev/null || true ;;
        esac
    done
    rm -rf "$work"
    exit "$code"
}
trap stop EXIT
trap 'exit 1' INT TERM

# A port that nothing listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 20000)) && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

# Runs a command until it succeeds: within SECONDS COMMAND...
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "this has not happened in time: $*"
            return 1
        fi
        sleep 0.2
    done
}

mkdir "$work/munge" "$work/state" "$work/spool"
head --bytes 128 /dev/urandom >"$work/munge/key"
chmod 600 "$work/munge/key"

# `cred_expire`: a requeued task begins again after these seconds, by default 120; 5 is the least. An urgent job preempts those of the sweep.
export SLURM_CONF=$work/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=check
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=2
PartitionName=sweeps Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=2
END

cd "$work"
munged --foreground --socket="$work/munge/socket" --key-file="$work/munge/key" --pid-file="$work/munge/pid" \
    --seed-file="$work/munge/seed" &>munged.log &
daemons+=($!)
within 20 test -S "$work/munge/socket"
slurmctld -D &>/dev/null &
daemons+=($!)
slurmd -D &>/dev/null &
daemons+=($!)
is_idle() { [ "$(sinfo --noheader --partition=sweeps --format=%T 2>/dev/null)" = idle ]; }
within 60 is_idle
echo "Slurm is up after $SECONDS s"

"$xtask" reproduce "${sweep[@]}" --out "$work/undisturbed" --quiet >/dev/null
echo "the undisturbed sweep is done after $SECONDS s"

"$xtask" reproduce "${sweep[@]}" --out "$out" --slurm
submitted=$(bash "$out/smoke/pretrained/slurm.sh" --time=10)
echo "$submitted"
IFS=: read -r first second report <<<"$(sed -n 's/^Submitted as \([0-9:]*\)\..*/\1/p' <<<"$submitted")"

# Whether the log of task $2 of array $1 has the text $3.
logged() { grep --quiet -- "$3" "$logs/slurm-$1_$2.out" 2>/dev/null; }

# The first run, in the middle. The others wait until it has finished.
within 120 logged "$first" 1 ': epoch 1'
scontrol requeue "${first}_1"
within 60 logged "$first" 1 'stopped; the next sweep resumes it'
is_interrupted() {
    "$xtask" reproduce "${sweep[@]}" --out "$out" --status | grep 'float-seed0 *interrupted; resumes at step [1-9]'
}
within 4 is_interrupted
echo "a task was requeued after $SECONDS s"

# An urgent job takes the node from all tasks.
within 120 logged "$second" 9 ': epoch 1'
within 120 logged "$second" 11 ': begins'
sbatch --quiet --wait --partition=urgent --exclusive --output=/dev/null --wrap=true
within 60 logged "$second" 9 'stopped; the next sweep resumes it'
within 60 logged "$second" 11 'stopped; the next sweep resumes it'
echo "tasks were preempted after $SECONDS s"

is_done() { [ -z "$(squeue --noheader)" ]; }
within 300 is_done
scontrol --oneliner show job | grep --extended-regexp "ArrayJobId=($first|$second) |^JobId=$report " >jobs.txt
if [ "$(wc --lines <jobs.txt)" != 4 ] || grep --invert-match 'JobState=COMPLETED' jobs.txt; then
    echo "not all of these jobs ended well:"
    cat jobs.txt
    exit 1
fi
if [ "$(grep --count --extended-regexp 'ArrayTaskId=(1|9|11) .* Restarts=1 ' jobs.txt)" != 3 ]; then
    echo "these jobs did not restart once each:"
    cat jobs.txt
    exit 1
fi
cmp "$out/smoke/pretrained/results.json" "$work/undisturbed/smoke/pretrained/results.json"
test -s "$out/smoke/pretrained/report.html"
echo "3 runs on Slurm, after a requeue and a preemption, have the results of an undisturbed sweep ($SECONDS s)"
