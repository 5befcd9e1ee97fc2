"""`install = editable` in testmesh.ini: projects that only work when they are installed."""

import os
import shutil

import pytest
import zips
from node import Node

INI = "[testmesh]\ninstall = editable\n"
USES = """
import importlib.metadata
import subprocess
import sys


def test_it_is_imported_from_its_own_folder():
    import {module}
    assert {module}.__file__.startswith("/work/{folder}/")
    assert {module}.answer() == 42


def test_its_metadata_is_there():
    assert importlib.metadata.version("{name}") == "1.5"
    entries = importlib.metadata.entry_points()
    found = entries.select(group="{module}.plugins") if hasattr(entries, "select") \\
        else entries["{module}.plugins"]
    assert [entry.load()() for entry in found] == [42]


def test_its_script_runs():
    done = subprocess.run(["{name}-say", "more"], stdout=subprocess.PIPE, check=True)
    assert done.stdout == b"42 more\\n"


def test_another_python_finds_it():
    code = "import {module}; print({module}.answer())"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, cwd="/tmp")
    assert done.stdout == b"42\\n"
"""
MODULE = """
import sys


def answer():
    return 42


def main():
    print(answer(), *sys.argv[1:])
"""
PROJECT = """
[build-system]
requires = ["{requires}"]
build-backend = "{backend}"

[project]
name = "{name}"
version = "1.5"
description = "for a test"

[project.scripts]
{name}-say = "{module}:main"

[project.entry-points."{module}.plugins"]
one = "{module}:answer"
"""
SETUP = """
from setuptools import Extension, setup

setup(name="{name}", version="1.5", package_dir={{"": "lib"}}, packages=["{module}"],
      ext_modules=[Extension("{module}.fast", ["fast.c"])],
      entry_points={{"console_scripts": ["{name}-say = {module}:main"],
                    "{module}.plugins": ["one = {module}:answer"]}})
"""
FAST = """
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *args) {{ return PyLong_FromLong(42); }}
static PyMethodDef methods[] = {{{{"answer", answer, METH_NOARGS, ""}}, {{NULL, NULL, 0, NULL}}}};
static struct PyModuleDef module = {{PyModuleDef_HEAD_INIT, "fast", "", -1, methods}};
PyMODINIT_FUNC PyInit_fast(void) {{ return PyModule_Create(&module); }}
"""
COMPILED = MODULE.replace("    return 42\n", "    from . import fast\n    return fast.answer()\n")


def has_compiler():
    import sysconfig

    headers = os.path.join(sysconfig.get_paths()["include"], "Python.h")
    return os.path.exists("/usr/bin/cc") and os.path.exists(headers)


def project(folder, files, **values):
    values = {"folder": folder, **values}
    files = {"testmesh.ini": INI, "tests/test_it.py": USES, **files}
    plain = {"testmesh.ini", "setup.cfg"}
    return {f"{folder}/{path}": text if path in plain or text is MODULE or text is COMPILED
            else text.format(**values) for path, text in files.items()}


def modern(folder, place, **values):
    return project(folder, {"pyproject.toml": PROJECT, place: MODULE}, **values)


GOOD = {
    **modern("with-setuptools", "src/sample_a/__init__.py", name="sample-a", module="sample_a",
             requires="setuptools>=64", backend="setuptools.build_meta"),
    **modern("with-hatchling", "src/sample_b/__init__.py", name="sample-b", module="sample_b",
             requires="hatchling", backend="hatchling.build"),
    **modern("with-flit", "src/sample_c/__init__.py", name="sample-c", module="sample_c",
             requires="flit_core>=3.4", backend="flit_core.buildapi"),
}
if has_compiler():
    GOOD.update(project("with-setup-py", {"setup.py": SETUP, "fast.c": FAST,
                                          "lib/sample_d/__init__.py": COMPILED},
                        name="sample-d", module="sample_d"))

