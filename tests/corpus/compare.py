"""Hold a node against pytest run by hand, test by test.

    python3 tests/corpus/compare.py [--node HOST:PORT | --no-fork-server | --git] [--each] [NAME ...]

Uploads the corpus (one zip of all, or one a project with --each) to a node, to one of our own where
none is named, or has it clone them from a git server, every other one with a token, and compares every (project, module, test, outcome) with reference.py's. Prints what
differs, grouped; exit 1 on any difference.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile

import corpus
import fetch
import reference

sys.path.insert(0, os.path.join(corpus.ROOT, "tests", "lib"))
from gitserver import GitServer  # noqa: E402
from node import Node  # noqa: E402

SHOWN = 20
WAIT_S = 1800


class Remote(Node):
    """A node that somebody else runs."""

    def __init__(self, address):
        self.address = address
        self.log = os.devnull

    def stop(self, timeout=0):
        pass


def outcomes_of_node(node, id):
    """{project: {module: {test: outcome}}}; of tests with one id the worst counts, as by hand."""
    found = {}
    for item in node.tests(id, detail=0):
        tests = found.setdefault(item["project"], {}).setdefault(item["module"], {})
        known = tests.get(item["test"], item["outcome"])
        tests[item["test"]] = min(known, item["outcome"], key=reference.WORST_FIRST.index)
    return found


def compare(project, expected, got):
    """[(kind, line)] of what differs in one project."""
    lines = []
    for module in sorted(set(expected) | set(got)):
        if module not in got:
            lines.append(("module missing", f"{module} ({len(expected[module])} tests by hand)"))
            continue
        if module not in expected:
            lines.append(("module too many", f"{module} ({len(got[module])} tests)"))
            continue
        for test in sorted(set(expected[module]) | set(got[module])):
            hand, ours = expected[module].get(test), got[module].get(test)
            if hand is None or ours is None:
                kind = "test too many" if hand is None else "test missing"
                lines.append((kind, f"{test} ({ours or hand})"))
            elif hand != ours:
                lines.append((f"by hand {hand}, node {ours}", test))
    return [(kind, f"{project.folder}: {line}") for kind, line in lines]


def check_totals(document, project, got):
    """[(kind, line)] where the counts of the document are not those of its tests."""
    lines = []
    for module, row in document["module_results"].get(project.folder, {}).items():
        outcomes = list(got.get(module, {}).values())
        counted = {"passed": sum(o in ("passed", "xpassed") for o in outcomes),
                   "failed": outcomes.count("failed"), "errors": outcomes.count("error")}
        if any(row[key] != value for key, value in counted.items()):
            lines.append(("counts disagree", f"{project.folder}: {module}: {row} and {counted}"))
    return lines


def upload(node, path):
    with open(path, "rb") as file:
        return node.submit(file.read(), fields=[("name", None, None, b"corpus")])


def files_of(tree):
    """({path: bytes}, {path: target}) of a folder's files and links."""
    files, links = {}, {}
    for folder, folders, names in os.walk(tree):
        for name in folders + names:
            path = os.path.join(folder, name)
            inner = os.path.relpath(path, tree)
            if os.path.islink(path):
                links[inner] = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    files[inner] = file.read()
    return files, links


def clone(node, server, projects):
    """Has the node clone the projects; every other one wants the token."""
    urls = []
    for number, project in enumerate(projects):
        name = f"{'private' if number % 2 else 'corpus'}/{project.folder}"
        server.repository(name, *files_of(project.tree))
        urls.append(server.url(name))
    answer = node.request("POST", "/evaluation", json.dumps({"projects": urls, "auth_token": server.token}),
                          {"Content-Type": "application/json"})
    assert answer.status == 202, answer
    return answer.json()["id"]


def run(node, id, projects, python):
    """Waits for an evaluation and returns all differences of its projects."""
    document = node.wait_done(id, WAIT_S)
    got = outcomes_of_node(node, id)
    lines, tests = [], 0
    for project in projects:
        expected = reference.reference(project, python)["modules"]
        ours = got.get(project.folder, {})
        found = compare(project, expected, ours) + check_totals(document, project, ours)
        tests += sum(len(rows) for rows in expected.values())
        print(f"{project.folder}: {len(expected)} modules, "
              f"{sum(len(rows) for rows in expected.values())} tests, {len(found)} differences",
              flush=True)
        lines += found
    return lines, tests


def show(lines):
    groups = {}
    for kind, line in lines:
        groups.setdefault(kind, []).append(line)
    for kind, members in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        print(f"\n{kind}: {len(members)}")
        for line in members[:SHOWN]:
            print(f"  {line[:300]}")
        if len(members) > SHOWN:
            print(f"  … and {len(members) - SHOWN} more")


def open_node(arguments, folder, server):
    if arguments.node:
        return Remote(arguments.node)
    options = ["--python", arguments.python]
    if arguments.no_fork_server:
        options.append("--no-fork-server")
    if server:
        options += server.node_options()
    return Node(folder, *options, env=server.node_env() if server else None)


def main():
    parser = argparse.ArgumentParser(description="Compare a node with pytest run by hand.")
    parser.add_argument("--node", metavar="HOST:PORT", help="a running node; else one is started")
    parser.add_argument("--no-fork-server", action="store_true", help="start ours without it")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--git", action="store_true", help="from repositories, to a node of ours")
    parser.add_argument("--each", action="store_true", help="one upload a project")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    projects = fetch.fetch(arguments.names)
    for project in projects:
        reference.reference(project, arguments.python)
    folder = tempfile.mkdtemp(prefix="testmesh-compare-")
    lines, tests = [], 0
    try:
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(GitServer(os.path.join(folder, "git"))) if arguments.git else None
            node = stack.enter_context(open_node(arguments, os.path.join(folder, "node"), server))
            for batch, path in uploads(projects, arguments):
                id = clone(node, server, batch) if server else upload(node, path)
                found, count = run(node, id, batch, arguments.python)
                lines, tests = lines + found, tests + count
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(lines)
    print(f"\n{len(projects)} projects, {tests} tests by hand, {len(lines)} differences")
    return 1 if lines else 0


def uploads(projects, arguments):
    if arguments.git and not arguments.each:
        return [(projects, None)]
    if arguments.each or arguments.names:
        return [([project], project.zip) for project in projects]
    return [(projects, os.path.join(corpus.BUILD, "zips", "all.zip"))]


if __name__ == "__main__":
    sys.exit(main())
