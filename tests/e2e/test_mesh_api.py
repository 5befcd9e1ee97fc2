"""What users see of a mesh: any node answers for all of it, while it runs and after."""

import glob
import itertools
import os
import threading
import time

import pytest
import zips
from described import check, described
from mesh import Mesh

SCHEMAS = {"/stats": "Stats", "/network": "Network", "/peers": "Peers", "/nodes": "Nodes",
           "/load": "Load", "/evaluation": "Evaluations"}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    """Four nodes with a slot each, for all tests that leave them as they were."""
    with Mesh(tmp_path_factory.mktemp("mesh"), 4, ("--slots", "1")) as running:
        yield running
        assert len(running.alive()) == 4, running.tails()


def small(projects, seconds=0.3, tests=2):
    """A zip of projects with one module each: they are prepared, and then run, on many nodes."""
    files = {}
    for number in range(projects):
        files.update(zips.project(f"p{number}", test_a=zips.sleeping(seconds, tests)))
    return zips.of_files(files)


def running_of(document):
    return {(name, path): row["node"] for name, rows in document["module_results"].items()
            for path, row in rows.items() if row["status"] == "running"}


@pytest.fixture(scope="module")
def done(mesh):
    """An evaluation of eight projects, seen while it ran: (document, what the nodes said at a time)."""
    files = {}
    for number in range(8):
        files.update(zips.project(f"p{number}", test_a=zips.sleeping(1, 2)))
    files["p0/tests/test_bad.py"] = "def test_bad():\n    print('so it goes')\n    assert False\n"
    id = mesh[0].submit(zips.of_files(files))
    seen = []
    while not seen or seen[-1][0]["status"] not in ("done", "failed"):
        seen.append([node.evaluation(id) for node in mesh.nodes])
        time.sleep(0.1)
    return mesh.wait_same(id), seen


# ---- reading -----------------------------------------------------------------------------------


def test_an_id_is_known_everywhere_at_once_and_another_nowhere(mesh):
    id = mesh[1].submit(small(1, 0.1))
    for node in mesh.nodes:
        assert node.evaluation(id)["id"] == id
        begun = time.monotonic()
        answer = node.get("/evaluation/7777777")
        assert (answer.status, answer.json()["code"]) == (404, "evaluation-not-found")
        assert time.monotonic() - begun < 2
    mesh.wait_same(id)


def test_every_node_knows_what_runs_where(mesh, done):
    document, seen = done
    assert document["status"] == "done"
    homes = {node.home for node in mesh.nodes}
    told = [[running_of(said) for said in row] for row in seen]
    assert all(set(running.values()) <= homes for row in told for running in row)
    same = [row[0] for row in told if row[0] and all(running == row[0] for running in row)]
    assert same, "at no time did all nodes tell of the same running modules"
    assert any(len(set(running.values())) > 1 for running in same), "it ran on one node alone"
    for row in seen:
        for said in row:
            assert said["executing"] == len(running_of(said))
            assert said["executed"] + said["executing"] + said["pending"] == sum(
                len(rows) for rows in said["module_results"].values())


def test_what_has_ended_stays_ended_on_each_node(mesh, done):
    _, seen = done
    for said in zip(*seen):
        counts = [document["executed"] for document in said]
        assert counts == sorted(counts)


def test_nodes_agree_about_the_end(mesh, done):
    document, _ = done
    assert document["executed"] == 9 and document["_run_info"]["%failed"] == pytest.approx(100 / 17, abs=1e-3)
    assert len({row["node"] for rows in document["module_results"].values() for row in rows.values()}) > 1


def test_a_wait_ends_with_the_evaluation_on_any_node(mesh):
    id = mesh[0].submit(small(2, 0.5))
    answers = {}

    def wait(node):
        answers[node.home] = (node.get(f"/evaluation/{id}?wait=100", timeout=120).json()["status"],
                              time.monotonic())

    threads = [threading.Thread(target=wait, args=(node,)) for node in mesh.nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answers.values()} == {"done"}
    moments = [moment for _, moment in answers.values()]
    assert max(moments) - min(moments) < 3
    begun = time.monotonic()
    assert mesh[2].get(f"/evaluation/{id}?wait=30").json()["status"] == "done"
    assert time.monotonic() - begun < 2


