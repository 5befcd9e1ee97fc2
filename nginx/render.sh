#!/usr/bin/env bash
# Makes the front's configuration: nginx/render.sh FOLDER [ADDRESS:]PORT UPLOAD_MAX NODE…
# prints front.conf.in for a front that keeps its files in FOLDER, listens on PORT (of loopback where
# no ADDRESS is given) and stands before the nodes, each HOST:PORT. UPLOAD_MAX is written as the nodes'
# --upload-max. Makes the folders that nginx needs. For boot.sh's front and the container's alike.
set -euo pipefail

[[ $# -ge 4 ]] || {
    printf 'usage: nginx/render.sh FOLDER [ADDRESS:]PORT UPLOAD_MAX NODE…\n' >&2
    exit 4
}
folder=$1 listen=$2 upload_max=$3
shift 3
[[ $listen == *:* ]] || listen=127.0.0.1:$listen

# It stands in a file of nginx's, where these would be more than a path.
if [[ $folder != /* || $folder == *[[:space:]\;\{\}\"\'\\\$#]* ]]; then
    printf 'nginx/render.sh: %s: must be absolute, without blanks, quotes, braces, ; # $ or \\\n' \
        "$folder" >&2
    exit 1
fi

# nginx knows K, M and G.
if [[ $upload_max =~ ^([0-9]+)[Tt]$ ]]; then
    upload_max=$((BASH_REMATCH[1] * 1024))G
elif [[ ! $upload_max =~ ^[0-9]+[KkMmGg]?$ ]]; then
    printf 'nginx/render.sh: %s is no size: write 64K, 512M, 2G\n' "$upload_max" >&2
    exit 1
fi

mkdir -p "$folder/tmp"

# As root, nginx's workers take another user, if that one can reach the folder at all.
user=
if [[ $EUID -eq 0 ]]; then
    user='user root;'
    if id www-data >/dev/null 2>&1; then
        chown www-data "$folder/tmp"
        if setpriv --reuid=www-data --regid=www-data --clear-groups test -w "$folder/tmp"; then
            user='user www-data;'
        fi
    fi
fi

servers=
for node in "$@"; do
    servers+="        server $node max_fails=2 fail_timeout=5s;"$'\n'
done

text=$(<"$(dirname "${BASH_SOURCE[0]}")/front.conf.in")
text=${text//@FOLDER@/"$folder"}
text=${text//@LISTEN@/"$listen"}
text=${text//@UPLOAD_MAX@/"$upload_max"}
text=${text//@NODES@/"$#"}
text=${text//@USER@/"$user"}
printf '%s\n' "${text//@SERVERS@/"${servers%$'\n'}"}"
