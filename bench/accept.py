"""A zip of 1 MB posted to one of four nodes: the time to the 202, which says that three nodes have it
on their disks; beside it the same to a node alone, one copy."""

import argparse
import os
import random
import statistics
import sys
import time

import plain_venv

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

import zips  # noqa: E402
from mesh import Mesh  # noqa: E402

ABOUT = "1 MB zip to 202 with three durable copies / 50 ms"
GOAL = 1.0
WANTED_MS = 50


def upload(number):
    """About 1 MB that does not compress, another each time."""
    rng = random.Random(number)
    return zips.of_files({f"p{number}/data.bin": rng.randbytes(1_000_000),
                          f"p{number}/tests/test_it.py": "def test_it():\n    pass\n"})


def accept_ms(node, rounds, first):
    times = []
    for number in range(first, first + rounds):
        data = upload(number)
        started = time.perf_counter()
        id = node.submit(data)
        times.append((time.perf_counter() - started) * 1e3)
        node.request("DELETE", f"/evaluation/{id}")
    return statistics.median(times), max(times)


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run accept", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args(arguments)
    with plain_venv.made([]) as (folder, _):
        with Mesh(f"{folder}/mesh", 4) as mesh:
            median, worst = accept_ms(mesh[0], options.rounds, 0)
        with Mesh(f"{folder}/alone", 1) as alone:
            single, _ = accept_ms(alone[0], options.rounds, options.rounds)
    print(f"four nodes, 3 copies: median {median:.1f} ms, worst {worst:.1f} ms; alone: {single:.1f} ms")
    return median / WANTED_MS


if __name__ == "__main__":
    sys.exit("bench/run accept")
