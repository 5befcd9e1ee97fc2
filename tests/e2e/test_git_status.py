"""What the repositories' host is told of the commits: a real git server, and an API that is ours."""

import json
import os
import subprocess
import time

import gitserver
import memory
import mesh
import pytest
import zips
from node import FULL, PROGRAM, Node, environment
from statusapi import StatusApi

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

FAILING = "def test_one():\n    pass\n\n\ndef test_two():\n    assert 1 == 2\n"
PUBLIC = "https://marks.example.org/mesh"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gitserver.GitServer(tmp_path_factory.mktemp("git")) as running:
        running.repository("o/good", {"test_a.py": zips.passing(3)})
        running.repository("o/bad", {"test_a.py": FAILING})
        running.repository("o/slow", {"test_a.py": zips.passing(1)})
        running.repository("o/other", {"test_a.py": zips.passing(2)})
        running.repository("o/none", {"README": "x\n"})
        running.repository("private/good", {"test_a.py": zips.passing(1)})
        yield running


@pytest.fixture(scope="module")
def api(server):
    with StatusApi(server) as running:
        yield running


@pytest.fixture(scope="module")
def node(server, api, tmp_path_factory):
    with Node(tmp_path_factory.mktemp("node"), *server.node_options(), *api.node_options(),
              "--public-url", PUBLIC, env=server.node_env()) as running:
        yield running
        assert running.is_alive(), running.tail()
        assert running.stop() == 0, running.tail()


@pytest.fixture(autouse=True)
def forget(api):
    api.posts.clear()
    api.seen.clear()
    api.ways.clear()
    api.released.clear()
    yield
    api.released.set()


def post(node, projects, **more):
    return node.request("POST", "/evaluation", json.dumps({"projects": projects, **more}),
                        {"Content-Type": "application/json"}, timeout=130)


def run(node, server, names, token=None, **more):
    """The finished document of repositories whose statuses are told."""
    answer = post(node, [server.url(name) for name in names], statuses=True,
                  auth_token=token or server.token, **more)
    assert answer.status == 202, answer
    return node.wait_done(answer.json()["id"])


def commit_of(document, project):
    return document["projects"][project]["source"].rpartition("/")[2]


def wait_states(node, api, repository, states):
    node.wait_until(lambda: api.states(repository) == states, f"{states} of {repository}", 20)


def test_each_project_is_told(node, server, api):
    document = run(node, server, ["o/good", "o/bad", "private/good", "o/none"])
    wanted = {"o/good": ("good", "success", "20/20, 3 of 3 passed"),
              "o/bad": ("bad", "failure", "10/20, 1 of 2 passed"),
              "private/good": ("good-2", "success", "20/20, 1 of 1 passed"),
              "o/none": ("none", "error", "no tests")}
    for repository, (project, state, words) in wanted.items():
        wait_states(node, api, repository, ["pending", state])
        assert {commit for commit, *_ in api.told(repository)} == {commit_of(document, project)}
        last = api.told(repository)[-1][2]
        assert last == {"state": state, "context": "testmesh/" + project, "description": words,
                        "target_url": f"{PUBLIC}/evaluation/{document['id']}"}


def test_the_client_asks_for_it(node, server, api, tmp_path):
    token = tmp_path / "token"
    token.write_text(server.token)
    token.chmod(0o600)
    done = subprocess.run([PROGRAM, "run", "--node", f"http://{node.address}", "--statuses", "--token-file",
                           str(token), server.url("o/good")], stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), check=False)
    assert done.returncode == 0 and server.token.encode() not in done.stdout, done
    wait_states(node, api, "o/good", ["pending", "success"])


def test_nobody_asked(node, server, api):
    for more in ({}, {"statuses": False}, {"statuses": None}):
        answer = post(node, [server.url("o/good")], auth_token=server.token, **more)
        node.wait_done(answer.json()["id"])
    assert not api.seen


