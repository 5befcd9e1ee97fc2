"""Seeds of all modes, in the build that users run; TESTMESH_FULL=1 takes 2,000."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from simulator import FULL, seeds

MODES = ("crash", "part", "perm", "disk", "blackout")
COUNT = 400 if FULL else 60


@pytest.mark.parametrize("mode", MODES)
def test_what_must_hold_holds(mode):
    assert seeds("--mode", mode, "--seed", 1, "--count", COUNT)[0] == COUNT
