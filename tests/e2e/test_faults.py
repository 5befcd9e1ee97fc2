"""Faults of the machine and of its operator: what was acknowledged stays, and the node says what is wrong."""

import glob
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import zips
from disks import SmallDisk
from node import FULL, PROGRAM, Node, environment
from processes import describe, wait_gone

TRY_AGAIN, USAGE = 75, 4
DISK_BYTES = 128 << 20
IS_ROOT = os.geteuid() == 0
SMALL = zips.of_files(zips.project("small", test_one="def test_a():\n    pass\n"))


def check_done(node, id, project="small", passed=1):
    document = node.wait_done(id)
    assert document["status"] == "done", document
    rows = document["module_results"][project]
    assert sum(row["passed"] for row in rows.values()) == passed, rows
    assert sum(row["failed"] + row["errors"] for row in rows.values()) == 0, rows
    return document


def check_refused(node, *codes):
    answer = node.post_zip(SMALL)
    assert answer.status == 503, answer
    document = answer.json()
    assert document["code"] in codes, document
    assert document["detail"] and document["hint"], document
    return document


def check_reads(node, id):
    assert node.evaluation(id)["status"] == "done"
    assert list(node.tests(id))
    assert node.get("/stats").status == node.get("/healthz").status == 200
    assert node.get("/readyz").status == 503


