"""Who is in a mesh: joining, leaving, dying, coming back; and strangers, who are named and harmless."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from mesh import Mesh, free_ports, new_key
from node import PROGRAM, UID_BASE, Node, NodeFailed, environment

BACK_S = 5  # a node that was restarted is seen by all within so long


@pytest.fixture
def start(tmp_path):
    """start("a", "--join", …) is a running node of its own folder; all are ended with the test."""
    nodes = []

    def begin(name, *options, **more):
        number = len(nodes)
        node = Node(tmp_path / name, "--name", name, "--slots", "1", "--uid-base",
                    str(UID_BASE + 40000 + 1024 * number), *options, **more)
        nodes.append(node)
        return node

    yield begin
    for node in nodes:
        node.stop()


@pytest.fixture
def mesh(tmp_path):
    with Mesh(tmp_path, 3, ("--slots", "1")) as running:
        yield running


def states(node):
    return {row["name"]: row["state"] for row in node.get_json("/nodes")["nodes"]}


def sees(node, *addresses):
    return set(node.get_json("/network")) == set(addresses)


def meet(*nodes, timeout=15):
    """Waits until they see exactly each other."""
    addresses = [node.address for node in nodes]
    for node in nodes:
        node.wait_until(lambda node=node: sees(node, *addresses), "they see each other", timeout)


def client(*words):
    done = subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
    return done


def mesh_table(node):
    done = client("mesh", "--node", node.address)
    assert done.returncode == 0, done.stderr
    return done.stdout


def operator(node, method, path, body=None, token=None):
    if token is None:
        with open(os.path.join(node.data, "operator.token"), encoding="ascii") as file:
            token = file.read().strip()
    return node.request(method, path, body, {"Authorization": "Bearer " + token} if token else {})


# ---- joining -----------------------------------------------------------------------------------


def test_join_through_any_node(start):
    a = start("a")
    b = start("b", "--join", a.address)
    c = start("c", "--join", b.address)
    meet(a, b, c)
    assert states(a) == states(b) == states(c) == {"a": "alive", "b": "alive", "c": "alive"}


@pytest.mark.parametrize("form", ["localhost:{}", "dns:localhost:{}", "127.0.0.1:{}"])
def test_join_by_name(start, form):
    a = start("a")
    b = start("b", "--join", form.format(a.address.rpartition(":")[2]))
    meet(a, b)


def test_a_node_that_comes_first_finds_the_one_that_comes_later(start):
    port, = free_ports(1)
    a = start("a", "--join", f"127.0.0.1:{port}")
    assert sees(a, a.address) and a.get("/readyz").status == 200
    b = start("b", start=False)
    b.address = f"127.0.0.1:{port}"
    b.start()
    meet(a, b, timeout=40)


def test_join_at_run_time(start):
    a, b = start("a"), start("b")
    assert sees(a, a.address) and sees(b, b.address)
    done = client("join", "--node", a.address, "--data", a.data, b.address)
    assert done.returncode == 0, done.stderr
    meet(a, b)
    assert operator(a, "POST", "/join", json.dumps({"address": "dns:localhost:" + b.address.rpartition(":")[2]})).status == 202
    for body in ("{}", "[]", "x", '{"address": ""}', '{"address": 7}', '{"address": "a b"}'):
        answer = operator(a, "POST", "/join", body)
        assert (answer.status, answer.json()["code"]) == (400, "bad-join") or answer.status == 400, answer


@pytest.mark.parametrize("address", ["not an address", "host:99999", ":::"])
def test_a_join_that_is_no_address_ends_the_start(tmp_path, address):
    with pytest.raises(NodeFailed, match="--join"):
        Node(tmp_path, "--join", address)


# ---- leaving (who may ask for it: test_operator.py) --------------------------------------------


def test_a_users_token_is_not_the_operators(tmp_path, start):
    tokens = tmp_path / "tokens"
    tokens.write_text("a-users-token-of-this-node\n")
    tokens.chmod(0o600)
    a = start("a", "--token-file", str(tokens))
    for path in ("/join", "/drain", "/kill"):
        assert operator(a, "POST", path, "{}", token="a-users-token-of-this-node").status == 403
    assert operator(a, "GET", "/nodes").status == 200  # the operator's is good for what users may
    assert operator(a, "GET", "/nodes", token="").status == 401


def test_drain_is_seen_by_all_and_takes_nothing_new(mesh):
    done = client("drain", "--node", mesh[0].address, "--data", mesh[0].data)
    assert done.returncode == 0, done.stderr
    for node in mesh.nodes:
        node.wait_until(lambda node=node: states(node)["node-0"] == "draining", "it is seen draining", 10)
    assert mesh[0].get("/readyz").status == 503
    answer = mesh[0].post_zip(b"PK")
    assert (answer.status, answer.json()["code"]) == (503, "draining") and "retry-after" in answer.headers
    assert mesh[0].get_json("/stats") == mesh[1].get_json("/stats")
    assert "draining" in mesh_table(mesh[1])


@pytest.mark.parametrize("how", ["kill", "leave", "signal"])
def test_a_node_that_leaves_is_left_at_once(mesh, how):
    leaver, others = mesh[0], mesh.nodes[1:]
    begun = time.monotonic()
    if how == "kill":
        assert operator(leaver, "POST", "/kill").status == 202
    elif how == "leave":
        assert client("leave", "--node", leaver.address, "--data", leaver.data).returncode == 0
    else:
        leaver.process.send_signal(signal.SIGTERM)
    for node in others:
        node.wait_until(lambda node=node: states(node)["node-0"] == "left", "it is seen to have left", 10)
        assert leaver.home not in node.get_json("/network")
        assert leaver.home not in {row["address"] for row in node.get_json("/stats")["nodes"]}
    assert time.monotonic() - begun < 10
    assert leaver.process.wait(20) == 0


# ---- dying, coming back ------------------------------------------------------------------------


def test_a_killed_node_is_seen_dead_and_is_back_under_its_id(mesh):
    ids = {row["name"]: (row["id"], row["generation"]) for row in mesh[1].get_json("/nodes")["nodes"]}
    mesh[0].kill()
    begun = time.monotonic()
    for node in mesh.nodes[1:]:
        node.wait_until(lambda node=node: states(node)["node-0"] == "dead", "it is seen dead", 15)
    assert time.monotonic() - begun < 10
    assert set(mesh[1].get_json("/network")) == {mesh[1].home, mesh[2].home}
    mesh[0].restart()
    mesh.wait_agree(timeout=BACK_S)
    rows = {row["name"]: row for row in mesh[2].get_json("/nodes")["nodes"]}
    assert len(rows) == 3 and rows["node-0"]["state"] == "alive"
    assert rows["node-0"]["id"] == ids["node-0"][0] and rows["node-0"]["generation"] > ids["node-0"][1]


def test_a_node_comes_back_without_join_by_what_it_remembers(start):
    a = start("a")
    b = start("b", "--join", a.address)
    meet(a, b)
    a.kill()
    b.wait_until(lambda: states(b)["a"] == "dead", "it is seen dead", 15)
    a.address = None
    a.start()  # at another port, without --join
    meet(a, b, timeout=15)


# ---- strangers ---------------------------------------------------------------------------------


def test_another_key_is_named_and_harmless(tmp_path, start):
    one, two = new_key(str(tmp_path / "one.key")), new_key(str(tmp_path / "two.key"))
    a = start("a", "--key-file", one)
    b = start("b", "--key-file", one, "--join", a.address)
    meet(a, b)
    stranger = start("x", "--key-file", two, "--join", a.address)
    a.wait_until(lambda: "mesh_refused" in a.tail(100000), "the log names it", 15)
    assert re.search(r"other_key.*--key-file", a.tail(100000))
    assert sees(a, a.address, b.address) and sees(stranger, stranger.address)
    assert re.search(r"warning: \d+ refused packets or links came with another key", mesh_table(a))
    assert "warning" not in mesh_table(b)
    assert a.get("/readyz").status == 200 and b.get("/readyz").status == 200


def test_another_cluster_is_named_and_harmless(start):
    a = start("a", "--cluster", "one")
    stranger = start("x", "--cluster", "two", "--join", a.address)
    a.wait_until(lambda: "mesh_refused" in a.tail(100000), "the log names it", 15)
    assert sees(a, a.address) and sees(stranger, stranger.address)
    assert "another cluster" in mesh_table(a)


def test_another_cluster_with_the_same_key(tmp_path, start):
    key = new_key(str(tmp_path / "key"))
    a = start("a", "--key-file", key, "--cluster", "one")
    stranger = start("x", "--key-file", key, "--cluster", "two", "--join", a.address)
    a.wait_until(lambda: "mesh_refused" in a.tail(100000), "the log names it", 15)
    assert sees(a, a.address) and sees(stranger, stranger.address)
    assert "another cluster" in mesh_table(a)


def test_a_data_folder_of_another_cluster_is_refused(tmp_path):
    with Node(tmp_path / "a", "--cluster", "one"):
        pass
    with pytest.raises(NodeFailed, match='belongs to the cluster "one", not "two"'):
        Node(tmp_path / "a", "--cluster", "two")


def test_a_copied_data_folder_ends_with_words(tmp_path, start):
    a = start("a")
    b = start("b", "--join", a.address)
    meet(a, b)
    a.stop()
    shutil.copytree(a.data, str(tmp_path / "copy" / "data"), symlinks=True)
    a.start()
    meet(a, b)
    copy = Node(tmp_path / "copy", "--join", b.address, "--name", "copy", "--uid-base", str(UID_BASE + 50000), start=False)
    copy.launch()
    try:
        ended = []

        def one_has_ended():
            for node in (a, copy):
                if node.process.poll() is not None and node not in ended:
                    ended.append(node)
            return ended

        b.wait_until(one_has_ended, "one of the two has ended", 30)
        assert ended[0].process.returncode == 78
        assert "data folder's identity" in ended[0].tail(), ended[0].tail()
        assert b.is_alive() and b.get("/readyz").status == 200
        survivor = copy if ended[0] is a else a
        time.sleep(1)
        assert survivor.is_alive(), "both have ended"
    finally:
        if copy.is_alive():
            copy.kill()


def test_without_a_key_nobody_from_elsewhere(tmp_path):
    node = Node(tmp_path, "--open", start=False)
    node.address = "0.0.0.0:0"  # where it serves HTTP
    with node.start():
        assert node.get_json("/nodes")["nodes"][0]["mesh"].startswith("127.0.0.1:")


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "203.0.113.9:5001"])
def test_a_mesh_address_beyond_loopback_wants_a_key(tmp_path, listen):
    with pytest.raises(NodeFailed, match="key"):
        Node(tmp_path, "--mesh", listen)


@pytest.mark.parametrize("content, words", [("", "key"), ("zz\n", "key"), ("ab" * 31 + "\n", "key")])
def test_a_key_file_that_is_none(tmp_path, content, words):
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(NodeFailed, match=words):
        Node(tmp_path / "n", "--key-file", str(path))


def test_a_key_that_others_may_read(tmp_path):
    path = new_key(str(tmp_path / "key"))
    os.chmod(path, 0o644)
    with pytest.raises(NodeFailed, match="key"):
        Node(tmp_path / "n", "--key-file", path)


# ---- a mesh for a moment -----------------------------------------------------------------------


def left_of(pid):
    """Processes of a session that `dev` began; it is ended by then."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    words = file.read()
            except OSError:
                continue
            if f"dev-{pid}".encode() in words:
                found.append((name, words))
    return found


