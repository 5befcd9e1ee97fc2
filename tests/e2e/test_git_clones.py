"""Repositories are cloned after the 202: how many at once, how long, and until when; on one node.

(Half a minute: what is interrupted must take its time.)"""

import json
import os
import re
import signal
import subprocess
import time

import gitserver
import pytest
import zips
from described import check, described
from node import Node
from processes import descendants

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

RATE = 20000  # bytes a second, of each slow repository
PINNED = re.compile(r"/tree/[0-9a-f]{40}$")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gitserver.GitServer(tmp_path_factory.mktemp("git"), rate=RATE, workers=12) as running:
        running.repository("o/quick", {"test_a.py": zips.passing(1)})
        for name in ("one", "two"):
            running.repository("slow/" + name, slow_files(3))
        yield running


@pytest.fixture(scope="module")
def odd(server):
    with gitserver.OddServer(server) as running:
        yield running


def slow_files(seconds):
    """What takes so long to send."""
    return {"test_a.py": zips.passing(1), "data": os.urandom(int(RATE * seconds))}


@pytest.fixture(scope="module")
def make(server, odd, tmp_path_factory):
    """Makes nodes that have the environment already: what is tested here is not about downloads."""
    options = [*server.node_options(), *odd.node_options()]
    with Node(tmp_path_factory.mktemp("first"), *options, env=server.node_env()) as first:
        first.wait_done(submit(first, [server.url("o/quick")]))

    def start(folder, *more):
        made = Node(folder, *options, *more, env=server.node_env(), start=False)
        os.makedirs(made.data)
        subprocess.run(["cp", "-a", os.path.join(first.data, "envs"), made.data], check=True)
        return made.start()

    return start


@pytest.fixture(scope="module")
def node(make, tmp_path_factory):
    with make(tmp_path_factory.mktemp("node")) as running:
        yield running
        assert running.stop() == 0, running.tail()


