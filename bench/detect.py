"""How long until the last survivor of four knows that a node was killed (kill -9) or stopped
(SIGSTOP), and until all have it back after its restart; beside what is promised."""

import argparse
import os
import statistics
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from mesh import Mesh  # noqa: E402

ABOUT = "seconds to the last survivor's verdict / promised (kill -9 2.0 and 4.5, SIGSTOP 4.5 and 7.0)"
GOAL = 1.0
NODES = 4
KILLED_S = (2.0, 4.5)  # median, 99th percentile
STOPPED_S = (4.5, 7.0)
BACK_S = 5.0
GIVE_UP_S = 60


def seconds_until(mesh, wanted):
    """From now until every node that talks sees exactly `wanted`."""
    started = time.perf_counter()
    waiting = set(mesh.talking())
    while waiting:
        waiting = {node for node in waiting if node.members() != wanted}
        if time.perf_counter() - started > GIVE_UP_S:
            raise SystemExit(f"not noticed within {GIVE_UP_S} s by {waiting}")
        time.sleep(0.005)
    return time.perf_counter() - started


def lose(mesh, number, how):
    """Seconds to the verdict, and from the restarted node's first moment until all have it again."""
    victim = mesh[number % NODES]
    everybody = {node.home for node in mesh.nodes}
    if how == "kill":
        victim.kill()
    else:
        victim.pause()
    gone = seconds_until(mesh, everybody - {victim.home})
    if how == "stop":
        victim.kill()  # a restart is no flapping, which would count against it next time
    victim.address = victim.home
    begin = victim.launch()
    started = time.perf_counter()
    victim.wait_ready(begin)
    seconds_until(mesh, everybody)
    return gone, time.perf_counter() - started


def percentile(values, share):
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run detect", description=__doc__)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--stops", type=int, default=6)
    options = parser.parse_args(arguments)
    ratios, backs = [], []
    with tempfile.TemporaryDirectory(prefix="testmesh-bench-") as folder:
        os.chmod(folder, 0o755)
        with Mesh(folder, NODES) as mesh:
            for how, rounds, promised in (("kill", options.kills, KILLED_S),
                                          ("stop", options.stops, STOPPED_S)):
                times = []
                for number in range(rounds):
                    time.sleep(1 + 0.37 * (number % 4))  # another moment of the probe's period
                    gone, back = lose(mesh, number, how)
                    times.append(gone)
                    backs.append(back)
                if not times:
                    continue
                median, worst = statistics.median(times), percentile(times, 99)
                print(f"{how}: {rounds} rounds, median {median:.2f} s (promised {promised[0]}), "
                      f"p99 {worst:.2f} s (promised {promised[1]})", flush=True)
                ratios += [median / promised[0], worst / promised[1]]
    print(f"back everywhere after a restart: median {statistics.median(backs):.2f} s, worst "
          f"{max(backs):.2f} s (promised {BACK_S})")
    return max(ratios + [max(backs) / BACK_S])


if __name__ == "__main__":
    sys.exit("bench/run detect")
