"""What four nodes send each other when nothing happens: bytes a second and node, counted at the
interfaces of network namespaces, with IP and UDP headers."""

import argparse
import os
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))

from mesh import Mesh  # noqa: E402
from netns import Network, NoNamespaces  # noqa: E402

ABOUT = "bytes a second that an idle node of four sends / 200"
GOAL = 1.0
WANTED = 200


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run idle-traffic", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--settle", type=float, default=70,
                        help="before the count begins: streams that nobody uses are closed after 60 s")
    parser.add_argument("--nodes", type=int, default=4)
    options = parser.parse_args(arguments)
    try:
        network = Network(options.nodes)
    except NoNamespaces as error:
        raise SystemExit(f"needs network namespaces: {error}") from error
    with network, tempfile.TemporaryDirectory(prefix="testmesh-bench-") as folder:
        os.chmod(folder, 0o755)
        with Mesh(folder, options.nodes, network=network):
            time.sleep(options.settle)
            before = [place.sent() for place in network.places]
            started = time.perf_counter()
            time.sleep(options.seconds)
            after = [place.sent() for place in network.places]
            seconds = time.perf_counter() - started
    worst = 0
    for number, (old, new) in enumerate(zip(before, after)):
        packets, sent = ((b - a) / seconds for a, b in zip(old, new))
        print(f"node {number}: {sent:.0f} bytes and {packets:.2f} packets a second")
        worst = max(worst, sent)
    return worst / WANTED


if __name__ == "__main__":
    sys.exit("bench/run idle-traffic")
