"""Run the corpus by hand: `python -m pytest MODULE` for each module, and keep what each test did.

    python3 tests/corpus/reference.py [--python PYTHON] [--again] [--check] [NAME ...]

This is the truth that compare.py holds a node against. Every module runs in a fresh copy of its
project, at the path that the node uses, in a sandbox without network, as an ordinary user. Results
are kept under build/corpus/reference by Python and by what the manifest says of the project.
--again runs even what is kept; --check runs a second time and names every test that differs.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import corpus
import fetch
import reference_plugin
import sandbox

TREE_INSIDE = os.environ.get("TESTMESH_TREE_INSIDE", "/work")
ENV_INSIDE = os.environ.get("TESTMESH_ENV_INSIDE", "/env")
MODULE_LIMIT_S = 300
WORST_FIRST = reference_plugin.WORST_FIRST


class Runner:
    """Runs pytest by hand in one project."""

    def __init__(self, project, python):
        self.project = project
        self.env = corpus.environment(project, python)
        self.prefix = sandbox.python_prefix(python)
        self.folder = tempfile.mkdtemp(prefix="testmesh-reference-")
        os.chmod(self.folder, 0o755)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        shutil.rmtree(self.folder, ignore_errors=True)

    def pytest(self, arguments):
        """One run in a fresh copy; returns (the plugin's record or None, exit code, output)."""
        tree, record, stage = (os.path.join(self.folder, n) for n in ("tree", "record", "stage"))
        for path in (tree, record, stage):
            shutil.rmtree(path, ignore_errors=True)
        corpus.copy_tree(self.project.tree, tree, sandbox.UID)
        os.mkdir(record)
        os.chmod(record, 0o777)
        os.mkdir(stage)
        inside = f"{TREE_INSIDE}/{self.project.folder}"
        mounts = [("ro", self.prefix, self.prefix)] if self.prefix else []
        mounts += [("ro", self.env, ENV_INSIDE), ("rw", tree, inside), ("rw", record, "/record")]
        argv = [f"{ENV_INSIDE}/bin/python", "-m", "pytest", "-p", "testmesh_reference"] + arguments
        more = {"PYTHONPATH": f"{inside}/src"} if self.project.src_layout else {}
        argv = sandbox.command(mounts, inside, ENV_INSIDE, stage, argv, more)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=MODULE_LIMIT_S, cwd="/")
        return read_record(os.path.join(record, "result.json")), done.returncode, done.stdout

    def modules(self):
        record, code, output = self.pytest(
            ["--collect-only", "-q", "--continue-on-collection-errors"])
        if record is None:
            raise SystemExit(f"{self.project.name}: pytest cannot collect (exit {code})\n"
                             + output.decode(errors="replace")[-4000:])
        return sorted(set(record["modules"]), key=lambda name: name.encode())


def read_record(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def outcomes_of(module, record, code):
    """Test to outcome for one module, by the rules of the API."""
    if record is None:
        return {module: "error"}
    if record["collect_errors"] and not record["tests"]:
        return {module: "error"}
    if code not in (0, 1, 5) and not record["tests"]:
        return {module: "error"}
    return record["tests"]


def run_project(project, python):
    """{"modules": {module: {test: outcome}}, "seconds": {module: s}} for one project, by hand."""
    modules, seconds, exits = {}, {}, {}
    with Runner(project, python) as runner:
        for module in runner.modules():
            started = time.monotonic()
            record, code, _ = runner.pytest([module])
            seconds[module] = round(time.monotonic() - started, 3)
            exits[module] = code
            modules[module] = outcomes_of(module, record, code)
    # A file in which nothing is collected, while the project collects elsewhere, is no test module;
    # one that was skipped whole is one (its run says 5 too, so only the empty-handed ones go).
    if any(modules.values()):
        modules = {name: tests for name, tests in modules.items() if tests}
    return {"modules": modules, "seconds": seconds, "exits": exits}


def path_of(project, python):
    executable, version, _ = corpus.python_identity(python)
    with open(corpus.PLUGIN, encoding="utf-8") as file:
        plugin = file.read()
    key = corpus.key_of(project.sha256, executable, version, TREE_INSIDE, plugin,
                        *sorted(project.requirements))
    return os.path.join(corpus.BUILD, "reference", f"{project.folder}-{key}.json")


def reference(project, python, again=False):
    """The kept result of a project; run by hand first where there is none."""
    path = path_of(project, python)
    if not again:
        kept = read_record(path)
        if kept:
            return kept
    result = run_project(project, python)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1, sort_keys=True)
    os.replace(path + ".part", path)
    return result


def differences(one, two):
    """Lines that name what differs between two results of one project."""
    for module in sorted(set(one["modules"]) | set(two["modules"])):
        first, second = one["modules"].get(module), two["modules"].get(module)
        if first is None or second is None:
            yield f"{module}: only in the {'second' if first is None else 'first'} run"
            continue
        for test in sorted(set(first) | set(second)):
            if first.get(test) != second.get(test):
                yield f"{test}: {first.get(test)} then {second.get(test)}"


def summary(result):
    counts = {}
    for tests in result["modules"].values():
        for outcome in tests.values():
            counts[outcome] = counts.get(outcome, 0) + 1
    words = " ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    seconds = sum(result["seconds"].values())
    return f"{len(result['modules'])} modules, {sum(counts.values())} tests ({words}), {seconds:.1f} s"


def main():
    parser = argparse.ArgumentParser(description="Run the corpus by hand and keep the outcomes.")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--check", action="store_true", help="run twice and compare")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    bad = 0
    for project in fetch.fetch(arguments.names):
        result = reference(project, arguments.python, arguments.again)
        print(f"{project.name} {project.version}: {summary(result)}", flush=True)
        if arguments.check:
            for line in differences(result, run_project(project, arguments.python)):
                print(f"  differs: {line}", flush=True)
                bad = 1
    return bad


if __name__ == "__main__":
    sys.exit(main())