def submit(node, projects, **more):
    answer = node.request("POST", "/evaluation", json.dumps({"projects": projects, **more}),
                          {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    return answer.json()["id"]


def fetching(node):
    """The children that fetch."""
    found = []
    for pid in descendants(node.pid):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                found += [pid] if b"--helper\0fetch\0" in file.read() else []
        except OSError:
            pass
    return found


def left_behind(node):
    return [path for path in node.files() if "clone-" in path or "upload-" in path]


def test_the_answer_does_not_wait_for_the_clone(node, server):
    began = time.monotonic()
    id = submit(node, [server.url("slow/one")])
    assert time.monotonic() - began < 1.5, "it takes three to clone"
    seen = []

    def look():
        project = node.evaluation(id)["projects"]["one"]
        check(described(), {"$ref": "#/components/schemas/Project"}, project)
        seen.append((project.get("fetch"), project["source"]))
        return PINNED.search(project["source"])

    node.wait_until(look, "a commit", 30)
    phases = {fetch["phase"] for fetch, _ in seen if fetch}
    assert phases <= {"waiting", "connecting", "receiving", "indexing"} and "receiving" in phases
    amounts = [fetch["received_bytes"] for fetch, _ in seen if fetch]
    assert amounts == sorted(amounts) and len(set(amounts)) >= 3 and amounts[-1] > RATE
    assert all(fetch["tries"] == 1 for fetch, _ in seen if fetch and fetch["phase"] == "receiving")
    document = node.wait_done(id)
    assert "fetch" not in document["projects"]["one"]
    assert document["projects"]["one"]["passed"] == 1
    assert not left_behind(node)


def test_who_asks_for_the_end_gets_it(node, server):
    answer = node.request("POST", "/evaluation?wait=60",
                          json.dumps({"projects": [server.url("o/quick")]}),
                          {"Content-Type": "application/json"}, timeout=90)
    assert answer.status == 200 and answer.json()["status"] == "done"
    assert answer.json()["projects"]["quick"]["passed"] == 1


def test_news_of_a_clone_change_the_tag(node, server):
    id = submit(node, [server.url("slow/one")])
    node.wait_until(lambda: fetching(node), "a clone", 10)
    tags = set()
    while "fetch" in node.evaluation(id)["projects"]["one"]:
        answer = node.get(f"/evaluation/{id}")
        same = node.get(f"/evaluation/{id}", headers={"If-None-Match": answer.headers["etag"]})
        tags.add(answer.headers["etag"])
        assert same.status in (200, 304)
        time.sleep(0.1)
    assert len(tags) >= 3
    node.wait_done(id)


def test_so_many_at_once_and_no_more(server, make, tmp_path):
    for number in range(20):
        server.repository(f"slow/many-{number}", slow_files(1.2))
    with make(tmp_path, "--git-at-once", "5") as node:
        id = submit(node, [server.url(f"slow/many-{number}") for number in range(20)])
        small = submit(node, [server.url("o/quick")])
        assert len(fetching(node)) <= 5
        node.wait_until(lambda: PINNED.search(node.evaluation(small)["projects"]["quick"]["source"]),
                        "the small one is cloned", 20, pause=0.01)
        large = node.evaluation(id)["projects"].values()
        assert any("fetch" in project for project in large), "the small one did not wait for all"
        node.wait_until(lambda: all(PINNED.search(project["source"])
                                    for project in node.evaluation(id)["projects"].values()),
                        "all are cloned", 60)
        assert not fetching(node)
        node.request("DELETE", f"/evaluation/{id}")
    assert server.busiest("slow/many-") == 5


def test_one_that_hangs_is_killed_at_its_limit(odd, make, tmp_path):
    """A child that does nothing at all; the node answers meanwhile."""
    with make(tmp_path, "--git-timeout", "2s") as node:
        id = submit(node, [odd.url("silent/x")])
        node.wait_until(lambda: [seen for seen in odd.seen if "silent/x" in seen[0]], "a request", 10)
        (stuck,) = fetching(node)
        os.kill(stuck, signal.SIGSTOP)
        took = []
        deadline = time.monotonic() + 20
        while fetching(node):
            assert time.monotonic() < deadline, "it is still there"
            began = time.monotonic()
            assert node.get("/healthz").status == 200
            took.append(time.monotonic() - began)
        print(f"/healthz: median {sorted(took)[len(took) // 2] * 1e3:.1f} ms, most "
              f"{max(took) * 1e3:.1f} ms of {len(took)}")
        assert sorted(took)[len(took) * 9 // 10] < 0.1
        document = node.wait_done(id)
        assert "(repo-timeout)" in document["projects"]["x"]["message"]
        assert document["projects"]["x"]["blame"] == "cluster" and document["incomplete"]
        assert not left_behind(node)


def test_a_client_that_leaves_changes_nothing_and_a_cancel_does(node, odd):
    id = submit(node, [odd.url("silent/y")])
    node.wait_until(lambda: fetching(node), "a clone", 10)
    assert node.request("DELETE", f"/evaluation/{id}").status in (200, 202, 204)
    node.wait_until(lambda: not fetching(node), "no clone", 10)
    document = node.wait_done(id, 20)
    assert document["status"] == "cancelled"
    node.wait_until(lambda: not left_behind(node), "no folder", 10)


def test_a_node_that_is_killed_goes_on_by_itself(server, make, tmp_path):
    server.repository("private/slow", slow_files(2))
    with make(tmp_path) as node:
        id = submit(node, [server.url("private/slow"), server.url("slow/two")],
                    auth_token=server.token)
        node.wait_until(lambda: len(fetching(node)) == 2, "two clones", 10)
        (sealed,) = [path for path in node.files() if path.endswith(".sealed")]
        assert os.stat(os.path.join(node.data, sealed)).st_mode & 0o777 == 0o600
        node.kill()
        node.start()
        document = node.wait_done(id)
        assert [document["projects"][name]["passed"] for name in ("slow", "two")] == [1, 1]
        assert all(PINNED.search(project["source"]) for project in document["projects"].values())
        node.wait_until(lambda: not [path for path in node.files() if path.endswith(".sealed")],
                        "the token is gone", 10)
        assert not left_behind(node)


def test_a_token_opens_as_long_as_its_key_is_there(server, make, tmp_path):
    """The key is changed while a clone is under way: with the old one beside the new one it goes on."""
    old, new = "1" * 64 + "\n", "2" * 64 + "\n"
    key = tmp_path / "key"

    def write(text):
        key.write_text(text)
        key.chmod(0o600)

    write(old)
    server.repository("private/keyed-slow", slow_files(3))
    with make(tmp_path / "node", "--key-file", str(key)) as node:
        kept = submit(node, [server.url("private/keyed-slow")], auth_token=server.token)
        node.wait_until(lambda: fetching(node), "a clone", 10)
        node.kill()
        write(new + old)
        node.start()
        assert node.wait_done(kept)["projects"]["keyed-slow"]["passed"] == 1
        lost = submit(node, [server.url("private/keyed-slow")], auth_token=server.token)
        node.wait_until(lambda: fetching(node), "a clone", 10)
        node.kill()
        write(old)
        node.start()
        project = node.wait_done(lost)["projects"]["keyed-slow"]
        assert "(repo-secret)" in project["message"] and project["blame"] == "cluster"
        assert project["nota"] is None
