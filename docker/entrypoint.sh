#!/bin/sh
# Starts a daemon: with the checkpoint mounted at /model, if one is; else with the shipped tiny model.
set -eu
if [ -n "$(ls -A /model 2>/dev/null)" ]; then
    export "EVENTSPEC_$1_MODEL=/model"
fi
shift
exec "$@"
