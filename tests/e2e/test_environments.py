"""Environments come and go under a node that runs."""

import glob
import json
import os

import zips
from node import Node

LARGE = 100 << 20  # more than the node is allowed


def markers(node):
    return glob.glob(os.path.join(node.data, "envs", "*", ".testmesh.json"))


def check_passed(node, body):
    document = node.wait_done(node.submit(zips.of_files(zips.project("only", test_it=body))))
    row = document["module_results"]["only"]["tests/test_it.py"]
    assert row["outcome"] == "passed", (row, node.tail())


def test_a_removed_environment_serves_nobody(tmp_path):
    """Its warm server would have a folder that is gone, while one of the same key is built anew."""
    node = Node(tmp_path)
    with node:
        check_passed(node, "def test_first():\n    pass\n")
    (marker,) = markers(node)
    with open(marker) as file:
        said = json.load(file)
    with open(marker, "w") as file:
        json.dump({**said, "bytes": LARGE}, file)
    node.options += ["--envs-max-bytes", "64M"]
    with node.start():
        check_passed(node, "def test_second():\n    pass\n")
        node.wait_until(lambda: not markers(node), "the environment is evicted")
        assert "env_evict" in node.tail()
        # Imports for the first time what the old folder would not have any more.
        check_passed(node, "import _pytest.pastebin\n\n\ndef test_third():\n    pass\n")
        assert len(markers(node)) == 1
