"""What describe.py says about small projects that look like real ones, and about junk."""
import json
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
DESCRIBE = os.path.join(HERE, "..", "..", "runner", "env", "describe.py")
sys.path.insert(0, os.path.dirname(DESCRIBE))
import describe  # noqa: E402

needs_toml = pytest.mark.skipif(describe.tomllib is None, reason="this Python has no TOML reader")


@pytest.fixture
def project(tmp_path):
    def make(files, links=()):
        for name, text in files.items():
            path = tmp_path / "p" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for name, target in links:
            path = tmp_path / "p" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        return describe.describe(str(tmp_path / "p"))
    return make


def lines(found, what="text"):
    return [line for line in found["requirements"][what].splitlines()
            if line.strip() and not line.startswith("#")]


# ---- which dependencies

def test_a_course_suite_has_no_requirements(project):
    got = project({"tests/test_a.py": "", "app.py": ""})
    assert got["requirements"]["source"] == "none"
    assert got["candidates"] == ["tests/test_a.py"]
    assert got["requirements"]["text"] == ""


def test_requirements_txt_alone(project):
    got = project({"requirements.txt": "flask\nrequests>=2 # why\n"})
    assert got["requirements"]["source"] == "requirements.txt"
    assert lines(got) == ["flask", "requests>=2 # why"]
    assert got["requirements"]["text"].startswith('#line 1 "requirements.txt"\n')


@pytest.mark.parametrize("name", ["requirements-test.txt", "requirements-dev.txt", "requirements_test.txt",
                                  "test-requirements.txt", "requirements/test.txt",
                                  "tests/requirements.txt", "dev-requirements.txt"])
def test_test_requirements_come_with_the_base(project, name):
    got = project({name: "pytest-mock\n", "requirements.txt": "flask\n"})
    assert lines(got) == ["flask", "pytest-mock"]
    assert name in got["requirements"]["why"] and "requirements.txt" in got["requirements"]["why"]


@needs_toml
def test_test_requirements_alone_bring_the_projects_own(project):
    got = project({"requirements-dev.txt": "pytest-mock\n",
                   "pyproject.toml": '[project]\nname = "x"\ndependencies = ["attrs"]\n'})
    assert lines(got) == ["pytest-mock", "attrs"]


def test_includes_are_followed_inside_the_project_with_their_places(project):
    got = project({"requirements-dev.txt": "a\n-r reqs/base.txt\nb\n-c reqs/pins.txt\n",
                   "reqs/base.txt": "c\n-r base.txt\n", "reqs/pins.txt": "c==1\n"})
    assert lines(got) == ["a", "c", "b"]
    assert lines(got, "constraints") == ["c==1"]
    assert '#line 3 "requirements-dev.txt"\nb' in got["requirements"]["text"]


@pytest.mark.parametrize("line", ["-r /etc/passwd", "-r ../../etc/passwd", "-c /etc/shadow",
                                  "-r https://example.org/r.txt", "-r absent.txt", "--index-url x"])
def test_what_leaves_the_project_is_kept_for_the_policy_to_refuse(project, line):
    got = project({"requirements.txt": "a\n" + line + "\n"})
    text = got["requirements"]["text"]
    assert line in text or "cannot be read" in " ".join(got["notes"])
    assert "root:" not in json.dumps(got)


def test_a_link_out_of_the_project_is_not_read(project):
    got = project({"a.py": ""}, links=[("requirements.txt", "/etc/passwd"), ("setup.cfg", "/etc/passwd")])
    assert got["requirements"]["source"] == "none"
    assert "root:" not in json.dumps(got)


def test_a_link_inside_the_project_is(project):
    got = project({"reqs/all.txt": "flask\n"}, links=[("requirements.txt", "reqs/all.txt")])
    assert lines(got) == ["flask"]


def test_includes_end(project):
    files = {"r%d.txt" % i: "-r r%d.txt\np%d\n" % (i + 1, i) for i in range(100)}
    files["requirements.txt"] = "-r r0.txt\n"
    got = project(files)
    assert any("too many files" in note for note in got["notes"])


