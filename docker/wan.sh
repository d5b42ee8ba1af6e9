#!/bin/sh
# Runs the link between the interfaces that have the addresses EDGE_SIDE and CLOUD_SIDE.
# EVENTSPEC_PROFILE names the link; EVENTSPEC_LINK has further flags of it, such as "--rtt 80 --loss 1".
set -eu
interface() { ip -o -4 addr show | awk -v wanted="$1" '{split($4, part, "/"); if (part[1] == wanted) print $2}'; }
edge=$(interface "$EDGE_SIDE") cloud=$(interface "$CLOUD_SIDE")
# shellcheck disable=SC2086 # flags are words
exec python -m benchmarks.link.router --profile "$EVENTSPEC_PROFILE" $EVENTSPEC_LINK --edge "$edge" --cloud "$cloud"