def run_node(*options, env=None, timeout=30):
    """A node that is not expected to come up: (exit code, what it said)."""
    result = subprocess.run([PROGRAM, "node", "--listen", "127.0.0.1:0", *options], timeout=timeout,
                            env=environment() if env is None else env, cwd="/",
                            stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return result.returncode, result.stderr


# ---- bytes that change on the disk ---------------------------------------------------------------


def flip_line(node, word):
    """Changes one bit in the first line of the log that has `word`; it is not the last line."""
    (path,) = glob.glob(os.path.join(node.data, "log", "*.jsonl"))
    with open(path, "rb") as file:
        lines = file.read().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if word in line)
    assert at < len(lines) - 1
    line = bytearray(lines[at])
    line[len(line) // 2] ^= 1
    lines[at] = bytes(line)
    with open(path, "wb") as file:
        file.write(b"".join(lines))


def start_alive(node):
    """Starts a node that may be alive without being ready."""
    ready = node.is_ready
    node.is_ready = lambda begin: (ready(begin) or node.address is not None
                                   and node.get("/healthz").status == 200)
    node.start()
    del node.is_ready


def half_done(node):
    """An evaluation of which some modules are over, when the node is killed."""
    files = zips.project("slow", **{f"test_{n}": zips.sleeping(1) for n in range(4)})
    id = node.submit(zips.of_files(files))
    node.wait_until(lambda: node.evaluation(id)["executed"] >= 2, "two modules over")
    node.kill()
    return id


def state_of(node):
    (row,) = node.get_json("/nodes")["nodes"]
    return row["state"]


def test_a_damaged_result_is_made_again_before_new_work_is_taken(tmp_path):
    node = Node(tmp_path, "--slots", "1")
    with node:
        id = half_done(node)
        flip_line(node, b'"res":')
        start_alive(node)
        assert "store_repairing" in node.tail()
        assert check_refused(node, "repairing")["title"]
        assert node.get("/readyz").json()["code"] == "repairing"
        assert state_of(node) == "repairing"
        node.kill()
        start_alive(node)  # which forgets nothing of it
        check_refused(node, "repairing")
        check_done(node, id, "slow", 4)
        node.wait_until(lambda: node.get("/readyz").status == 200, "it takes work again")
        assert state_of(node) == "alive"
        assert "store_repaired" in node.tail()
        check_done(node, node.submit(SMALL))
        node.kill()
        node.start()  # which is ready at once
        assert glob.glob(os.path.join(node.data, "quarantine", "log-*"))


def test_an_evaluation_whose_request_is_damaged_is_named(tmp_path):
    node = Node(tmp_path, "--slots", "1")
    with node:
        id = half_done(node)
        flip_line(node, b'"req":')
        start_alive(node)
        assert "eval_lost" in node.tail() and str(id) in node.tail()
        node.wait_until(lambda: node.get("/readyz").status == 200, "it takes work again")
        assert node.evaluation(id)["status"] != "done"
        assert node.get("/evaluation").status == 200
        check_done(node, node.submit(SMALL))


# ---- power ---------------------------------------------------------------------------------------


def code_of_trees(node):
    found = glob.glob(os.path.join(node.data, "cache", "*", "pyc-*", "**", "*.pyc"), recursive=True)
    assert found
    return {path: os.stat(path).st_ino for path in found}


def code_of_environments(node):
    """What is kept for environments to come."""
    return set(glob.glob(os.path.join(node.data, "envs", "pyc", "*", "*")))


def pretend_other_boot(node):
    with open(os.path.join(node.data, "RUNNING"), "w") as file:
        file.write("00000000-0000-0000-0000-000000000000\n")


def lose_bytes(path):
    """What may be left of a file that was never synced: its size."""
    size = os.path.getsize(path)
    os.truncate(path, 0)
    os.truncate(path, size)


def test_caches_do_not_outlive_a_power_cut_and_outlive_a_kill(tmp_path):
    node = Node(tmp_path)
    marker = os.path.join(node.data, "RUNNING")
    with node:
        check_done(node, node.submit(SMALL))
        assert os.path.exists(marker)
        node.kill()
        trees, shared = code_of_trees(node), code_of_environments(node)
        assert shared or not IS_ROOT
        node.start()
        check_done(node, node.submit(SMALL))
        assert (code_of_trees(node), code_of_environments(node)) == (trees, shared)
        node.kill()
        for path in trees:
            lose_bytes(path)
        (source,) = glob.glob(os.path.join(node.data, "cache", "*", "src", "tests", "test_one.py"))
        lose_bytes(source)
        pretend_other_boot(node)
        node.start()
        assert "caches_removed" in node.tail()
        assert not code_of_environments(node)
        check_done(node, node.submit(SMALL))
        assert all(open(path, "rb").read().strip(b"\0") for path in code_of_trees(node))
    assert not os.path.exists(marker)
    with node.start():
        assert node.tail().count("caches_removed") == 1


# ---- disks -------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    if not IS_ROOT:
        pytest.skip("only root can mount a small disk")
    small = SmallDisk(os.path.join(str(tmp_path), "data"), DISK_BYTES)
    yield small
    small.unmount()


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """A folder of environments that a node has built: the tests are not about installing."""
    with Node(tmp_path_factory.mktemp("environments")) as running:
        check_done(running, running.submit(SMALL))
    return os.path.join(running.data, "envs")


@pytest.fixture
def node(tmp_path, environments, request):
    """One of the test's own; with `disk`, on that."""
    if "disk" in request.fixturenames:
        request.getfixturevalue("disk")
    running = Node(tmp_path, start=False)
    os.makedirs(running.data, exist_ok=True)
    subprocess.run(["cp", "-a", environments, running.data], check=True)
    running.start()
    yield running
    running.stop()


def test_a_full_disk_refuses_uploads(disk, node):
    id = node.submit(SMALL)
    check_done(node, id)
    disk.fill()
    check_refused(node, "disk-full", "disk")
    check_refused(node, "disk-full", "disk", "store-not-writable")
    assert node.evaluation(id)["status"] == "done"
    disk.make_room()
    node.stop()
    node.start()
    check_done(node, id)
    check_done(node, node.submit(SMALL))


def test_a_disk_that_fills_while_modules_run(disk, node):
    """The log cannot grow: no more is taken, what was done is shown, and the next start goes on."""
    first = node.submit(SMALL)
    check_done(node, first)
    files = zips.project("busy", **{f"test_{n}": zips.sleeping(1.5, 1) for n in range(4)})
    second = node.submit(zips.of_files(files))
    node.wait_until(lambda: node.evaluation(second)["executing"] > 0, "a module to run")
    disk.fill()
    node.wait_until(lambda: node.get("/readyz").status == 503, "the store to give up", timeout=30)
    check_refused(node, "store-not-writable", "disk-full")
    check_reads(node, first)
    disk.make_room()
    check_refused(node, "store-not-writable")  # nobody knows what is on disk: only a start helps
    shown = node.evaluation(second)["executed"]
    assert node.stop() == TRY_AGAIN
    node.start()
    document = check_done(node, second, "busy", 4)
    assert document["executed"] == 4 >= shown
    check_done(node, first)


def test_a_log_that_cannot_be_made(node):
    log = os.path.join(node.data, "log")
    id = node.submit(SMALL)
    check_done(node, id)
    node.stop()
    node.start()
    shutil.move(log, log + ".away")
    assert node.post_zip(SMALL).status == 503
    check_refused(node, "store-not-writable")
    check_reads(node, id)
    shutil.move(log + ".away", log)
    assert node.stop() == TRY_AGAIN
    node.start()
    check_done(node, id)
    check_done(node, node.submit(SMALL))


def test_a_log_that_is_removed(node):
    """Bytes written to a file without a name would be gone at the next start: not acknowledged."""
    check_done(node, node.submit(SMALL))
    for path in glob.glob(os.path.join(node.data, "log", "*.jsonl")):
        os.unlink(path)
    assert node.post_zip(SMALL).status == 503
    check_refused(node, "store-not-writable")
    assert node.get("/healthz").status == 200
    assert node.stop() == TRY_AGAIN


def test_a_read_only_folder_is_refused(tmp_path):
    if not IS_ROOT:
        pytest.skip("only root can mount")
    folder = tmp_path / "data"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)], check=True)
    try:
        code, said = run_node("--data", str(folder))
        assert code not in (0, USAGE) and str(folder) in said, (code, said)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def newest_log(node):
    return max(glob.glob(os.path.join(node.data, "log", "*.jsonl")))