EVIL = """
import os, socket
from setuptools import setup

for place in ("/env", "/opt/harness", "/usr/lib"):
    try:
        open(place + "/left-behind", "w")
    except OSError:
        continue
    raise SystemExit("it could write to " + place)
try:
    socket.create_connection(("127.0.0.1", %d), 2)
except OSError:
    pass
else:
    raise SystemExit("it reached the machine")
for fd in range(3, 1024):
    try:
        os.stat("/proc/%%d/fd/%%d" %% (os.getppid(), fd))
    except OSError:
        continue
    raise SystemExit("it sees the descriptors of what started it")
open("tests/test_it.py", "w").write("def test_replaced(): pass\\n")
open("tests/test_new.py", "w").write("def test_of_its_own(): pass\\n")
setup(name="evil", version="1", py_modules=[])
"""
BAD = {
    "breaks/setup.py": "raise RuntimeError('the moon is in the wrong place')\n",
    "dies/setup.py": "import os\nos._exit(0)\n",
    "unknown/pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'nobody.knows'\n",
    "refused/pyproject.toml": "[build-system]\nrequires = ['x @ file:///etc/passwd']\n",
    "endless/setup.py": "while True: pass\n",
}
TEST = "def test_a():\n    pass\n"


def installer_modes():
    return ["uv", "pip"] if shutil.which("uv") else ["pip"]


def env_without_uv():
    folders = os.environ["PATH"].split(os.pathsep)
    return {"PATH": os.pathsep.join(folder for folder in folders
                                    if not os.path.exists(os.path.join(folder, "uv")))}


@pytest.fixture(scope="module", params=installer_modes())
def installing_node(request, tmp_path_factory):
    env = env_without_uv() if request.param == "pip" else {}
    with Node(tmp_path_factory.mktemp("editable"), "--module-timeout", "20s", env=env) as running:
        assert running.get_json("/nodes")["nodes"][0]["installer"].startswith(request.param)
        yield running


def test_projects_are_installed_as_they_ask(installing_node):
    document = installing_node.wait_done(installing_node.submit(zips.of_files(GOOD)))
    for name, row in document["projects"].items():
        assert (row["outcome"], row["passed"]) == ("passed", 4), (
            name, row, list(installing_node.tests(document["id"], project=name)))
    # Once more: from what was kept, in another evaluation.
    again = installing_node.wait_done(installing_node.submit(zips.of_files(GOOD)))
    assert {row["outcome"] for row in again["projects"].values()} == {"passed"}


def test_a_build_that_fails_is_the_projects(installing_node):
    files = dict(BAD)
    for name in {path.split("/")[0] for path in BAD}:
        files[f"{name}/testmesh.ini"] = INI
        files[f"{name}/tests/test_a.py"] = TEST
    files["fine/tests/test_a.py"] = TEST
    document = installing_node.wait_done(installing_node.submit(zips.of_files(files)))
    words = {"breaks": "the moon is in the wrong place", "dies": "before it was done",
             "unknown": "nobody", "refused": "x", "endless": "limit"}
    for name, text in words.items():
        row = document["projects"][name]
        assert (row["outcome"], row["blame"]) == ("setup_failed", "project"), (name, row)
        assert text in row["message"], (name, row)
        assert row["message"].startswith("installing the project: "), row
    assert document["projects"]["fine"]["outcome"] == "passed"


def test_a_build_reaches_nothing_and_replaces_nothing(installing_node):
    files = {"evil/testmesh.ini": INI, "evil/setup.py": EVIL % int(installing_node.address.rsplit(":", 1)[1]),
             "evil/tests/test_it.py": TEST}
    document = installing_node.wait_done(installing_node.submit(zips.of_files(files)))
    row = document["projects"]["evil"]
    tests = installing_node.tests(document["id"], project="evil")
    assert row["outcome"] == "passed", row
    assert sorted(item["test"].split("::")[1] for item in tests) == ["test_a", "test_of_its_own"]


def test_without_a_sandbox_it_says_that_nothing_is_installed(tmp_path):
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("python3", "uv"):
        if shutil.which(name):
            (folder / name).symlink_to(shutil.which(name))
    files = {"plain/testmesh.ini": INI, "plain/setup.py": "raise SystemExit('it ran')\n",
             "plain/tests/test_a.py": TEST}
    with Node(tmp_path, "--allow-unsandboxed", env={"PATH": str(folder)}) as node:
        document = node.wait_done(node.submit(zips.of_files(files)))
        row = document["projects"]["plain"]
        assert row["outcome"] == "passed", row
        assert any("install = editable needs a sandbox" in note for note in row["notes"]), row