@pytest.mark.parametrize("more, code", [
    ({"statuses": True}, "statuses-token"),
    ({"statuses": True, "auth_token": None}, "statuses-token"),
    ({"statuses": 1, "auth_token": "x"}, "unprocessable"),
])
def test_requests_that_make_no_sense(node, server, more, code):
    answer = post(node, [server.url("o/good")], **more)
    assert answer.status == 422 and answer.json()["code"] == code, answer


def test_a_repository_that_was_renamed(node, server, api):
    """The API sends on: within its host the status follows, to another one it does not."""
    def moved(request):
        api.answer(request, 307, {"Location": request.path.replace("/o/slow/", "/o/moved/")})

    def elsewhere(request):
        api.answer(request, 301, {"Location": server.url("stolen") + request.path})

    api.ways["o/slow"] = [moved, moved]
    api.ways["o/other"] = [elsewhere, elsewhere]
    document = run(node, server, ["o/slow", "o/other"])
    wait_states(node, api, "o/moved", ["pending", "success"])
    assert {commit for commit, *_ in api.told("o/moved")} == {commit_of(document, "slow")}
    node.wait_until(lambda: node.tail(1 << 20).count("sends on to another place") == 2, "its words", 20)
    assert not [line for line in server.requests() if "stolen" in line]


def test_a_host_in_trouble_is_asked_again(node, server, api):
    api.ways["o/good"] = [502, (403, {"X-RateLimit-Remaining": "0", "Retry-After": "1"}), api.endless]
    api.ways["o/bad"] = [(429, {"Retry-After": "1"})]
    document = run(node, server, ["o/good", "o/bad"])
    assert document["status"] == "done"
    node.wait_until(lambda: api.states("o/good")[-1:] == ["success"], "success", 40)
    node.wait_until(lambda: api.states("o/bad")[-1:] == ["failure"], "failure", 40)
    assert len([path for path, _ in api.seen if "/o/good/" in path]) >= 4


def test_a_host_that_says_no_costs_nothing_else(node, server, api):
    api.ways["o/good"] = [404] * 9
    api.ways["o/bad"] = [422] * 9
    document = run(node, server, ["o/good", "o/bad"])
    assert document["projects"]["good"]["passed"] == 3 and not document.get("incomplete")
    node.wait_until(lambda: "no such repository for this token" in node.tail(1 << 20), "its words", 20)
    node.wait_until(lambda: "no such commit there" in node.tail(1 << 20), "its words", 20)
    node.wait_until(lambda: len(api.seen) >= 4, "two of each", 20)
    assert len(api.seen) == 4 and not api.posts, "it is not asked again"
    assert server.token not in node.tail(1 << 20)


def test_a_silent_host_keeps_nobody_waiting(node, server, api):
    """Neither the evaluation nor what is to be told of another one."""
    api.ways["o/slow"] = [api.silent]
    document = run(node, server, ["o/slow", "private/good"])
    assert document["status"] == "done"
    wait_states(node, api, "private/good", ["pending", "success"])
    api.released.set()
    node.wait_until(lambda: api.states("o/slow")[-1:] == ["success"], "it is asked again", 20)


def test_a_wrong_token_is_told_to_nobody_else(node, server, api):
    document = run(node, server, ["o/other"], token="another-token")
    assert document["projects"]["other"]["passed"] == 2
    node.wait_until(lambda: "the token is not taken" in node.tail(1 << 20), "its words", 20)
    assert not api.told("o/other") and "another-token" not in node.tail(1 << 20)


def test_gitlab(server, tmp_path):
    with StatusApi(server, kind="gitlab") as api, \
            Node(tmp_path, *server.node_options(), *api.node_options(), env=server.node_env()) as node:
        answer = post(node, [server.url("o/good")], statuses=True, auth_token=server.token)
        wait_states(node, api, "o/good", ["pending"])
        told = api.told("o/good")[0][2]
        assert told["name"] == "testmesh/good"
        assert told["target_url"] == f"http://{node.address}/evaluation/{answer.json()['id']}"


