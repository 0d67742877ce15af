#!/usr/bin/env bash
# Test on several processes: tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
#
# See dist_train.sh for NNODES, NODE_RANK, MASTER_ADDR and PORT.
source "$(dirname "$0")/_torchrun.sh"
launch test.py "$1" "${3:-}" "$2" "${@:4}"
