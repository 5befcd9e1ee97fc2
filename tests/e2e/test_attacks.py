"""Every program of tests/attacks, through a whole node: the verdict that its expect.json promises.

expect.json: {"why": …, "outcome": one or a list, and where it matters "blame", "limit" (its name),
"passed", "failed", "errors" (counts), "options" (of the node)}. Everything in the folder is the
project; attack.py is its only test module.
"""

import json
import os

import pytest
import zips
from node import ROOT, Node
from processes import Processes

ATTACKS = os.path.join(ROOT, "tests", "attacks")
NAMES = sorted(name for name in os.listdir(ATTACKS)
               if os.path.exists(os.path.join(ATTACKS, name, "expect.json")))
MODULE = "tests/test_attack.py"
# Small limits, so that what runs into them does so soon.
OPTIONS = ["--module-timeout", "15s", "--module-memory", "256M"]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """One node for each set of options."""
    running = {}

    def node_with(options):
        key = tuple(options)
        if key not in running:
            running[key] = Node(tmp_path_factory.mktemp("attacks"), *OPTIONS, *options)
        return running[key]

    yield node_with
    for node in running.values():
        alive = node.is_alive()
        node.stop()
        assert alive, node.tail()


def read(name):
    folder = os.path.join(ATTACKS, name)
    with open(os.path.join(folder, "expect.json"), encoding="utf-8") as file:
        expect = json.load(file)
    files = zips.files_of(folder)
    del files["expect.json"]
    files[MODULE] = files.pop("attack.py")
    return expect, zips.of_files({f"{name}/{path}": data for path, data in files.items()})


@pytest.mark.parametrize("name", NAMES)
def test_attack(nodes, name):
    expect, data = read(name)
    node = nodes(expect.get("options", []))
    idle = Processes().below(node.pid)
    id = node.submit(data)
    document = node.wait_done(id, 120)
    row = document["module_results"][name][MODULE]
    allowed = expect["outcome"] if isinstance(expect["outcome"], list) else [expect["outcome"]]
    assert row["outcome"] in allowed, row
    for key in ("blame", "passed", "failed", "errors"):
        if key in expect:
            assert row[key] == expect[key], (key, row)
    if "limit" in expect:
        assert row["limit"]["name"] == expect["limit"], row
        assert row["limit"]["used"] >= row["limit"]["allowed"] > 0
    if "passed" not in allowed:
        assert row["%passed"] < 100
    check_well(node, name, idle)


def check_well(node, name, idle):
    """The node lives, answers, and has nothing of the attack left; the next project gets its marks."""
    assert node.is_alive(), node.tail()
    assert node.get("/healthz", timeout=5).status == 200
    after = zips.of_files(zips.project("after", test_a="def test_a():\n    pass\n"))
    document = node.wait_done(node.submit(after), 60)
    assert document["_run_info"]["%passed"] == 100

    def gone():
        table = Processes()
        return not [pid for pid, _ in table.alive(table.below(node.pid) - idle) if runs(pid, name)]

    node.wait_until(gone, f"nothing left of {name}", timeout=2)


def runs(pid, name):
    """True for a process that works in the attack's project."""
    try:
        return f"/work/{name}" in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
