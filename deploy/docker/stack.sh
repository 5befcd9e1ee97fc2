# The part of boot.sh that speaks to a Docker engine; boot.sh reads it. Everything it makes is named after
# COMPOSE_PROJECT_NAME (testmesh), and `docker-stop` removes it.
# shellcheck shell=bash disable=SC2154

export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-testmesh}
export TESTMESH_IMAGE=${TESTMESH_IMAGE:-testmesh}
export HTTP_PORT=${HTTP_PORT:-80}
stack_url=http://127.0.0.1
[[ $HTTP_PORT == 80 ]] || stack_url+=:$HTTP_PORT
stack_key=$state/docker.key
node_label=testmesh.mesh=$COMPOSE_PROJECT_NAME
compose=()

find_engine() {
    command -v docker >/dev/null || die "docker is not installed (on Debian: apt-get install docker.io docker-compose)"
    docker info >/dev/null 2>"$state/docker.log" ||
        die "no Docker engine answers: $(tail -n 1 "$state/docker.log")"
}

# A plugin that is new enough can do more: see whole-proc.yml.
find_compose() {
    local version
    if version=$(docker compose version --short 2>/dev/null); then
        compose=(docker compose -f "$root/docker-compose.yml")
        if [[ $(printf '%s\n' 2.16 "${version#v}" | sort -V | head -n 1) == 2.16 ]]; then
            compose+=(-f "$root/deploy/docker/whole-proc.yml")
        fi
    elif command -v docker-compose >/dev/null; then
        compose=(docker-compose -f "$root/docker-compose.yml")
    else
        die "neither the compose plugin nor docker-compose is installed"
    fi
}

# ---- what depends on this machine -----------------------------------------------------------------

detect_ip() {
    local ip
    ip=$(ip -o route get 192.0.2.1 2>/dev/null | sed -nE 's/.* src ([^ ]+).*/\1/p')
    [[ -n $ip ]] || ip=$(hostname -I 2>/dev/null | cut -d ' ' -f 1)
    [[ -n $ip ]] || die "this machine's address cannot be told: give HOST_REAL_IP=…"
    printf '%s\n' "$ip"
}

# take_options WORD…: sets exposure, token_file and key; what is no option goes to `words`.
take_options() {
    exposure='' token_file=${TESTMESH_TOKEN_FILE:-} key='' words=()
    [[ -z ${TESTMESH_OPEN:-} ]] || exposure=open
    while [[ $# -gt 0 ]]; do
        case $1 in
        --open) exposure=open ;;
        --token-file) token_file=${2:?--token-file needs a file} && shift ;;
        --key) key=${2:?--key needs a file} && shift ;;
        --volumes) volumes=yes ;;
        -*) die "docker knows no $1" ;;
        *) words+=("$1") ;;
        esac
        shift
    done
    [[ -z $token_file ]] || exposure=tokens
    [[ -z $token_file || -s $token_file ]] || die "--token-file $token_file is empty or cannot be read"
}

# Loopback alone, unless others are to be served: then everybody must be told how.
choose_addresses() {
    if [[ -n $exposure ]]; then
        export TESTMESH_BIND=${TESTMESH_BIND:-0.0.0.0} HOST_REAL_IP=${HOST_REAL_IP:-$(detect_ip)}
    elif [[ -n ${HOST_REAL_IP:-} ]]; then
        die "HOST_REAL_IP makes this reachable from other machines: say --token-file FILE (clients need one" \
            "of its tokens) or --open (whoever reaches the ports may run code in the nodes' sandboxes)"
    else
        export TESTMESH_BIND=127.0.0.1 HOST_REAL_IP=
    fi
}

choose_settings() {
    local i bundle=${TESTMESH_CA_BUNDLE:-${SSL_CERT_FILE:-}}
    for i in 1 2 3 4; do
        export "NODE_${i}_PORT=$((first_port + i - 1))"
    done
    export TESTMESH_SLOTS=${TESTMESH_SLOTS:-$((($(nproc) + 3) / 4))}
    export TESTMESH_UPLOAD_MAX=$upload_max TESTMESH_JOBS=$jobs
    export TESTMESH_VERSION TESTMESH_REVISION
    TESTMESH_VERSION=$(sed -nE 's/^project\(testmesh VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
    TESTMESH_REVISION=$(git rev-parse HEAD 2>/dev/null || true)
    rm -f deploy/docker/local/ca.crt
    if [[ -n $bundle ]]; then
        TESTMESH_CA_BUNDLE=$(realpath -e -- "$bundle") || die "TESTMESH_CA_BUNDLE $bundle is not there"
        export TESTMESH_CA_BUNDLE
        install -m 0644 "$TESTMESH_CA_BUNDLE" deploy/docker/local/ca.crt
    fi
}

# ---- images and secrets ---------------------------------------------------------------------------

build_images() {
    local log=$state/docker-build.log
    step "building the images: $*"
    "${compose[@]}" build "$@" </dev/null >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        die "an image could not be built; all it said is in $log"
    }
}

