#!/bin/sh
# Takes the address OWN, reaches OTHER through ROUTER, and keeps this network namespace. route.sh OWN OTHER ROUTER
set -eu
ip address replace "$1/32" dev lo
ip route replace "$2" via "$3" src "$1"
echo "route: from $1 to $2 through $3"
exec sleep infinity
