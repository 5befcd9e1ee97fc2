"""The duration set of pytest-xdist's issue #925: 15 modules that sleep from 0.8 to 10 s, on 4 slots of
a mesh that has seen them once, against the least that any schedule can take; pytest-xdist beside."""

import argparse
import os
import sys
import time

import plain_venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import zips  # noqa: E402
from mesh import Mesh  # noqa: E402

ABOUT = "15 sleeping modules on 4 slots of 2 nodes / the lower bound of any schedule"
GOAL = 1.05
SECONDS = [10, 9, 8, 7, 6, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0, 0.9, 0.8]
SLOTS = 4


def files(scale):
    """The shortest first: the order of names must not help."""
    return {f"tests/test_{number:02}.py": f"import time\n\n\ndef test_it():\n    time.sleep({s * scale})\n"
            for number, s in enumerate(sorted(SECONDS))}


def evaluate(node, data):
    started = time.perf_counter()
    id = node.submit(data)
    node.wait_until(lambda: node.evaluation(id)["status"] == "done", "done", 600, pause=0.01)
    seconds = time.perf_counter() - started
    assert node.evaluation(id)["_run_info"]["%passed"] == 100
    return seconds


def rival(scale, how):
    with plain_venv.made([plain_venv.XDIST]) as (folder, python):
        for path, text in files(scale).items():
            os.makedirs(os.path.dirname(f"{folder}/p/{path}"), exist_ok=True)
            with open(f"{folder}/p/{path}", "w") as file:
                file.write(text)
        return {name: plain_venv.pytest_seconds(python, f"{folder}/p", ["-n", str(SLOTS), *words])
                for name, words in how.items()}


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run makespan", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the durations")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(arguments)
    bound = max(sum(SECONDS) / SLOTS, max(SECONDS)) * options.scale
    data = zips.of_files({f"issue925/{path}": text for path, text in files(options.scale).items()})
    with plain_venv.made([]) as (folder, _), \
            Mesh(f"{folder}/mesh", 2, ["--slots", "2"]) as mesh:
        first = evaluate(mesh[0], data)
        times = [evaluate(mesh[0], data) for _ in range(options.rounds)]
    others = rival(options.scale, {"load": [], "worksteal": ["--dist", "worksteal"]})
    print(f"lower bound {bound:.2f} s; mesh without history {first:.2f} s, with it "
          + ", ".join(f"{t:.2f}" for t in times) + " s")
    for name, seconds in others.items():
        print(f"pytest-xdist -n {SLOTS} --dist {name}: {seconds:.2f} s, {seconds / bound:.2f} of the bound")
    return min(times) / bound


if __name__ == "__main__":
    sys.exit("bench/run makespan")
