"""How many modules that do nothing a mesh of four hands out, runs, records and seals a second, every
promise synced; beside it pytest-xdist with tests that do nothing (tests, not modules: it has no
record of its own to keep)."""

import argparse
import os
import re
import statistics
import subprocess
import sys

import plain_venv

ABOUT = "3,000 null modules a second / those of 4 nodes, 3 copies each"
GOAL = 1.0
WANTED = 3000
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench/run dispatch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--modules", type=int, default=10000)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--build", default=os.environ.get("TESTMESH_BUILD",
                                                          os.path.join(ROOT, "build", "release")))
    return parser.parse_args(arguments)


def ours(options):
    """Modules a second, from the acknowledgement to the sealed result."""
    if not os.path.exists(os.path.join(options.build, "mesh-bench")):
        sys.exit(f"first: cmake --build {options.build} --target mesh-bench")
    done = subprocess.run([os.path.join(options.build, "mesh-bench"), "dispatch", "--modules",
                           str(options.modules), "--nodes", str(options.nodes)],
                          stdout=subprocess.PIPE, text=True, check=True)
    found = re.search(r"modules (\d+) .* modules_per_second (\d+)", done.stdout)
    assert found and int(found.group(1)) == options.modules, done.stdout
    return int(found.group(2))


def xdist(folder, python, count):
    """Tests a second of `pytest -n 2`, without its start."""
    os.makedirs(f"{folder}/null")
    with open(f"{folder}/null/test_null.py", "w") as file:
        file.write(f"import pytest\n@pytest.mark.parametrize('n', range({count}))\n"
                   "def test_null(n):\n    pass\n")
    seconds = plain_venv.pytest_seconds(python, f"{folder}/null", ["-n", "2"])
    start = plain_venv.pytest_seconds(python, f"{folder}/null", ["-n", "2", "test_null.py::test_null[0]"])
    return count / max(seconds - start, 1e-3)


def run(arguments):
    options = parse(arguments)
    rates = [ours(options) for _ in range(options.rounds)]
    print(f"mesh of {options.nodes}: {', '.join(map(str, rates))} modules a second")
    with plain_venv.made([plain_venv.XDIST]) as (folder, python):
        print(f"pytest-xdist -n 2: {xdist(folder, python, 5000):.0f} tests a second")
    return WANTED / statistics.median(rates)


if __name__ == "__main__":
    sys.exit("bench/run dispatch")
