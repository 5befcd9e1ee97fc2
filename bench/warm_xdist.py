"""One evaluation of the corpus on a warm node of two slots, against pytest in ready environments."""

import argparse
import statistics
import sys
import time

import rivals
from node import Node

ABOUT = "warm corpus on 2 slots / pytest -n 2 --dist loadfile, project after project"
GOAL = 1.1


def evaluate(node, data):
    """(seconds, counts) from the first byte of the upload to the last mark."""
    started = time.perf_counter()
    id = node.submit(data)
    node.wait_until(lambda: node.evaluation(id)["status"] == "done", "done", 1800, pause=0.02)
    seconds = time.perf_counter() - started
    results = node.evaluation(id)["module_results"]
    assert not any(m["cached"] for rows in results.values() for m in rows.values())
    return seconds, rivals.counts_of_node(node, id)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench/run warm-xdist", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="measured rounds after the warm-up")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--no-fork-server", action="store_true")
    parser.add_argument("--rivals-only", action="store_true", help="check the rivals, start no node")
    parser.add_argument("names", nargs="*", help="projects of the corpus; all by default")
    return parser.parse_args(arguments)


def run(arguments):
    options = parse(arguments)
    projects = rivals.corpus_projects(options.names)
    with rivals.Scratch() as folder:
        xdist = [rivals.Rival(project, options.python, f"{folder}/xdist", [rivals.XDIST])
                 for project in projects]
        plain = [rivals.Rival(project, options.python, f"{folder}/plain") for project in projects]
        sides = {
            "xdist": lambda: rivals.one_after_the_other(xdist, ["-n", "2", "--dist", "loadfile"]),
            "plain": lambda: rivals.two_at_a_time(plain, []),
        }
        if options.rivals_only:
            return measure(sides, options.rounds)
        node_options = ["--slots", "2", "--python", options.python]
        if options.no_fork_server:
            node_options.append("--no-fork-server")
        with Node(f"{folder}/node", *node_options) as node:
            data = rivals.zip_of(projects, folder)
            sides["node"] = lambda: evaluate(node, data)
            return measure(sides, options.rounds)


def measure(sides, rounds):
    """Runs every side once to warm it, then `rounds` times in turn; prints all and returns the ratio."""
    times = {name: [] for name in sides}
    for number in range(rounds + 1):
        done = {}
        for name, side in sides.items():
            seconds, done[name] = side()
            if number:
                times[name].append(seconds)
            label = f"round {number}" if number else "warm-up"
            print(f"{label}: {name} {seconds:.2f} s", flush=True)
        for name, counts in done.items():
            rivals.check_equal(done.get("node", done["xdist"]), counts, name)
    best = {name: statistics.median(values) for name, values in times.items()}
    ours = best.get("node", best["xdist"])
    print(f"beside it: against plain pytest, two projects at a time: {ours / best['plain']:.3f}")
    return ours / best["xdist"]
