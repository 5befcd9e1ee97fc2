"""The interpreters that a node is given: each alone, and the choice between them."""

import os
import shutil
import subprocess

import pytest
import zips
from node import Node

SYSTEM = "/usr/bin/python3"


def facts_of(python):
    """(version, executable) of what a command called `python` really starts."""
    said = subprocess.run([python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3]);"
                           "print(sys.executable)"], capture_output=True, text=True, check=True)
    return tuple(said.stdout.split("\n")[:2])


def both():
    """The system's, and a version manager's, which is another one first on PATH."""
    other = shutil.which("python3")
    if not os.path.exists(SYSTEM) or not other:
        pytest.skip("there is no second Python here")
    system, managed = facts_of(SYSTEM), facts_of(other)
    if system[0] == managed[0]:
        pytest.skip("both Pythons have one version")
    return system[0], managed[0], managed[1]


def saying(name, version, requires=None):
    """A project that passes on exactly one version of Python."""
    files = zips.project(name, test_version=(
        "import subprocess\nimport sys\n\n\n"
        "def test_version():\n"
        f"    assert '%d.%d.%d' % sys.version_info[:3] == '{version}'\n\n\n"
        "def test_children_have_it_too():\n"
        "    code = 'import sys; print(sys.version_info[:3] == %r)' % (tuple(sys.version_info[:3]),)\n"
        "    assert subprocess.check_output([sys.executable, '-c', code]) == b'True\\n'\n\n\n"
        "def test_compiled_modules():\n"
        "    import ctypes, sqlite3, ssl, zlib\n"))
    if requires:
        files[f"{name}/pyproject.toml"] = (f'[project]\nname = "{name}"\nversion = "1"\n'
                                           f'requires-python = "{requires}"\n')
    return files


def check_passed(document, *names):
    for name in names:
        row = document["module_results"][name]["tests/test_version.py"]
        assert (row["outcome"], row["passed"]) == ("passed", 3), (name, row)


@pytest.mark.parametrize("which", ["system", "managed"])
def test_one_python(tmp_path, which):
    system, managed, path = both()
    version, python = (system, SYSTEM) if which == "system" else (managed, path)
    with Node(tmp_path, "--python", python) as node:
        assert version in node.tail()
        check_passed(node.wait_done(node.submit(zips.of_files(saying("any", version)))), "any")


def test_the_command_of_a_version_manager(tmp_path):
    """It may be a shell script: what it starts is what counts."""
    _, managed, _ = both()
    with Node(tmp_path, "--python", shutil.which("python3")) as node:
        check_passed(node.wait_done(node.submit(zips.of_files(saying("any", managed)))), "any")


def test_requires_python_chooses(tmp_path):
    """The first that satisfies it; where none does the first of all, as a person would try."""
    system, managed, path = both()
    with Node(tmp_path, "--python", SYSTEM, "--python", path) as node:
        files = {**saying("old", system, f"=={system}"), **saying("new", managed, f"=={managed}"),
                 **saying("any", system), **saying("none", system, ">=3.99")}
        document = node.wait_done(node.submit(zips.of_files(files)))
        check_passed(document, "old", "new", "any", "none")
        notes = {name: "\n".join(row["notes"]) for name, row in document["projects"].items()}
        assert "asks for Python >=3.99" in notes["none"] and system in notes["none"]
        assert not any("asks for Python" in notes[name] for name in ("old", "new", "any"))


@pytest.mark.parametrize("python", ["/nonexistent/python3", "/bin/true"])
def test_a_python_that_is_none(tmp_path, python):
    """The system's is taken in its place, and the banner says so."""
    if not os.path.exists(SYSTEM):
        pytest.skip("there is no system Python here")
    with Node(tmp_path, "--python", python) as node:
        (note,) = [line for line in node.tail().splitlines() if line.startswith("  note ")]
        assert python in note and SYSTEM in note, note
