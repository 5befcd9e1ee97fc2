"""kill -9 and SIGTERM at bad moments: what was acknowledged is finished, and nothing outlives us."""

import os
import random
import signal
import threading
import time

import pytest
import zips
from node import FULL, Node
from processes import Processes, describe, of_folder, wait_gone

ROUNDS = 20 if FULL else 3
GONE_S = 2
# Long enough that a kill within the first seconds finds something running, waiting and done.
MODULES = 8
TESTS = 5


def work():
    files = zips.project("steady", **{f"test_{n}": zips.sleeping(0.08, TESTS) for n in range(MODULES)})
    files["steady/tests/conftest.py"] = (
        "import subprocess, pytest\n\n\n"
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def a_child_that_stays():\n"
        "    subprocess.Popen(['sleep', '3600'], start_new_session=True)\n")
    return zips.of_files(files)


class Watch(threading.Thread):
    """Remembers every process that ever was below a node, so that none is missed when it dies."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.known, self.over = pid, set(), threading.Event()
        self.start()

    def run(self):
        while not self.over.is_set():
            self.known |= Processes().below(self.pid)
            self.over.wait(0.05)

    def end(self):
        self.over.set()
        self.join()
        return self.known


@pytest.fixture(scope="module")
def seed():
    value = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    print(f"SEED={value}")
    return value


def check_counts(node, id):
    document = node.wait_done(id)
    assert document["status"] == "done", document
    rows = document["module_results"]["steady"]
    assert len(rows) == MODULES
    for path, row in rows.items():
        assert (row["passed"], row["failed"], row["errors"]) == (TESTS, 0, 0), (path, row)
    assert document["executed"] == MODULES
    items = [(item["module"], item["test"]) for item in node.tests(id)]
    assert len(items) == len(set(items)) == MODULES * TESTS


@pytest.mark.parametrize("round", range(ROUNDS))
def test_kill_9_at_a_random_moment(crash_folder, seed, round):
    """Rounds share one data folder, so that each starts on what the last one left."""
    moment = random.Random(seed + round).uniform(0, 2.5)
    print(f"SEED={seed} round={round} killed after {moment:.3f} s")
    node = Node(crash_folder)
    try:
        before = node.get_json("/stats")["all"]
        watch = Watch(node.pid)
        id = node.submit(work())
        time.sleep(moment)
        node.kill()
        known = watch.end()
        left = wait_gone(known, node.data, GONE_S)
        assert not left, describe(left)
        node.start()
        check_counts(node, id)
        after = node.get_json("/stats")["all"]
        assert after["passed"] == before["passed"] + MODULES * TESTS
        assert after["failed"] == before["failed"]
        assert after["evaluations"] == before["evaluations"] + 1
        assert after["projects"] == 1
    finally:
        node.stop()


@pytest.fixture(scope="module")
def crash_folder(tmp_path_factory):
    """A data folder whose environment exists: the kills shall meet tests, not only pip."""
    folder = tmp_path_factory.mktemp("crash")
    with Node(folder) as node:
        check_counts(node, node.submit(work()))
    return folder


def test_killed_while_an_environment_is_built(tmp_path):
    node = Node(tmp_path)
    try:
        watch = Watch(node.pid)
        id = node.submit(work())
        time.sleep(0.5)
        node.kill()
        left = wait_gone(watch.end(), node.data, GONE_S)
        assert not left, describe(left)
        node.start()
        check_counts(node, id)
    finally:
        node.stop()


def test_nothing_of_a_job_outlives_it(own_node):
    """The modules leave children behind; once the evaluation is done they are gone."""
    idle = Processes().below(own_node.pid)
    watch = Watch(own_node.pid)
    check_counts(own_node, own_node.submit(work()))
    known = watch.end() - idle

    def sleepers():
        table = Processes()
        return {(pid, birth) for pid, birth in table.alive(known) if is_sleep(pid)}

    own_node.wait_until(lambda: not sleepers(), "no child of a test alive", timeout=GONE_S)


def is_sleep(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().startswith(b"sleep\0")
    except OSError:
        return False


def test_sigterm_drains(tmp_path):
    """What runs is finished, what waits stays for the next start, and the exit code is 0."""
    node = Node(tmp_path, "--slots", "1")
    try:
        files = zips.project("drain", **{f"test_{n}": zips.sleeping(0.5, 4) for n in range(3)})
        id = node.submit(zips.of_files(files))
        node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
        known = Processes().below(node.pid)
        started = time.monotonic()
        assert node.stop() == 0
        assert 1 < time.monotonic() - started < 35
        left = wait_gone(known, node.data, GONE_S)
        assert not left, describe(left)
        node.start()
        assert node.evaluation(id)["executed"] >= 1
        document = node.wait_done(id)
        rows = document["module_results"]["drain"]
        assert {row["outcome"] for row in rows.values()} == {"passed"}
        assert sum(row["passed"] for row in rows.values()) == 12
        # What ran when the signal came was let finish: nobody ran it a second time.
        assert {row["attempts"] for row in rows.values()} == {1}
    finally:
        node.stop()


def test_a_draining_node_takes_no_work(tmp_path):
    node = Node(tmp_path)
    try:
        id = node.submit(zips.of_files(zips.project("slow", test_a=zips.sleeping(3))))
        node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
        node.process.send_signal(signal.SIGTERM)
        node.wait_until(lambda: refuses(node), "503 while draining", timeout=2)
    finally:
        assert node.stop() == 0


def refuses(node):
    try:
        return node.get("/readyz").status == 503 and node.post_zip(b"x").status == 503
    except OSError:
        return False


def test_an_idle_node_stops_at_once(tmp_path):
    node = Node(tmp_path)
    started = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - started < 3
    assert not of_folder(node.data)
