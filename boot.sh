#!/usr/bin/env bash
# Everything that a newcomer needs: `./boot.sh` sets up, builds, starts a node, runs the examples and
# shows their marks; `./boot.sh test` runs every test. `./boot.sh help` lists the rest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"

state=$root/.testmesh           # what boot.sh keeps: tools, the node's data, logs
port=${TESTMESH_PORT:-5001}
url=http://127.0.0.1:$port
program=$root/build/release/testmesh
pid_file=$state/node.pid
log_file=$state/node.log
mark_file=$state/node.program   # which build the running node is of
jobs=${TESTMESH_JOBS:-$(nproc)}

say() { printf '%s\n' "$*"; }
step() { printf '==> %s\n' "$*"; }
die() {
    printf 'boot.sh: %s\n' "$*" >&2
    exit 1
}

# ---- set-up -------------------------------------------------------------------------------------

missing_packages() {
    local package
    while read -r package; do
        [[ -z $package || $package == \#* ]] && continue
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            printf '%s\n' "$package"
    done <deps/debian.txt
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

install_packages() {
    local -a missing
    if ! command -v dpkg-query >/dev/null; then
        say "This is no Debian: make sure that what deps/debian.txt names is there."
        return 0
    fi
    mapfile -t missing < <(missing_packages)
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

set_up() {
    mkdir -p "$state"
    install_packages
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

# ---- the node -----------------------------------------------------------------------------------

# Prints the node's pid when the one we started is alive. A pid may belong to another program by
# now, so its command line must name our data folder.
node_pid() {
    local pid
    [[ -f $pid_file ]] || return 1
    pid=$(<"$pid_file")
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
    tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$state/node" || return 1
    printf '%s\n' "$pid"
}

answers() { curl -fsS --noproxy '*' --max-time 3 "$url$1" 2>/dev/null; }

program_mark() { stat -c '%i %Y %s' "$program"; }

stop_node() {
    local pid waited=0
    pid=$(node_pid) || {
        rm -f "$pid_file"
        return 0
    }
    kill -TERM "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        if ((waited++ >= 400)); then # 40 s: longer than a drain takes
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.1
    done
    rm -f "$pid_file"
}

start_node() {
    if node_pid >/dev/null; then
        if [[ -f $mark_file && $(<"$mark_file") == "$(program_mark) $port" ]] &&
            answers /readyz >/dev/null; then
            say "The node runs already at $url."
            return 0
        fi
        step "stopping the node of an older build"
        stop_node
    fi
    if [[ $(answers /ping || true) == *'"ok"'* ]]; then
        say "Another testmesh answers at $url; it is used as it is."
        return 0
    fi
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        die "port $port is taken by another program; choose one: TESTMESH_PORT=5002 ./boot.sh"
    fi
    step "starting a node at $url"
    setsid nohup "$program" node --listen "127.0.0.1:$port" --data "$state/node" \
        </dev/null >"$log_file" 2>&1 &
    local pid=$! waited=0
    printf '%s\n' "$pid" >"$pid_file"
    printf '%s\n' "$(program_mark) $port" >"$mark_file"
    until answers /readyz >/dev/null; do
        if ! kill -0 "$pid" 2>/dev/null || ((waited++ >= 600)); then
            tail -n 30 "$log_file" >&2
            die "the node did not start; the lines above are from $log_file"
        fi
        sleep 0.1
    done
}

# ---- the verbs ----------------------------------------------------------------------------------

verb_boot() {
    set_up
    build release testmesh
    start_node
    step "running the projects in examples/"
    local code=0
    "$program" run --node "$url" --name examples examples || code=$?
    # Some examples fail on purpose: 1 tests failed, 5 no tests, 7 requirements not installable.
    case $code in
    0 | 1 | 5 | 7) ;;
    *) die "the examples could not be run (exit code $code); see $log_file" ;;
    esac
    cat <<END

Some of these fail on purpose, to show how that looks. Next:
    alias testmesh=$program
    testmesh run FOLDER             marks for your own projects (a folder of them, or a zip)
    testmesh ls                     what has run
    testmesh tests ID --failed      what failed, and what it said
    curl -F file=@projects.zip $url/evaluation
    ./boot.sh stop                  ends the node; its data stays in .testmesh/node
END
}

verb_test() {
    set_up
    # A build that fails is a test that fails: the last line stays one that a machine can read.
    if ! { build release testmesh && build debug all check-programs && build fuzz fuzzers; }; then
        say "0 passed, 1 failed, 0 skipped"
        exit 1
    fi
    python3 tests/run.py "$@" </dev/null
}

verb_build() {
    set_up
    build release testmesh
    say "built $program"
}

verb_start() {
    verb_build
    start_node
}

verb_stop() {
    if node_pid >/dev/null; then
        stop_node
        say "stopped"
    else
        say "no node of this folder runs"
    fi
}

verb_status() {
    local pid
    if pid=$(node_pid); then
        say "node $pid at $url, data in $state/node, log in $log_file"
        if [[ -x $program ]]; then
            "$program" ls --node "$url" --limit 5
        fi
    else
        say "no node of this folder runs; ./boot.sh starts one"
        return 1
    fi
}

verb_logs() {
    [[ -f $log_file ]] || die "there is no log yet: ./boot.sh starts a node"
    if [[ -t 1 ]]; then
        exec tail -n 50 -f "$log_file"
    fi
    cat "$log_file"
}

verb_clean() {
    stop_node
    rm -rf "$root/build" "$state"
    say "removed build/ and .testmesh/"
}

verb_help() {
    cat <<'END'
./boot.sh               set up, build, start a node, run examples/, show the marks
./boot.sh test          set up, build, run every test; the last line counts them
./boot.sh test --full   the same with the large numbers; --only NAME runs a part
./boot.sh build         set up and build build/release/testmesh
./boot.sh start         the same, and start the node
./boot.sh stop          end the node
./boot.sh status        is it running, and what has it done
./boot.sh logs          what the node writes
./boot.sh clean         remove build/ and .testmesh/ (tools, the node's data)
./boot.sh help          this list

TESTMESH_PORT           the node's port (5001)
TESTMESH_JOBS           compilers at once (number of cores)
Other TESTMESH_… variables are options of the node: build/release/testmesh node --help
END
}

verb=${1:-boot}
[[ $# -gt 0 ]] && shift
case $verb in
boot | test | build | start | stop | status | logs | clean | help) "verb_$verb" "$@" ;;
-h | --help) verb_help ;;
*)
    verb_help >&2
    exit 4
    ;;
esac
