# Sourced by dist_train.sh and dist_test.sh.
set -euo pipefail

# launch SCRIPT CONFIG GPUS [arguments of the script after the config]
launch() {
    local script=$1 config=${2:-} gpus=${3:-}
    if [[ -z $config || ! $gpus =~ ^[1-9][0-9]*$ ]]; then
        echo "usage: see the first lines of $0; GPUS must be a number >= 1, got '$gpus'" >&2
        exit 2
    fi
    local nnodes=${NNODES:-1}
    if [[ -z ${PORT:-} ]]; then
        if [[ $nnodes == 1 ]]; then
            PORT=$(python -c 'import socket
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    print(s.getsockname()[1])')
        else
            PORT=29500
        fi
    fi
    # Processes on the same cores would otherwise each start
    # as many threads as there are cores.
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(python -c "import os
print(max(len(os.sched_getaffinity(0)) // $gpus, 1))")}
    local node_rank=${NODE_RANK:-0} addr=${MASTER_ADDR:-127.0.0.1}
    local rendezvous=(
        --node_rank="$node_rank" --master_addr="$addr" --master_port="$PORT"
    )
    if [[ ${MAX_RESTARTS:-0} != 0 ]]; then
        # Restarted processes must not find the addresses of those that died:
        # another store for each attempt.
        export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
        local is_host=false
        if [[ $node_rank == 0 ]]; then is_host=true; fi
        rendezvous=(
            --max-restarts="$MAX_RESTARTS" --rdzv-backend=c10d
            --rdzv-id="port-$PORT" --rdzv-endpoint="$addr:$PORT"
            --rdzv-conf="is_host=$is_host"
        )
    fi
    exec python -m torch.distributed.run \
        --nnodes="$nnodes" \
        --nproc_per_node="$gpus" \
        "${rendezvous[@]}" \
        "$(dirname "$0")/$script" "$config" "${@:4}" --launcher pytorch
}
