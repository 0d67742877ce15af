#!/usr/bin/env bash
# Train on several processes: tools/dist_train.sh CONFIG GPUS [options of train.py]
#
# GPUS is the number of processes on this machine (without a GPU they run on
# the CPU). Several machines: set NNODES, NODE_RANK, MASTER_ADDR and, the same
# on all of them, PORT. On one machine a free port is found. With MAX_RESTARTS
# and --resume all processes start again from the last checkpoint if one dies.
source "$(dirname "$0")/_torchrun.sh"
launch train.py "$@"
