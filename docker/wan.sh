#!/bin/sh
# Routes between the addresses of edge and cloud, and runs the link between their networks.
# EVENTSPEC_PROFILE names it (may be empty); EVENTSPEC_LINK has further flags, such as "--rtt 80 --uplink 20 --loss 1".
set -eu
ready=/tmp/ready
rm -f $ready
ip route replace "$EDGE_ADDRESS" via "$EDGE_VIA"
ip route replace "$CLOUD_ADDRESS" via "$CLOUD_VIA"
# shellcheck disable=SC2086 # flags are words
exec python -P -m benchmarks.link.router --edge "$EDGE_NETWORK" --cloud "$CLOUD_NETWORK" --ready-file $ready \
    ${EVENTSPEC_PROFILE:+--profile "$EVENTSPEC_PROFILE"} ${EVENTSPEC_LINK:-}
