"""The README says what is true: its commands exist, its table is the option table."""

import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.environ.get("TESTMESH_BIN") or os.path.join(ROOT, "build", "release", "testmesh")
BEGIN, END = "<!-- options: made by `testmesh options-markdown` -->\n", "<!-- end of options -->"

if not os.access(PROGRAM, os.X_OK):
    pytest.skip("the program is not built: ./boot.sh build", allow_module_level=True)


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30, cwd=ROOT)


def test_the_table_of_options_is_the_programs():
    """To renew it: build/release/testmesh options-markdown, pasted between the two marks."""
    text = readme()
    table = text[text.index(BEGIN) + len(BEGIN):text.index(END)]
    assert table.strip() == run(PROGRAM, "options-markdown").stdout.strip()


def code():
    return "\n".join(re.findall(r"^```[a-z]*\n(.*?)^```", readme(), re.M | re.S)) + "\n".join(
        re.findall(r"`([^`\n]+)`", readme()))


def test_every_verb_of_the_client_is_one():
    known = set(re.findall(r"^  ([a-z-]+) +\S", run(PROGRAM, "help").stdout, re.M))
    known |= {"options-markdown", "help"}
    used = set(re.findall(r"(?:^|[\s/`$])testmesh ([a-z][a-z-]*)\b", code(), re.M))
    assert used and used <= known, used - known


def test_every_verb_of_boot_is_one():
    known = set(re.findall(r"\./boot\.sh ([a-z]+)", run("./boot.sh", "help").stdout))
    used = set(re.findall(r"\./boot\.sh ([a-z]+)", code()))
    assert used and used <= known, used - known


def test_every_flag_belongs_to_its_verb():
    for verb, rest in re.findall(r"testmesh ([a-z][a-z-]*)((?: [^\n`|#]*)?)", code()):
        flags = re.findall(r"(?<=\s)--([a-z][a-z-]*)", rest.split(" -- ")[0])
        if not flags or verb in ("help", "options-markdown"):
            continue
        known = run(PROGRAM, verb, "--help").stdout
        for flag in flags:
            assert re.search(rf"--(no-)?{flag}\b", known), f"testmesh {verb} has no --{flag}"


def test_every_link_into_the_tree_leads_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", readme()):
        assert os.path.exists(os.path.join(ROOT, target)), target