# put_secret VOLUME NAME: from standard input into a volume that only nodes see.
put_secret() {
    docker run --rm -i --network none -v "$1:/var/lib/testmesh-secrets" "$TESTMESH_IMAGE" put "$2"
}

# put_secrets VOLUME: the key and the tokens that were asked for; a key that is there stays.
put_secrets() {
    if [[ -n $key ]]; then
        put_secret "$1" cluster.key <"$key"
    elif [[ -n ${TESTMESH_CLUSTER_KEY:-} ]]; then
        put_secret "$1" cluster.key <<<"$TESTMESH_CLUSTER_KEY"
    fi
    put_secret "$1" tokens <"${token_file:-/dev/null}"
}

# ---- the stack ------------------------------------------------------------------------------------

remove_nodes() {
    local -a ids
    mapfile -t ids < <(docker ps -aq --filter "label=$node_label")
    [[ ${#ids[@]} -gt 0 ]] || return 0
    docker stop -t 45 "${ids[@]}" >/dev/null
    docker rm -f "${ids[@]}" >/dev/null 2>&1 || true
}

check_stack_ports() {
    local port
    for port in "$HTTP_PORT" "$NODE_1_PORT" "$NODE_2_PORT" "$NODE_3_PORT" "$NODE_4_PORT"; do
        if is_taken 127.0.0.1 "$port"; then
            die "port $port is taken by another program; choose others: TESTMESH_PORT=6001 HTTP_PORT=8081 ./boot.sh docker"
        fi
    done
}

# wait_stack NODES: until the front answers and the nodes see each other.
wait_stack() {
    local waited=0
    until answers "$stack_url/readyz" >/dev/null && (($(stack_members) >= $1)); do
        if ((waited++ >= 300)); then
            "${compose[@]}" logs --tail 20 >&2
            die "the nodes do not find together at $stack_url; the lines above are from their logs"
        fi
        sleep 0.2
    done
}

first_token() { head -n 1 "${token_file:-/dev/null}" 2>/dev/null || true; }

stack_members() {
    TESTMESH_TOKEN=$(first_token) python3 - "$stack_url/network" <<'END' 2>/dev/null || printf '0\n'
import json, os, sys, urllib.request

request = urllib.request.Request(sys.argv[1])
if os.environ["TESTMESH_TOKEN"]:
    request.add_header("Authorization", "Bearer " + os.environ["TESTMESH_TOKEN"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(len(json.load(opener.open(request, timeout=3))))
END
}

run_examples() {
    local code=0
    step "running the projects in examples/"
    TESTMESH_TOKEN=$(first_token) docker run --rm --network "${COMPOSE_PROJECT_NAME}_default" \
        -v "$root/examples:/examples:ro" -e TESTMESH_TOKEN \
        "$TESTMESH_IMAGE" run --node http://front:8080 --name examples /examples || code=$?
    case $code in
    0 | 1 | 5 | 7) ;; # some of them fail on purpose
    *) die "the examples could not be run (exit code $code); see: ${compose[*]} logs" ;;
    esac
}

verb_docker() {
    local exposure token_file key volumes='' words
    local -a wanted=()
    take_options "$@"
    [[ ${#words[@]} -eq 0 ]] || die "docker [--open | --token-file FILE] [--key FILE]"
    mkdir -p "$state"
    find_engine
    find_compose
    choose_addresses
    choose_settings
    build_images node-1 front
    step "stopping what runs of an earlier stack"
    remove_nodes
    "${compose[@]}" down --remove-orphans >"$state/docker.log" 2>&1 || {
        cat "$state/docker.log" >&2
        die "the earlier stack could not be stopped"
    }
    check_stack_ports
    save_settings
    step "starting four nodes and nginx"
    [[ -z ${TESTMESH_WORKERS:-} ]] || wanted=(--scale "worker=$TESTMESH_WORKERS")
    "${compose[@]}" up --no-start "${wanted[@]}" >"$state/docker.log" 2>&1 &&
        put_secrets "${COMPOSE_PROJECT_NAME}_secrets" &&
        "${compose[@]}" up -d "${wanted[@]}" >>"$state/docker.log" 2>&1 || {
        tail -n 20 "$state/docker.log" >&2
        die "the stack did not start"
    }
    wait_stack "$((4 + ${TESTMESH_WORKERS:-0}))"
    (umask 077 && docker exec "$(stack_node)" /usr/local/lib/testmesh/entrypoint.sh get cluster.key >"$stack_key")
    run_examples
    cat <<END

$(stack_members) nodes work together behind $stack_url; any of them may be killed (docker kill).
    curl -F file=@projects.zip $stack_url/evaluation
    ./boot.sh docker-scale 2                   two nodes more
    ./boot.sh docker-node $((first_port + 4)) 127.0.0.1:$first_port  one more container that joins
    ./boot.sh docker-stop                      ends all of it; the data stays in volumes
    The mesh's key is in ${stack_key#"$root/"}.
END
    [[ -z $HOST_REAL_IP ]] || cat <<END
Other machines reach the nodes at $HOST_REAL_IP:$first_port (TCP and UDP). There, with the same key:
    ./boot.sh docker-node $first_port $HOST_REAL_IP:$first_port --key FILE $([[ $exposure == open ]] && printf -- --open || printf -- '--token-file FILE')
END
}

# docker-scale N: so many nodes beside the four, with the settings that the stack was started with.
verb_docker_scale() {
    [[ ${1:-} =~ ^[0-9]+$ && $# -eq 1 ]] || die "docker-scale N: how many nodes there shall be beside the four"
    [[ -s $state/docker.env ]] || die "no stack was started here: ./boot.sh docker"
    find_engine
    find_compose
    # shellcheck source=/dev/null
    source "$state/docker.env"
    "${compose[@]}" up -d --no-build --scale "worker=$1" </dev/null >"$state/docker.log" 2>&1 || {
        tail -n 20 "$state/docker.log" >&2
        die "the stack could not be scaled"
    }
    say "4 nodes and $1 beside them"
}

# What the compose file takes from the environment, as shell. The key is no part of it.
save_settings() {
    (umask 077 && export -p |
        grep -E '^declare -x (TESTMESH_|NODE_[1-4]_PORT|HTTP_PORT|HTTPS?_PROXY|NO_PROXY|PIP_|HOST_REAL_IP|COMPOSE_)' |
        grep -vE '^declare -x TESTMESH_(CLUSTER_KEY|TOKEN)=' >"$state/docker.env")
}

stack_node() { docker ps -q --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" --filter "label=com.docker.compose.service=node-1"; }

verb_docker_stop() {
    local exposure token_file key volumes='' words
    local -a more=()
    take_options "$@"
    mkdir -p "$state"
    find_engine
    find_compose
    remove_nodes
    if [[ -n $volumes ]]; then
        more=(--volumes)
        docker volume ls -q --filter "label=$node_label" | xargs -r docker volume rm >/dev/null
    fi
    "${compose[@]}" down --remove-orphans "${more[@]}" >"$state/docker.log" 2>&1 || {
        tail -n 20 "$state/docker.log" >&2
        die "the stack could not be stopped"
    }
    say "stopped${volumes:+, and the data is gone}"
}

# ---- one container --------------------------------------------------------------------------------

# A container of this machine that publishes a port, or nothing.
container_of() {
    local host=$1 port=$2
    [[ $host == localhost || $host == 127.* ]] || ip -o addr show to "$host" 2>/dev/null | grep -q . || return 1
    docker ps -q --filter "publish=$port/tcp" | grep -m 1 .
}

verb_docker_node() {
    local exposure token_file key volumes='' words target container network=bridge join='' port name
    take_options "$@"
    port=${words[0]:-} target=${words[1]:-}
    [[ $port =~ ^[0-9]+$ && (-z $target || $target == *:*) && ${#words[@]} -le 2 ]] ||
        die "docker-node PORT [HOST:PORT] [--open | --token-file FILE] [--key FILE]"
    name=$COMPOSE_PROJECT_NAME-node-$port
    mkdir -p "$state"
    find_engine
    find_compose
    container=
    if [[ -n $target ]] && container=$(container_of "${target%:*}" "${target##*:}"); then
        # On one machine it need not be reached from others: a network in common will do.
        read -r network join < <(docker inspect -f \
            '{{range $name, $its := .NetworkSettings.Networks}}{{$name}} {{$its.IPAddress}}{{"\n"}}{{end}}' "$container")
        join=$join:${target##*:}
    elif [[ -n $target ]]; then
        join=$target
        [[ -n $exposure ]] || die "$target is another machine, which must reach this one: say --token-file FILE" \
            "(clients need one of its tokens) or --open (whoever reaches port $port may run code in its sandbox)"
    fi
    choose_addresses
    choose_settings
    build_images node-1
    docker rm -f "$name" >/dev/null 2>&1 || true
    is_taken 127.0.0.1 "$port" && die "port $port is taken by another program"
    make_node "$container" "$network" "$join" "$port" "$name"
    say "    it is part of a mesh of $(node_members "$port" "$name") at http://127.0.0.1:$port"
    say "    (./boot.sh docker-stop ends it; docker logs $name)"
}

# As `member`, and nothing that compose would not give it, too.
make_node() {
    local container=$1 network=$2 join=$3 port=$4 name=$5 waited=0
    step "starting $name${join:+, which joins $join}"
    docker volume create --label "$node_label" "$name" >/dev/null
    docker volume create --label "$node_label" "$name-secrets" >/dev/null
    # On one machine the mesh's own container has the key; elsewhere somebody must bring it.
    if [[ -n $container && -z $key ]]; then
        key=$state/docker.key
        (umask 077 && docker exec "$container" /usr/local/lib/testmesh/entrypoint.sh get cluster.key >"$key")
    elif [[ -n $join && -z $key ]]; then
        take_key ''
        key=$state/member.key
    fi
    put_secrets "$name-secrets"
    docker run -d --name "$name" --label "$node_label" --network "$network" --restart unless-stopped \
        --user 1000:1000 --cap-drop ALL --read-only --tmpfs /tmp --pids-limit 2048 \
        --memory "${TESTMESH_NODE_MEMORY:-3g}" --ulimit core=0 --stop-timeout 45 \
        --security-opt no-new-privileges --security-opt "seccomp=${TESTMESH_SECCOMP:-deploy/seccomp/testmesh.json}" \
        --security-opt "apparmor=${TESTMESH_APPARMOR:-unconfined}" --security-opt systempaths=unconfined \
        -p "$TESTMESH_BIND:$port:$port/tcp" -p "$TESTMESH_BIND:$port:$port/udp" \
        -v "$name:/var/lib/testmesh" -v "$name-secrets:/var/lib/testmesh-secrets" \
        -v "${TESTMESH_CA_BUNDLE:-/dev/null}:/srv/testmesh/ca.crt:ro" \
        -e TESTMESH_PORT="$port" -e HOST_REAL_IP="$HOST_REAL_IP" -e TESTMESH_JOIN="$join" -e TESTMESH_NAME="$name" \
        -e TESTMESH_SLOTS -e TESTMESH_UPLOAD_MAX -e TESTMESH_MODULE_TIMEOUT -e TESTMESH_MODULE_MEMORY \
        -e TESTMESH_ENVS_MAX_BYTES -e TESTMESH_INDEX_HOST -e TESTMESH_GIT_HOST -e TESTMESH_GIT_ALLOW_ADDRESS \
        -e TESTMESH_STATUS_API -e TESTMESH_LOG_LEVEL -e TESTMESH_HOST \
        -e PIP_INDEX_URL -e PIP_EXTRA_INDEX_URL -e HTTP_PROXY -e HTTPS_PROXY -e NO_PROXY \
        "$TESTMESH_IMAGE" >/dev/null
    until answers "http://127.0.0.1:$port/readyz" >/dev/null && (($(node_members "$port" "$name") >= ${join:+1}+1)); do
        if ((waited++ >= 300)) || [[ -z $(docker ps -q --filter "name=^$name\$") ]]; then
            docker logs --tail 20 "$name" >&2
            die "$name did not start or finds no other node; the lines above are from its log"
        fi
        sleep 0.2
    done
}

# How many nodes a container sees, itself included; from its log where clients need tokens.
node_members() {
    stack_url=http://127.0.0.1:$1 stack_members
}
