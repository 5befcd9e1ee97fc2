"""The 202 comes before the clone, so who gave it may die at any moment after: four nodes, kill -9, and
another one goes on, with the token of private repositories, which is nowhere afterwards.

(About half a minute: a mesh of four, a death that must be noticed, and clones that take their time.)"""

import json
import os
import re
import time

import gitserver
import mesh
import pytest
import zips

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

RATE = 20000
PINNED = re.compile(r"/tree/([0-9a-f]{40})$")
SEALED = ".sealed"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gitserver.GitServer(tmp_path_factory.mktemp("git"), rate=RATE, workers=16) as running:
        yield running


@pytest.fixture(scope="module")
def common(server, tmp_path_factory):
    variables = pytest.MonkeyPatch()
    variables.setenv("SSL_CERT_FILE", server.bundle())
    variables.delenv("SSL_CERT_DIR", raising=False)
    with mesh.Mesh(tmp_path_factory.mktemp("mesh"), 4,
                   [*server.node_options(), "--slots", "2", "--git-at-once", "8"], start=False) as made:
        yield made.warm().start()
    variables.undo()


@pytest.fixture
def nodes(common):
    common.start()
    common.totals()
    return common


def slow_files(seconds, tests=1):
    return {"test_a.py": zips.passing(tests), "data": os.urandom(int(RATE * seconds))}