def test_a_submission_that_waits_is_answered_with_the_document(mesh):
    answer = mesh[2].post_zip(small(1, 0.1), query="?wait=100", headers={"Idempotency-Key": "patient"})
    assert answer.status == 200 and answer.json()["status"] == "done", answer


def test_a_wait_that_is_over_first_is_answered_with_what_there_is(mesh):
    id = mesh[0].submit(small(1, 4, 1))
    for node in mesh.nodes:
        assert node.get(f"/evaluation/{id}?wait=1").json()["status"] in ("submitted", "preparing", "running")
    mesh.wait_same(id)


def test_etags_on_a_node_that_does_not_lead_it(mesh):
    id = mesh[0].submit(small(3, 0.5, 4))
    other, tags, unchanged = mesh[3], [], 0
    while True:
        answer = other.get(f"/evaluation/{id}", {"If-None-Match": tags[-1]} if tags else None)
        if answer.status == 304:
            assert answer.body == b"" and answer.headers["etag"] == tags[-1]
            unchanged += 1
            time.sleep(0.05)
            continue
        assert answer.headers["etag"] not in tags, "a tag came back"
        tags.append(answer.headers["etag"])
        if answer.json()["status"] == "done":
            break
    assert len(tags) > 3 and unchanged > 0
    for node in mesh.nodes:  # what is final has one tag, whoever tells it
        mesh.wait_same(id)
        assert node.get(f"/evaluation/{id}", {"If-None-Match": tags[-1]}).status == 304


def test_an_owner_that_is_silent_makes_the_answer_stale(mesh):
    id = mesh[0].submit(small(1, 5, 2))
    other = mesh[1]
    other.wait_until(lambda: running_of(other.evaluation(id)), "it runs")
    mesh[0].pause()
    try:
        time.sleep(0.3)
        begun = time.monotonic()
        document = other.evaluation(id)
        assert time.monotonic() - begun < 2 and document["stale_ms"] > 0
        assert document["status"] in ("preparing", "running")
    finally:
        mesh[0].resume()
    mesh.wait_agree()
    assert "stale_ms" not in mesh.wait_same(id)


# ---- tests and logs ----------------------------------------------------------------------------


def test_tests_and_logs_are_read_from_any_node(mesh, done):
    document, _ = done
    id = document["id"]
    lists = [sorted((row["project"], row["test"], row["outcome"]) for row in node.tests(id))
             for node in mesh.nodes]
    assert len(lists[0]) == 17 and all(rows == lists[0] for rows in lists)
    for node in mesh.nodes:
        log = node.get(f"/evaluation/{id}/logs/p0/tests/test_bad.py")
        assert log.status == 200 and b"so it goes" in log.body
        assert [row["test"] for row in node.tests(id, outcome="failed")] == ["tests/test_bad.py::test_bad"]


def test_tests_are_read_while_it_runs(mesh):
    files = zips.project("long", test_a=zips.passing(3), test_z=zips.sleeping(4, 1))
    id = mesh[0].submit(zips.of_files(files))
    mesh[0].wait_until(lambda: mesh[0].evaluation(id)["executed"] >= 1, "the short one has ended")
    for node in mesh.nodes:
        assert len(list(node.tests(id, module="tests/test_a.py"))) == 3
        assert node.get(f"/evaluation/{id}/logs/long/tests/test_z.py").json()["code"] == "log-not-found"
    mesh.wait_same(id)


def test_pages_of_records_that_are_elsewhere(mesh):
    files = {}
    for number, module in itertools.product(range(4), range(8)):
        files.update(zips.project(f"p{number}", **{f"test_{module}": zips.passing(2)}))
    id = mesh[0].submit(zips.of_files(files))
    mesh.wait_same(id)
    for node in mesh.nodes:
        assert len(list(node.tests(id, limit=7))) == 64
        assert "missing" not in node.get_json(f"/evaluation/{id}/tests")


