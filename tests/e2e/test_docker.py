"""The cluster as containers, by ./boot.sh docker: images, sandbox, failures, scaling, and no traces.

Needs a Docker engine. Where none runs, the full run starts one of its own (tests/lib/engine.py)."""

import json
import os
import random
import re
import subprocess
import threading
import time

import engine
import pytest
import zips
from attacks import project_of, read
from node import ROOT, Node, environment
from ports import free_in_a_row

PROJECT = f"testmesh-test-{os.getpid()}"
UP_S = 1200  # images are built; the compiler shares the machine with other tests
MODULES = 24
# What a sandbox made by a plain user inside a container could do differently.
ATTACKS = ("connect-out", "daemons", "escape-calls", "gain-privileges", "kill-all", "kill-init", "read-the-host",
           "write-outside")
# These look into a /proc, or at the user's number, which is another one where there is none: docker-compose 1.29
# cannot say that the engine shall leave /proc as it is.
NEEDS_PROC = {"test_nobody_listens", "test_sees_nothing", "test_no_new_privileges_and_a_filter",
              "test_set_user_id_programs_stay_ours"} | {f"test_no_capability[{name}]" for name in
                                                        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


def work(name, modules=MODULES, seconds=0.3):
    return zips.of_files(zips.project(name, **{f"test_{n}": zips.sleeping(seconds, 2)
                                               for n in range(modules)}))


def quiet_ports(count):
    """Ports in a row that nobody is given by chance: minutes go by until they are used."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        end = min(int(file.read().split()[0]), 32768)
    while True:
        first = random.randrange(10000, end - count)
        if len(list(free_in_a_row(first, count))) == count:
            return first


class Stack(Node):
    """What ./boot.sh docker starts; asks and answers through its nginx."""

    def __init__(self, found, folder):
        self.engine, self.folder = found, str(folder)
        self.first = quiet_ports(6)
        self.extra = self.first + 4
        self.address = f"127.0.0.1:{self.first + 5}"
        self.process = None

    def boot(self, *words):
        env = {**environment(), **self.engine.env, "TESTMESH_STATE": os.path.join(self.folder, "state"),
               "TESTMESH_PORT": str(self.first), "HTTP_PORT": self.address.rpartition(":")[2],
               "COMPOSE_PROJECT_NAME": PROJECT, "TESTMESH_IMAGE": PROJECT, "TESTMESH_JOBS": "2",
               "TESTMESH_FRONT_IMAGE": PROJECT + "-front"}
        done = subprocess.run([os.path.join(ROOT, "boot.sh"), *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                              timeout=UP_S, cwd="/")
        assert done.returncode == 0, done.stdout[-6000:]
        return done.stdout

    def container(self, service):
        return self.engine.lines("ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}",
                                 "--filter", f"label=com.docker.compose.service={service}")[0]

    def inspect(self, service):
        return json.loads(self.engine.docker("inspect", self.container(service)))[0]

    def members(self):
        return self.get_json("/network")

    def wait_members(self, count, timeout=30):
        self.wait_until(lambda: len(self.members()) == count, f"{count} nodes see each other", timeout)

    def wait_healthy(self, service, timeout=60):
        self.wait_until(lambda: self.inspect(service)["State"]["Health"]["Status"] == "healthy",
                        f"{service} is healthy", timeout)

    def left(self):
        """Everything of this project that the engine knows."""
        found = set()
        for kind in (["ps", "-a"], ["volume", "ls"], ["network", "ls"]):
            form = "{{.Names}}" if kind[0] == "ps" else "{{.Name}}"
            found |= {name for name in self.engine.lines(*kind, "--format", form) if name.startswith(PROJECT)}
        return found

    def tail(self, bytes_kept=4000):
        said = [self.engine.run("logs", "--tail", "20", name)[1]
                for name in self.engine.lines("ps", "-a", "--format", "{{.Names}}") if name.startswith(PROJECT)]
        return "\n".join(said)[-4 * bytes_kept:]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    try:
        found = engine.find(tmp_path_factory.mktemp("engine") / "own")
    except engine.NoEngine as error:
        pytest.skip(str(error))
    with found:
        running = Stack(found, tmp_path_factory.mktemp("stack"))
        try:
            running.banner = running.boot("docker")
            yield running
        finally:
            running.boot("docker-stop", "--volumes")
            found.run("image", "rm", PROJECT, PROJECT + "-front")


def all_there(document, name, modules=MODULES):
    """Every module once, every test passed."""
    assert document["status"] == "done" and document["_run_info"]["nota"] == 20, document
    rows = document["module_results"][name]
    assert len(rows) == modules and all(row["passed"] == 2 for row in rows.values()), rows
    return rows


def test_it_comes_up_and_runs_the_examples(stack):
    assert "4 nodes work together" in stack.banner
    assert re.search(r"^p2p-sudoku +11 +1 +0 +1 +18\.33 ", stack.banner, re.M), stack.banner
    for service in ("node-1", "node-2", "node-3", "node-4", "front"):
        stack.wait_healthy(service)
    assert len(stack.members()) == 4


def test_every_node_has_the_whole_sandbox(stack):
    rows = stack.get_json("/nodes")
    rows = rows.get("nodes", rows) if isinstance(rows, dict) else rows
    tiers = re.findall(r'"sandbox": ?"([^"]*)"', json.dumps(rows))
    said = "".join(stack.engine.docker("logs", stack.container(f"node-{n}")) for n in (1, 2, 3, 4))
    assert tiers and all(tier.startswith("A: bubblewrap") for tier in tiers), rows
    assert said.count('"event":"node_ready"') >= 4 and "unsandboxed" not in said


def test_a_container_has_no_right_that_it_does_not_need(stack):
    for service in ("node-1", "node-4", "front"):
        seen = stack.inspect(service)
        host = seen["HostConfig"]
        assert not host["Privileged"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"]
        assert host["ReadonlyRootfs"] and host["Memory"] > 0 and host["PidsLimit"] > 0
        assert seen["Config"]["User"] == "1000:1000"
        assert not any("docker.sock" in mount.get("Source", "") for mount in seen["Mounts"])
        published = [where["HostIp"] for wheres in seen["NetworkSettings"]["Ports"].values() for where in wheres or ()]
        assert published and set(published) == {"127.0.0.1"}
        status = stack.engine.docker("exec", stack.container(service), "cat", "/proc/1/status")
        facts = dict(re.findall(r"^(\w+):\s*(\S+)", status, re.M))
        assert facts["Uid"] == "1000" and facts["NoNewPrivs"] == "1" and facts["Seccomp"] == "2"
        assert all(int(facts[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))


def test_marks_are_right_through_nginx(stack):
    """The examples; one of them is a course suite whose tests all use the same ports."""
    with open(os.path.join(zips.EXAMPLES, "expected.json")) as file:
        expected = json.load(file)
    document = stack.wait_done(stack.submit(zips.of_examples()))
    for name, row in expected["projects"].items():
        assert document["projects"][name]["nota"] == pytest.approx(row["mark"], abs=0.01), name
        modules = document["module_results"].get(name, {})
        assert {path: module["outcome"] for path, module in modules.items()} == row["modules"]
    assert document["_run_info"]["mean_nota"] == pytest.approx(expected["mean_nota"], abs=0.01)


def test_suites_with_the_same_ports_run_side_by_side(stack):
    files = {}
    for name in ("one", "two", "three", "four"):
        files.update(zips.files_of(os.path.join(zips.EXAMPLES, "p2p-sudoku"), name + "/"))
    document = stack.wait_done(stack.submit(zips.of_files(files)))
    marks = {name: project["nota"] for name, project in document["projects"].items()}
    assert marks == {name: pytest.approx(18.33, abs=0.01) for name in ("one", "two", "three", "four")}


def test_a_node_that_is_killed_loses_nothing(stack):
    id = stack.submit(work("killed"))
    stack.wait_until(lambda: stack.evaluation(id)["executed"] >= 3, "three are done")
    stack.engine.docker("kill", stack.container("node-2"))
    seen = []
    while not seen or seen[-1]["status"] not in ("done", "failed", "cancelled"):
        answer = stack.get(f"/evaluation/{id}?wait=1")
        assert answer.status == 200, answer
        seen.append(answer.json())
    assert [one["executed"] for one in seen] == sorted(one["executed"] for one in seen)
    all_there(seen[-1], "killed")
    stack.wait_members(3)
    stack.engine.docker("start", stack.container("node-2"))
    stack.wait_members(4)


def test_a_node_that_is_stopped_drains(stack):
    id = stack.submit(work("stopped", 12))
    stack.wait_until(lambda: stack.evaluation(id)["executed"] >= 1, "one is done")
    stack.engine.docker("stop", stack.container("node-3"))
    state = stack.inspect("node-3")["State"]
    assert state["ExitCode"] == 0 and not state["OOMKilled"], state
    assert '"event":"node_drained"' in stack.engine.docker("logs", "--tail", "50", stack.container("node-3"))
    all_there(stack.wait_done(id), "stopped", 12)
    stack.engine.docker("start", stack.container("node-3"))
    stack.wait_members(4)


def test_six_nodes_under_load(stack):
    ids = [stack.submit(work(f"load{n}", 20)) for n in range(3)]
    loader = threading.Thread(target=stack.boot, args=("docker-scale", "2"))
    loader.start()
    statuses = set()
    while loader.is_alive():
        statuses.add(stack.get("/evaluation").status)
        time.sleep(0.1)
    loader.join()
    stack.wait_members(6)
    for number, id in enumerate(ids):
        all_there(stack.wait_done(id), f"load{number}", 20)
    assert statuses == {200}
    stack.wait_until(lambda: "5000" in stack.engine.docker("logs", "--tail", "2000", stack.container("front")),
                     "the front knows the new ones", 30)
    all_there(stack.wait_done(stack.submit(work("six", 24, 0.2))), "six", 24)


def test_a_container_joins(stack):
    before = len(stack.members())
    said = stack.boot("docker-node", str(stack.extra), f"127.0.0.1:{stack.first}")
    assert f"part of a mesh of {before + 1} " in said, said
    joined = Node.__new__(Node)
    joined.address = f"127.0.0.1:{stack.extra}"
    joined.log = os.devnull
    id = joined.submit(work("joined", 8, 0.1))
    all_there(joined.wait_done(id), "joined", 8)
    stack.wait_members(before + 1)
    assert stack.wait_done(id)["_run_info"]["nota"] == 20


def test_nothing_gets_out_of_a_container_s_sandbox(stack):
    files = {}
    for name in ATTACKS:
        files.update(project_of(name))
    files.update(zips.project("bystander", test_a="def test_a():\n    pass\n"))
    options = ("options", None, None, b'{"timeout_s": 30}')
    id = stack.submit(zips.of_files(files), fields=[options])
    document = stack.wait_done(id)
    for name in ATTACKS:
        outcome = document["module_results"][name]["test_attack.py"]["outcome"]
        failed = {item["test"].partition("::")[2] for item in stack.tests(id, project=name)
                  if item["outcome"] not in ("passed", "skipped")}
        assert outcome in read(name)["outcome"] or failed <= NEEDS_PROC, (name, outcome, failed)
    assert document["projects"]["bystander"]["nota"] == 20


def test_no_dead_process_is_left_unreaped(stack):
    said = stack.engine.docker("exec", stack.container("node-1"), "sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null; true")
    states = re.findall(r"\) ([A-Z]) ", said)
    assert states and states.count("Z") <= 1, said


def test_it_goes_without_a_trace(stack):
    assert stack.left()
    stack.boot("docker-stop", "--volumes")
    assert stack.left() == set()