TAILS = {"half a line": b'{"id":1,"req":{"created', "zeros": bytes(512), "noise": b"\xff" * 37 + b"\n"}


@pytest.mark.parametrize("tail", list(TAILS.values()) if FULL else [TAILS["half a line"]])
def test_a_torn_tail_of_the_log(node, tail):
    """What a power cut leaves behind the last synced line is not ours."""
    files = zips.project("torn", **{f"test_{n}": zips.sleeping(0.5, 2) for n in range(3)})
    id = node.submit(zips.of_files(files))
    node.kill()
    with open(newest_log(node), "ab") as file:
        file.write(tail)
    node.start()
    check_done(node, id, "torn", 6)


def test_a_bit_that_flips_in_the_log(node):
    """Found by its checksum and set aside: the node starts, says so, and knows the others."""
    first, second = node.submit(SMALL), node.submit(SMALL)
    check_done(node, first)
    check_done(node, second)
    node.kill()
    path = newest_log(node)
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[len(data) // 2] ^= 4
        file.seek(0)
        file.write(data)
    node.start()
    listed = node.get_json("/evaluation")["evaluations"]
    assert set(listed) & {first, second}
    check_done(node, node.submit(SMALL))


def test_the_cache_may_be_deleted(node):
    files = zips.project("cached", **{f"test_{n}": zips.sleeping(0.5, 2) for n in range(3)})
    first = node.submit(SMALL)
    check_done(node, first)
    second = node.submit(zips.of_files(files))
    node.wait_until(lambda: node.evaluation(second)["executing"] > 0, "a module to run")
    node.kill()
    shutil.rmtree(os.path.join(node.data, "cache"))
    node.start()
    check_done(node, second, "cached", 6)
    node.stop()
    shutil.rmtree(os.path.join(node.data, "cache"))
    shutil.rmtree(os.path.join(node.data, "envs"))
    node.start()
    check_done(node, first)
    check_done(node, node.submit(SMALL))


# ---- starting ----------------------------------------------------------------------------------


def test_a_second_node_on_the_same_folder(node):
    code, said = run_node("--data", node.data)
    assert code not in (0, USAGE) and node.data in said, (code, said)
    assert len(said.strip().splitlines()) == 1, said
    check_done(node, node.submit(SMALL))


def bare_path(folder):
    """An environment whose PATH has a Python and no bubblewrap."""
    path = os.path.join(str(folder), "bin")
    os.makedirs(path)
    os.symlink("/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable,
               os.path.join(path, "python3"))
    return path


def test_without_bubblewrap(tmp_path):
    path = bare_path(tmp_path)
    env = {**environment(), "PATH": path}
    data = str(tmp_path / "data")
    code, said = run_node("--data", data, env=env)
    assert code not in (0, USAGE), (code, said)
    assert "bubblewrap" in said and "install" in said and "--allow-unsandboxed" in said, said
    code, said = run_node("--data", data, "--allow-unsandboxed", "--require-isolation", "A", env=env)
    assert code == USAGE and "--require-isolation" in said, (code, said)
    code, said = run_node("--data", data, "--require-isolation", "A", env=env)
    assert code not in (0, USAGE), (code, said)


def test_unsandboxed_when_told_to(tmp_path):
    node = Node(tmp_path, "--allow-unsandboxed", env={"PATH": bare_path(tmp_path)})
    try:
        assert "none: tests run as plain processes" in node.tail()
        assert "unsandboxed" in node.tail()
        (facts,) = node.get_json("/nodes")["nodes"]
        assert facts["sandbox"] == "none", facts
        document = check_done(node, node.submit(SMALL))
        assert document["module_results"]["small"]["tests/test_one.py"]["tier"] is None
    finally:
        assert node.stop() == 0


def test_the_tier_is_said(node):
    (facts,) = node.get_json("/nodes")["nodes"]
    assert facts["sandbox"].startswith("A: "), facts
    document = check_done(node, node.submit(SMALL))
    assert document["module_results"]["small"]["tests/test_one.py"]["tier"] == "A"


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "127.example.org:0", "localhost.example.org:0"])
def test_other_machines_are_served_only_when_told_to(tmp_path, address):
    code, said = run_node("--data", str(tmp_path / "data"), "--listen", address)
    assert code == USAGE, (code, said)
    assert "--token-file" in said and "--open" in said, said


