"""The client against a fake node: what it sends, what it shows, how it ends."""

import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fake_node import FakeNode, document, module  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("TESTMESH_BIN") or os.path.join(ROOT, "build", "release", "testmesh")
GOOD = {"calc": {"tests/test_a.py": module(passed=3)}}
MIXED = {"calc": {"tests/test_a.py": module(passed=3), "tests/test_b.py": module(passed=1, failed=1)},
         "bank": {"tests/test_c.py": module(passed=2, skipped=1)}}
FAILURE = {"project": "calc", "module": "tests/test_b.py", "test": "tests/test_b.py::test_sum",
           "outcome": "failed", "time": 0.01, "message": "assert 1 == 2", "longrepr": "E assert"}


def environment(**more):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("TESTMESH_") and name != "NO_COLOR"}
    return dict(kept, **more)


def client(*words, node=None, timeout=30, **env):
    if node is not None:
        env["TESTMESH_NODE"] = node.url
    return subprocess.run([PROGRAM, *words], stdin=subprocess.DEVNULL, text=True, timeout=timeout,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(**env))


@pytest.fixture
def project(tmp_path):
    """A folder with a project and with what must not travel."""
    top = tmp_path / "calc"
    for path, text in {"calc.py": "x = 1\n", "tests/test_a.py": "def test(): pass\n",
                       "tests/cache.py": "", ".git/config": "secret", "__pycache__/a.pyc": "",
                       "tests/__pycache__/b.pyc": "", "env/pyvenv.cfg": "", "env/bin/python": "",
                       ".pytest_cache/x": "", "node_modules/y": "", "stray.pyc": "",
                       "empty/keep.txt": ""}.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "link.py").symlink_to("calc.py")
    os.mkfifo(top / "fifo")
    return top


def sent_zip(node, part="file"):
    return zipfile.ZipFile(io.BytesIO(node.parts[part][1]))


def test_a_folder_is_zipped_without_what_is_no_part_of_it(project):
    with FakeNode([document(GOOD)]) as node:
        done = client("run", str(project), node=node)
    assert done.returncode == 0, done.stderr
    archive = sent_zip(node)
    names = {name for name in archive.namelist() if not name.endswith("/")}
    assert names == {"calc/calc.py", "calc/tests/test_a.py", "calc/tests/cache.py", "calc/run.sh",
                     "calc/link.py", "calc/empty/keep.txt"}
    modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert stat.S_ISLNK(modes["calc/link.py"]) and archive.read("calc/link.py") == b"calc.py"
    assert modes["calc/run.sh"] & 0o111 and not modes["calc/calc.py"] & 0o111
    assert node.parts["file"][0] == "projects.zip"
    assert "left out" in done.stdout


def test_folders_of_one_name_stay_apart(tmp_path):
    for parent in "ab":
        (tmp_path / parent / "p").mkdir(parents=True)
        (tmp_path / parent / "p" / "test_x.py").write_text(parent)
    with FakeNode([document(GOOD)]) as node:
        client("run", str(tmp_path / "a/p"), str(tmp_path / "b/p/"), node=node)
    archive = sent_zip(node)
    assert archive.read("p/test_x.py") == b"a" and archive.read("p-2/test_x.py") == b"b"


def test_a_zip_travels_as_it_is_with_name_tests_and_options(tmp_path, project):
    archive = tmp_path / "class.zip"
    archive.write_bytes(b"any bytes at all")
    with FakeNode([document(GOOD)]) as node:
        done = client("run", str(archive), "--name", "week 3", "--tests", str(project / "tests"),
                      "--module-timeout", "1500ms", node=node)
    assert done.returncode == 0, done.stderr
    assert node.parts["file"] == ("class.zip", b"any bytes at all")
    assert node.parts["name"][1] == b"week 3"
    assert json.loads(node.parts["options"][1]) == {"timeout_s": 2}
    assert "test_a.py" in sent_zip(node, "tests").namelist()


