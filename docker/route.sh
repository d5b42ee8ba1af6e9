#!/bin/sh
# Sends what is for NETWORK through ROUTER, and keeps this network namespace. route.sh NETWORK ROUTER
set -eu
ip route replace "$1" via "$2"
echo "route: $1 through $2"
exec sleep infinity
