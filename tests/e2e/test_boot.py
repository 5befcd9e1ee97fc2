"""./boot.sh as its users run it, on other ports and in another folder; and what installs packages."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from front import find_nginx
from mesh import free_ports, new_key
from netns import Network, NoNamespaces
from node import PROGRAM, ROOT, UID_BASE, environment
from ports import ports_in_a_row

BOOT = os.path.join(ROOT, "boot.sh")
BOOT_S = 180
NODES = 4

needs_nginx = pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")


class Boot:
    prefix = []  # what it is run through

    def __init__(self, state):
        self.state = str(state)
        self.first = ports_in_a_row(NODES)
        self.front = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.front}"

    def run(self, *words, **env):
        variables = {**environment(), "TESTMESH_PROGRAM": PROGRAM, "TESTMESH_STATE": self.state,
                     "TESTMESH_PORT": str(self.first), "HTTP_PORT": str(self.front),
                     "TESTMESH_UID_BASE": str(UID_BASE), **env}
        done = subprocess.run([*self.prefix, BOOT, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=variables, timeout=BOOT_S,
                              cwd="/")
        return done.returncode, done.stdout

    def must(self, *words, **env):
        code, said = self.run(*words, **env)
        assert code == 0, said
        return said

    def pids(self):
        found = {}
        for name in os.listdir(self.state):
            if name.endswith(".pid"):
                with open(os.path.join(self.state, name)) as file:
                    found[name[:-4]] = int(file.read())
        return found

    def get(self, path, port=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port or self.front}{path}", timeout=30) as answer:
            return json.load(answer)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


@pytest.fixture(scope="module")
def boot(tmp_path_factory):
    made = Boot(tmp_path_factory.mktemp("boot"))
    try:
        made.said = made.must()
        yield made
    finally:
        made.run("stop")


@needs_nginx
def test_four_nodes_behind_nginx_run_the_examples(boot):
    assert boot.url in boot.said
    assert re.search(r"^calculator +13 +0 +0 +0 +20\.00 ", boot.said, re.M), boot.said
    assert re.search(r"^all together .* mean mark ", boot.said, re.M)
    assert sorted(boot.pids()) == ["front", *(f"node-{n}" for n in range(1, NODES + 1))]
    homes = {f"127.0.0.1:{boot.first + n}" for n in range(NODES)}
    for port in (boot.front, *(boot.first + n for n in range(NODES))):
        network = boot.get("/network", port)
        assert set(network) == homes
        assert all(set(others) == homes - {home} for home, others in network.items())


@needs_nginx
def test_the_key_is_its_owners_alone(boot):
    path = os.path.join(boot.state, "cluster.key")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path) as file:
        key = file.read()
    assert re.fullmatch(r"[0-9a-f]{64}\n", key)
    for name in os.listdir(boot.state):
        if name.endswith(".log"):
            with open(os.path.join(boot.state, name), errors="replace") as file:
                assert key.strip() not in file.read()


@needs_nginx
def test_a_second_time_finds_what_runs(boot):
    before = boot.pids()
    begin = time.monotonic()
    boot.must("start")
    assert time.monotonic() - begin < 10
    assert boot.pids() == before


@needs_nginx
def test_status(boot):
    said = boot.must("status")
    assert len(re.findall(r"^node-\d +pid \d+ +http://127\.0\.0\.1:\d+ +sees 4 nodes", said, re.M)) == 4
    assert re.search(rf"^nginx +pid \d+ +{boot.url} ", said, re.M) and "examples" in said


@needs_nginx
def test_a_killed_node_is_started_again_and_the_rest_left_alone(boot):
    before = boot.pids()
    os.kill(before["node-2"], signal.SIGKILL)
    said = boot.must("start")
    after = boot.pids()
    assert after.pop("node-2") != before.pop("node-2") and after == before, said


@needs_nginx
def test_a_pid_that_is_somebody_elses_by_now(boot):
    """A file with a pid is not enough: a stranger's process is neither ours nor ours to end."""
    pids = boot.pids()
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        os.kill(pids["node-3"], signal.SIGKILL)
        with open(os.path.join(boot.state, "node-3.pid"), "w") as file:
            file.write(f"{stranger.pid}\n")
        boot.must("start")
        assert stranger.poll() is None and boot.pids()["node-3"] != stranger.pid
    finally:
        stranger.kill()
        stranger.wait()


