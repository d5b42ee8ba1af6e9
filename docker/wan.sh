#!/bin/sh
# Runs the link between two networks: wan.sh EDGE_NETWORK CLOUD_NETWORK
# EVENTSPEC_PROFILE names it (may be empty); EVENTSPEC_LINK has further flags, such as "--rtt 80 --uplink 20 --loss 1".
set -eu
ready=/tmp/ready
rm -f $ready
# shellcheck disable=SC2086 # flags are words
exec python -m benchmarks.link.router --edge "$1" --cloud "$2" --ready-file $ready \
    ${EVENTSPEC_PROFILE:+--profile "$EVENTSPEC_PROFILE"} ${EVENTSPEC_LINK:-}
