"""What the node says of real projects is what pytest says by hand, with the fork server and without.

By default one project a mode, so that everybody runs it; TESTMESH_FULL=1 takes the whole corpus.
"""

import os
import subprocess
import sys

import gitserver
import pytest
from front import Front, find_nginx
from mesh import Mesh
from node import FULL, ROOT

COMPARE = os.path.join(ROOT, "tests", "corpus", "compare.py")
# Small ones with much in them: importlib mode, doctests and warnings as errors; pytest in pytest.
SHORT = {"fork-server": "jaraco.functools", "cold": "pytest-mock"}


@pytest.mark.parametrize("mode", sorted(SHORT))
def test_equal_to_pytest_by_hand(mode):
    argv = [sys.executable, COMPARE] + ([] if mode == "fork-server" else ["--no-fork-server"])
    done = subprocess.run(argv + ([] if FULL else [SHORT[mode]]), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.skipif(bool(gitserver.missing()), reason=str(gitserver.missing()))
def test_equal_as_repositories():
    argv = [sys.executable, COMPARE, "--git"]
    done = subprocess.run(argv + ([] if FULL else [SHORT["fork-server"], SHORT["cold"]]), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.skipif(not find_nginx(), reason="nginx is not installed")
def test_equal_behind_the_front_though_its_first_node_dies(tmp_path):
    """Four nodes behind nginx; the one that nginx asks first is killed while the corpus runs."""
    with Mesh(tmp_path / "mesh", 4) as mesh, \
            Front(tmp_path / "front", [node.home for node in mesh.nodes]) as front:
        argv = [sys.executable, COMPARE, "--node", front.address]
        compare = subprocess.Popen(argv + ([] if FULL else [SHORT["fork-server"]]),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            mesh.wait(lambda: compare.poll() is not None or has_results(mesh[1]), "first results", 900)
            mesh[0].kill()
            said = compare.communicate()[0]
        finally:
            compare.kill()
    assert compare.returncode == 0, said[-6000:]


def has_results(node):
    return any(node.evaluation(id)["executed"] > 0 for id in node.get_json("/evaluation")["evaluations"])
