"""One job, run for real: what a module comes to, in a jail and without, from a warm server and cold.

Needs the program job-run (target of the build) and pip's index for pytest itself. TESTMESH_BUILD
names the build folder; TESTMESH_PYTESTS the versions of pytest, separated by commas.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent / "job"
VERSIONS = os.environ.get("TESTMESH_PYTESTS", "8.3.5").split(",")


def find_build():
    named = os.environ.get("TESTMESH_BUILD")
    if named:
        return pathlib.Path(named)
    found = sorted(ROOT.glob("build/*/job-run"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent if found else None


BUILD = find_build()
if BUILD is None or not (BUILD / "job-run").exists():
    pytest.skip("job-run is not built", allow_module_level=True)


@pytest.fixture(scope="session", params=VERSIONS)
def env(request):
    """A virtual environment with one pytest, kept in the build folder."""
    path = BUILD / "test-envs" / request.param
    if not (path / "ready").exists():
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
        subprocess.run([sys.executable, "-m", "pip", "--python", str(path / "bin/python"), "install",
                        "-q", "--disable-pip-version-check", "pytest==" + request.param], check=True)
        (path / "ready").touch()
    return path


class Runner:
    """job-run in one mode: jailed or not, warm or cold."""

    def __init__(self, env, tmp, jailed, cold):
        self.env, self.tmp, self.jailed, self.cold = env, tmp, jailed, cold
        self.tree = tmp / "tree"
        self.tree.mkdir()
        self.layers = []

    def write(self, name, text):
        path = self.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def command(self, *options, env=True):
        real = pathlib.Path(os.path.realpath(sys.executable))
        python = str(self.env / "bin/python") if not self.jailed else "/env/bin/python"
        command = [str(BUILD / "job-run"), "--runtime", str(self.env.parent / "runtime"),
                   "--python", python if env else str(real), "--tree", str(self.tree)]
        if env:
            command += ["--env", str(self.env)]
        if self.jailed and not str(real).startswith("/usr/"):
            command += ["--bind", str(real.parents[1])]
        if not self.jailed:
            command.append("--unsandboxed")
        if self.cold:
            command.append("--cold")
        for layer in self.layers:
            command += ["--layer", str(layer)]
        return command + [str(option) for option in options]

    def run(self, *options, env=True):
        done = subprocess.run(self.command(*options, env=env), stdout=subprocess.PIPE, timeout=120)
        assert done.returncode == 0
        return [json.loads(line) for line in done.stdout.decode().splitlines()]

    def module(self, text, *options, name="test_it.py"):
        self.write(name, text)
        return self.run("--module", name, *options)[0]


def jails_work():
    return shutil.which("bwrap") is not None


MODES = {"jail": (True, False), "jail-cold": (True, True), "plain": (False, False)}


@pytest.fixture(params=list(MODES))
def runner(request, env, tmp_path):
    jailed, cold = MODES[request.param]
    if jailed and not jails_work():
        pytest.skip("no bubblewrap here")
    tmp_path.chmod(0o755)
    return Runner(env, tmp_path, jailed, cold)


@pytest.fixture
def jail(env, tmp_path):
    if not jails_work():
        pytest.skip("no bubblewrap here")
    return Runner(env, tmp_path, True, False)


def cases(result):
    return {case["test"]: case["outcome"] for case in result["cases"]}


def counts(result):
    names = ("passed", "failed", "errors", "skipped", "xfailed", "xpassed")
    return {name: result[name] for name in names if result[name]}


# What a module comes to


def test_outcomes_are_the_worst_of_the_phases(runner):
    result = runner.module("""
        import pytest, unittest
        def test_ok(): print("printed")
        def test_bad(): assert 1 == 2, "not equal"
        @pytest.fixture
        def broken(): raise ValueError("broken")
        def test_setup(broken): pass
        @pytest.fixture
        def late():
            yield
            raise ValueError("late")
        def test_teardown(late): pass
        @pytest.mark.xfail
        def test_xfail(): assert 0
        @pytest.mark.xfail
        def test_xpass(): pass
        @pytest.mark.xfail(strict=True)
        def test_strict(): pass
        def test_skip(): pytest.skip("for a reason")
        class TestOuter:
            class TestInner:
                def test_deep(self): pass
        class Case(unittest.TestCase):
            def test_unit(self): self.assertEqual(1, 1)
    """)
    assert cases(result) == {
        "test_it.py::test_ok": "passed", "test_it.py::test_bad": "failed",
        "test_it.py::test_setup": "error", "test_it.py::test_teardown": "error",
        "test_it.py::test_xfail": "xfailed", "test_it.py::test_xpass": "xpassed",
        "test_it.py::test_strict": "failed", "test_it.py::test_skip": "skipped",
        "test_it.py::TestOuter::TestInner::test_deep": "passed",
        "test_it.py::Case::test_unit": "passed",
    }
    assert (result["outcome"], result["blame"], result["exit_code"]) == ("error", "tests", 1)
    by_id = {case["test"].split("::")[-1]: case for case in result["cases"]}
    assert by_id["test_ok"]["stdout"] == "printed\n"
    assert "not equal" in by_id["test_bad"]["message"]
    assert "def test_bad" in by_id["test_bad"]["longrepr"]
    assert by_id["test_skip"]["message"] == "for a reason"
    assert result["begun"] and result["wall_ms"] > 0 and result["max_rss"] > 1 << 20


def test_one_outcome_for_each_kind_of_module(runner):
    runner.write("test_pass.py", "def test(): pass")
    runner.write("test_fail.py", "def test(): assert 0")
    runner.write("test_skip.py", "import pytest\n@pytest.mark.skip\ndef test(): pass")
    runner.write("test_module_skip.py", "import pytest\npytest.skip('x', allow_module_level=True)")
    runner.write("test_none.py", "")
    runner.write("test_import.py", "import nothing_like_that")
    runner.write("test_syntax.py", "def test(:")
    names = sorted(path.name for path in runner.tree.iterdir())
    options = [part for name in names for part in ("--module", name)]
    found = {r["module"]: r for r in runner.run(*options)}
    outcomes = {name: (r["outcome"], r["blame"]) for name, r in found.items()}
    assert outcomes == {
        "test_pass.py": ("passed", None), "test_fail.py": ("failed", "tests"),
        "test_skip.py": ("skipped", None), "test_module_skip.py": ("skipped", None),
        "test_none.py": ("no_tests", None), "test_import.py": ("error", "project"),
        "test_syntax.py": ("error", "project"),
    }
    assert "nothing_like_that" in found["test_import.py"]["message"]
    assert cases(found["test_import.py"]) == {"test_import.py": "error"}
    assert cases(found["test_module_skip.py"]) == {"test_module_skip.py": "skipped"}


def test_node_ids_are_never_split(runner):
    ids = ["a::b", "]", "/x/y", "with space", "quote'\"", "<&>", "back\\\\slash", "é☃", "x" * 11000]
    result = runner.module("""
        import pytest
        @pytest.mark.parametrize("value", %r, ids=%r)
        def test(value): assert value
    """ % (ids, ids))
    assert counts(result) == {"passed": len(ids)} and len(cases(result)) == len(ids)


def test_ids_are_relative_to_the_project_where_pytests_are_not(runner):
    runner.write("tests/pytest.ini", "[pytest]\n")
    result = runner.module("def test(): pass", name="tests/test_it.py")
    assert cases(result) == {"tests/test_it.py::test": "passed"}


def test_a_failed_subtest_fails_its_test(runner):
    result = runner.module("""
        import unittest
        class T(unittest.TestCase):
            def test(self):
                for i in range(3):
                    with self.subTest(i=i):
                        self.assertNotEqual(i, 0)
    """)
    assert cases(result) == {"test_it.py::T::test": "failed"}


def test_a_forked_child_that_runs_on_into_pytest_says_nothing(runner):
    result = runner.module("""
        import os
        def test_forks():
            if os.fork() != 0:
                os.wait()
        def test_after(): pass
    """)
    assert cases(result) == {"test_it.py::test_forks": "passed", "test_it.py::test_after": "passed"}
    assert result["outcome"] == "passed" and not result["tampered"]


# What a suite may not notice


def test_a_suite_sees_what_python_m_pytest_shows(runner):
    runner.write("src/inner/__init__.py", "")
    runner.write("records.py", "mine = True")
    runner.write("pytest.py", "raise SystemExit('shadowed')")
    result = runner.module("""
        import os, sys, __main__, multiprocessing, subprocess
        def test_argv(): assert sys.argv[0].endswith("pytest/__main__.py") and len(sys.argv) == 2
        def test_main(): assert __main__.__spec__.name == "pytest.__main__"
        def test_path(): assert sys.path[0] == os.getcwd() and sys.path[1] == os.getcwd() + "/src"
        def test_flags(): assert not sys.flags.isolated
        def test_modules(): assert not [name for name in sys.modules if "testmesh" in name]
        def test_names(): import records; assert records.mine
        def test_src(): import inner
        def test_executable(): assert subprocess.call([sys.executable, "-c", "import _pytest"]) == 0
        def test_environment():
            allowed = {"PATH", "HOME", "TMPDIR", "LANG", "USER", "LOGNAME", "LC_CTYPE"}
            assert os.environ.pop("PYTHONPATH") == os.getcwd() + "/src"  # this is a src layout
            assert {name for name in os.environ if not name.startswith("PYTEST_")} <= allowed
        def test_home(): open(os.path.expanduser("~/file"), "w").close()
        def test_descriptors():
            extra = [fd for fd in os.listdir("/proc/self/fd") if 3 <= int(fd) < 1000]
            links = ["/proc/self/fd/" + fd for fd in extra]
            names = [os.readlink(link) for link in links if os.path.lexists(link)]
            assert not [name for name in names if name.startswith("socket:")], names
        def test_session(): assert os.getsid(0) == os.getpid()
        def test_signals():
            import signal
            assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        def test_spawn():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                assert pool.map(abs, [-1]) == [1]
    """)
    bad = {case["test"]: case.get("longrepr") for case in result["cases"] if case["outcome"] != "passed"}
    assert not bad and result["outcome"] == "passed", result["output"]


def test_warnings_as_errors_and_strictness_find_nothing_of_ours(runner):
    runner.write("pytest.ini", """
        [pytest]
        addopts = -ra --strict-markers --strict-config --ff -p no:doctest
        filterwarnings = error
        xfail_strict = true
    """)
    result = runner.module("""
        def test_cache(request): request.config.cache.set("a/b", 1)
        def test(): pass
    """)
    assert result["outcome"] == "passed", result["output"]


def test_pytest_inside_pytest(runner):
    runner.write("conftest.py", "pytest_plugins = ['pytester']")
    result = runner.module("""
        def test_in_process(pytester):
            pytester.makepyfile("def test_a(): pass\\ndef test_b(): assert 0")
            pytester.runpytest_inprocess().assert_outcomes(passed=1, failed=1)
        def test_in_subprocess(pytester):
            pytester.makepyfile("def test_a(): pass")
            pytester.runpytest_subprocess("-Werror").assert_outcomes(passed=1)
    """)
    assert counts(result) == {"passed": 2}, result["output"]


def test_doctests_and_importlib_mode(runner):
    runner.write("pytest.ini", "[pytest]\naddopts = --doctest-modules --import-mode=importlib\n")
    runner.write("pkg/mod.py", 'def f():\n    """\n    >>> f()\n    1\n    """\n    return 1\n')
    result = runner.run("--module", "pkg/mod.py")[0]
    assert cases(result) == {"pkg/mod.py::pkg.mod.f": "passed"} or counts(result) == {"passed": 1}


def test_an_exit_code_of_a_plugin_is_no_failure(runner):
    runner.write("conftest.py", """
        def pytest_sessionfinish(session): session.exitstatus = 1
    """)
    result = runner.module("def test(): pass")
    assert (result["outcome"], result["exit_code"]) == ("passed", 1)


# Discovery, compilation, description


def test_discovery_asks_pytest_and_imports_no_test(runner):
    runner.write("pytest.ini", "[pytest]\npython_files = test_*.py check_*.py\naddopts = --doctest-glob=*.md\n")
    runner.write("tests/test_a.py", "raise SystemExit(3)")
    runner.write("tests/check_b.py", "syntax error here")
    runner.write("other.py", "")
    runner.write("README.md", ">>> 1\n1\n")
    result = runner.run("--kind", "discover")[0]
    assert sorted(result["modules"]) == ["README.md", "tests/check_b.py", "tests/test_a.py"]
    assert result["outcome"] == "passed"


def test_discovery_reports_a_broken_conftest(runner):
    runner.write("conftest.py", "import nothing_like_that")
    runner.write("test_a.py", "def test(): pass")
    result = runner.run("--kind", "discover")[0]
    assert result["outcome"] == "error" and result["blame"] == "project"
    assert "nothing_like_that" in result["output"] + json.dumps(result["cases"])


def test_compiled_layers_are_used(runner, tmp_path):
    runner.write("lib.py", "def f(): return 1")
    runner.write("warns.py", "x = 1 is 1")
    runner.write("test_it.py", "import lib\ndef test(): assert lib.f() == 1")
    for path in runner.tree.iterdir():
        os.utime(path, (1000000000, 1000000000))
    layer = tmp_path / "layer"
    layer.mkdir()
    result = runner.run("--kind", "compile", "--output", layer)[0]
    assert result["outcome"] == "passed", result
    made = sorted(path.name for path in layer.rglob("*.pyc"))
    assert [name for name in made if name.startswith("lib.")] and "warns" not in str(made)
    if runner.jailed:
        assert [name for name in made if "-pytest-" in name]
    runner.layers = [layer]
    result = runner.module("""
        import lib, sys
        def test(): assert lib.f() == 1
        def test_time():
            import os
            before = os.stat(lib.__cached__).st_mtime
            assert before > 1000000000
    """)
    assert result["outcome"] == "passed", result["output"]


def test_rewritten_byte_code_is_taken(runner, tmp_path):
    """pytest replaces what it does not believe, and the new file has the time of its making."""
    if not runner.jailed:
        pytest.skip("paths differ from job to job: nothing is rewritten ahead")
    check = """
        import glob, os
        def test():
            times = [os.stat(name).st_mtime for name in glob.glob("%s/__pycache__/*-pytest-*.pyc")]
            assert times == [1000000000] * %d
    """
    runner.write("tests/conftest.py", "")
    runner.write("tests/test_it.py", check % ("tests", 2))
    runner.write("src/pack/__init__.py", "")
    runner.write("src/pack/test_in.py", check % ("src/pack", 1))
    layer = tmp_path / "layer"
    layer.mkdir()
    runner.run("--kind", "compile", "--output", layer)
    for path in layer.rglob("*.pyc"):
        os.utime(path, (1000000000, 1000000000))
    runner.layers = [layer]
    for result in runner.run("--module", "tests/test_it.py", "--module", "src/pack/test_in.py"):
        assert result["outcome"] == "passed", result


def test_description_needs_no_environment(runner):
    runner.write("pyproject.toml", "[project]\nname = 'a'\nversion = '1'\n")
    runner.write("tests/test_a.py", "")
    result = runner.run("--kind", "describe", env=False)[0]
    assert result["outcome"] == "passed", result
    assert "tests/test_a.py" in json.loads(result["blob"])["candidates"]


# Limits and ends


def test_a_time_limit_keeps_what_was_reported(runner):
    result = runner.module("""
        import time
        def test_quick(): pass
        def test_slow(): time.sleep(60)
        def test_never(): pass
    """, "--wall-ms", 1500)
    assert (result["outcome"], result["limit"], result["allowed"]) == ("timeout", "wall", 1500)
    assert result["used"] >= 1500 and result["wall_ms"] < 10000
    assert cases(result) == {"test_it.py::test_quick": "passed", "test_it.py::test_slow": "error",
                             "test_it.py::test_never": "error"}


def test_a_flood_of_output_is_stopped(runner):
    result = runner.module("""
        import os
        def test_flood():
            while True: os.write(2, b"x" * 65536)
    """, "--output-bytes", 1 << 20, "--arg", "-s")
    assert (result["outcome"], result["limit"]) == ("output_limit", "output")
    assert len(result["output"]) < 70000 and "left out" in result["output"]


def test_much_memory_is_refused_or_ends_it(runner):
    result = runner.module("""
        def test_hunger():
            kept = [bytearray(b"x" * (1 << 24)) for i in range(64)]
    """, "--memory", 300 << 20)
    assert result["outcome"] in ("oom", "failed")
    if result["outcome"] == "oom":
        assert result["limit"] == "memory" and result["allowed"] == 300 << 20
    else:
        assert "MemoryError" in json.dumps(result["cases"])


@pytest.mark.parametrize("code, outcome, words", [
    ("import os; os._exit(0)", "error", "exit code 0"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", "SIGKILL"),
    ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
    ("import os; os.abort()", "crashed", "SIGABRT"),
])
def test_an_end_before_pytests_is_never_a_pass(runner, code, outcome, words):
    result = runner.module("def test_a(): pass\ndef test_b(): %s\ndef test_c(): pass" % code)
    assert (result["outcome"], result["blame"]) == (outcome, "tests") and words in result["message"]
    assert cases(result) == {"test_it.py::test_a": "passed", "test_it.py::test_b": "error",
                             "test_it.py::test_c": "error"}


def test_an_end_while_importing_is_one_error(runner):
    result = runner.module("import os\nos._exit(0)")
    assert result["outcome"] == "error" and cases(result) == {"test_it.py": "error"}


def test_closed_descriptors_do_not_hide_results(runner):
    result = runner.module("""
        import os
        def test_close(): os.closerange(3, 256)
        def test_bad(): assert 0
    """, "--arg", "-s")
    assert cases(result).get("test_it.py::test_bad") in ("failed", "error")
    assert result["outcome"] != "passed"


def test_children_do_not_outlive_the_job(runner, tmp_path):
    mark = "outlive-%d" % os.getpid()
    result = runner.module("""
        import os, signal, subprocess, sys
        code = "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; time.sleep(300)"
        def test_start():
            subprocess.Popen([sys.executable, "-c", code, %r], start_new_session=True)
    """ % mark)
    assert result["outcome"] == "passed" and result["wall_ms"] < 10000
    deadline = time.monotonic() + 2
    while alive(mark):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(mark):
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes().split(b"\0"):
                return True
        except OSError:
            pass
    return False


def test_cancelling_ends_it_soon(runner):
    result = runner.module("import time\ndef test(): time.sleep(60)", "--cancel-ms", 1500)
    assert (result["outcome"], result["blame"]) == ("cancelled", None)
    assert result["wall_ms"] < 10000


def test_a_server_that_dies_costs_its_jobs_and_no_others(runner):
    if runner.jailed:
        pytest.skip("a jailed job sees no server")
    runner.write("test_a.py", """
        import os, signal, time
        def parent(pid): return int(open("/proc/%d/stat" % pid).read().split()[3])
        def test():
            os.kill(parent(os.getppid()), signal.SIGKILL)
            time.sleep(60)
    """)
    runner.write("test_b.py", "def test(): pass")
    first, second = runner.run("--module", "test_a.py", "--module", "test_b.py")
    assert (first["outcome"], first["blame"]) == ("lost", "cluster")
    assert first["wall_ms"] < 10000
    assert second["outcome"] == "passed"


def test_several_at_once(runner):
    for i in range(6):
        runner.write("test_%d.py" % i, "import time\ndef test(): time.sleep(0.3)")
    options = [part for i in range(6) for part in ("--module", "test_%d.py" % i)]
    results = runner.run("--slots", 3, *options)
    assert [r["outcome"] for r in results] == ["passed"] * 6


def test_a_job_writes_into_its_own_copy(runner):
    runner.module("def test(): open('left', 'w').close()")
    assert not (runner.tree / "left").exists()


# Forgeries: none of these may pass.

TWO = "def test_good(): pass\ndef test_bad(): assert 0\n"

FORGERIES = {
    "exit-status": ("", TWO, "def pytest_sessionfinish(session): session.exitstatus = 0"),
    "exit-0": ("", TWO, "import os\ndef pytest_sessionfinish(): os._exit(0)"),
    "exit-at-import": ("", TWO, "import os; os._exit(0)"),
    "pytest-exit": ("", "import pytest\ndef test_good(): pass\n"
                        "def test_end(): pytest.exit('done', returncode=0)\n" + TWO, ""),
    "collect-only": ("[pytest]\naddopts = --collect-only\n", TWO, ""),
    "setup-only": ("[pytest]\naddopts = --setup-only\n", TWO, ""),
    "setup-plan": ("[pytest]\naddopts = --setup-plan\n", TWO, ""),
    "version": ("[pytest]\naddopts = --version\n", TWO, ""),
    "removed-items": ("", TWO, "def pytest_collection_modifyitems(items): "
                               "items[:] = [i for i in items if 'good' in i.name]"),
    "report-wrapper": ("", TWO, """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    out = yield
    out.get_result().outcome = 'passed'
