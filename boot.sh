#!/usr/bin/env bash
# Everything that a newcomer needs: `./boot.sh` sets up, builds, starts four nodes and a front before
# them, runs the examples and shows their marks; `./boot.sh test` runs every test. `./boot.sh help`
# lists the rest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"

state=${TESTMESH_STATE:-$root/.testmesh} # what boot.sh keeps: tools, the nodes' data, logs
node_count=${TESTMESH_NODES:-4}
first_port=${TESTMESH_PORT:-5001}
address=${TESTMESH_ADDRESS:-127.0.0.1} # of the nodes
front_port=${HTTP_PORT:-8080}
url=http://127.0.0.1:$front_port
upload_max=${TESTMESH_UPLOAD_MAX:-512M} # of the nodes and of the front
program=${TESTMESH_PROGRAM:-$root/build/release/testmesh}
key_file=$state/cluster.key
front=$state/front
jobs=${TESTMESH_JOBS:-$(nproc)}

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
die() {
    printf 'boot.sh: %s\n' "$*" >&2
    exit 1
}

# ---- set-up -------------------------------------------------------------------------------------

missing_packages() { # FILE
    local package
    while read -r package; do
        [[ -z $package || $package == \#* ]] && continue
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done <"$1"
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() {
    [[ $EUID -eq 0 ]] && return 0
    command -v sudo >/dev/null || return 1
    sudo -n true 2>/dev/null || [[ -t 0 ]]
}

# install_packages LIST…: what is missing of the packages in these files.
install_packages() {
    local -a missing
    local list
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian: make sure that what these name is there: $*"
        return 0
    fi
    mapfile -t missing < <(for list in "$@"; do missing_packages "$list"; done)
    [[ ${#missing[@]} -eq 0 ]] && return 0
    local line="apt-get install -y --no-install-recommends ${missing[*]}"
    if ! can_be_root; then
        say "These packages are missing. Install them as root, then run this again:"
        say "    apt-get update && $line"
        exit 1
    fi
    step "installing ${#missing[@]} packages: ${missing[*]}"
    as_root "$root/deps/install.sh" "$state/apt.log" "${missing[@]}" || {
        tail -n 20 "$state/apt.log" >&2
        die "apt-get failed; all it said is in $state/apt.log"
    }
}

# What the large tests alone use. Without it they are skipped, and say so.
install_for_full() {
    local -a missing
    mapfile -t missing < <(missing_packages deps/debian-full.txt)
    [[ ${#missing[@]} -eq 0 ]] && return 0
    step "installing for the large tests: ${missing[*]}"
    if ! command -v dpkg-query >/dev/null || ! can_be_root ||
        ! as_root "$root/deps/install.sh" "$state/apt-full.log" "${missing[@]}"; then
        say "    (not installed; tests that need it are skipped)"
    fi
}

# uv installs environments several times faster than pip. It lives in a folder of its own, so that
# no system package is touched. pip refuses or lacks different things on different systems: each way
# is tried in turn, and without uv the node takes pip.
find_uv() {
    local candidate
    for candidate in "$state/tools/bin/uv" "$state/tools/venv/bin/uv"; do
        if [[ -x $candidate ]] && "$candidate" --version >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

install_uv() {
    find_uv >/dev/null && return 0
    step "installing uv"
    local log=$state/uv.log
    rm -rf "$state/tools"
    {
        python3 -m pip install --quiet --disable-pip-version-check --target "$state/tools" \
            -r deps/python-tools.txt ||
            python3 -m pip install --quiet --break-system-packages --target "$state/tools" \
                -r deps/python-tools.txt ||
            { python3 -m venv "$state/tools/venv" &&
                "$state/tools/venv/bin/python" -m pip install --quiet -r deps/python-tools.txt; }
    } </dev/null >"$log" 2>&1 || true
    find_uv >/dev/null || say "    (uv could not be installed, see $log; pip is used instead)"
}

# set_up LIST…: of packages that are needed besides.
set_up() {
    mkdir -p "$state"
    [[ -n ${TESTMESH_PROGRAM:-} ]] && return 0
    install_packages deps/debian.txt "$@"
    install_uv
    local uv
    if uv=$(find_uv); then
        export TESTMESH_UV=$uv
    fi
}

# ---- building -----------------------------------------------------------------------------------

# build PRESET TARGET…
build() {
    local preset=$1 log=$state/build-$1.log
    shift
    step "building $preset"
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" --parallel "$jobs" \
        --target "$@"; } </dev/null >"$log" 2>&1; then
        grep -E 'error:|CMake Error|undefined reference' -A 4 "$log" | cut -c 1-300 | head -n 40 >&2 || true
        printf 'boot.sh: building %s failed; all it said is in %s\n' "$preset" "$log" >&2
        return 1
    fi
}

# ---- processes ----------------------------------------------------------------------------------
# Each has $state/NAME.pid, NAME.log and NAME.start: which build it is of, and its options.

# running NAME prints the pid where the one that we started is alive. A pid may belong to another
# program by now: the command line must be a node's or nginx's, with our folder.
running() {
    local name=$1 pid command
    [[ -f $state/$name.pid ]] || return 1
    pid=$(<"$state/$name.pid") || return 1
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
    command=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) || return 1
    case $name in
    front) [[ $command == "nginx: master process "*" -p $front/ "* ]] || return 1 ;;
    node) [[ $command == *" node "*"--data $state/node "* ]] || return 1 ;; # an earlier version's
    *) [[ $command == *" node --data $state/$name "* ]] || return 1 ;;
    esac
    printf '%s\n' "$pid"
}

# end NAME SIGNAL: asks it to, and after 40 s, longer than a drain takes, makes it.
end() {
    local pid waited=0
    if pid=$(running "$1"); then
        kill "-$2" "$pid" 2>/dev/null || true
        while running "$1" >/dev/null; do
            if ((waited++ >= 400)); then
                kill -KILL "$pid" 2>/dev/null || true
            fi
            sleep 0.1
        done
    fi
    rm -f "$state/$1.pid" "$state/$1.start"
}

all_running() {
    local file name
    for file in "$state"/node.pid "$state"/node-*.pid "$state"/member.pid; do
        name=$(basename "$file" .pid)
        if running "$name" >/dev/null; then
            printf '%s\n' "$name"
        fi
    done
}

# Logs go on over starts, to a bound.
rotate() {
    if [[ -f $1 ]] && (($(stat -c %s "$1") > 67108864)); then
        mv "$1" "$1.1"
    fi
}

answers() { curl -fsS --noproxy '*' --max-time 3 "$1" 2>/dev/null; }

is_taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

program_mark() { stat -Lc '%i %Y %s' "$program"; }

# ---- nodes --------------------------------------------------------------------------------------

port_of() { printf '%s\n' "$((first_port + $1 - 1))"; }

address_of() { printf '%s:%s\n' "$address" "$(port_of "$1")"; }

# A mesh's secret: who has it is a member. The nodes of this folder get one of their own.
make_key() {
    [[ -s $key_file ]] && return 0
    (
        umask 077
        head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$key_file.new"
        printf '\n' >>"$key_file.new"
        mv "$key_file.new" "$key_file"
    )
}

# launch NAME URL OPTION…: starts a node in the background, or leaves the same one that runs alone.
launch() {
    local name=$1 at=$2 start_mark
    shift 2
    start_mark="$(program_mark) $*"
    if running "$name" >/dev/null; then
        [[ -f $state/$name.start && $(<"$state/$name.start") == "$start_mark" ]] && return 0
        say "    stopping $name of an older build or with other options"
        end "$name" TERM
    fi
    say "    $name at $at"
    rotate "$state/$name.log"
    setsid nohup "$program" node --data "$state/$name" "$@" </dev/null >>"$state/$name.log" 2>&1 &
    printf '%s\n' "$!" >"$state/$name.pid"
    printf '%s\n' "$start_mark" >"$state/$name.start"
}

# wait_ready NAME URL MEMBERS: until it takes work and sees so many nodes, itself included.
wait_ready() {
    local name=$1 at=$2 waited=0
    until answers "$at/readyz" >/dev/null && (($(members "$at") >= $3)); do
        if ! running "$name" >/dev/null || ((waited++ >= 600)); then
            tail -n 30 "$state/$name.log" >&2
            die "$name did not start or does not see $3 nodes; the lines above are from $state/$name.log"
        fi
        sleep 0.1
    done
}

# How many nodes the one at this URL sees: the keys of its /network.
members() {
    answers "$1/network" | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))' 2>/dev/null ||
        printf '0\n'
}

# What an earlier version of this script kept for its only node goes on as the first of several.
# Environments and caches know the path they were made at.
adopt_old_folder() {
    end node TERM
    if [[ -d $state/node && ! -e $state/node-1 ]]; then
        rm -rf "$state/node/envs" "$state/node/cache"
        mv "$state/node" "$state/node-1"
    fi
}

check_ports() {
    local i
    for ((i = 1; i <= node_count; i++)); do
        if ! running "node-$i" >/dev/null && is_taken "$address" "$(port_of "$i")"; then
            die "port $(port_of "$i") is taken by another program; choose others: TESTMESH_PORT=6001 ./boot.sh"
        fi
    done
    if ! running front >/dev/null && is_taken 127.0.0.1 "$front_port"; then
        die "port $front_port is taken by another program; choose one: HTTP_PORT=8081 ./boot.sh"
    fi
}

start_nodes() {
    local i other slots=$((($(nproc) + node_count - 1) / node_count))
    step "starting $node_count nodes"
    for ((i = 1; i <= node_count; i++)); do
        local -a options=(--listen "$(address_of "$i")" --name "node-$i" --key-file "$key_file"
            --uid-base "$((${TESTMESH_UID_BASE:-700000} + (i - 1) * 1024))" --upload-max "$upload_max")
        [[ -n ${TESTMESH_SLOTS:-} ]] || options+=(--slots "$slots")
        for ((other = 1; other <= node_count; other++)); do
            ((other == i)) || options+=(--join "$(address_of "$other")")
        done
        launch "node-$i" "http://$(address_of "$i")" "${options[@]}"
    done
    for ((i = 1; i <= node_count; i++)); do
        wait_ready "node-$i" "http://$(address_of "$i")" "$node_count"
    done
}

# ---- the front ----------------------------------------------------------------------------------

find_nginx() { command -v nginx || command -v /usr/sbin/nginx; }

start_front() {
    local i nginx
    local -a upstreams=()
    nginx=$(find_nginx) || die "nginx is not installed: apt-get install nginx"
    for ((i = 1; i <= node_count; i++)); do
        upstreams+=("$(address_of "$i")")
    done
    mkdir -p "$front"
    nginx/render.sh "$front" "$front_port" "$upload_max" "${upstreams[@]}" >"$front/nginx.conf.new"
    if running front >/dev/null; then
        if cmp -s "$front/nginx.conf.new" "$front/nginx.conf"; then
            rm "$front/nginx.conf.new"
            return 0
        fi
        end front QUIT
    fi
    mv "$front/nginx.conf.new" "$front/nginx.conf"
    step "starting nginx before them at $url"
    rotate "$front/access.log"
    rotate "$front/error.log"
    "$nginx" -p "$front/" -e "$front/error.log" -c "$front/nginx.conf" </dev/null >"$state/front.log" 2>&1 || {
        tail -n 20 "$state/front.log" "$front/error.log" >&2
        die "nginx did not start; the lines above are from $front/error.log"
    }
    ln -sf front/nginx.pid "$state/front.pid"
    for ((i = 0; i < 100; i++)); do
        answers "$url/readyz" >/dev/null && return 0
        sleep 0.1
    done
    die "no node answers through nginx at $url; see $front/error.log"
}

# ---- the verbs ----------------------------------------------------------------------------------

start_all() {
    if running member >/dev/null; then
        die "this machine is a member of a mesh elsewhere (./boot.sh join): ./boot.sh stop ends that"
    fi
    if [[ ! $node_count =~ ^[0-9]+$ ]] || ((node_count < 1 || node_count > 16)); then
        die "TESTMESH_NODES: from 1 to 16"
    fi
    adopt_old_folder
    check_ports
    make_key
    start_nodes
    start_front
}

verb_boot() {
    verb_start
    step "running the projects in examples/"
    local code=0
    "$program" run --node "$url" --name examples examples || code=$?
    # Some examples fail on purpose: 1 tests failed, 5 no tests, 7 requirements not installable.
    case $code in
    0 | 1 | 5 | 7) ;;
    *) die "the examples could not be run (exit code $code); see $front/error.log and $state/node-*.log" ;;
    esac
    cat <<END

Some of these fail on purpose, to show how that looks.
$node_count nodes work together behind $url; any of them may be killed. Next:
    export TESTMESH_NODE=$url; alias testmesh=$program
    testmesh run FOLDER             marks for your own projects (a folder of them, or a zip)
    testmesh ls                     what has run
    testmesh tests ID --failed      what failed, and what it said
    curl -F file=@projects.zip $url/evaluation
    ./boot.sh status                which nodes run, and what they have done
    ./boot.sh stop                  ends all of it; the data stays in ${state#"$root/"}
END
}

verb_test() {
    set_up deps/debian-test.txt
    [[ " $* " != *' --full '* ]] || install_for_full
    # A build that fails is a test that fails: the last line stays one that a machine can read.
    if ! { build release testmesh mesh-sim && build debug all check-programs && build fuzz fuzzers; }; then
        say "0 passed, 1 failed, 0 skipped"
        exit 1
    fi
    python3 tests/run.py "$@" </dev/null
}

verb_build() {
    [[ -n ${TESTMESH_PROGRAM:-} ]] && return 0
    build release testmesh
    say "built $program"
}

verb_start() {
    set_up
    [[ -n ${TESTMESH_PROGRAM:-} ]] || build release testmesh
    start_all
}

# The key of the mesh to join: from a file, the environment, an earlier time, or whoever sits there.
take_key() {
    local from=$1 to=$state/member.key text
    if [[ -n $from ]]; then
        text=$(cat -- "$from" 2>/dev/null) || die "--key $from cannot be read"
    elif [[ -n ${TESTMESH_CLUSTER_KEY:-} ]]; then
        text=$TESTMESH_CLUSTER_KEY
    elif [[ -s $to ]]; then
        return 0
    elif [[ -t 0 ]]; then
        read -rsp "The mesh's key (64 hexadecimal digits, .testmesh/cluster.key over there): " text
        printf '\n'
    else
        die "the mesh's key is needed: --key FILE, a copy of .testmesh/cluster.key of the other machine"
    fi
    if ! grep -qxE '[0-9A-Fa-f]{64}' <<<"$text" || grep -qvxE '[0-9A-Fa-f]{64}|#.*|[[:space:]]*' <<<"$text"; then
        die "that is no key: a line of 64 hexadecimal digits is one"
    fi
    rm -f "$to"
    (umask 077 && printf '%s\n' "$text" >"$to")
}

# The address of this machine that the other one sees.
address_towards() {
    local ip
    ip=$(getent ahosts "$1" | awk '{ print $1; exit }')
    [[ -n $ip ]] || return 1
    ip -o route get "$ip" | sed -nE 's/.* src ([^ ]+).*/\1/p'
}

verb_join() {
    local target=${1:-} key='' advertise='' exposure='' towards
    local -a options=()
    [[ $target == *:* && $target != -* ]] ||
        die "join HOST:PORT [--key FILE] [--open | --token-file FILE] [--advertise HOST:PORT]"
    shift
    while [[ $# -gt 0 ]]; do
        case $1 in
        --open) exposure=$1 ;;
        --key) key=${2:?--key needs a file} && shift ;;
        --token-file) exposure="$1 ${2:?--token-file needs a file}" && options+=("$1" "$2") && shift ;;
        --advertise) advertise=${2:?--advertise needs an address} && shift ;;
        *) die "join knows no $1" ;;
        esac
        shift
    done
    if [[ -n $(all_running | grep -vx member || true) ]]; then
        die "nodes of this folder run as a mesh of their own: ./boot.sh stop first"
    fi
    towards=$(address_towards "${target%:*}") || die "${target%:*}: no such host, or no way to it"
    set_up
    [[ -n ${TESTMESH_PROGRAM:-} ]] || build release testmesh
    take_key "$key"
    advertise=${advertise:-$towards:$first_port}
    if [[ $towards == 127.* ]]; then
        options+=(--listen "$towards:$first_port")
    elif [[ -n $exposure ]]; then
        [[ $exposure == --open ]] && options+=(--open)
        options+=(--listen "0.0.0.0:$first_port")
    else
        die "a member is reached by other machines: say --token-file FILE (clients need one of its" \
            "tokens) or --open (whoever reaches port $first_port may run code in this node's sandboxes)"
    fi
    step "joining the mesh at $target"
    cat <<END
    One node of this machine becomes a member: it runs modules for the mesh and keeps its results.
    It serves HTTP and the mesh at $advertise (TCP and UDP: both must get through firewalls).
    The mesh's key is kept in $state/member.key, for its owner's eyes only.
END
    launch member "http://127.0.0.1:$first_port" "${options[@]}" --advertise "$advertise" \
        --join "$target" --key-file "$state/member.key" --upload-max "$upload_max"
    wait_ready member "http://127.0.0.1:$first_port" 2
    say "    it sees $(members "http://127.0.0.1:$first_port") nodes. ./boot.sh stop makes it leave."
}

