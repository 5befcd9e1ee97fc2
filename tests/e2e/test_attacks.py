"""Every program of tests/attacks, through a whole node: the verdict that its expect.json promises.

tests/attacks/README.md says what the keys mean. Each attack is a project of its own; those that may
run under the same limits share an evaluation, so that they meet each other, and beside them in it is
a project that means no harm and must get its marks whatever happens next door.
"""

import json
import os
import platform
import shutil
import tempfile
import time

import pytest
import zips
from attacks import MODULE, NAMES, project_of, read
from node import FULL, PROGRAM, Node
from processes import Processes

SLOTS = 3
WALL_MS = 60000
MEMORY = "512M"
LEFT_S = 1
BATCH_S = 240
ANY_UID = 54321

MODES = {"warm": [], "cold": ["--no-fork-server"], "user": []}
# What may come out differently with another way of starting jobs, or another user; the rest of the
# attacks meets those in the full run.
EVERYWHERE = {"connect-out", "daemons", "disk-fill", "escape-calls", "exit-zero", "file-large",
              "fork-bomb", "forge-shadow", "forged-stream-from-child", "gain-privileges",
              "kill-all", "kill-init", "memory-one", "output-flood", "processes",
              "read-the-host", "threads", "write-outside"}


def why_not(mode, name, expect):
    if expect.get("slow") and not FULL:
        return "slow: only with TESTMESH_FULL=1"
    if expect.get("only") not in (None, platform.machine()):
        return f"only for {expect['only']}"
    if mode == "user" and os.geteuid() != 0:
        return "the other modes run as a plain user already"
    return None


def cases():
    for mode in MODES:
        for name in NAMES:
            if mode != "warm" and name not in EVERYWHERE and not FULL:
                continue
            expect = read(name)
            marks = []
            if why_not(mode, name, expect):
                marks.append(pytest.mark.skip(reason=why_not(mode, name, expect)))
            if expect.get("open"):
                marks.append(pytest.mark.xfail(reason=f"open: {expect['why']}", strict=True))
            yield pytest.param(mode, name, id=f"{mode}-{name}", marks=marks)