"""),
    "report-wrapper-outermost": ("", TWO, """
import pytest
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    out = yield
    out.get_result().outcome = 'passed'
    out.get_result().longrepr = None
"""),
    "call-wrapper": ("", TWO, """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call():
    out = yield
    out.force_result(None)
"""),
    "pyfunc-wrapper": ("", TWO, """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_pyfunc_call():
    out = yield
    out.force_result(True)
"""),
    "dropped-reports": ("", TWO, """
def pytest_configure(config):
    hook = config.hook
    def quiet(report):
        pass
    class Quiet:
        def __getattr__(self, name):
            return getattr(hook, name)
    import _pytest.runner
    original = _pytest.runner.call_and_report
    def call_and_report(item, when, log=True, **kwds):
        return original(item, when, log='bad' not in item.name or when != 'call', **kwds)
    _pytest.runner.call_and_report = call_and_report
"""),
    "own-protocol": ("", TWO, "def pytest_runtest_protocol(item): return True"),
    "odd-outcome": ("", TWO, """
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    out = yield
    if out.get_result().outcome == 'failed': out.get_result().outcome = 'fine'
"""),
    "printed-summary": ("", "import os\ndef test_print():\n    os.write(1, b'== 5 passed in 0.01s ==')\n"
                            "    os._exit(0)\n", ""),
    "junit": ("", TWO, """