verb_restart() {
    verb_stop
    verb_start
}

# Nodes end side by side: each may wait for a module that runs.
verb_stop() {
    local name
    local -a names
    mapfile -t names < <(all_running)
    if [[ ${#names[@]} -eq 0 ]] && ! running front >/dev/null; then
        say "nothing of this folder runs"
        return 0
    fi
    end front QUIT
    for name in "${names[@]}"; do
        end "$name" TERM &
    done
    wait
    say "stopped"
}

verb_status() {
    local name pid at some=
    while read -r name; do
        pid=$(running "$name") || continue
        at=http://$(tr '\0' '\n' <"/proc/$pid/cmdline" | grep -A 1 -xF -- --listen | tail -n 1)
        at=${at/0.0.0.0/127.0.0.1}
        say "$name  pid $pid  $at  sees $(members "$at") nodes  log $state/$name.log"
        some=${some:-$at}
    done < <(all_running)
    if pid=$(running front); then
        say "nginx   pid $pid  $url  log $front/access.log"
        some=$url
    fi
    if [[ -z $some ]]; then
        say "nothing of this folder runs; ./boot.sh starts it"
        return 1
    fi
    if [[ -x $program ]]; then
        "$program" ls --node "$some" --limit 5
    fi
}

verb_logs() {
    local -a files=()
    local file
    for file in "$state"/node-*.log "$state/member.log" "$front/error.log"; do
        [[ -f $file ]] && files+=("$file")
    done
    [[ ${#files[@]} -gt 0 ]] || die "there is no log yet: ./boot.sh starts the nodes"
    if [[ -t 1 ]]; then
        exec tail -n 20 -f "${files[@]}"
    fi
    cat "${files[@]}"
}

verb_clean() {
    verb_stop
    rm -rf "$root/build" "$state"
    say "removed build/ and $state/"
}

verb_help() {
    cat <<'END'
./boot.sh               set up, build, start four nodes and nginx, run examples/, show the marks
./boot.sh test          set up, build, run every test; the last line counts them
./boot.sh test --full   the same with the large numbers; --only NAME runs a part
./boot.sh build         set up and build build/release/testmesh
./boot.sh start         the same, and start the nodes and nginx
./boot.sh stop          end them; what runs is finished first
./boot.sh restart       both
./boot.sh status        what runs, and what it has done
./boot.sh logs          what the nodes write
./boot.sh join HOST:PORT [--key FILE] [--open | --token-file FILE]
                        make this machine a member of a mesh elsewhere
./boot.sh docker [--open | --token-file FILE] [--key FILE]
                        the same four nodes and nginx as containers, by compose
./boot.sh docker-node PORT [HOST:PORT] [--open | --token-file FILE] [--key FILE]
                        one container that founds a mesh, or joins the one at HOST:PORT
./boot.sh docker-scale N
                        so many nodes beside the four
./boot.sh docker-stop [--volumes]
                        end all containers; with --volumes their data goes, too
./boot.sh clean         remove build/ and .testmesh/ (tools, the nodes' data)
./boot.sh help          this list

HTTP_PORT               nginx's port (8080; for docker 80), the one to use
TESTMESH_PORT           the first node's port (5001), those of the others follow
TESTMESH_NODES          how many nodes (4)
TESTMESH_ADDRESS        where they listen (127.0.0.1), for other machines to join them: also give
                        TESTMESH_OPEN=1 or TESTMESH_TOKEN_FILE
TESTMESH_CLUSTER_KEY    the key for join and docker, in place of --key
HOST_REAL_IP            this machine's address for nodes on others, where docker is to serve them
                        (found out with --open or --token-file)
TESTMESH_CA_BUNDLE      certificate authorities for package indexes and git hosts, for docker
TESTMESH_WORKERS        nodes beside the four, for docker (0)
TESTMESH_STATE          the folder for data, logs and tools (.testmesh)
TESTMESH_PROGRAM        a program to use in place of building one
TESTMESH_JOBS           compilers at once (number of cores)
Other TESTMESH_… variables are options of the nodes: build/release/testmesh node --help
END
}

# Read as a whole before it runs: this file may change under a script that takes minutes.
main() {
    local verb=${1:-boot}
    [[ $# -gt 0 ]] && shift
    case $verb in
    boot | test | build | start | stop | restart | status | logs | join | clean | help) "verb_$verb" "$@" ;;
    docker | docker-node | docker-scale | docker-stop)
        # shellcheck source=deploy/docker/stack.sh
        source "$root/deploy/docker/stack.sh"
        "verb_${verb//-/_}" "$@"
        ;;
    -h | --help) verb_help ;;
    *)
        verb_help >&2
        exit 4
        ;;
    esac
    exit
}

main "$@"
