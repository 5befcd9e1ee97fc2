"""Every program of tests/attacks, through a whole node: the verdict that its expect.json promises.

tests/attacks/README.md says what the keys mean. Each attack is a project of its own beside one that
means no harm, which must get its marks whatever happens next door.
"""

import json
import os
import platform

import pytest
import zips
from node import FULL, ROOT, Node
from processes import Processes

ATTACKS = os.path.join(ROOT, "tests", "attacks")
NAMES = sorted(name for name in os.listdir(ATTACKS)
               if os.path.exists(os.path.join(ATTACKS, name, "expect.json")))
MODULE = "test_attack.py"
WALL_MS = 60000
MEMORY_BYTES = 1 << 30
LEFT_S = 1


def read(name):
    with open(os.path.join(ATTACKS, name, "expect.json"), encoding="utf-8") as file:
        return json.load(file)


def project_of(name):
    files = zips.files_of(os.path.join(ATTACKS, name))
    del files["expect.json"]
    files[MODULE] = files.pop("attack.py")
    return {f"{name}/{path}": data for path, data in files.items()}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """One node for each set of limits."""
    running = {}

    def node_with(limits):
        key = (limits.get("wall_ms", WALL_MS), limits.get("memory_bytes", MEMORY_BYTES))
        if key not in running:
            running[key] = Node(tmp_path_factory.mktemp("attacks"), "--slots", "2",
                                "--module-timeout", f"{key[0]}ms", "--module-memory", str(key[1]))
        return running[key]

    yield node_with
    ended = [node for node in running.values() if not node.is_alive()]
    for node in running.values():
        node.stop()
    assert not ended, ended[0].tail()


@pytest.mark.parametrize("name", NAMES)
def test_attack(nodes, name):
    expect = read(name)
    if expect.get("slow") and not FULL:
        pytest.skip("slow: only with TESTMESH_FULL=1")
    if expect.get("only") not in (None, platform.machine()):
        pytest.skip(f"only for {expect['only']}")
    node = nodes(expect.get("limits", {}))
    before = Processes().below(node.pid)
    files = {**project_of(name), **zips.project("bystander", test_a="def test_a():\n    pass\n")}
    document = node.wait_done(node.submit(zips.of_files(files)), 180)
    row = document["module_results"][name][MODULE]
    check_verdict(expect, row)
    other = document["module_results"]["bystander"]["tests/test_a.py"]
    assert (other["outcome"], other["passed"]) == ("passed", 1), other
    assert node.is_alive(), node.tail()
    assert node.get("/healthz", timeout=5).status == 200
    if expect.get("leaves_nothing"):
        node.wait_until(lambda: not left_of(node, before, name), "its processes gone", LEFT_S)


def check_verdict(expect, row):
    assert row["outcome"] in expect["outcome"], (expect["why"], row)
    assert row["outcome"] not in expect.get("not", []), row
    assert row["blame"] == expect["blame"], row
    if row["outcome"] != "passed":
        assert row["%passed"] < 100, row
    if "keeps" in expect:
        assert row["passed"] == expect["keeps"], row
    if "limit" in expect:
        assert row["limit"]["name"] == expect["limit"], row
        assert row["limit"]["used"] >= row["limit"]["allowed"] > 0, row


def left_of(node, before, name):
    """Processes below the node, new since `before`, that work in the attack's project."""
    table = Processes()
    return [pid for pid, _ in table.below(node.pid) - before if works_in(pid, f"/work/{name}")]


def works_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(folder)
    except OSError:
        return False