@pytest.mark.parametrize("options", [
    ["--status-api", "localhost"], ["--status-api", "=https://x"], ["--status-api", "a=http://x"],
    ["--status-api", "a=https://x/?y"], ["--public-url", "ftp://x"], ["--public-url", "https://x/"]])
def test_options_that_make_no_sense(tmp_path, options):
    node = Node(tmp_path, *options, start=False)
    begin = node.launch()
    assert node.process.wait(20) == 4, node.tail()
    assert options[0] in node.tail() and begin == 0


def test_a_node_that_leaves_tells_what_waits(server, tmp_path):
    with StatusApi(server) as api, \
            Node(tmp_path, *server.node_options(), *api.node_options(), env=server.node_env()) as node:
        api.ways["o/none"] = [502]
        answer = post(node, [server.url("o/none")], statuses=True, auth_token=server.token)
        assert answer.status == 202
        node.wait_until(lambda: api.seen, "the first try", 20, pause=0.01)
        node.request("DELETE", "/evaluation/" + answer.json()["id"])
        assert node.stop() == 0
        assert api.states("o/none")[-1:] == ["error"]


@pytest.mark.skipif(not FULL, reason="waits for what does not come")
def test_a_host_that_wants_patience_holds_no_node_back(server, tmp_path):
    with StatusApi(server) as api, \
            Node(tmp_path, *server.node_options(), *api.node_options(), env=server.node_env()) as node:
        api.ways["o/none"] = [(429, {"Retry-After": "600"})] * 9
        post(node, [server.url("o/none")], statuses=True, auth_token=server.token)
        node.wait_until(lambda: not api.ways["o/none"][8:], "the first try", 20, pause=0.01)
        began = time.monotonic()
        assert node.stop() == 0 and time.monotonic() - began < 15


def test_who_takes_over_tells_the_rest(server, tmp_path, monkeypatch):
    """The accepting node is killed when pending was told: another one says how it ended."""
    commit = server.repository("private/long", {"test_a.py": zips.sleeping(2, 2)})
    monkeypatch.setenv("SSL_CERT_FILE", server.bundle())
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with StatusApi(server) as api, \
            mesh.Mesh(tmp_path, 3, options=[*server.node_options(), *api.node_options()]) as nodes:
        nodes.wait_agree()
        answer = post(nodes[0], [server.url("private/long")], statuses=True, auth_token=server.token)
        assert answer.status == 202, answer
        nodes.wait(lambda: api.states("private/long") == ["pending"], "pending", 60, pause=0.01)
        nodes[0].kill()
        nodes.wait(lambda: api.states("private/long")[-1:] == ["success"], "success", 60)
        states = api.states("private/long")
        assert states == ["pending"] * (len(states) - 1) + ["success"]
        assert {told[0] for told in api.told("private/long")} == {commit}
        nodes.wait_same(answer.json()["id"])
        for node in nodes.nodes:
            assert server.token not in node.tail(1 << 20)
        for node in nodes.alive() if os.geteuid() == 0 else ():
            nodes.wait(lambda: not memory.find(node.pid, [server.token.encode()]), "no token is left", 10)


@pytest.mark.skipif(not FULL, reason="as who takes over does, and slower")
def test_a_node_that_comes_back_tells_the_rest(server, tmp_path):
    """kill -9 between pending and the end, and nobody else is there."""
    server.repository("o/later", {"test_a.py": zips.sleeping(1, 2)})
    with StatusApi(server) as api, \
            Node(tmp_path, *server.node_options(), *api.node_options(), env=server.node_env()) as node:
        answer = post(node, [server.url("o/later")], statuses=True, auth_token=server.token)
        node.wait_until(lambda: api.states("o/later") == ["pending"], "pending", 60, pause=0.01)
        node.kill()
        node.start()
        node.wait_done(answer.json()["id"])
        node.wait_until(lambda: api.states("o/later")[-1:] == ["success"], "success", 20)
        assert set(api.states("o/later")[:-1]) == {"pending"}