def test_lines_failures_and_the_table_where_no_terminal_is(project):
    running = {"calc": {"tests/test_a.py": MIXED["calc"]["tests/test_a.py"],
                        "tests/test_b.py": module(status="running")},
               "bank": {"tests/test_c.py": module(status="pending")}}
    documents = [document({}, status="preparing"), document(running, status="running"),
                 document(MIXED)]
    with FakeNode(documents, tests=[FAILURE]) as node:
        done = client("run", str(project), node=node)
    assert done.returncode == 1
    out = done.stdout
    assert "\x1b" not in out
    lines = [line for line in out.splitlines() if re.match("(passed|failed) ", line)]
    assert [line.split()[2] for line in lines if line.split()[1] == "calc"] == [
        "tests/test_a.py", "tests/test_b.py"]
    assert len(lines) == 3
    assert out.count("tests/test_b.py::test_sum") == 2  # when it happened, and at the end
    assert out.count("assert 1 == 2") == 2
    table = out[out.index("project "):].splitlines()
    assert table[0].split() == ["project", "passed", "failed", "errors", "skipped", "mark/20",
                                "time", "note"]
    assert table[1].split()[:6] == ["bank", "2", "0", "0", "1", "20.00"]
    assert table[2].split()[:6] == ["calc", "4", "1", "0", "0", "16.00"]
    assert "mean mark 18.00" in table[3]


def test_json_is_the_last_document_and_nothing_else(project):
    last = document(MIXED)
    with FakeNode([document({}, status="running"), last]) as node:
        done = client("run", "--json", str(project), node=node)
    assert done.returncode == 1
    assert json.loads(done.stdout) == last
    assert done.stderr == ""


def test_questions_carry_the_etag_and_a_wait(project):
    documents = [document({}, status="running")] * 2 + [document(GOOD)]
    with FakeNode(documents) as node:
        assert client("run", str(project), node=node).returncode == 0
    asked = [row for row in node.requests if row[1] == "/evaluation/42"]
    assert "wait" not in asked[0][2] and asked[1][2]["wait"] == "1"
    assert asked[1][3]["If-None-Match"] == '"1"'


@pytest.mark.parametrize("answer, code", [
    (document(GOOD), 0),
    (document(MIXED), 1),
    (document(GOOD, status="cancelled"), 2),
    (document(GOOD, status="failed"), 3),
    (document(GOOD, incomplete=True), 3),
    (document({"calc": {}}), 5),
    (document({}), 5),
    (document({"calc": {"tests/test_a.py": module(skipped=2, outcome="skipped")}}), 0),
    (document({"calc": {"t.py": module(errors=1, outcome="setup_failed")}}), 7),
    (document({"calc": {"t.py": module(errors=1, outcome="setup_failed")}, "b": MIXED["calc"]}), 1),
    (document({"calc": {"t.py": module(errors=1, outcome="timeout")}}), 1),
])
def test_exit_codes(answer, code):
    with FakeNode([answer]) as node:
        assert client("show", "42", node=node).returncode == code
        assert client("watch", "42", node=node).returncode == code


def test_fail_under_asks_for_a_share(project):
    with FakeNode([document(MIXED)]) as node:  # 6 of 7: 85.7 %
        assert client("run", "--fail-under", "85", str(project), node=node).returncode == 0
        assert client("run", "--fail-under", "86", str(project), node=node).returncode == 1


def test_a_project_without_a_mark_is_the_clusters_fault():
    answer = document(MIXED)
    answer["projects"]["bank"]["nota"] = None
    with FakeNode([answer]) as node:
        done = client("show", "42", node=node)
    assert done.returncode == 3
    assert "no mark" in done.stdout


def test_no_wait_prints_the_id(project):
    with FakeNode() as node:
        done = client("run", "--no-wait", str(project), node=node)
    assert (done.returncode, done.stdout) == (0, "42\n")


def test_no_node_ends_with_8_and_says_what_to_do(project):
    with FakeNode() as node:
        url = node.url
    for words in (["run", str(project)], ["ls"], ["show", "42"]):
        done = client(*words, TESTMESH_NODE=url)
        assert done.returncode == 8
        assert url in done.stderr and "testmesh node" in done.stderr