@needs_toml
@pytest.mark.parametrize("line", ["-e .", ".", "-e .[test]", "--editable=.[test]", "'.[test]'", "./"])
def test_the_project_itself_becomes_its_dependencies(project, line):
    got = project({"requirements.txt": line + "\n",
                   "pyproject.toml": '[project]\nname = "x"\ndependencies = ["attrs"]\n'
                                     '[project.optional-dependencies]\ntest = ["hypothesis"]\n'})
    assert lines(got) == ["attrs"] + (["hypothesis"] if "test" in line else [])


@needs_toml
def test_dependency_groups_come_before_extras(project):
    got = project({"pyproject.toml": """
[project]
name = "My.Project"
requires-python = ">=3.9"
dependencies = ["attrs"]
[project.optional-dependencies]
test = ["no"]
[dependency-groups]
dev = ["no"]
tests = ["hypothesis", {include-group = "base"}]
base = ["pytest>=8", {include-group = "tests"}]
"""})
    assert set(lines(got)) == {"attrs", "hypothesis", "pytest>=8"}
    assert (got["name"], got["requires_python"]) == ("my-project", ">=3.9")


@needs_toml
def test_an_extra_of_the_project_itself_is_expanded(project):
    got = project({"pyproject.toml": '[project]\nname = "x"\n[project.optional-dependencies]\n'
                                     'a = ["one"]\ntest = ["x[a]", "two"]\n'})
    assert lines(got) == ["one", "two"]


@needs_toml
def test_dynamic_dependencies_of_setuptools(project):
    got = project({"pyproject.toml": '[project]\nname = "x"\ndynamic = ["dependencies"]\n'
                                     '[tool.setuptools.dynamic]\ndependencies = {file = ["need.in"]}\n',
                   "need.in": "# c\nattrs\n"})
    assert lines(got) == ["attrs"]


@needs_toml
def test_uv_lock_pins_what_the_project_asks_for(project):
    got = project({"pyproject.toml": '[project]\nname = "x"\ndependencies = ["attrs"]\n',
                   "uv.lock": 'version = 1\n[[package]]\nname = "attrs"\nversion = "23.1.0"\n'
                              'source = { registry = "https://i.example/simple" }\n'
                              '[[package]]\nname = "x"\nsource = { editable = "." }\n'})
    assert got["requirements"]["source"] == "uv.lock"
    assert lines(got) == ["attrs"]
    assert lines(got, "constraints") == ["attrs==23.1.0"]


@needs_toml
def test_pylock(project):
    got = project({"pylock.toml": 'lock-version = "1.0"\n[[packages]]\nname = "attrs"\nversion = "23.1.0"\n'
                                  '[[packages]]\nname = "w"\nversion = "1"\nmarker = "os_name == \'nt\'"\n'})
    assert lines(got) == ["attrs==23.1.0", "w==1 ; os_name == 'nt'"]


def test_setup_cfg(project):
    got = project({"setup.cfg": "[metadata]\nname = x\n[options]\ninstall_requires =\n    attrs\n"
                                "    six>=1\npython_requires = >=3.8\n[options.extras_require]\n"
                                "testing =\n    mock\n"})
    assert lines(got) == ["attrs", "six>=1", "mock"]
    assert got["requires_python"] == ">=3.8"


def test_setup_py_is_read_and_never_run(project, tmp_path):
    trace = tmp_path / "ran"
    got = project({"setup.py": "open(%r, 'w')\nimport setuptools\nBASE = ['attrs']\nTEST = BASE + ['mock']\n"
                               "setuptools.setup(name='x', install_requires=BASE + ['six'],\n"
                               "  extras_require={'test': TEST}, python_requires='>=3.8')\n" % str(trace)})
    assert lines(got) == ["attrs", "six", "attrs", "mock"]
    assert not trace.exists()


def test_setup_py_that_computes_says_so(project):
    got = project({"setup.py": "from setuptools import setup\nsetup(install_requires=open('r').readlines())\n"})
    assert any("install_requires" in note for note in got["notes"])