def submit(node, projects, **more):
    answer = node.request("POST", "/evaluation", json.dumps({"projects": projects, **more}),
                          {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    assert answer.json()["replicas"] == 3
    return answer.json()["id"]


def projects_of(node, id):
    document = node.try_json(f"/evaluation/{id}")
    return document["projects"] if document else {}


def cloned(node, id):
    """{name: commit} of what has been cloned, as a node says."""
    found = {name: PINNED.search(project["source"]) for name, project in projects_of(node, id).items()}
    return {name: match.group(1) for name, match in found.items() if match}


def sealed(node):
    return [os.path.join(node.data, path) for path in node.files() if path.endswith(SEALED)]


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def check_sealed(nodes, server):
    """Right after the 202: on the three replicas, each its owner's alone, and not to be read."""
    found = [path for node in nodes.nodes for path in sealed(node)]
    assert len(found) == 3, found
    for path in found:
        assert os.stat(path).st_mode & 0o777 == 0o600, path
        assert server.token.encode() not in read(path) and b"localhost" not in read(path)


def check_no_token(nodes, server):
    for node in nodes.nodes:
        for path in [node.log, *(os.path.join(node.data, path) for path in node.files())]:
            assert server.token.encode() not in read(path), path


def check_done(nodes, id, commits):
    """Over on all that run, in the same words, each test counted once, each commit pinned."""
    document = nodes.wait_same(id)
    assert document["status"] == "done" and not document.get("incomplete"), document
    assert cloned(nodes.alive()[0], id) == commits
    assert [project["passed"] for project in document["projects"].values()] == [1] * len(commits)
    for name, rows in document["module_results"].items():
        assert [(row["outcome"], row["passed"]) for row in rows.values()] == [("passed", 1)], name
    return document


SLEEPS = "import time\n\ntime.sleep(3)\n"  # in a conftest.py: until then there is no plan


def test_the_accepting_node_is_killed(nodes, server):
    """Three evaluations at three moments: all repositories still come; some have come; all have come,
    and there is no plan yet."""
    make = server.repository
    first = {f"early-slow-{n}": make(f"private/early-slow-{n}", slow_files(4)) for n in range(3)}
    middle = {"mid-slow": make("private/mid-slow", slow_files(5)),
              "mid-quick": make("o/mid-quick", {"test_a.py": zips.passing(1)})}
    last = {f"late-{n}": make(f"private/late-{n}", {"test_a.py": zips.passing(1), "conftest.py": SLEEPS})
            for n in range(2)}
    before = nodes.totals()
    owner = nodes[1]
    others = [node for node in nodes.nodes if node is not owner]
    late = submit(owner, [server.url(f"private/{name}") for name in last], auth_token=server.token)
    mid = submit(owner, [server.url("private/mid-slow"), server.url("o/mid-quick")],
                 auth_token=server.token)
    nodes.wait(lambda: cloned(owner, late) == last, "the last one is cloned", 20, pause=0.01)
    nodes.wait(lambda: list(cloned(owner, mid)) == ["mid-quick"], "the middle one is half cloned", 20,
               pause=0.01)
    early = submit(owner, [server.url(f"private/{name}") for name in first], auth_token=server.token)
    assert projects_of(owner, late) and not any(
        owner.evaluation(late)["module_results"].values()), "there is no plan"
    assert not cloned(owner, early) and list(cloned(owner, mid)) == ["mid-quick"]
    owner.kill()
    documents = {id: check_done(nodes, id, commits)
                 for id, commits in ((early, first), (mid, middle), (late, last))}
    after = nodes.same_totals()
    assert after["passed"] == before["passed"] + 7
    assert after["evaluations"] == before["evaluations"] + 3
    nodes.wait(lambda: not [path for node in others for path in sealed(node)], "no token is left", 10)
    owner.restart()
    nodes.wait_agree()
    for id, document in documents.items():
        assert nodes.wait_same(id) == document
    nodes.wait(lambda: not sealed(owner), "no token is left where it was killed", 10)
    check_no_token(nodes, server)


def test_the_token_is_on_the_replicas_and_progress_everywhere(nodes, server):
    commit = server.repository("private/seen-slow", slow_files(3))
    id = submit(nodes[2], [server.url("private/seen-slow")], auth_token=server.token)
    check_sealed(nodes, server)
    waiting = set(nodes.nodes)
    seen = {node: set() for node in nodes.nodes}

    def all_have_seen():
        for node in list(waiting):
            fetch = projects_of(node, id).get("seen-slow", {}).get("fetch")
            if fetch and fetch["phase"] == "receiving":
                seen[node].add(fetch["received_bytes"])
            if len(seen[node]) >= 2:
                waiting.discard(node)
        return not waiting

    nodes.wait(all_have_seen, "every node tells how the clone goes on", 10)
    check_done(nodes, id, {"seen-slow": commit})
    assert all("fetch" not in projects_of(node, id)["seen-slow"] for node in nodes.nodes)
    nodes.wait(lambda: not [path for node in nodes.nodes for path in sealed(node)], "no token", 10)
    check_no_token(nodes, server)


def test_a_cancel_from_anywhere_ends_the_clone(nodes, server):
    server.repository("private/gone-slow", slow_files(20))
    id = submit(nodes[0], [server.url("private/gone-slow")], auth_token=server.token)
    nodes.wait(lambda: projects_of(nodes[3], id).get("gone-slow", {}).get("fetch"), "a clone", 10)
    assert nodes[3].request("DELETE", f"/evaluation/{id}").status in (200, 202, 204)
    document = nodes.wait_same(id, 20)
    assert document["status"] == "cancelled"
    nodes.wait(lambda: not [path for node in nodes.nodes for path in sealed(node)], "no token", 10)


def test_one_key_on_two_nodes_is_one_evaluation(nodes, server):
    """The same request with another token, while the first is still cloned."""
    server.repository("private/keyed-slow", slow_files(2))
    projects = [server.url("private/keyed-slow")]
    ids = []
    for node, token in ((nodes[0], server.token), (nodes[1], "another-token")):
        answer = node.request("POST", "/evaluation",
                              json.dumps({"projects": projects, "auth_token": token}),
                              {"Content-Type": "application/json", "Idempotency-Key": "one"})
        assert answer.status == 202, answer
        ids.append(answer.json()["id"])
    assert ids[0] == ids[1]
    assert sum(len(sealed(node)) for node in nodes.nodes) == 3
    assert nodes.wait_same(ids[0])["projects"]["keyed-slow"]["passed"] == 1
    nodes.wait(lambda: not [path for node in nodes.nodes for path in sealed(node)], "no token", 10)