import atexit
def write():
    open('junit.xml', 'w').write('<testsuite tests="2" failures="0"/>')
atexit.register(write)
"""),
    "skipping-inside": ("", "import pytest\ndef test_a(): pytest.skip('hard')\n"
                            "def test_b(): pytest.skip('harder')\n", ""),
    "unregistered": ("", TWO, """
def pytest_collection_modifyitems(config):
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == 'Recorder':
            config.pluginmanager.unregister(plugin)
"""),
    "child-record": ("", "import os, socket\n" + TWO + """
def test_child():
    if os.fork() == 0:
        for fd in map(int, os.listdir('/proc/self/fd')):
            try: os.write(fd, b'\\x96\\x05\\x07\\x00\\x00\\x00\\x00') if fd > 2 else None
            except OSError: pass
        os._exit(0)
    os.wait()
""", ""),
    "garbage": ("", "import os\ndef test_good(): pass\n" + """
def test_write():
    for fd in map(int, os.listdir('/proc/self/fd')):
        try:
            if os.readlink('/proc/self/fd/%d' % fd).startswith('socket:'): os.write(fd, b'garbage')
        except OSError: pass
""", ""),
    "end-forged": ("", "import os\n" + TWO + """
def test_write():
    for fd in map(int, os.listdir('/proc/self/fd')):
        try:
            if os.readlink('/proc/self/fd/%d' % fd).startswith('socket:'):
                for number in range(100): os.write(fd, bytes([0x96, number, 7, 0, 0, 0, 0]))
        except OSError: pass
    os._exit(0)
