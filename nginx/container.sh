#!/bin/bash
# The front in a container. Nodes come and go with addresses of their own, and Debian's nginx looks names
# up only when it reads its configuration. So every few seconds each NAME:PORT of TESTMESH_NODES is looked
# up (a name may have several addresses: a service that was scaled), and when the addresses have changed
# nginx reads a new configuration. Requests that are under way end on the old one.
#
#     TESTMESH_NODES       NAME:PORT …, blanks or commas between them
#     TESTMESH_UPLOAD_MAX  as the nodes' --upload-max (512M)
#     FRONT_PORT           where nginx listens (8080), on all addresses or on FRONT_ADDRESS
#     FRONT_FOLDER         where it keeps its files (/tmp/front)
#     FRONT_WATCH_S        seconds from one look to the next (2)
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
folder=${FRONT_FOLDER:-/tmp/front}
port=${FRONT_PORT:-8080}
upload_max=${TESTMESH_UPLOAD_MAX:-512M}
watch_s=${FRONT_WATCH_S:-2}
read -r -a names <<<"${TESTMESH_NODES//,/ }"

say() { printf 'front: %s\n' "$*" >&2; }

# HOST:PORT of each node that has an address now, sorted.
look_up() {
    local name
    for name in "${names[@]}"; do
        { getent ahostsv4 "${name%:*}" || true; } |
            awk -v port="${name##*:}" '$2 == "STREAM" { print $1 ":" port }'
    done | sort -u
}

# With no node at all there is one that never answers: clients get the front's own problem document.
render() {
    local -a found=("$@")
    [[ ${#found[@]} -gt 0 ]] || found=(127.0.0.1:1)
    "$here/render.sh" "$folder" "${FRONT_ADDRESS:-0.0.0.0}:$port" "$upload_max" "${found[@]}" >"$folder/nginx.conf.new"
    mv "$folder/nginx.conf.new" "$folder/nginx.conf"
}

mkdir -p "$folder"
ln -sf /dev/stdout "$folder/access.log"
ln -sf /dev/stderr "$folder/error.log"

mapfile -t nodes < <(look_up)
render "${nodes[@]}"
say "nodes: ${nodes[*]:-none yet}"
nginx -p "$folder/" -e "$folder/error.log" -c "$folder/nginx.conf" -g 'daemon off;' &
nginx=$!
trap 'kill -QUIT "$nginx" 2>/dev/null' QUIT TERM
trap 'kill -TERM "$nginx" 2>/dev/null' INT

while kill -0 "$nginx" 2>/dev/null; do
    sleep "$watch_s" &
    wait -n "$nginx" $! || true # either of them, or a signal
    mapfile -t now < <(look_up)
    # A name server that says nothing for a moment is no reason to forget all nodes.
    if [[ ${#now[@]} -gt 0 && ${now[*]} != "${nodes[*]}" ]]; then
        nodes=("${now[@]}")
        render "${nodes[@]}"
        kill -HUP "$nginx" 2>/dev/null || true
        say "nodes: ${nodes[*]}"
    fi
done
code=0
wait "$nginx" || code=$?
exit "$code"