def test_the_time_limit_shows_what_there_is(project):
    with FakeNode([document(MIXED, status="running")]) as node:
        done = client("run", "--timeout", "400ms", str(project), node=node)
    assert done.returncode == 9
    assert "calc" in done.stdout and "testmesh watch 42" in done.stderr


def test_ctrl_c_leaves_the_evaluation_and_says_so(project):
    with FakeNode([document(MIXED, status="running")]) as node:
        process = subprocess.Popen([PROGRAM, "watch", "42", "--node", node.url],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=environment())
        while not any(row[1] == "/evaluation/42" for row in node.requests):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "interrupted" in errors and "testmesh cancel 42" in errors


@pytest.mark.parametrize("words", [
    ["rnu"], [], ["run"], ["show"], ["show", "1", "2"], ["show", "../stats"], ["show", "01"],
    ["ls", "--limit", "0"], ["run", "--slots", "1", "x"], ["run", "/nonexistent/folder"],
    ["ls", "--node", "ftp://127.0.0.1"],
])
def test_wrong_use_ends_with_4(words):
    done = client(*words, TESTMESH_NODE="http://127.0.0.1:1")
    assert done.returncode == 4, done
    assert done.stderr or not words


def test_an_unknown_verb_names_the_nearest():
    assert "did you mean watch?" in client("wathc").stderr


PROBLEM = {"type": "/problems/archive-escape", "status": 422, "detail": "entry ../x leaves it",
           "hint": "zip the folder itself", "error": "entry ../x leaves it"}


def test_a_refusal_is_told_in_the_nodes_words(project):
    with FakeNode(answers={"/evaluation": (422, PROBLEM)}) as node:
        done = client("run", str(project), node=node)
    assert done.returncode == 4
    assert "entry ../x leaves it" in done.stderr and "zip the folder itself" in done.stderr


@pytest.mark.parametrize("body", [
    b"", b"no json", b"[]", b"{}", b'{"id": "42"}', b'{"id": "42", "status": 7}',
    json.dumps(document(GOOD, executed=-1)).encode(),
    json.dumps(document(GOOD, module_results={"calc": {"t.py": {"status": "odd"}}})).encode(),
    json.dumps(document(GOOD, module_results={"calc": {"t.py": dict(module(), passed="3")}})).encode(),
    json.dumps(document(GOOD, projects=[])).encode(),
    b'{"id": "42", "id": "43"}', b"[" * 100000,
])
def test_an_answer_that_makes_no_sense_is_refused(body):
    with FakeNode(answers={"/evaluation/42": (200, body)}) as node:
        done = client("show", "42", node=node)
    assert done.returncode == 3
    assert "makes no sense" in done.stderr or "not JSON" in done.stderr


def test_strangers_words_cannot_drive_a_terminal(project):
    evil = "\x1b[2J\x1b]0;owned\x07\u009b31m\rpassed"
    results = {f"calc{evil}": {f"tests/{evil}.py": module(failed=1)}}
    failure = dict(FAILURE, project=f"calc{evil}", module=f"tests/{evil}.py", test=evil, message=evil)
    with FakeNode([document(results)], tests=[failure]) as node:
        out = client("run", str(project), node=node).stdout
        out += client("tests", "42", "--detail", node=node).stdout
        out += client("show", "42", "--modules", node=node).stdout
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f]", out)


def test_ls_tests_logs_and_cancel():
    item = {"id": "42", "name": "week 3", "status": "done", "projects": 2, "modules": 3,
            "submitted_at": "2026-11-21T14:07:00.123Z", "%passed": 85.7, "nota": 17.14}
    answers = {"/evaluation": (200, {"evaluations": ["42"], "items": [item]}),
               "/evaluation/42/logs/calc/tests/test%20b.py": (200, b"hello\n"),
               "/evaluation/43": (404, {"detail": "no such evaluation"})}
    with FakeNode([document(MIXED)], answers, [FAILURE]) as node:
        listed = client("ls", node=node).stdout.splitlines()[1].split()
        failed = client("tests", "42", "--failed", node=node)
        log = client("logs", "42", "calc", "tests/test b.py", node=node)
        gone = client("cancel", "43", node=node)
        cancelled = client("cancel", "42", node=node)
    assert listed == ["42", "done", "2026-11-21", "14:07:00", "2", "3", "17.14", "week", "3"]
    assert failed.stdout.count("test_sum") == 1 and "assert 1 == 2" in failed.stdout
    assert log.stdout == "hello\n"
    assert gone.returncode == 4 and "no such evaluation" in gone.stderr
    assert cancelled.returncode == 0 and node.requests[-1][0] == "DELETE"


