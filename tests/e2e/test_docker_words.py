"""What ./boot.sh docker… tells an engine, without one: `docker` and `docker-compose` are programs that write
down how they were called."""

import os
import re
import socket
import stat
import subprocess

import pytest
from node import ROOT, environment
from ports import ports_in_a_row

KEY = "ab" * 32

# Answers what stack.sh asks for, and logs the words and what came through standard input.
DOCKER = r"""#!/bin/bash
log() { printf '%s\n' "$*" >>"$FAKE_LOG"; }
case "$1 $2" in
"compose version") [[ -n ${FAKE_PLUGIN:-} ]] || exit 1; echo "$FAKE_PLUGIN" ;;
"info "*) [[ -z ${FAKE_DOWN:-} ]] || { echo "Cannot connect to the Docker daemon" >&2; exit 1; } ;;
"ps "*) [[ "$*" == *publish=* ]] && echo "$FAKE_CONTAINER" ;;
"inspect "*) echo "class_default 10.9.8.7" ;;
"exec "*) log "docker $*"; echo "$FAKE_KEY" ;;
"run --rm") log "docker $* <$([[ " $* " == *" put "* ]] && tr '\n' '|')" ;;
*) log "docker $*" ;;
esac
true
"""
COMPOSE = r"""#!/bin/bash
printf 'compose %s [%s %s %s %s]\n' "$*" "$TESTMESH_BIND" "$HOST_REAL_IP" "$NODE_4_PORT" "$HTTP_PORT" >>"$FAKE_LOG"
[[ " $* " == *" up -d"* ]] && exit "${FAKE_UP:-0}"
true
"""


class Words:
    def __init__(self, folder):
        self.folder = str(folder)
        self.log = os.path.join(self.folder, "calls")
        self.first = ports_in_a_row(5)
        for name, text in (("docker", DOCKER), ("docker-compose", COMPOSE)):
            path = os.path.join(self.folder, name)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, stat.S_IRWXU)
        open(self.log, "w").close()

    def run(self, *words, **more):
        env = {name: value for name, value in environment().items() if name not in ("SSL_CERT_FILE", "HOST_REAL_IP")}
        env.update(PATH=f"{self.folder}:{env['PATH']}", FAKE_LOG=self.log, FAKE_KEY=KEY, FAKE_CONTAINER="c0ffee",
                   TESTMESH_STATE=os.path.join(self.folder, "state"), TESTMESH_PORT=str(self.first),
                   HTTP_PORT=str(self.first + 4), **more)
        done = subprocess.run([os.path.join(ROOT, "boot.sh"), *words], stdin=subprocess.DEVNULL, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, cwd="/")
        with open(self.log) as file:
            return done.returncode, done.stdout, file.read().splitlines()


@pytest.fixture
def words(tmp_path):
    return Words(tmp_path)


def test_without_an_engine(words):
    code, said, calls = words.run("docker", FAKE_DOWN="1")
    assert code == 1 and "no Docker engine answers: Cannot connect" in said and not calls


@pytest.mark.parametrize("verb", [["docker"], ["docker-node", "5009"]])
def test_nobody_is_served_unasked(words, verb):
    code, said, calls = words.run(*verb, HOST_REAL_IP="192.0.2.9")
    assert code == 1 and "--token-file FILE" in said and "--open" in said and not calls


def test_a_node_elsewhere_must_be_reachable(words):
    code, said, calls = words.run("docker-node", "5009", "192.0.2.77:5001")
    assert code == 1 and "another machine" in said and not calls


@pytest.mark.parametrize("verb", [["docker", "x"], ["docker", "--no"], ["docker-node"], ["docker-node", "x"],
                                  ["docker-node", "1", "2"], ["docker-scale"], ["docker-scale", "-1"]])
def test_words_that_make_no_sense(words, verb):
    code, said, calls = words.run(*verb)
    assert code == 1 and said.startswith("boot.sh: docker") and not calls


def test_the_stack_stays_on_the_loopback_and_an_earlier_one_ends_first(words):
    code, said, calls = words.run("docker", TESTMESH_CLUSTER_KEY=KEY, FAKE_UP="1")
    assert code == 1 and "the stack did not start" in said  # as far as there can be one without an engine
    order = [re.search(r"(build|down|up --no-start|put cluster.key|put tokens|up -d)", call)[1] for call in calls]
    assert order == ["build", "down", "up --no-start", "put cluster.key", "put tokens", "up -d"]
    assert all(call.endswith(f"[127.0.0.1  {words.first + 3} {words.first + 4}]")
               for call in calls if call.startswith("compose"))
    keys = [call for call in calls if KEY in call]
    assert len(keys) == 1 and keys[0].endswith(f"put cluster.key <{KEY}|")  # through a pipe, in no command line
    assert keys[0].count(KEY) == 1
    with open(os.path.join(words.folder, "state", "docker.env")) as file:
        kept = file.read()
    assert KEY not in kept and f'NODE_4_PORT="{words.first + 3}"' in kept
    assert stat.S_IMODE(os.stat(file.name).st_mode) == 0o600


def test_with_tokens_it_is_for_other_machines(words, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef\n")
    code, _, calls = words.run("docker", "--token-file", str(tokens), FAKE_UP="1", HOST_REAL_IP="192.0.2.9")
    assert code == 1 and any("[0.0.0.0 192.0.2.9 " in call for call in calls)
    assert [call for call in calls if "put tokens" in call][0].endswith("put tokens <0123456789abcdef|")


@pytest.mark.parametrize("version, whole", [("2.40.1", True), ("v2.16.0", True), ("2.5.0", False)])
def test_the_plugin_goes_first(words, version, whole):
    _, _, calls = words.run("docker-stop", "--volumes", FAKE_PLUGIN=version)
    down = [call for call in calls if " down " in call]
    assert len(down) == 1 and down[0].startswith("docker compose -f ")
    assert ("whole-proc.yml" in down[0]) == whole and down[0].endswith("--remove-orphans --volumes")


def test_a_port_that_is_taken_is_named(words):
    with socket.create_server(("127.0.0.1", words.first + 2)):
        code, said, calls = words.run("docker")
    assert code == 1 and f"port {words.first + 2} is taken" in said
    assert not [call for call in calls if " up " in call]


def test_a_container_of_this_machine_is_joined_through_its_network(words):
    """It gets the key from there, is published on the loopback, and nothing that compose would not give it."""
    code, said, calls = words.run("docker-node", str(words.first), f"127.0.0.1:{words.first + 1}", FAKE_UP="1")
    start = [call for call in calls if call.startswith("docker run -d")]
    assert len(start) == 1, (code, said, calls)
    for part in ("--network class_default", f"-e TESTMESH_JOIN=10.9.8.7:{words.first + 1} ", "--cap-drop ALL",
                 "--user 1000:1000", "--read-only", "no-new-privileges", "seccomp=deploy/seccomp/testmesh.json",
                 f"-p 127.0.0.1:{words.first}:{words.first}/tcp", f"-p 127.0.0.1:{words.first}:{words.first}/udp"):
        assert part in start[0], part
    assert KEY not in start[0] and "--privileged" not in start[0]
    assert any(call.endswith(f"put cluster.key <{KEY}|") for call in calls)