def test_records_that_nobody_has_are_named(tmp_path):
    with Mesh(tmp_path, 2, ("--slots", "1")) as mesh:
        id = mesh[0].submit(zips.of_files({"a/test_a.py": "def test_a():\n    print('x')\n",
                                           "a/test_b.py": "def test_b():\n    print('x')\n"}))
        document = mesh.wait_same(id)
        assert document["status"] == "done"
        for node in mesh.nodes:
            assert len(list(node.tests(id))) == 2
        found = [path for node in mesh.nodes for ext in ("jsonl", "log")
                 for path in glob.glob(os.path.join(node.data, "**", f"*.{ext}"), recursive=True)]
        assert found
        for path in found:
            os.unlink(path)
        for node in mesh.nodes:
            page = node.get_json(f"/evaluation/{id}/tests")
            check(described(), {"$ref": "#/Tests"}, page)
            assert page["items"] == [] and page["next"] is None
            assert [row["module"] for row in page["missing"]] == ["test_a.py", "test_b.py"]
            answer = node.get(f"/evaluation/{id}/logs/a/test_a.py")
            assert (answer.status, answer.json()["code"]) == (404, "log-not-found")


# ---- cancelling --------------------------------------------------------------------------------


def test_any_node_cancels(mesh):
    id = mesh[0].submit(small(4, 30, 1))
    mesh[2].wait_until(lambda: mesh[2].evaluation(id)["status"] != "submitted", "it is being prepared")
    answer = mesh[3].request("DELETE", f"/evaluation/{id}")
    assert answer.status == 202 and answer.json()["status"] == "cancelling"
    assert mesh.wait_same(id, 30)["status"] == "cancelled"
    assert mesh[1].request("DELETE", f"/evaluation/{id}").status == 409
    assert mesh[1].request("DELETE", "/evaluation/7777777").status == 404


# ---- one key, one evaluation -------------------------------------------------------------------


