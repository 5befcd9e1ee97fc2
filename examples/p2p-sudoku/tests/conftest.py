"""As course suites are: ports that everybody uses, and sleeps that hope to be long enough."""

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def start(http_port, peer_port, anchor=None):
    command = [sys.executable, "node.py", "-p", str(http_port), "-s", str(peer_port)]
    if anchor:
        command += ["-a", anchor]
    return subprocess.Popen(command, cwd=ROOT)


def call(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="session")
def one_node():
    node = start(8000, 5000)
    time.sleep(0.8)
    yield 8000
    node.terminate()
    node.wait()


@pytest.fixture(scope="session")
def three_nodes():
    nodes = [start(8000, 5000)]
    time.sleep(0.6)
    nodes.append(start(8001, 5001, "127.0.0.1:5000"))
    time.sleep(0.4)
    nodes.append(start(8002, 5002, "127.0.0.1:5000"))
    time.sleep(0.8)
    yield [8000, 8001, 8002]
    for node in nodes:
        node.terminate()
        node.wait()


@pytest.fixture(scope="session")
def forgotten_node():
    """Nobody stops this one: the next module finds the port taken, unless somebody cleans up."""
    start(8000, 5000)
    time.sleep(0.8)
    return 8000
