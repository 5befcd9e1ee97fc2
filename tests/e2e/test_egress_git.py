"""What speaks to git hosts has a network of its own, and goes the way that the operator's proxy leads."""

import base64
import json
import os
import shutil
import tempfile

import forward
import gitserver
import pytest
import zips
from node import PROGRAM, Node

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

ANY_UID = 54321


@pytest.fixture(scope="module")
def folder():
    """One that any user can reach: pytest's own are closed."""
    path = tempfile.mkdtemp(prefix="testmesh-egress-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def server(folder):
    with gitserver.GitServer(os.path.join(folder, "git")) as running:
        os.chmod(running.folder, 0o755)
        running.repository("o/calc", {"tests/test_a.py": zips.passing(2)})
        os.chmod(running.bundle(), 0o644)
        yield running


def options(server, odd):
    return [*server.node_options(), *odd.node_options(), "--git-timeout", "30s"]


def start(who, folder, server, odd):
    if who == "node":
        return Node(os.path.join(folder, "root"), *options(server, odd), env=server.node_env())
    if os.geteuid() != 0:
        pytest.skip("needs root, to be another user")
    program = shutil.copy(PROGRAM, os.path.join(folder, "testmesh"))
    os.chmod(program, 0o755)
    home = os.path.join(folder, "home")
    os.mkdir(home)
    os.chown(home, ANY_UID, ANY_UID)
    os.chmod(server.bundle(), 0o644)
    return Node(home, *options(server, odd), program=program, uid=ANY_UID,
                env={"HOME": home, **server.node_env()})


def submit(node, *urls):
    answer = node.request("POST", "/evaluation", json.dumps({"projects": list(urls)}),
                          {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    return answer.json()["id"]


def helpers(node):
    """The processes of this node that fetch."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as line, open(f"/proc/{pid}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
                if b"--helper\0fetch\0" in line.read() and parent == node.pid:
                    found.append(pid)
        except OSError:
            pass
    return found


def is_sanitized():
    """A sanitizer looks at its own memory with calls that are filtered: then there is no filter."""
    with open(PROGRAM, "rb") as file:
        return b"__asan_init" in file.read()


def network_of(pid):
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
        names = [line.partition(":")[0].strip() for line in file if ":" in line]
    return os.readlink(f"/proc/{pid}/ns/net"), names


@pytest.mark.parametrize("who", ["node", "a plain user's node"])
def test_it_has_a_network_of_its_own(folder, server, who):
    with gitserver.OddServer(server) as odd, start(who, folder, server, odd) as node:
        submit(node, server.url("o/calc"))
        node.wait_until(lambda: "repository_fetched" in node.tail(), "it fetches", 30)
        waits = submit(node, odd.url("silent/x"))
        (pid,) = node.wait_until(lambda: helpers(node), "it fetches", 10)
        node.wait_until(lambda: odd.seen, "it has reached its host", 10)
        own, names = network_of(pid)
        assert names == ["lo"] and own != network_of("self")[0]
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            status = dict(line.split(":", 1) for line in file)
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2" or is_sanitized()
        if who != "node":
            assert int(status["CapEff"], 16) == 0
        assert "fetch_shares_network" not in node.tail()
        node.request("DELETE", f"/evaluation/{waits}")
        pid = node.pid
        node.kill()
        node.wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone", 5)


def test_the_operators_proxy_is_gone_through(server, tmp_path):
    basic = "Basic " + base64.b64encode(b"me:s3cret-of-mine").decode()
    with forward.Proxy(basic) as proxy:
        url = f"http://me:s3cret-of-mine@{proxy.host}"
        env = {**server.node_env(), "HTTPS_PROXY": url, "NO_PROXY": None}
        with Node(tmp_path / "a", *server.node_options(), env=env) as node:
            submit(node, server.url("o/calc"))
            node.wait_until(lambda: "repository_fetched" in node.tail(), "it fetches", 30)
            assert "s3cret" not in node.tail()
        assert f"CONNECT localhost:{server.port}" in proxy.asked, proxy.asked


def test_a_proxy_that_refuses_is_the_clusters_fault(server, tmp_path):
    with forward.Proxy("Basic of-somebody-else") as proxy:
        env = {**server.node_env(), "HTTPS_PROXY": f"http://{proxy.host}"}
        with Node(tmp_path, *server.node_options(), "--git-timeout", "5s", env=env) as node:
            id = submit(node, server.url("o/calc"))
            (project,) = node.wait_done(id)["projects"].values()
            assert project["blame"] == "cluster" and "(repo-unreachable)" in project["message"], project
        assert proxy.asked