def test_tox_names_what_tests_need(project):
    got = project({"setup.py": "from setuptools import setup\nsetup(install_requires=['attrs'])\n",
                   "tox.ini": "[testenv]\ndeps =\n    pytest\n    py38: mock\n    {env:X}\n"})
    assert lines(got) == ["attrs", "pytest"]


def test_testmesh_ini_wins(project):
    got = project({"testmesh.ini": "[testmesh]\nrequirements = need.txt\npython = >=3.10\ninstall = editable\n",
                   "need.txt": "attrs\n", "requirements.txt": "no\n"})
    assert lines(got) == ["attrs"]
    assert got["editable"] and got["requires_python"] == ">=3.10"
    assert got["requirements"]["source"] == "testmesh.ini"


LEGACY = "setuptools.build_meta:__legacy__"


@pytest.mark.parametrize("table, build", [
    ("", ("setuptools>=64\n", LEGACY, [])),
    ("[build-system]\nrequires = ['hatchling', 'x']\nbuild-backend = 'hatchling.build'\n",
     ("hatchling\nx\n", "hatchling.build", [])),
    ("[build-system]\nrequires = ['a']\nbuild-backend = 'own:hooks'\nbackend-path = ['b', '../c', '/d']\n",
     ("a\n", "own:hooks", ["b"])),
    ("[build-system]\nrequires = 7\nbuild-backend = 'os; system()'\nbackend-path = 'x'\n",
     ("setuptools>=64\n", LEGACY, ["x"])),
    ("build-system = 3\n", ("setuptools>=64\n", LEGACY, [])),
])
def test_how_it_is_built(project, table, build):
    pytest.importorskip("tomllib")
    got = project({"pyproject.toml": table})["build"]
    assert (got["requires"], got["backend"], got["path"]) == build


@pytest.mark.parametrize("name", ["poetry.lock", "Pipfile.lock", "pdm.lock"])
def test_other_tools_locks_say_how_to_export(project, name):
    got = project({name: "x"})
    assert any(name in note and "requirements-test.txt" in note for note in got["notes"])


def test_powershell_writes_utf_16(project):
    got = project({"requirements.txt": "flask==3.0\r\n".encode("utf-16")})
    assert lines(got) == ["flask==3.0"]


# ---- pytest's configuration and the candidates

FILES = {"test_top.py": "", "tests/test_a.py": "", "tests/b_test.py": "", "tests/helper.py": "",
         "check/check_x.py": "", "build/test_no.py": "", "node_modules/test_no.py": "",
         ".hidden/test_no.py": "", "venvish/pyvenv.cfg": "", "venvish/test_no.py": ""}


def test_defaults_are_pytests(project):
    got = project(FILES)
    assert got["candidates"] == ["test_top.py", "tests/b_test.py", "tests/test_a.py"]
    assert got["pytest"]["config_file"] is None


@pytest.mark.parametrize("name, text", [
    ("pytest.ini", "[pytest]\ntestpaths = check\npython_files = check_*.py\n"),
    (".pytest.ini", "[pytest]\ntestpaths = check\npython_files = check_*.py\n"),
    ("tox.ini", "[pytest]\ntestpaths = check\npython_files = check_*.py\n"),
    ("setup.cfg", "[tool:pytest]\ntestpaths = check\npython_files = check_*.py\n"),
    pytest.param("pyproject.toml", "[tool.pytest.ini_options]\ntestpaths = 'check'\n"
                 "python_files = ['check_*.py']\n", marks=needs_toml),
    pytest.param("pyproject.toml", "[tool.pytest]\ntestpaths = ['check']\n"
                 "python_files = ['check_*.py']\n", marks=needs_toml),
    pytest.param("pyproject.toml", "[tool.pytest]\nini_options.testpaths = ['check']\n"
                 "ini_options.python_files = 'check_*.py'\n", marks=needs_toml),
])
def test_configuration_is_read_where_pytest_reads_it(project, name, text):
    got = project({**FILES, name: text})
    assert got["pytest"]["config_file"] == name
    assert got["candidates"] == ["check/check_x.py"]


@needs_toml
def test_the_first_file_is_in_force_even_when_empty(project):
    got = project({**FILES, "pytest.ini": "", "pyproject.toml": "[tool.pytest.ini_options]\n"
                   "testpaths = ['check']\n"})
    assert got["pytest"]["config_file"] == "pytest.ini"
    assert "test_top.py" in got["candidates"]


