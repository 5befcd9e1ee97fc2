"""What installs requirements reaches its index, and nothing else.

The packages have names that no index of the world has: pip takes the highest version of all."""

import base64
import os
import re
import shutil
import socket

import forward
import packages
import pytest
import zips
from node import FULL, Node

ASKS = "import urllib.request\nurllib.request.urlopen({url!r}, timeout=20).read()\n"

LOOKS = """
import socket, urllib.request, urllib.error
def connect(host, port, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(3)
        try:
            s.connect((host, port))
            if kind == socket.SOCK_DGRAM:
                s.send(b"x")
            return "reached"
        except OSError as error:
            return type(error).__name__
RESULTS["node"] = connect("127.0.0.1", {node_port})
RESULTS["loopback"] = connect("127.0.0.2", {other_port})
RESULTS["metadata"] = connect("169.254.169.254", 80)
RESULTS["internet"] = connect("203.0.113.7", 443)
RESULTS["datagram"] = connect("203.0.113.7", 53, socket.SOCK_DGRAM)
RESULTS["interfaces"] = sorted(name for _, name in socket.if_nameindex())
try:
    socket.getaddrinfo("pypi.org", 443)
    RESULTS["names"] = "known"
except OSError:
    RESULTS["names"] = "unknown"
try:
    urllib.request.urlopen("https://evil.example/", timeout=20)
except OSError as error:
    RESULTS["refused"] = str(error)
"""

SEES = """
import xegresslooks as looks


def test_what_the_build_saw():
    seen = dict(looks.RESULTS)
    assert "403" in seen.pop("refused")
    assert seen.pop("interfaces") == ["lo"]
    assert seen.pop("names") == "unknown"
    assert "reached" not in seen.values(), seen
"""


def check_uv():
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")


@pytest.fixture(scope="module")
def index():
    with packages.Index() as running:
        running.add("xegressfine")
        yield running


@pytest.fixture(scope="module", params=["uv", "pip"])
def node(request, index, tmp_path_factory):
    options = []
    if request.param == "uv":
        check_uv()
    else:
        options = ["--uv", "/nonexistent/uv"]
    with Node(tmp_path_factory.mktemp("node"), *options,
              env={"PIP_EXTRA_INDEX_URL": index.url, "PIP_FIND_LINKS": None}) as running:
        assert f"installer  {request.param} " in running.tail()
        yield running
        assert running.is_alive(), running.tail()
        assert running.stop() == 0, running.tail()


def of_projects(requirements, test_it="def test_it():\n    pass\n"):
    """A zip of one project a requirement."""
    files = {}
    for name, requirement in requirements.items():
        files.update(zips.project(name, test_it=test_it))
        files[f"{name}/requirements.txt"] = requirement + "\n"
    return zips.of_files(files)


def run(node, requirements, **more):
    return node.wait_done(node.submit(of_projects(requirements, **more)))["projects"]


def test_an_index_is_reached_and_what_lies_beside_is_not(node, index):
    """Plain connections lead nowhere; what was refused, and caught, does no harm."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        node_port = int(node.address.rsplit(":", 1)[1])
        index.add("xegresslooks", LOOKS.format(node_port=node_port, other_port=other.getsockname()[1]))
        (project,) = run(node, {"a": "xegresslooks\nxegressfine\niniconfig"}, test_it=SEES).values()
    assert project["passed"] == 1, (project, node.tail())
    assert "egress_refused" in node.tail()


def test_what_was_tried_is_named(node, index):
    """Each of them is the project's fault, and says what was reached for, and why it was not."""
    cases = {"host": ("https://evil.example/x", "evil.example:443", "egress-host"),
             "plain": ("http://evil.example/x", "evil.example:80", "egress-host"),
             "own": (f"http://{node.address}/healthz", node.address, "egress-own"),
             "link": ("http://169.254.169.254/latest", "169.254.169.254:80", "egress-link-local")}
    for name, (url, _, _) in cases.items():
        index.add("xegress" + name, ASKS.format(url=url))
    projects = run(node, {name: "xegress" + name for name in cases})
    for name, (_, target, reason) in cases.items():
        project = projects[name]
        assert project["outcome"] == "setup_failed" and project["blame"] == "project", project
        assert f"the requirements tried to reach {target}: " in project["message"], project
        assert f"({reason})" in project["message"], project


