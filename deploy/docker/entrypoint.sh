#!/bin/bash
# What the image starts. `node` (with more options, if you like) starts a node of a container: it listens
# on TESTMESH_PORT of all the container's addresses and takes its secrets from /var/lib/testmesh-secrets,
# a volume that the nodes of one machine share:
#
#     cluster.key   the mesh's key; drawn by the first node where there is none
#     tokens        tokens of clients, one a line; without it everybody who reaches the port is served
#
# `put NAME` writes one of them from standard input, `get NAME` prints it. Every other word is a verb of
# testmesh. HOST_REAL_IP is the machine's own address where nodes on other machines shall reach this one,
# TESTMESH_CA_BUNDLE_FILE a file with more certificate authorities for package indexes and git hosts.
set -euo pipefail

secrets=${TESTMESH_SECRETS:-/var/lib/testmesh-secrets}

die() {
    printf 'entrypoint.sh: %s\n' "$*" >&2
    exit 4
}

known() { [[ $1 == cluster.key || $1 == tokens ]] || die "$1: the secrets are cluster.key and tokens"; }

# Whole or not at all, and the first of several that draw a key wins.
draw_key() {
    local new
    [[ -s $secrets/cluster.key ]] && return 0
    new=$(umask 077 && mktemp "$secrets/.new.XXXXXX")
    od -An -v -tx1 -N 32 /dev/urandom | tr -d ' \n' >"$new"
    printf '\n' >>"$new"
    ln "$new" "$secrets/cluster.key" 2>/dev/null || true
    rm -f "$new"
}

put() {
    known "$1"
    local new
    new=$(umask 077 && mktemp "$secrets/.new.XXXXXX")
    cat >"$new"
    mv "$new" "$secrets/$1"
}

# Names are for the engine's resolver; what others are told is an address.
advertised() {
    local ip=${HOST_REAL_IP:-}
    [[ -n $ip ]] || ip=$(hostname -i | cut -d ' ' -f 1)
    [[ $ip == *:* ]] && ip="[$ip]"
    printf '%s:%s\n' "$ip" "${TESTMESH_ADVERTISE_PORT:-$port}"
}

run_node() {
    local -a options=()
    local name
    # A compose file can hand on a variable that is not set only as an empty one.
    for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL HTTP_PROXY HTTPS_PROXY NO_PROXY; do
        [[ -n ${!name:-} ]] || unset "$name"
    done
    [[ -w $secrets ]] && draw_key
    [[ -s $secrets/cluster.key ]] && options+=(--key-file "$secrets/cluster.key")
    if [[ -s $secrets/tokens ]]; then
        options+=(--token-file "$secrets/tokens")
    else
        options+=(--open)
    fi
    local ca=${TESTMESH_CA_BUNDLE_FILE:-/srv/testmesh/ca.crt}
    if [[ -f $ca && -s $ca ]]; then
        export SSL_CERT_FILE=$ca PIP_CERT=$ca
    fi
    exec testmesh node --listen "0.0.0.0:$port" --advertise "${TESTMESH_ADVERTISE:-$(advertised)}" \
        --data /var/lib/testmesh --require-isolation "${TESTMESH_REQUIRE_ISOLATION:-A}" "${options[@]}" "$@"
}

port=${TESTMESH_PORT:-5001}
verb=${1:-node}
[[ $# -gt 0 ]] && shift
case $verb in
node)
    unset TESTMESH_PORT
    run_node "$@"
    ;;
put) put "${1:-}" ;;
get) known "${1:-}" && cat "$secrets/$1" ;;
*) exec testmesh "$verb" "$@" ;;
esac
