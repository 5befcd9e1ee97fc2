"""Twenty repositories that one node clones, against git clone, one after the other.

The repositories are made from the corpus, one commit each (no history, which would only speak for us:
a node does not fetch it), and served over TLS by git's own http backend behind nginx on this machine.
The node's time is from the request until the last bundle is in its store, while it begins with the
tests of the first; git's is that of twenty processes, as a script starts them.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import time

import rivals
from node import Node

import gitserver
import zips

ABOUT = "20 repositories until a node has all bundles / git clone --single-branch, one by one"
GOAL = 0.8
COUNT = 20
PINNED = re.compile(r"/tree/[0-9a-f]{40}$")
# Their environments are no part of this.
INI = "[testmesh]\ndependencies =\n"


def files_of(tree):
    """{path: bytes} of a project, its requirements left out."""
    found = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, tree)] = file.read()
    found["testmesh.ini"] = INI
    return found


def make_repositories(server, projects):
    names = [f"corpus/{number:02}-{projects[number % len(projects)].folder}" for number in range(COUNT)]
    for number, name in enumerate(names):
        server.repository(name, files_of(projects[number % len(projects)].tree))
    return names


def clone_all(server, names, folder):
    env = {"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"}
    os.makedirs(folder)
    started = time.perf_counter()
    for number, name in enumerate(names):
        subprocess.run(["git", "-c", f"http.sslCAInfo={server.authority}", "clone", "-q",
                        "--single-branch", server.url(name), f"{folder}/{number}"],
                       check=True, env=env, timeout=120)
    return time.perf_counter() - started


def fetch_all(node, server, names, distinct):
    body = json.dumps({"projects": [server.url(name) for name in names]})
    started = time.perf_counter()
    answer = node.request("POST", "/evaluation", body, {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    accepted = time.perf_counter() - started
    id = answer.json()["id"]

    def are_here():
        projects = node.evaluation(id)["projects"].values()
        return all(PINNED.search(project["source"]) for project in projects)

    node.wait_until(are_here, "all repositories", 120, pause=0.01)
    seconds = time.perf_counter() - started
    bundles = [path for path in node.files() if path.endswith(".zst")]
    assert len(bundles) > distinct, f"only {len(bundles)} bundles of {distinct}"
    node.request("DELETE", f"/evaluation/{id}")
    node.wait_done(id)
    return seconds, accepted


def once(projects, folder):
    """(our seconds, git's, until the 202)"""
    with gitserver.GitServer(folder + "/server", workers=8) as server:
        names = make_repositories(server, projects)
        theirs = clone_all(server, names, folder + "/clones")
        with Node(folder + "/node", "--slots", "1", *server.node_options(),
                  env=server.node_env()) as node:
            node.wait_done(node.submit(zips.of_files(zips.project("warm", test_a=zips.passing(1)))))
            ours, accepted = fetch_all(node, server, names, len(projects))
    return ours, theirs, accepted


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run git", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    projects = rivals.corpus_projects([])
    ratios = []
    for _ in range(options.rounds):
        with rivals.Scratch() as folder:
            ours, theirs, accepted = once(projects, folder)
        print(f"node: {ours:.2f} s (202 after {accepted * 1e3:.0f} ms), git clone: {theirs:.2f} s",
              flush=True)
        ratios.append(ours / theirs)
    return statistics.median(ratios)
