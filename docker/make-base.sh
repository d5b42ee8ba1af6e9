#!/usr/bin/env bash
# Makes a base image without an image registry: a minimal Debian or Ubuntu of this machine's own release, from its own
# package archive, with Python, `ip` and this machine's CA certificates. Needs root, debootstrap and a Docker engine.
#
#   docker/make-base.sh [IMAGE]                       IMAGE: its name; default eventspec-base:local
#   BASE_IMAGE=eventspec-base:local docker compose -f docker/compose.yaml build
#
# What it finds out by itself can be said in the environment:
#   SUITE    release, such as bookworm    (default: this machine's, of /etc/os-release)
#   MIRROR   address of a package archive (default: the first one in this machine's apt sources)
#   CA_FILE  certificates in one PEM file (default: this machine's bundle; it has the site's own CAs in it)
#   EXTRA    further packages, comma separated
set -euo pipefail

image=${1:-eventspec-base:local}
case $image in -*) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;; esac

fail() { echo "make-base: $*" >&2; exit 1; }

[ "$(id -u)" = 0 ] || fail "debootstrap needs root: run it with sudo"
command -v debootstrap >/dev/null || fail "debootstrap isn't installed: apt-get install debootstrap"
docker version >/dev/null 2>&1 || fail "no Docker engine answers: start it first"

suite=${SUITE:-$(. /etc/os-release && echo "${VERSION_CODENAME:-}")}
[ -n "$suite" ] || fail "this machine's release is unknown: set SUITE, for example SUITE=bookworm"
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | head -n 1)}
[ -n "$mirror" ] || fail "this machine has no apt sources: set MIRROR to the address of a package archive"
ca_file=${CA_FILE:-}
for candidate in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
    [ -n "$ca_file" ] || [ ! -s "$candidate" ] || ca_file=$candidate
done

work=$(mktemp -d "${TMPDIR:-/tmp}/eventspec-base.XXXXXX")
clean_up() { rm -rf --one-file-system "$work"; }
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
root=$work/root

echo "make-base: $suite into $image"
packages=python3,python3-venv,ca-certificates,iproute2${EXTRA:+,$EXTRA}
if ! unshare --mount debootstrap --variant=minbase --include="$packages" "$suite" "$root" "$mirror" >"$work/log" 2>&1; then
    tail -n 20 "$work/log" "$root/debootstrap/debootstrap.log" 2>/dev/null >&2 || true
    fail "debootstrap failed; its last words are above"
fi
[ -z "$ca_file" ] || install -m 644 "$ca_file" "$root/etc/ssl/certs/ca-certificates.crt"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/doc/* \
    "$root"/usr/share/man/* "$root"/usr/share/locale/* "$root"/etc/resolv.conf
tar -C "$root" --numeric-owner -c . | docker import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' - "$image" >/dev/null
echo "make-base: $image is there ($(docker image inspect --format '{{.Size}}' "$image" | awk '{printf "%.0f MB", $1 / 1e6}'))"