def read_terminal(argv, env):
    """Runs a program on a terminal of its own; returns what it wrote there."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(argv[0], argv, env)
    out = b""
    while True:
        try:
            piece = os.read(fd, 4096)
        except OSError:
            break
        if not piece:
            break
        out += piece
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.decode()


def test_a_terminal_gets_a_status_line_and_colours(project):
    running = {"calc": {"tests/test_a.py": module(status="running")}}
    with FakeNode([document(running, status="running")] * 2 + [document(MIXED)], tests=[FAILURE]) as node:
        argv = [PROGRAM, "watch", "42", "--node", node.url]
        code, shown = read_terminal(argv, environment(TERM="xterm"))
        _, plain = read_terminal(argv, environment(TERM="xterm", NO_COLOR="1"))
        _, dumb = read_terminal(argv, environment(TERM="dumb"))
    assert code == 1
    assert "modules, " in shown and "\r\x1b[2K" in shown and "\x1b[31m" in shown
    assert "test_sum" in shown
    assert "\x1b[31m" not in plain and "\x1b" not in dumb


def test_inspect_needs_no_node(project, tmp_path):
    (project / "requirements.txt").write_text("attrs>=21\n")
    done = client("inspect", str(project), TESTMESH_NODE="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert "tests/test_a.py" in done.stdout and "attrs>=21" in done.stdout
    assert "requirements.txt" in done.stdout
    described = json.loads(client("inspect", "--json", str(project)).stdout)
    assert described["folder"] == "calc" and described["candidates"] == ["tests/test_a.py"]
    below = client("inspect", str(tmp_path))
    assert "1 project, 1 module" in below.stdout
    (tmp_path / "void").mkdir()
    assert client("inspect", str(tmp_path / "void")).returncode == 5


def test_doctor_names_each_thing_and_how_to_get_it():
    with FakeNode(answers={"/healthz": (200, b"ok")}) as node:
        done = client("doctor", node=node)
    assert done.returncode in (0, 7)
    for name in ("python", "installer", "bubblewrap", "sandbox", "namespaces", "cgroups", "disk", "node"):
        assert re.search(rf"^(ok|note|missing) +{name} ", done.stdout, re.M), name
    missing = client("doctor", "--python", "/nonexistent/python")
    assert missing.returncode == 7 and "apt install python3" in missing.stdout


def test_help_version_and_completion():
    assert "Usage: testmesh run" in client("run", "--help").stdout
    assert client("version").stdout.startswith("testmesh ")
    assert client("--version").returncode == 0 and client("help").returncode == 0
    script = client("completion").stdout
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    asked = script + "\nCOMP_WORDS=(testmesh run --na) COMP_CWORD=2; _testmesh; echo ${COMPREPLY[*]}"
    assert subprocess.run(["bash"], input=asked, text=True, stdout=subprocess.PIPE,
                          check=True).stdout == "--name\n"


def test_an_option_of_several_verbs_is_the_same_in_all():
    """Its letter and what it takes; only what it does is said by each."""
    shapes = {}
    for verb in ("run", "show", "watch", "tests", "logs", "ls", "cancel", "mesh", "join", "drain", "leave",
                 "inspect", "doctor"):
        for line in client(verb, "--help").stdout.splitlines():
            found = re.match(r"\s+(?:-\w, )?\s*--(node|json|timeout)\b", line)
            if found:
                shapes.setdefault(found[1], {}).setdefault(found[0].strip(), []).append(verb)
    assert {name: len(shape) for name, shape in shapes.items()} == {"node": 1, "json": 1, "timeout": 1}
    assert shapes["node"] == {"-n, --node": ["run", "show", "watch", "tests", "logs", "ls", "cancel", "mesh",
                                             "join", "drain", "leave", "doctor"]}