def test_open_to_all(tmp_path):
    node = Node(tmp_path, "--listen", "0.0.0.0:0", "--open")
    try:
        assert node.get("/healthz").status == 200
    finally:
        node.stop()


def test_tokens(tmp_path):
    token = "a-long-token-of-32-characters-0123"
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# of the class\n{token}\n")
    tokens.chmod(0o600)
    node = Node(tmp_path, "--listen", "0.0.0.0:0", "--token-file", str(tokens))
    bearer = {"Authorization": f"Bearer {token}"}
    try:
        assert node.get("/healthz").status == 200  # for those who only ask whether it lives
        for method, path in (("GET", "/stats"), ("GET", "/evaluation"), ("POST", "/evaluation")):
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {token}x"},
                            {"Authorization": f"Bearer {token[:-1]}"}, {"Authorization": f"Basic {token}"}):
                answer = node.request(method, path, b"" if method == "POST" else None, headers)
                assert answer.status == 401, (method, path, headers, answer)
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert node.get("/stats", bearer).status == 200
        answer = node.post_zip(SMALL, headers=bearer)
        assert answer.status == 202, answer
        assert token not in node.tail()
    finally:
        node.stop()


@pytest.mark.parametrize("text", [None, "", "# only words about it\n"], ids=["absent", "empty", "none"])
def test_a_token_file_without_tokens(tmp_path, text):
    tokens = tmp_path / "tokens"
    if text is not None:
        tokens.write_text(text)
    code, said = run_node("--data", str(tmp_path / "data"), "--token-file", str(tokens))
    assert code != 0 and str(tokens) in said, (code, said)


def test_a_taken_port(tmp_path, node):
    code, said = run_node("--data", str(tmp_path / "other"), "--listen", node.address)
    assert code not in (0, None) and node.address in said, (code, said)


# ---- ending ------------------------------------------------------------------------------------


def test_a_second_sigterm_ends_at_once(node):
    """Whoever is in a hurry says it twice; the module is run again by the next start."""
    id = node.submit(zips.of_files(zips.project("slow", test_a=zips.sleeping(4))))
    node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
    node.process.send_signal(signal.SIGTERM)
    node.wait_until(lambda: node.get("/readyz").status == 503, "draining", timeout=2)
    started = time.monotonic()
    node.stop()
    assert time.monotonic() - started < 3
    left = wait_gone(set(), node.data, 2)
    assert not left, describe(left)
    node.start()
    check_done(node, id, "slow")


@pytest.mark.skipif(not FULL, reason="only with TESTMESH_FULL=1")
def test_a_drain_that_takes_too_long(node):
    node.stop()
    node.start("--drain-timeout", "500ms")
    id = node.submit(zips.of_files(zips.project("slow", test_a=zips.sleeping(4))))
    node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
    started = time.monotonic()
    node.stop()
    assert time.monotonic() - started < 3
    assert not wait_gone(set(), node.data, 2)
    node.start()
    check_done(node, id, "slow")


def groups_of(pid):
    """The cgroup folders of a node."""
    found = []
    for top, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [os.path.join(top, name) for name in folders if name == f"testmesh-{pid}"]
    return found


def test_a_killed_node_leaves_no_cgroup_for_ever(node):
    id = node.submit(zips.of_files(zips.project("slow", test_a=zips.sleeping(3))))
    node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
    pid = node.pid
    if not groups_of(pid):
        pytest.skip("no cgroup can be made here")
    node.kill()
    left = wait_gone(set(), node.data, 2)
    assert not left, describe(left)
    node.start()
    assert not groups_of(pid)
    second = node.pid
    assert groups_of(second)
    node.stop()
    assert not groups_of(second)


@pytest.mark.skipif(not FULL, reason="only with TESTMESH_FULL=1")
def test_a_frozen_node_goes_on(node):
    """SIGSTOP for longer than a module takes: nothing is lost, nobody is blamed."""
    files = zips.project("frozen", **{f"test_{n}": zips.sleeping(1, 2) for n in range(4)})
    id = node.submit(zips.of_files(files))
    node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
    node.process.send_signal(signal.SIGSTOP)
    time.sleep(10)
    node.process.send_signal(signal.SIGCONT)
    check_done(node, id, "frozen", 8)
