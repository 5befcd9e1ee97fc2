"""A fresh node with empty caches, against venv, pip and pytest for each project in turn.

The node has uv as ./boot.sh gives it, and begins with nothing on its disk. The script has pip's own
cache of downloads as it happens to be, warm mostly: that is how such scripts run.
"""

import argparse
import os
import subprocess
import sys
import time

import rivals
from node import Node, environment
from rivals import corpus, sandbox

ABOUT = "the corpus on a new node with empty caches / venv + pip + pytest per project"
GOAL = 0.3


def by_hand(project, python, folder):
    """What a teacher's script does for one project; returns its counts."""
    tree, env = os.path.join(folder, project.folder), os.path.join(folder, project.folder + "-env")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment()}
    subprocess.run([python, "-m", "venv", env], check=True, **quiet)
    inner = os.path.join(env, "bin", "python")
    subprocess.run([inner, "-m", "pip", "install", *project.requirements], check=True, **quiet)
    rival = rivals.Rival.__new__(rivals.Rival)
    rival.project, rival.env, rival.tree = project, env, tree
    rival.prefix = sandbox.python_prefix(python)
    rival.record, rival.stage = folder + "/record", folder + "/stage"
    place_plugin(env)
    return rivals.counts(rival.run().values())


def place_plugin(env):
    library = os.path.join(env, "lib")
    (version,) = os.listdir(library)
    target = os.path.join(library, version, "site-packages", "testmesh_reference.py")
    with open(corpus.PLUGIN, "rb") as source, open(target, "wb") as copy:
        copy.write(source.read())


def sequential(projects, python, folder):
    os.makedirs(folder + "/stage")
    os.mkdir(folder + "/record")
    os.chmod(folder + "/record", 0o777)
    for project in projects:
        corpus.copy_tree(project.tree, os.path.join(folder, project.folder), sandbox.UID)
    started = time.perf_counter()
    counts = {project.folder: by_hand(project, python, folder) for project in projects}
    return time.perf_counter() - started, counts


def cold_node(projects, python, folder):
    """From the start of the process to the last mark."""
    data = rivals.zip_of(projects, folder)
    uv = corpus.find_uv()
    options = ["--python", python] + (["--uv", uv] if uv else [])
    print(f"the node installs with {uv or 'pip'}", flush=True)
    started = time.perf_counter()
    with Node(os.path.join(folder, "node"), *options) as node:
        id = node.submit(data)
        node.wait_done(id, 3600)
        seconds = time.perf_counter() - started
        return seconds, rivals.counts_of_node(node, id)


def run(arguments):
    parser = argparse.ArgumentParser(prog="bench/run cold-sequential", description=__doc__)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rivals-only", action="store_true", help="check the rival, start no node")
    parser.add_argument("names", nargs="*", help="projects of the corpus; all by default")
    options = parser.parse_args(arguments)
    projects = rivals.corpus_projects(options.names)
    python = corpus.python_identity(options.python)[0]
    with rivals.Scratch() as folder:
        seconds, theirs = sequential(projects, python, folder + "/hand")
        print(f"by hand: {seconds:.2f} s", flush=True)
        if options.rivals_only:
            return 1.0
        ours_seconds, ours = cold_node(projects, python, folder)
        print(f"node: {ours_seconds:.2f} s", flush=True)
        rivals.check_equal(ours, theirs, "by hand")
        return ours_seconds / seconds