def test_patterns_with_a_folder_norecursedirs_and_ignore(project):
    got = project({**FILES, "pytest.ini": "[pytest]\npython_files = check/*.py test_*.py\n"
                   "norecursedirs = tests\naddopts = -q --ignore=test_top.py\n"})
    assert got["candidates"] == ["build/test_no.py", "check/check_x.py", ".hidden/test_no.py",
                                 "node_modules/test_no.py"] or \
        sorted(got["candidates"]) == sorted([".hidden/test_no.py", "build/test_no.py",
                                             "check/check_x.py", "node_modules/test_no.py"])


def test_testpaths_take_globs_and_stay_inside(project, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "test_secret.py").write_text("")
    got = project({"a/tests/test_1.py": "", "b/tests/test_2.py": "", "c/test_3.py": "",
                   "pytest.ini": "[pytest]\ntestpaths = */tests ../out /etc\n"})
    assert got["candidates"] == ["a/tests/test_1.py", "b/tests/test_2.py"]


def test_candidates_agree_with_pytest_itself(project, tmp_path):
    got = project({**{name: "def test(): pass" for name in FILES if name.endswith(".py")},
                   "venvish/pyvenv.cfg": ""})
    out = subprocess.run([sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"],
                         cwd=tmp_path / "p", capture_output=True, text=True, check=False).stdout
    asked = {line.split("::")[0] for line in out.splitlines() if "::" in line}
    assert {name for name in asked if "venvish" not in name} == set(got["candidates"])


def test_src_layout(project):
    assert project({"src/pkg/__init__.py": "", "tests/test_a.py": ""})["src_layout"]


def test_src_that_is_a_package_is_no_layout(project):
    assert not project({"src/__init__.py": "", "src/a.py": ""})["src_layout"]


# ---- junk

@pytest.mark.parametrize("name", ["pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "pytest.ini",
                                  "uv.lock", "pylock.toml", "requirements.txt", "testmesh.ini"])
@pytest.mark.parametrize("text", [
    b"\0\1\2\xff\xfe", b"[" * 50000, b"(" * 50000, b"a = " + b"[" * 20000, b"x" * (2 << 20), b"\n" * 20000,
    b"[project]\ndependencies = 7\n[tool]\npytest = 3\n[dependency-groups]\ntest = {a = 1}\n",
    b"[[package]]\nname = 7\n[[packages]]\nname = []\n", b"package = 1\npackages = 2\nproject = 3\n",
    b"[project]\nname = ['x']\nrequires-python = 3.8\noptional-dependencies = []\n",
    b"setup(**{'install_requires': 1}, extras_require=[1], name=None)\n", b"\xff\xfe\0",
    b"[testmesh]\nrequirements\ninstall\npython\n[pytest]\ntestpaths\naddopts = '\n",
    b"[pytest]\ntestpaths = ** **/**/** [ *\n[testenv]\ndeps\n",
], ids=range(14))
def test_junk_raises_nothing(project, name, text):
    got = project({name: text, "tests/test_a.py": "",
                   **({"pyproject.toml": "[project]\nname='x'\n"} if name == "uv.lock" else {})})
    assert json.loads(json.dumps(got)) == got


def test_names_that_are_not_utf_8_and_devices(tmp_path):
    os.mkfifo(tmp_path / "requirements.txt")
    open(os.fsencode(str(tmp_path)) + b"/test_\xff.py", "w").close()
    (tmp_path / "loop").symlink_to(".")
    got = describe.describe(str(tmp_path))
    assert got["candidates"] == []
    assert any("UTF-8" in note for note in got["notes"])


def test_the_program_prints_what_the_function_returns(project, tmp_path):
    got = project(FILES)
    out = subprocess.run([sys.executable, "-I", DESCRIBE, str(tmp_path / "p")], capture_output=True,
                         check=True).stdout
    assert json.loads(out) == got
    assert subprocess.run([sys.executable, "-I", DESCRIBE], capture_output=True, check=False).returncode == 2
