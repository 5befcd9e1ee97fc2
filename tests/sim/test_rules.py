"""The simulator itself: one seed is one history, the checker sees broken rules, old failures stay away."""

import glob
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from simulator import FULL, SUMMARY, run, sanitized, seeds


def test_one_seed_is_one_history_in_every_process():
    # Two processes have their memory at two places.
    first = seeds("--seed", 1000, "--count", 10)
    assert first == seeds("--seed", 1000, "--count", 10)
    assert first != seeds("--seed", 1001, "--count", 10)


def test_the_sanitizers_find_nothing_and_see_the_same_history():
    count = 60 if FULL else 10
    assert seeds("--seed", 1, "--count", count, program=sanitized()) == seeds("--seed", 1, "--count", count)


def test_every_rule_that_is_broken_on_purpose_is_caught():
    code, output = run("--gate")
    assert code == 0 and " missed 0" in output, output


def test_a_violation_is_told_and_ends_with_1():
    code, output = run("--mode", "part", "--seed", 1, "--count", 1, "--mutation", "no-quorum")
    assert code == 1
    assert "violation I7 seed 1 mode part" in output
    assert SUMMARY.search(output).group(2) == "1"


def test_a_trace_tells_the_same_history():
    code, output = run("--seed", 1, "--trace")
    assert code == 0
    assert " PING #" in output and "user submits" in output and "---- calm ----" in output
    assert SUMMARY.search(output).group(3) == seeds("--seed", 1)[1]


@pytest.mark.parametrize("name", [os.path.basename(name)
                                  for name in sorted(glob.glob(os.path.join(HERE, "regress", "*.txt")))])
def test_what_failed_once_is_well(name):
    with open(os.path.join(HERE, "regress", name), encoding="utf-8") as file:
        words = dict(line.split(None, 1) for line in file.read().splitlines() if line)
    assert words["why"]
    seeds("--seed", words["seed"], "--mode", words["mode"], "--nodes", words["nodes"],
          "--git", words.get("git", "none").strip())
