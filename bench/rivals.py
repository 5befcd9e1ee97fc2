"""What the benchmarks are measured against: pytest as people run it, in environments that are ready.

A rival works in a tree of its own, at the same path as the node's jobs, in one sandbox a project, as
an ordinary user, with Python writing its byte code: the best conditions that it can have.
"""

import concurrent.futures
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for part in ("corpus", "lib"):
    sys.path.insert(0, os.path.join(ROOT, "tests", part))

import corpus  # noqa: E402
import fetch  # noqa: E402
import reference  # noqa: E402
import sandbox  # noqa: E402

XDIST = "pytest-xdist==3.8.0"
# One file that does not import shall not cost the rival, or us, the project.
COMMON = ["-p", "testmesh_reference", "-q", "--continue-on-collection-errors"]


class Rival:
    """One project, ready to be run again and again."""

    def __init__(self, project, python, folder, more=()):
        self.project = project
        self.folder = os.path.join(folder, project.folder)
        self.tree = os.path.join(self.folder, "tree")
        self.record = os.path.join(self.folder, "record")
        self.stage = os.path.join(self.folder, "stage")
        self.prefix = sandbox.python_prefix(python)
        self.env = corpus.environment(project, python, more)
        os.makedirs(self.stage)
        os.mkdir(self.record)
        os.chmod(self.record, 0o777)
        corpus.copy_tree(project.tree, self.tree, sandbox.UID)

    def run(self, arguments=()):
        """Runs pytest over the project's modules; returns {test: outcome}."""
        path = os.path.join(self.record, "result.json")
        if os.path.exists(path):
            os.unlink(path)
        inside = f"{reference.TREE_INSIDE}/{self.project.folder}"
        mounts = [("ro", self.prefix, self.prefix)] if self.prefix else []
        mounts += [("ro", self.env, reference.ENV_INSIDE), ("rw", self.tree, inside),
                   ("rw", self.record, "/record")]
        more = {"PYTHONPATH": f"{inside}/src"} if self.project.src_layout else {}
        argv = [f"{reference.ENV_INSIDE}/bin/python", "-m", "pytest", *COMMON, *arguments]
        argv = sandbox.command(mounts, inside, reference.ENV_INSIDE, self.stage, argv, more)
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, cwd="/")
        record = reference.read_record(path)
        return record["tests"] if record else {}


def counts(outcomes):
    """{outcome: how many}, without the tests in error: those are counted per file or per test."""
    found = {}
    for outcome in outcomes:
        if outcome != "error":
            found[outcome] = found.get(outcome, 0) + 1
    return found


def one_after_the_other(rivals, arguments):
    """(seconds, {project: counts}) of running each rival in turn."""
    return timed(rivals, arguments, 1)


def two_at_a_time(rivals, arguments):
    return timed(rivals, arguments, 2)


def timed(rivals, arguments, width):
    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        results = list(pool.map(lambda rival: rival.run(arguments), rivals))
    seconds = time.perf_counter() - started
    return seconds, {rival.project.folder: counts(result.values())
                     for rival, result in zip(rivals, results)}


def corpus_projects(names):
    """The corpus's projects whose outcomes do not depend on how many modules share a process."""
    fetch.fetch(names)
    return [project for project in corpus.select(names) if project.alike]


def zip_of(projects, folder):
    path = os.path.join(folder, "projects.zip")
    fetch.pack(path, projects)
    with open(path, "rb") as file:
        return file.read()


def counts_of_node(node, id):
    found = {}
    for item in node.tests(id, detail=0):
        found.setdefault(item["project"], []).append(item["outcome"])
    return {project: counts(outcomes) for project, outcomes in found.items()}


def check_equal(ours, theirs, who):
    """Ends the benchmark where the sides did not do the same work."""
    bad = [f"  {project}: we {ours.get(project)}, {who} {theirs.get(project)}"
           for project in sorted(set(ours) | set(theirs)) if ours.get(project) != theirs.get(project)]
    if bad:
        raise SystemExit(f"not the same outcomes as {who}:\n" + "\n".join(bad))


class Scratch:
    """A temporary folder that a sandbox's user can reach."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="testmesh-bench-")
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *unused):
        shutil.rmtree(self.path, ignore_errors=True)