def test_a_url_is_refused_before_anything_runs(node):
    (project,) = run(node, {"a": "xegressfine @ https://unasked.example/fine-1.0.tar.gz"}).values()
    assert project["blame"] == "project" and "unasked.example" in project["message"], project
    assert "unasked.example" not in node.tail(), "nobody asked for it"


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_an_index_whose_files_lie_elsewhere(index, tmp_path, installer):
    """That is the operator's to allow; until then it costs nobody a mark."""
    if installer == "uv":
        check_uv()
    options = [] if installer == "uv" else ["--uv", "/nonexistent/uv"]
    with packages.Index("127.0.0.3") as files:
        index.add("xegresselsewhere", link=f"http://{files.host}")
        files.files.update(index.files)
        env = {"PIP_EXTRA_INDEX_URL": index.url, "PIP_FIND_LINKS": None}
        with Node(tmp_path / "a", *options, env=env) as node:
            project = failed_by_cluster(node, "xegresselsewhere", "egress-host")
            assert not project or files.host in project["message"], project
            assert not project or "--index-host" in project["message"], project
        with Node(tmp_path / "b", "--index-host", files.host, *options, env=env) as node:
            (project,) = run(node, {"a": "xegresselsewhere"}).values()
            assert project["passed"] == 1, project


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_an_index_that_is_not_there_is_the_clusters_fault(tmp_path, installer, scheme):
    """Though both installers say it in words of their own, and pip that there is no such package."""
    if installer == "uv":
        check_uv()
    options = [] if installer == "uv" else ["--uv", "/nonexistent/uv"]
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    env = {"PIP_INDEX_URL": f"{scheme}://127.0.0.1:{port}/simple", "PIP_RETRIES": "0",
           "PIP_EXTRA_INDEX_URL": None, "PIP_FIND_LINKS": None}
    with Node(tmp_path, *options, env=env) as node:
        failed_by_cluster(node, "xegressfine", "index-unreachable")


def failed_by_cluster(node, requirement, reason):
    """Waits for the reason. What is the cluster's is tried again some seconds later, and only then
    said: to see that is for those who have the time. The project as it is then, or None."""
    id = node.submit(of_projects({"a": requirement}))
    node.wait_until(lambda: f"reason={reason}" in node.tail(), reason, 60)
    if not FULL:
        (project,) = node.evaluation(id)["projects"].values()
        assert project["status"] != "done", project
        return None
    (project,) = node.wait_done(id)["projects"].values()
    assert project["blame"] == "cluster" and project["outcome"] == "setup_failed", project
    return project


def test_the_operators_proxy_is_gone_through(index, tmp_path):
    """With its password, which no installer sees; NO_PROXY is kept to."""
    check_uv()
    basic = "Basic " + base64.b64encode(b"me:s3cret-of-mine").decode()
    index.add("xegressenv", "import os\nRESULTS.update(os.environ)\n")
    sees = ("import xegressenv as env\n\n\ndef test_it():\n    seen = str(env.RESULTS)\n"
            "    assert 's3cret' not in seen\n"
            "    assert env.RESULTS['HTTPS_PROXY'].startswith('http://127.0.0.1:')\n")
    with forward.Proxy(basic) as proxy, packages.Index("127.0.0.4") as direct:
        direct.add("xegressnearby")
        url = f"http://me:s3cret-of-mine@{proxy.host}"
        env = {"PIP_EXTRA_INDEX_URL": f"{index.url} {direct.url}", "PIP_FIND_LINKS": None,
               "HTTPS_PROXY": url, "HTTP_PROXY": url, "NO_PROXY": "127.0.0.4"}
        with Node(tmp_path, env=env) as node:
            (project,) = run(node, {"a": "xegressenv\nxegressnearby"}, test_it=sees).values()
            assert project["passed"] == 1, (project, node.tail())
            assert "s3cret" not in node.tail()
    assert any(asked.startswith("CONNECT pypi.org:443") for asked in proxy.asked), proxy.asked
    assert any(asked.startswith(f"GET {index.url}xegressenv/") for asked in proxy.asked), proxy.asked
    assert not any("127.0.0.4" in asked for asked in proxy.asked), proxy.asked
    assert direct.asked


def test_a_silent_peer_costs_nobody_else_anything(index, tmp_path):
    """A build that holds connections open and says nothing; the node answers meanwhile."""
    check_uv()
    index.add("xegressholds", "import os, socket, time\n"
                       "port = int(os.environ['HTTP_PROXY'].rsplit(':', 1)[1])\n"
                       "held = [socket.create_connection(('127.0.0.1', port)) for _ in range(200)]\n"
                       "time.sleep(600)\n")
    env = {"PIP_EXTRA_INDEX_URL": index.url, "PIP_FIND_LINKS": None}
    with Node(tmp_path, env=env) as node:
        node.submit(of_projects({"a": "xegressholds"}))
        node.wait_until(lambda: descriptors(node) > 60, "connections are held")
        for _ in range(20):
            assert node.get("/healthz", timeout=1).status == 200
        (project,) = run(node, {"b": "xegressfine"}).values()
        assert project["passed"] == 1, project
        assert descriptors(node) < 200, "a client's connections are bounded"
        node.kill()
        node.wait_until(lambda: not builders(node.data), "nothing is left of the build", 10)


def descriptors(node):
    return len(os.listdir(f"/proc/{node.pid}/fd"))


def builders(data):
    """Processes that have the node's data folder in their command line."""
    found = []
    for pid in filter(re.compile(r"\d+").fullmatch, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if data.encode() in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found
