#!/usr/bin/env bash
# Trains with Open MPI: `check.sh STOMPP`, where STOMPP was built with the feature `mpi`.
#
# A run of 1 process, of 2 and 4 processes on one machine, of 2 on two hosts (network namespaces, over TCP), and a run that is told to stop
# with 4 processes and resumed with 2 must write the same network.safetensors. Prints "skipped" and ends with 0 where Open MPI cannot be
# installed; the two hosts need root.
set -euo pipefail

stompp=$(realpath "$1")
if ! command -v mpirun >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! apt-get install --yes --no-install-recommends openmpi-bin >/dev/null; then
        echo "skipped: Open MPI cannot be installed"
        exit 0
    fi
fi
# Open MPI refuses to be started by root, as containers do it.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

work=$(mktemp -d)
hosts=()
finish() {
    for host in "${hosts[@]}"; do
        ip netns delete "$host" || true
    done
    rm -rf "$work"
}
trap finish EXIT

# `train OUT LAUNCHER...`: the same run each time.
train() {
    local out=$work/$1
    shift
    "$@" "$stompp" train --out "$out" --model resnet8 --width 8 --image-size 8 --train-limit 320 --test-limit 40 --batch-size 16 \
        --steps 20ep --slices 4 --refresh 0.2w --threads 1 --checkpoint-every 5ba --quiet
}

# `same OUT`: compares with the run of one process.
same() {
    cmp "$work/alone/network.safetensors" "$work/$1/network.safetensors"
    echo "$1: the bytes of one process"
}

local_processes=(mpirun --oversubscribe -n)
train alone env
train two "${local_processes[@]}" 2
same two
train four "${local_processes[@]}" 4
same four

# SIGTERM to one of four processes stops all of them with a checkpoint.
train resumed "${local_processes[@]}" 4 >"$work/log" 2>&1 &
launcher=$!
until [ "$(ls "$work/resumed/checkpoints" 2>/dev/null | wc -l)" -ge 1 ]; do sleep 0.05; done
pkill -TERM --newest --parent "$(pgrep --parent "$launcher" mpirun)"
status=0
wait "$launcher" || status=$?
if [ "$status" = 0 ] || ! grep -q "stopped after step" "$work/log"; then
    cat "$work/log"
    echo "the run was not stopped (exit code $status)"
    exit 1
fi
train resumed "${local_processes[@]}" 2
same resumed

# Two hosts: each has a network and a host name of its own, and mpirun starts the processes of the second through a script.
if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null || ! ip netns add "stompp-$$-1" 2>/dev/null; then
    echo "skipped: two hosts need root and iproute2"
    exit 0
fi
hosts=("stompp-$$-1")
ip netns add "stompp-$$-2"
hosts+=("stompp-$$-2")
ip link add veth1 netns "${hosts[0]}" type veth peer name veth2 netns "${hosts[1]}"
for number in 1 2; do
    ip -n "${hosts[number - 1]}" address add "10.77.0.$number/24" dev "veth$number"
    ip -n "${hosts[number - 1]}" link set "veth$number" up
    ip -n "${hosts[number - 1]}" link set lo up
done
cat >"$work/agent" <<AGENT
#!/bin/sh
# Called as: agent HOST COMMAND...
shift
exec ip netns exec ${hosts[1]} unshare --uts sh -c "hostname host2; \$*"
AGENT
chmod +x "$work/agent"
on_two_hosts=(ip netns exec "${hosts[0]}" unshare --uts sh -c 'hostname host1; exec "$@"' sh
    mpirun --host 10.77.0.1:1,10.77.0.2:1 -n 2 --mca plm_rsh_agent "$work/agent" --mca btl tcp,self
    --mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24)
train two-hosts "${on_two_hosts[@]}"
same two-hosts