def post_all(mesh, data, key):
    """The answers of all nodes to one request at the same moment; `data` is called with a number."""
    answers = [None] * len(mesh.nodes)

    def post(number):
        answers[number] = mesh[number].post_zip(data(number), headers={"Idempotency-Key": key})

    threads = [threading.Thread(target=post, args=(number,)) for number in range(len(answers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_a_key_is_one_evaluation_on_all_nodes(mesh):
    data = small(1, 0.1)
    first = mesh[0].post_zip(data, headers={"Idempotency-Key": "k-1"})
    again = [node.post_zip(data, headers={"Idempotency-Key": "k-1"}) for node in mesh.nodes]
    assert {answer.status for answer in [first, *again]} == {202}
    assert {answer.json()["id"] for answer in [first, *again]} == {first.json()["id"]}
    assert first.json()["replicas"] == 3 and again[0].headers["location"] == first.headers["location"]
    mesh.wait_same(first.json()["id"])
    late = mesh[2].post_zip(data, headers={"Idempotency-Key": "k-1"})
    assert (late.status, late.json()["id"]) == (202, first.json()["id"])
    other = mesh[3].post_zip(small(2, 0.1), headers={"Idempotency-Key": "k-1"})
    assert (other.status, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize("round", range(3))
def test_a_key_at_the_same_moment(mesh, round):
    data = small(1, 0.05)
    answers = post_all(mesh, lambda number: data, f"moment-{round}")
    assert {answer.status for answer in answers} == {202}, answers
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert mesh.wait_same(answers[0].json()["id"])["status"] == "done"


def test_two_bodies_under_one_key_at_the_same_moment(mesh):
    bodies = [small(1, 0.05), small(1, 0.06)]
    answers = post_all(mesh, lambda number: bodies[number % 2], "mixed")
    taken = [number % 2 for number, answer in enumerate(answers) if answer.status == 202]
    assert taken and len(set(taken)) == 1, answers
    assert {answer.json()["code"] for answer in answers if answer.status != 202} == {"idempotency-key-reused"}
    assert len({answer.json()["id"] for answer in answers if answer.status == 202}) == 1


def test_a_key_survives_the_node_that_took_it_first(tmp_path):
    """The first node goes at any moment of it; who repeats the request finds or makes the one evaluation."""
    data = small(1, 0.05)
    with Mesh(tmp_path, 4, ("--slots", "1")) as mesh:
        before = 0
        for round, delay in enumerate((0, 0.03, 0.08, 0.15, 0.4)):
            key = {"Idempotency-Key": f"crash-{round}"}
            first = []

            def post(node=mesh[round % 4], key=key, first=first):
                try:
                    first.append(node.post_zip(data, headers=key))
                except OSError:
                    pass

            thread = threading.Thread(target=post)
            thread.start()
            time.sleep(delay)
            mesh[round % 4].kill()
            thread.join()
            deadline = time.monotonic() + 40
            while True:
                answer = mesh[(round + 1) % 4].post_zip(data, headers=key)
                if answer.status == 202 or time.monotonic() > deadline:
                    break
                assert answer.status == 503, answer
                time.sleep(0.5)
            assert answer.status == 202, answer
            if first and first[0].status == 202:
                assert first[0].json()["id"] == answer.json()["id"]
            mesh[round % 4].restart()
            mesh.wait_agree()
            assert mesh.wait_same(answer.json()["id"])["status"] == "done"
            before += 1
            lists = [node.get_json("/evaluation")["evaluations"] for node in mesh.nodes]
            assert [len(ids) for ids in lists] == [before] * 4, lists


# ---- the network, to the letter ----------------------------------------------------------------


def test_shapes_on_every_node(mesh, done):
    for node, (path, schema) in itertools.product(mesh.nodes, SCHEMAS.items()):
        check(described(), {"$ref": "#/" + schema}, node.get_json(path))


def test_network_and_peers(mesh):
    homes = {node.home for node in mesh.nodes}
    for node in mesh.nodes:
        assert {name: sorted(others) for name, others in node.get_json("/network").items()} == {
            name: sorted(homes - {name}) for name in homes}
        assert sorted(node.get_json("/peers")["peers"]) == sorted(homes - {node.home})


def check_stats(mesh, stats):
    assert set(stats) == {"all", "nodes"}
    assert set(stats["all"]) == {"failed", "passed", "projects", "evaluations"}
    assert all(type(value) is int for value in stats["all"].values())
    assert {row["address"] for row in stats["nodes"]} == {node.home for node in mesh.nodes}
    for row in stats["nodes"]:
        assert set(row) == {"address", "failed", "passed", "projects", "modules", "evaluations"}
        assert all(type(id) is int for id in row["evaluations"])
        assert all(type(row[key]) is int for key in ("failed", "passed", "projects", "modules"))


def test_stats_move_while_it_runs_and_are_the_same_in_the_end(mesh):
    before = mesh.totals()
    id = mesh[1].submit(small(12, 0.8, 1))  # several rounds, whatever else the machine does
    seen = set()
    while mesh[1].evaluation(id)["status"] not in ("done", "failed"):
        for node in mesh.nodes:
            stats = node.get_json("/stats")
            check_stats(mesh, stats)
            seen.add(stats["all"]["passed"])
        time.sleep(0.1)
    mesh.wait_same(id)
    after = mesh.totals()
    assert after["passed"] == before["passed"] + 12 and after["evaluations"] == before["evaluations"] + 1
    assert len(seen) > 2, "the counts did not move during the run"
    answers = mesh.answers("/stats")
    assert all(stats == answers[0] for stats in answers)
    assert sum(row["passed"] for row in answers[0]["nodes"]) == after["passed"]
    assert any(int(id) in row["evaluations"] for row in answers[0]["nodes"])


def test_the_list_is_the_same_on_all_nodes(mesh):
    lists = mesh.answers("/evaluation?limit=1000")
    assert lists[0]["items"] and all(said == lists[0] for said in lists)
