"""What the node says of real projects is what pytest says by hand, with the fork server and without.

By default one project a mode, so that everybody runs it; TESTMESH_FULL=1 takes the whole corpus.
"""

import os
import subprocess
import sys

import pytest
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
