"""A class hands in: 40 projects (300 with TESTMESH_FULL=1), and everything an instructor does meanwhile."""

import concurrent.futures
import json
import os
import re
import shutil
import socket
import threading
import time

import classroom
import pytest
import zips
from node import FULL, Node, form
from processes import memory_bytes

COUNT = 300 if FULL else 40
PACKAGES = FULL or shutil.which("uv") is not None
MIB = 1 << 20
OPTIONS = ("options", None, None, b'{"timeout_s": 5}')
OVER = ("done", "cancelled", "failed")


class Watch(threading.Thread):
    """Asks /healthz all the time; how long each answer took."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.seconds, self.over = node, [], threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            began = time.monotonic()
            assert self.node.get("/healthz").status == 200
            self.seconds.append(time.monotonic() - began)
            self.over.wait(0.02)

    def end(self):
        self.over.set()
        self.join()
        return sorted(self.seconds)


class Run:
    """A class that was evaluated, and what was seen meanwhile."""

    def __init__(self, node, pupils):
        self.node, self.pupils = node, pupils
        watch = Watch(node)
        self.id = node.submit(classroom.zip_of(pupils, top="exercise 4/"), fields=[OPTIONS])
        self.reads, self.statuses = [], []
        while True:
            began = time.monotonic()
            self.document = node.evaluation(self.id)
            self.reads.append(time.monotonic() - began)
            self.statuses.append(self.document["status"])
            if self.document["status"] in OVER:
                break
            time.sleep(0.2)
        self.health = watch.end()


def marks(document):
    return {name: (row["outcome"], row["passed"], row["failed"], row["errors"])
            for name, row in document["projects"].items()}


def expected(pupils):
    return {name: (pupil.outcome, pupil.passed, pupil.failed, pupil.errors)
            for name, pupil in pupils.items()}


@pytest.fixture(scope="module")
def class_node(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("class"), "--log-level", "debug") as running:
        yield running
        assert running.is_alive(), running.tail()


@pytest.fixture(scope="module")
def run(class_node):
    return Run(class_node, classroom.make(COUNT, packages=PACKAGES))


@pytest.fixture
def slow_node(tmp_path):
    """A node with one slot, so that what waits can be seen."""
    with Node(tmp_path, "--slots", "1") as running:
        yield running


def slow_class(count, seconds=0.3):
    files = {}
    for number in range(count):
        files.update(zips.project(f"p{number:03}", test_a=zips.sleeping(seconds) + f"# {number}\n"))
    return zips.of_files(files)


# ---- the whole class ----


def test_every_hand_in_gets_what_it_deserves(run):
    assert run.document["status"] == "done"
    assert marks(run.document) == expected(run.pupils)


def test_health_is_answered_at_once(run):
    assert run.health[len(run.health) // 2] < 0.05, run.health[-20:]
    assert run.health[-1] < 2, run.health[-20:]


def test_nothing_holds_up_the_loop_for_long(run):
    with open(run.node.log, encoding="utf-8") as log:
        late = re.findall(r"loop_late.*?ms=(\d+) cpu_ms=(\d+)", log.read())
    # The machine may be busy with something else; processor time is our own.
    assert max((int(cpu) for _, cpu in late), default=0) < 100, late
    assert max((int(ms) for ms, _ in late), default=0) < 2000, late


def test_the_document_is_quick(run):
    assert sorted(run.reads)[len(run.reads) // 2] < 0.2, run.reads
    answer = run.node.get(f"/evaluation/{run.id}")
    again = run.node.get(f"/evaluation/{run.id}", {"If-None-Match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_what_is_worth_a_word_is_said(run):
    """Files that a Mac or Windows would make one; requirements that are not what they seem."""
    files = zips.project("ana", test_a="def test_a():\n    pass\n")
    files.update({"ana/Notes.txt": "1\n", "ana/notes.txt": "2\n", "stray.txt": "x\n",
                  "ana/poetry.lock": "", "ana/pyproject.toml": "[tool.poetry]\nname = 'ana'\n"})
    document = run.node.wait_done(run.node.submit(zips.of_files(files)))
    assert any("otes.txt" in row["path"] for row in document["remarks"]), document["remarks"]
    assert [row["path"] for row in document["ignored"]] == ["stray.txt"]
    assert any("poetry" in note for note in document["projects"]["ana"]["notes"]), document["projects"]


def test_paging_walks_everything_once(run):
    whole = list(run.node.tests(run.id))
    names = [(item["project"], item["module"], item["test"]) for item in whole]
    assert len(names) == len(set(names))
    assert list(run.node.tests(run.id, limit=7)) == whole
    for outcome in ("passed", "failed", "error"):
        some = list(run.node.tests(run.id, outcome=outcome))
        assert some == [item for item in whole if item["outcome"] == outcome]
    info = run.document["_run_info"]
    assert info["errors"] == sum(item["outcome"] == "error" for item in whole)
    name = next(name for name, pupil in run.pupils.items() if pupil.kind == "odd_names")
    one = list(run.node.tests(run.id, project=name, module="tests/test_ação ü.py"))
    assert [item["test"] for item in one] == ["tests/test_ação ü.py::test_a"]


def test_again_and_from_windows(run):
    """The same class in a zip with backslashes: the same marks, and no memory for it."""
    pupils = classroom.make(20, packages=False)
    node = run.node
    zipped = classroom.zip_of(pupils, windows=True)

    def once():
        document = node.wait_done(node.submit(zipped, fields=[OPTIONS]))
        assert marks(document) == expected(pupils)

    once()
    before = memory_bytes(node.pid)
    for _ in range(2):
        once()
    assert memory_bytes(node.pid) - before < 4 * MIB
    assert memory_bytes(node.pid) < 64 * MIB


def test_nothing_stays_in_the_staging_folder(run):
    def is_empty():
        return not os.listdir(os.path.join(run.node.data, "blobs", "tmp"))

    run.node.wait_until(is_empty, "an empty staging folder", timeout=10)


# ---- several at once ----


def test_a_small_one_does_not_wait_for_the_class(slow_node):
    big = slow_node.submit(slow_class(25))
    small = slow_node.submit(zips.of_files(zips.project("small", test_a="def test_a():\n    pass\n")))
    assert slow_node.wait_done(small)["status"] == "done"
    document = slow_node.evaluation(big)
    assert document["status"] not in OVER
    assert document["executed"] < 15, document["executed"]
    slow_node.request("DELETE", f"/evaluation/{big}")
    slow_node.wait_done(big)


def stage_of(document):
    if document["executed"] > 0:
        return "some done"
    return "executing" if document["executing"] > 0 else document["status"]


@pytest.mark.parametrize("stage", ["at once", "preparing", "executing", "some done"])
def test_cancel_in_every_stage(slow_node, stage):
    id = slow_node.submit(slow_class(12))
    if stage != "at once":
        slow_node.wait_until(lambda: stage_of(slow_node.evaluation(id)) == stage, stage, pause=0.005)
    assert slow_node.request("DELETE", f"/evaluation/{id}").status == 202
    document = slow_node.wait_done(id, timeout=20)
    assert document["status"] == "cancelled"
    assert (document["executing"], document["pending"]) == (0, 0)
    nothing = dict.fromkeys(("running", "waiting", "preparing", "evaluations"), 0)
    slow_node.wait_until(lambda: nothing.items() <= slow_node.get_json("/load").items(), "what ran is stopped", 5)


def test_the_tag_is_of_one_evaluation(tmp_path):
    """What happens to another evaluation is no change of this one."""
    with Node(tmp_path, "--slots", "2") as node:
        busy = node.submit(zips.of_files(zips.project("busy", test_a=zips.sleeping(0.1, 100))))
        quiet = node.submit(zips.of_files(zips.project("quiet", test_a=zips.sleeping(60))))
        for id in (busy, quiet):
            node.wait_until(lambda: node.evaluation(id)["executing"] == 1, "it to run")
        passed = node.evaluation(busy)["module_results"]["busy"]["tests/test_a.py"]["passed"]
        tags = [node.get(f"/evaluation/{id}").headers["etag"] for id in (busy, quiet)]
        node.wait_until(lambda: node.evaluation(busy)["module_results"]["busy"]["tests/test_a.py"]
                        ["passed"] > passed, "progress")
        again = [node.get(f"/evaluation/{id}").headers["etag"] for id in (busy, quiet)]
        assert again[0] != tags[0] and again[1] == tags[1]
        for id in (busy, quiet):
            node.request("DELETE", f"/evaluation/{id}")


def test_many_wait_for_the_end(slow_node):
    id = slow_node.submit(slow_class(3))
    with concurrent.futures.ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(slow_node.get, f"/evaluation/{id}?wait=60") for _ in range(60)]
        bodies = {answer.result().body for answer in asked}
    assert len(bodies) == 1 and json.loads(bodies.pop())["status"] == "done"


def test_a_node_that_stops_lets_the_waiting_go(slow_node):
    id = slow_node.submit(slow_class(1, 2))
    slow_node.wait_until(lambda: slow_node.evaluation(id)["executing"] > 0, "it to run")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(slow_node.get, f"/evaluation/{id}?wait=600")
        time.sleep(0.2)
        began = time.monotonic()
        assert slow_node.stop() == 0
        assert time.monotonic() - began < 15
        assert asked.result().json()["status"] == "running"


# ---- uploads ----


class HalfUpload:
    """A connection that has sent the beginning of a form."""

    def __init__(self, node, body, sent, headers=""):
        host, _, port = node.address.rpartition(":")
        self.body = body
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self.socket.sendall(f"POST /evaluation HTTP/1.1\r\nHost: {node.address}\r\n{headers}"
                            f"Content-Type: application/zip\r\nContent-Length: {len(body)}\r\n\r\n"
                            .encode() + body[:sent])


def test_the_ninth_upload_is_told_to_come_again(slow_node):
    data = slow_class(1)
    half = [HalfUpload(slow_node, data, 100) for _ in range(8)]
    answer = slow_node.wait_until(
        lambda: next((a for a in [slow_node.post_zip(data)] if a.status != 202), None), "a refusal")
    assert answer.status == 429 and int(answer.headers["retry-after"]) > 0
    assert answer.json()["code"] == "too-many-uploads"
    for one in half:
        one.socket.sendall(data[100:])
    for one in half:
        assert b" 202 " in one.socket.recv(4096).split(b"\r\n")[0]
        one.socket.close()
    assert slow_node.post_zip(data).status == 202


def test_clients_that_leave(slow_node):
    """In the body, and as soon as it is sent: nothing stays behind, and the node goes on."""
    data = slow_class(30)
    for sent in (0, len(data) // 2, len(data) - 1, len(data), len(data)):
        HalfUpload(slow_node, data, sent).socket.close()

    def is_clean():
        return not os.listdir(os.path.join(slow_node.data, "blobs", "tmp"))

    slow_node.wait_until(is_clean, "an empty staging folder", timeout=20)
    for id in slow_node.get_json("/evaluation")["evaluations"]:
        slow_node.request("DELETE", f"/evaluation/{id}")
    small = zips.of_files(zips.project("small", test_a="def test_a():\n    pass\n"))
    assert slow_node.wait_done(slow_node.submit(small))["status"] == "done"


def test_one_key_at_the_same_time(slow_node):
    data = zips.of_files(zips.project("small", test_a="def test_a():\n    pass\n"))
    for round in range(4):
        headers = {"Idempotency-Key": f"race-{round}"}
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(slow_node.post_zip, data, headers=headers) for _ in range(4)]
            answers = [one.result() for one in asked]
        assert [answer.status for answer in answers] == [202] * 4, answers
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(slow_node.get_json("/evaluation")["evaluations"]) == 4


def test_wait_with_a_key_that_is_over(slow_node):
    data = zips.of_files(zips.project("small", test_a="def test_a():\n    pass\n"))
    headers = {"Idempotency-Key": "again"}
    assert slow_node.post_zip(data, query="?wait=60", headers=headers).json()["status"] == "done"
    began = time.monotonic()
    assert slow_node.post_zip(data, query="?wait=60", headers=headers).json()["status"] == "done"
    assert time.monotonic() - began < 10


def test_a_field_that_comes_twice(slow_node):
    answer = slow_node.post_zip(slow_class(1), fields=[("name", None, None, b"a"),
                                                       ("name", None, None, b"b")])
    assert answer.status == 400 and answer.json()["code"] == "field-twice"


# ---- crashes ----


def test_kill_while_some_are_prepared(tmp_path):
    node = Node(tmp_path, "--slots", "1")
    try:
        data = slow_class(20, 0.05)
        id = node.submit(data)
        node.wait_until(lambda: node.evaluation(id)["pending"] > 0, "a plan", pause=0.002)
        document = node.evaluation(id)
        node.kill()
        assert [rows for rows in document["module_results"].values() if not rows], document
        node.start()
        document = node.wait_done(id)
        assert document["status"] == "done" and document["executed"] == 20
        assert document["_run_info"]["%passed"] == 100
        units = os.path.join(node.data, "cache")
        left = [name for unit in os.listdir(units) for name in os.listdir(os.path.join(units, unit))
                if name.startswith("src.") or re.search(r"\.[0-9a-f]{16}$", name)]
        assert not left
    finally:
        node.stop()


def test_an_environment_that_is_gone_after_a_restart(tmp_path):
    """The plan stands, but nobody can make its environment any more: it ends, and says why."""
    node = Node(tmp_path, "--slots", "1")
    try:
        id = node.submit(slow_class(1, 30))
        node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "it to run")
        node.kill()
        shutil.rmtree(os.path.join(node.data, "envs"))
        unit, = os.listdir(os.path.join(node.data, "cache"))
        described = os.path.join(node.data, "cache", unit, "describe.json")
        with open(described, encoding="utf-8") as file:
            said = json.load(file)
        said["requirements"]["text"] = "no-such-package-at-all-7f3a==1\n"
        with open(described, "w", encoding="utf-8") as file:
            json.dump(said, file)
        node.start()
        document = node.wait_done(id)
        row, = document["module_results"]["p000"].values()
        assert row["outcome"] == "setup_failed" and row["message"], row
    finally:
        node.stop()


def test_an_index_that_is_away(tmp_path, monkeypatch):
    """A fault of ours: it is tried once more, and then costs no mark."""
    for name in ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    with Node(tmp_path) as node:
        document = node.wait_done(node.submit(slow_class(2)))
        assert document["incomplete"] and document["_run_info"]["mean_nota"] is None
        for row in document["projects"].values():
            assert (row["outcome"], row["blame"], row["nota"]) == ("setup_failed", "cluster", None)
        with open(node.log, encoding="utf-8") as log:
            assert len(re.findall("prepare_retry", log.read())) == 2


# ---- the instructor's tests ----


def test_trusted_tests_are_laid_over(slow_node):
    handed_in = {"ana/bank.py": classroom.ASSIGNMENT, "ana/tests/test_bank.py": "def test_x():\n    pass\n",
                 "rui/bank.py": "class Account:\n    pass\n"}
    trusted = zips.of_files({"tests/test_bank.py": classroom.TESTS})
    id = slow_node.submit(zips.of_files(handed_in), fields=[("tests", "tests.zip", "application/zip", trusted)])
    document = slow_node.wait_done(id)
    ana, rui = (document["projects"][name] for name in ("ana", "rui"))
    assert (ana["passed"], ana["failed"]) == (4, 0)
    assert (rui["passed"], rui["failed"] + rui["errors"]) == (0, 4)


def test_two_overlays_of_one_size(slow_node):
    """Files have one time and here one size: only their content tells byte code apart."""
    handed_in = zips.of_files({"ana/bank.py": "X = 1\n"})
    seen = []
    for wanted in (1, 2, 1):
        tests = zips.of_files({"tests/test_x.py": "import helper\nfrom bank import X\n\n\n"
                                                  f"def test_x():\n    assert X == {wanted} == helper.Y\n",
                               "helper.py": f"Y = {wanted}\n"})
        id = slow_node.submit(handed_in, fields=[("tests", "t.zip", "application/zip", tests)])
        seen.append(slow_node.wait_done(id)["projects"]["ana"]["outcome"])
    assert seen == ["passed", "failed", "passed"]