""", ""),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_do_not_pass(runner, name):
    ini, tests, conftest = FORGERIES[name]
    if ini:
        runner.write("pytest.ini", ini)
    if conftest:
        runner.write("conftest.py", conftest)
    result = runner.module(tests)
    assert result["outcome"] != "passed" and result["outcome"] != "lost", result
    wrong = [test for test, outcome in cases(result).items()
             if outcome == "passed" and ("bad" in test or "end" in test)]
    assert not wrong, result
    if name in ("child-record", "garbage", "end-forged"):
        assert result["tampered"]


def test_announced_deselection_is_honoured_and_counted(runner):
    result = runner.module(TWO, "--arg", "-kgood")
    assert (result["outcome"], result["deselected"]) == ("passed", 1)
    assert cases(result) == {"test_it.py::test_good": "passed"}
    runner.write("pytest.ini", "[pytest]\naddopts = -k nothing\n")
    result = runner.module(TWO)
    assert (result["outcome"], result["deselected"]) == ("no_tests", 2)


def test_addopts_may_not_bring_other_modules_or_workers(runner):
    runner.write("test_other.py", "def test_other(): pass")
    runner.write("pytest.ini", "[pytest]\naddopts = test_other.py\n")
    assert cases(runner.module("def test(): pass")) == {"test_it.py::test": "passed"}


def test_many_tests(runner):
    result = runner.module("""
        import pytest
        @pytest.mark.parametrize("n", range(2000))
        def test(n): pass
    """)
    assert counts(result) == {"passed": 2000} and result["outcome"] == "passed"


def test_a_huge_message_is_cut(runner):
    result = runner.module("""
        def test(): assert 0, "x" * 50_000_000
    """)
    assert result["outcome"] == "failed"
    assert len(json.dumps(result["cases"])) < 100000


# Against pytest itself


def reference(env, tree, module, tmp):
    out = tmp / "reference.json"
    copy = tmp / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(tree, copy, symlinks=True)
    program = "import sys; sys.path.append(%r); import runpy; sys.argv = ['pytest', '-p', 'reference', %r];" \
              "sys.path.insert(0, ''); runpy.run_module('pytest', run_name='__main__', alter_sys=True)"
    subprocess.run([str(env / "bin/python"), "-c", program % (str(HERE), module)], cwd=copy,
                   env={"PATH": "%s:/usr/bin:/bin" % (env / "bin"), "LANG": "C.UTF-8",
                        "HOME": str(tmp), "REFERENCE_OUT": str(out)},
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
    return json.loads(out.read_text())


def test_the_init_file_of_a_package_is_no_package(runner):
    runner.write("pytest.ini", "[pytest]\naddopts = --doctest-modules\n")
    runner.write("tests/__init__.py", '''"""\n>>> 1\n1\n"""\n''')
    runner.write("tests/test_a.py", "def test(): pass")
    runner.write("tests/test_b.py", "import nothing_like_that")
    assert counts(runner.run("--module", "tests/__init__.py")[0]) == {"passed": 1}


def test_a_mixed_suite_equals_pytest(runner, env, tmp_path):
    shutil.copytree(HERE / "suite", runner.tree, dirs_exist_ok=True)
    modules = sorted(runner.run("--kind", "discover")[0]["modules"])
    assert len(modules) >= 4
    modules = [module for module in modules if not module.endswith("__init__.py")]
    options = [part for module in modules for part in ("--module", module)]
    for result in runner.run(*options):
        expected = reference(env, runner.tree, result["module"], tmp_path)
        tests = {**expected["tests"]}
        if not tests:
            tests = expected["problems"]
        assert cases(result) == tests, result["module"]