def test_dev_starts_a_mesh_and_ends_all_of_it(tmp_path):
    begun = subprocess.Popen([PROGRAM, "dev", "--nodes", "3", "--no-samples"], stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=dict(environment(), TMPDIR=str(tmp_path)))
    try:
        text = ""
        while "Logs:" not in text:
            line = begun.stdout.readline()
            assert line, text
            text += line
        addresses = re.findall(r"^  http://(\S+)$", text, re.M)
        assert len(addresses) == 3
        deadline = time.monotonic() + BACK_S
        while True:  # each sees the others; whether they agree, each says with its next packet
            table = client("mesh", "--node", addresses[2]).stdout
            if "warning" not in table or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert all(address in table for address in addresses) and "warning" not in table
        assert len(left_of(begun.pid)) == 3
    finally:
        begun.send_signal(signal.SIGINT)
        begun.communicate(timeout=60)
    assert begun.returncode in (0, 130) and not left_of(begun.pid)
    assert os.listdir(tmp_path) == []


def test_dev_that_is_killed_leaves_no_node(tmp_path):
    begun = subprocess.Popen([PROGRAM, "dev", "--nodes", "2", "--no-samples"], stdin=subprocess.DEVNULL, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=dict(environment(), TMPDIR=str(tmp_path)))
    while "Logs:" not in begun.stdout.readline():
        assert begun.poll() is None
    begun.kill()
    begun.wait()
    deadline = time.monotonic() + 40
    while left_of(begun.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left_of(begun.pid)