@needs_nginx
def test_other_options_take_effect(boot):
    before = boot.pids()
    boot.must("start", TESTMESH_UPLOAD_MAX="2M")
    after = boot.pids()
    assert not set(after.values()) & set(before.values())
    request = urllib.request.Request(boot.url + "/evaluation", b"x" * (3 << 20), method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    assert refused.value.code == 413


@needs_nginx
def test_restart_and_stop_leave_the_data_and_nothing_else(boot):
    evaluations = boot.get("/evaluation")["evaluations"]
    before = boot.pids()
    boot.must("restart")
    pids = boot.pids()
    assert not set(pids.values()) & set(before.values())
    assert boot.get("/evaluation")["evaluations"] == evaluations
    assert "stopped" in boot.must("stop")
    assert not any(is_alive(pid) for pid in pids.values())
    assert not boot.pids()
    code, said = boot.run("status")
    assert code == 1 and "nothing of this folder runs" in said
    assert "nothing of this folder runs" in boot.must("stop")


@needs_nginx
def test_a_machine_joins(tmp_path):
    """One node here, a member there, of two folders: on one machine, and so on the loopback."""
    home, away = Boot(tmp_path / "home"), Boot(tmp_path / "away")
    os.mkdir(home.state), os.mkdir(away.state)
    try:
        home.must("start", TESTMESH_NODES="1")
        target = f"127.0.0.1:{home.first}"
        code, said = away.run("join", target)
        assert code != 0 and "key" in said
        code, said = away.run("join", target, TESTMESH_CLUSTER_KEY="0123")
        assert code != 0 and "no key" in said
        said = away.must("join", target, "--key", os.path.join(home.state, "cluster.key"))
        assert "sees 2 nodes" in said
        assert len(home.get("/network")) == 2
        copy = os.path.join(away.state, "member.key")
        assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
        code, said = away.run("start")
        assert code != 0 and "member" in said
        away.must("stop")
        home_sees = lambda: len(home.get("/network"))  # noqa: E731
        deadline = time.monotonic() + 10
        while home_sees() != 1 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert home_sees() == 1
    finally:
        away.run("stop")
        home.run("stop")


@needs_nginx
def test_another_machine_joins(tmp_path):
    """Each in a network of its own: it finds its address, and serves others only when told to."""
    try:
        network = Network(2)
    except NoNamespaces as error:
        pytest.skip(f"no network namespaces: {error}")
    home, away = Boot(tmp_path / "home"), Boot(tmp_path / "away")
    os.mkdir(home.state), os.mkdir(away.state)
    home.prefix, away.prefix = (place.prefix for place in network.places)
    home_address, away_address = (place.address for place in network.places)
    join = ("join", f"{home_address}:{home.first}", "--key", os.path.join(home.state, "cluster.key"))
    with network:
        try:
            home.must("start", TESTMESH_NODES="1", TESTMESH_ADDRESS=home_address, TESTMESH_OPEN="1")
            code, said = away.run(*join)
            assert code == 1 and "--open" in said and "--token-file" in said and not away.pids()
            said = away.must(*join, "--open")
            assert f"{away_address}:{away.first} (TCP and UDP" in said and "sees 2 nodes" in said
            assert "sees 2 nodes" in home.must("status")
        finally:
            away.run("stop")
            home.run("stop")


def test_what_join_refuses(tmp_path):
    away = Boot(tmp_path)
    code, said = away.run("join", "nowhere")
    assert code == 1 and "join HOST:PORT" in said
    target = f"127.0.0.1:{away.first + 1}"
    code, said = away.run("join", target, "--key", str(tmp_path / "absent"))
    assert code == 1 and "cannot be read" in said
    wrong = new_key(str(tmp_path / "wrong"))
    with open(wrong, "a") as file:
        file.write("zz\n")
    code, said = away.run("join", target, "--key", wrong)
    assert code == 1 and "no key" in said and not away.pids()
    code, said = away.run("join", target, "--opne")
    assert code == 1 and "--opne" in said


def test_ports_of_others_are_named(tmp_path):
    boot = Boot(tmp_path)
    with socket.create_server(("127.0.0.1", boot.first + 1)):
        code, said = boot.run("start")
    assert code == 1 and f"port {boot.first + 1} is taken" in said and not boot.pids()


def test_unknown_words(tmp_path):
    code, said = Boot(tmp_path).run("dance")
    assert code == 4 and "./boot.sh help" in said


# ---- deps/install.sh ----

MACHINES_OWN = "#!/bin/sh\n# the machine's own\nexit 0\n"


@pytest.fixture
def install(tmp_path):
    """Runs deps/install.sh with an apt-get of ours: (exit code or the process, what apt met)."""
    tools, policy = tmp_path / "tools", tmp_path / "policy-rc.d"
    tools.mkdir()
    met = tmp_path / "met"

    def run(code=0, seconds=0, wait=True):
        (tools / "apt-get").write_text(
            f'#!/bin/sh\necho "$@" >>{met}\n[ "$1" = install ] || exit 0\n'
            f'{policy} nginx start; echo "policy $?" >>{met}\nsleep {seconds}\nexit {code}\n')
        (tools / "update-rc.d").write_text(f'#!/bin/sh\necho "update-rc.d $@" >>{met}\n')
        for name in ("apt-get", "update-rc.d"):
            (tools / name).chmod(0o755)
        env = {**environment(), "TESTMESH_POLICY_RC": str(policy),
               "PATH": f"{tools}:{os.environ['PATH']}"}
        process = subprocess.Popen([os.path.join(ROOT, "deps", "install.sh"),
                                    str(tmp_path / "log"), "cmake", "nginx"], env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   preexec_fn=heed_hangups)
        return process.wait(30) if wait else process

    run.policy, run.met = policy, lambda: met.read_text().splitlines() if met.exists() else []
    return run


def heed_hangups():
    """Whoever runs the tests under nohup passes on that SIGHUP is ignored, and no shell can undo that."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_no_service_is_started_while_packages_are_installed(install):
    assert install() == 0
    assert "policy 101" in install.met()
    assert "install -y --no-install-recommends cmake nginx" in install.met()
    assert "update-rc.d nginx disable" in install.met()
    assert not install.policy.exists()


def test_the_policy_goes_when_apt_fails(install):
    assert install(code=100) == 100
    assert "policy 101" in install.met() and not install.policy.exists()


def test_the_machines_own_policy_comes_back(install):
    for code in (0, 100):
        install.policy.write_text(MACHINES_OWN)
        install.policy.chmod(0o755)
        assert install(code=code) == code
        assert install.policy.read_text() == MACHINES_OWN
    assert install.met().count("policy 101") == 2 and "policy 0" not in install.met()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_the_policy_goes_when_it_is_ended(install, how):
    install.policy.write_text(MACHINES_OWN)
    process = install(seconds=2, wait=False)
    deadline = time.monotonic() + 10
    while "policy 101" not in install.met() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(30) != 0
    assert install.policy.read_text() == MACHINES_OWN


def test_what_a_killed_one_left_is_put_right(install):
    install.policy.write_text(MACHINES_OWN)
    process = install(seconds=1, wait=False)
    deadline = time.monotonic() + 10
    while "policy 101" not in install.met() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert install.policy.read_text() != MACHINES_OWN
    assert install() == 0
    assert install.policy.read_text() == MACHINES_OWN