class Batch:
    """One node's attacks, all submitted at once: rows by name, and what outlived its module."""

    def __init__(self, node, names):
        self.node = node
        self.rows, self.left, self.bystanders = {}, {}, []
        self.before = Processes().below(node.pid)
        groups = {WALL_MS: []}
        for name in names:
            wall_ms = read(name).get("limits", {}).get("wall_ms", WALL_MS)
            groups.setdefault(wall_ms, []).append(name)
        ids = {self.submit(wall_ms, group): group for wall_ms, group in sorted(groups.items())}
        deadline = time.monotonic() + BATCH_S
        while ids:
            for id in [id for id in ids if self.look(id, ids[id])]:
                del ids[id]
            assert time.monotonic() < deadline, (ids, node.tail())
            assert node.is_alive(), node.tail()
            time.sleep(0.1)
        assert node.get("/healthz", timeout=5).status == 200

    def submit(self, wall_ms, names):
        files = zips.project("bystander", test_a="def test_a():\n    pass\n")
        for name in names:
            files.update(project_of(name))
        options = json.dumps({"timeout_s": wall_ms // 1000}).encode()
        return self.node.submit(zips.of_files(files), fields=[("options", None, None, options)])

    def look(self, id, names):
        """Takes the rows that are new; says whether the evaluation is over."""
        document = self.node.evaluation(id)
        over = document["status"] in ("done", "failed", "cancelled")
        for name in names:
            row = document["module_results"].get(name, {}).get(MODULE)
            if name in self.rows or not row or row["status"] != "done":
                continue
            self.rows[name] = row
            if row["outcome"] not in read(name)["outcome"]:
                print(name, [(item["test"], item["outcome"], item.get("message"))
                             for item in self.node.tests(id, project=name)][:20])
            if read(name).get("leaves_nothing"):
                self.left[name] = self.wait_left(name)
        if over:
            self.bystanders.append(document["module_results"]["bystander"]["tests/test_a.py"])
        return over

    def wait_left(self, name):
        deadline = time.monotonic() + LEFT_S
        left = left_of(self.node, self.before, name)
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = left_of(self.node, self.before, name)
        return left


def public_folder():
    """A folder that any user can reach: pytest's own are closed."""
    folder = tempfile.mkdtemp(prefix="testmesh-attacks-")
    os.chmod(folder, 0o755)
    return folder


def start(mode, folder):
    options = ["--slots", str(SLOTS), "--module-memory", MEMORY, *MODES[mode]]
    if mode != "user":
        return Node(folder, *options)
    program = shutil.copy(PROGRAM, os.path.join(folder, "testmesh"))
    os.chmod(program, 0o755)
    home = os.path.join(folder, "home")
    os.mkdir(home)
    os.chown(home, ANY_UID, ANY_UID)
    return Node(home, *options, program=program, uid=ANY_UID, env={"HOME": home})


@pytest.fixture(scope="module")
def batches(request):
    """Runs those attacks of a mode that were asked for, once."""
    wanted, done, folders = {}, {}, {}
    for item in request.session.items:
        call = getattr(item, "callspec", None)
        is_ours = item.module is request.module and call and "name" in call.params
        if is_ours and not item.get_closest_marker("skip"):
            wanted.setdefault(call.params["mode"], []).append(call.params["name"])

    def batch(mode):
        if mode not in done:
            # Environments are built once: the second node goes on with the first one's folder.
            kind = "user" if mode == "user" else "own"
            if kind not in folders:
                folders[kind] = public_folder()
            node = start(mode, folders[kind])
            try:
                done[mode] = Batch(node, wanted.get(mode, []))
            finally:
                assert node.stop() == 0, node.tail()
        return done[mode]

    yield batch
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("mode, name", list(cases()))
def test_attack(batches, mode, name):
    expect = read(name)
    batch = batches(mode)
    # A plain user has no cgroup that counts forks: the limit is named where sampling saw it.
    if mode == "user" and expect.get("met") == "processes" and not batch.rows[name].get("limit"):
        del expect["met"]
    check_verdict(expect, batch.rows[name])
    assert not batch.left.get(name), batch.left[name]


@pytest.mark.parametrize("mode", MODES)
def test_bystander(batches, mode):
    if mode == "user" and os.geteuid() != 0:
        pytest.skip("the other modes run as a plain user already")
    for row in batches(mode).bystanders:
        assert (row["outcome"], row["passed"]) == ("passed", 1), row


def check_verdict(expect, row):
    assert row["outcome"] in expect["outcome"], (expect["why"], row)
    assert row["outcome"] not in expect.get("not", []), row
    assert row["blame"] in one_or_more(expect["blame"]), row
    if row["outcome"] != "passed":
        assert row["%passed"] < 100, row
    if "keeps" in expect:
        assert row["passed"] == expect["keeps"], row
    if "percent" in expect:
        assert row["%passed"] == expect["percent"], row
    if "limit" in expect and row["outcome"] in ("timeout", "oom", "output_limit"):
        assert row["limit"]["name"] in one_or_more(expect["limit"]), row
        assert row["limit"]["used"] >= row["limit"]["allowed"] > 0, row
    if "met" in expect:
        check_met(expect["met"], row)


def check_met(met, row):
    limit = row.get("limit")
    assert (limit and limit["name"]) in one_or_more(met), row
    if limit:
        assert limit["used"] >= limit["allowed"] > 0, row
        assert row["message"].startswith(f"{limit['name']} limit reached: {limit['used']} of "), row


def one_or_more(value):
    return value if isinstance(value, list) else [value]


def left_of(node, before, name):
    """Processes below the node, new since `before`, that work in the attack's project."""
    table = Processes()
    return [pid for pid, _ in table.below(node.pid) - before if works_in(pid, f"/work/{name}")]


def works_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(folder)
    except OSError:
        return False
