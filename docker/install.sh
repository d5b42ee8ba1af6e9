#!/bin/sh
# Used by the Dockerfiles, in stages that images only copy from.
#   install.sh venv LIST...     makes /opt/eventspec and installs those lists of locked packages into it
#   install.sh models LIST...   the same, and torch: of constraints.txt, in whatever build the index or local/wheels has
#   install.sh add LIST...      installs further lists; what that adds or changes is gathered in /added
#   install.sh wheel            makes a wheel of eventspec itself, from /build/source into /build/wheel
#   install.sh project          installs that wheel; gathered in /added too
set -eu

venv=/opt/eventspec
site=/build/local
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off
[ ! -f $site/pip.conf ] || export PIP_CONFIG_FILE=$site/pip.conf
[ ! -f $site/ca.crt ] || export PIP_CERT=$site/ca.crt
[ ! -d $site/wheels ] || export PIP_FIND_LINKS=$site/wheels

install() { "$venv/bin/pip" install --quiet -c /build/constraints.txt "$@"; }

# what has another hash than its lock says is refused
locked() { "$venv/bin/pip" install --quiet --require-hashes --no-deps "$@"; }

lists() { for list in "$@"; do printf ' -r /build/lists/%s.txt' "$list"; done; }

# Headers and tests of packages, and pip's own copies, which no daemon reads.
slim() {
    find $venv/lib -type d \( -path '*/torch/include' -o -path '*/torch/test' -o -path '*/tests' \) -prune -exec rm -rf {} +
}

# Runs a command and adds the files that it changed in the venv to /added.
gather() {
    stamp=$(mktemp)
    sleep 0.1
    "$@"
    mkdir -p /added
    (cd / && find .$venv ! -type d -cnewer "$stamp" -print0 | tar --null --files-from=- -c | tar -x -C /added)
    rm "$stamp"
}

what=$1
shift
case $what in
venv)
    python3 -P -m venv $venv
    locked $(lists "$@")
    ;;
models)
    python3 -P -m venv $venv
    locked $(lists "$@")
    install torch
    slim
    ;;
add) gather locked $(lists "$@") ;;
wheel)
    venv=/build/venv
    python3 -P -m venv $venv
    locked $(lists build)
    $venv/bin/pip wheel --quiet --no-deps --no-build-isolation -w /build/wheel /build/source
    ;;
project) gather install --no-deps /build/wheel/*.whl ;;
*) echo "install.sh: what is $what?" >&2 && exit 2 ;;
esac
