#!/usr/bin/env bash
# Builds all images with whatever this machine has: docker/build.sh
#
# The base image is BASE_IMAGE if that is set; else eventspec-base:local if it was made once; else the official slim
# Python image if it is here or can be pulled; else root makes eventspec-base:local (docker/make-base.sh).
# Pip's settings on this machine are carried along (docker/carry_pip.py). COMPOSE and EVENTSPEC_IMAGES are those of
# docker/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."

official=python:3.11-slim-bookworm
local=eventspec-base:local

there() { docker image inspect "$1" >/dev/null 2>&1; }

pulled() {
    echo "build: asking for $official"
    timeout 300 docker pull --quiet "$official" >/dev/null 2>&1
}

choose_base() {
    if there "$local"; then
        BASE_IMAGE=$local
    elif there "$official" || pulled; then
        BASE_IMAGE=$official
    else
        echo "build: $official can't be had; making $local, which takes a minute or two"
        if [ "$(id -u)" = 0 ] && ! command -v debootstrap >/dev/null && command -v apt-get >/dev/null; then
            apt-get install -qq -y --no-install-recommends debootstrap >/dev/null ||
                { apt-get update -qq && apt-get install -qq -y --no-install-recommends debootstrap >/dev/null; }
        fi
        docker/make-base.sh "$local"
        BASE_IMAGE=$local
    fi
}

if [ -z "${COMPOSE:-}" ]; then
    if docker compose version >/dev/null 2>&1; then COMPOSE="docker compose"; else COMPOSE=docker-compose; fi
fi
[ -n "${BASE_IMAGE:-}" ] || choose_base
export BASE_IMAGE
python=$(command -v python3) || python=.venv/bin/python
"$python" docker/carry_pip.py
echo "build: images from $BASE_IMAGE, with $COMPOSE"
exec $COMPOSE -f docker/compose.yaml --profile bench build
