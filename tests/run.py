#!/usr/bin/env python3
"""Runs every test and counts them: `./boot.sh test` builds what they need and calls this.

    python3 tests/run.py                  all, as often as fits a coffee
    python3 tests/run.py --full           the same with the large numbers
    python3 tests/run.py --only unit      one suite: layers, unit, it, fuzz, sim, pytest-it, e2e
    python3 tests/run.py --only test_api  programs and files whose name has that in it
    python3 tests/run.py --list

Each cmocka function, each fuzzer and each pytest test counts as one. Failures are shown in full, and
the last line is "N passed, N failed, N skipped". Logs of everything are kept in build/test-logs.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
LOGS = os.path.join(BUILD, "test-logs")
PROGRAM_S = 300  # one cmocka program; the slowest builds environments, 100 s on a busy machine
PYTEST_S = 30 * 60
PYTEST_FULL_S = 6 * 3600
FUZZ_S = 3
FUZZ_FULL_S = 60
FUZZ_MEMORY_MB = 2048
FUZZ_SHOWN = 4000  # the end says it all; before it stand thousands of lines of progress
LANES = 2  # files of tests beside each other; each lane has its own users (tests/lib/node.py)
FREE_LANES = queue.SimpleQueue()  # of all suites
for number in range(LANES):
    FREE_LANES.put(number)
VENV = threading.Lock()
SHOWN = 20000  # characters of a failing program's output; all of it is in its log


class Result:
    """What one program gave: counts, and what to show of it."""

    def __init__(self, name):
        self.name = name
        self.passed = self.failed = self.skipped = 0
        self.seconds = 0.0
        self.failures = []  # (test, text)
        self.skips = []  # (test, reason)

    def fail(self, test, text):
        self.failed += 1
        self.failures.append((test, text))

    def skip(self, test, reason):
        self.skipped += 1
        self.skips.append((test, reason))


def run_command(argv, log, timeout, env=None, cwd=ROOT):
    """Runs a program in a session of its own, so that nothing of it is left when the time is over.
    Returns (exit code, or None for the time limit; output)."""
    os.makedirs(LOGS, exist_ok=True)
    with open(os.path.join(LOGS, log), "w+b") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                                   env=env or os.environ, start_new_session=True)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        out.seek(0)
        return code, out.read().decode("utf-8", "replace")


def cut(text):
    return text if len(text) <= SHOWN else text[:SHOWN // 4] + "\n[…]\n" + text[-SHOWN * 3 // 4:]


# ---- cmocka ----

TAP_LINE = re.compile(r"^\s*(not ok|ok) (\d+)(?: - (\S+))?(.*)$")


def run_program(name, path):
    """Runs one cmocka program. Its TAP says how each function ended; an exit code that does not fit
    it (a crash, a leak found at the end) is a failure more."""
    result = Result(name)
    if not os.path.exists(path):
        result.fail(name, f"{path} has not been built")
        return result
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    begin = time.monotonic()
    code, output = run_command([path], name + ".log", PROGRAM_S, env)
    result.seconds = time.monotonic() - begin
    for line in output.splitlines():
        found = TAP_LINE.match(line)
        if not found:
            continue
        test = f"{name}: {found.group(3) or found.group(2)}"
        if "# SKIP" in line.upper():
            reason = re.search(r"#\s*skip\S*\s*(.*)", line, re.I)
            result.skip(test, reason.group(1) if reason else "")
        elif found.group(1) == "ok":
            result.passed += 1
        else:
            result.fail(test, cut(output))
    counted = result.passed + result.failed + result.skipped
    if code is None:
        result.fail(name, f"does not end within {PROGRAM_S} s\n" + cut(output))
    elif code != 0 and result.failed == 0:
        result.fail(name, f"ended with {code}\n" + cut(output))
    elif counted == 0:
        result.fail(name, "ran no test\n" + cut(output))
    return result


def programs(kind, options):
    """The cmocka programs of one kind that ctest knows: what no longer belongs to the tree is not
    run although it may still lie in the build folder."""
    ctest = subprocess.run(["ctest", "--show-only=json-v1"], cwd=options.debug, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    if ctest.returncode != 0:
        return [("ctest", "")]
    names = [test["name"] for test in json.loads(ctest.stdout)["tests"]]
    return [(name, os.path.join(options.debug, "tests", name))
            for name in sorted(names) if name.startswith(kind + "_")]


def suite_programs(kind, workers):
    def run(options):
        wanted = [row for row in programs(kind, options) if options.wants(kind, row[0])]
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda row: run_program(*row), wanted))
    return run


# ---- fuzzers ----

def run_fuzzer(path, seconds):
    name = os.path.basename(path)
    result = Result(name)
    seeds = glob.glob(os.path.join(ROOT, "tests", "fuzz", "*", name[len("fuzz_"):]))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as found:
        argv = [path, f"-max_total_time={seconds}", "-timeout=10", "-print_final_stats=1",
                f"-rss_limit_mb={FUZZ_MEMORY_MB}", f"-artifact_prefix={LOGS}/{name}-", found]
        code, output = run_command(argv + seeds, name + ".log", seconds + 60)
    result.seconds = time.monotonic() - begin
    if code == 0:
        result.passed += 1
    else:
        result.fail(name, f"ended with {code}\n" + output[-FUZZ_SHOWN:])
    return result


def suite_fuzz(options):
    sources = sorted(glob.glob(os.path.join(ROOT, "tests", "fuzz", "*", "fuzz_*.c")))
    names = [os.path.splitext(os.path.basename(source))[0] for source in sources]
    seconds = FUZZ_FULL_S if options.full else FUZZ_S

    def run(name):
        path = os.path.join(options.fuzz, "fuzz", name)
        if os.path.exists(path):
            return run_fuzzer(path, seconds)
        missing = Result(name)
        missing.fail(name, f"{path} has not been built")
        return missing

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return list(pool.map(run, [name for name in names if options.wants("fuzz", name)]))


# ---- pytest ----

def ensure_venv():
    """A virtual environment with the pinned pytest, made anew when the pins change."""
    pins = os.path.join(ROOT, "deps", "python-tests.txt")
    with open(pins, "rb") as file:
        stamp = hashlib.sha256(file.read() + sys.version.encode()).hexdigest()
    venv = os.path.join(BUILD, "test-venv")
    mark = os.path.join(venv, "pins")
    python = os.path.join(venv, "bin", "python")
    if os.path.exists(mark):
        with open(mark) as file:
            if file.read() == stamp and os.path.exists(python):
                return python
    shutil.rmtree(venv, ignore_errors=True)
    uv = os.environ.get("TESTMESH_UV") or shutil.which("uv")
    if uv:
        steps = [[uv, "venv", "--quiet", "--python", sys.executable, venv],
                 [uv, "pip", "install", "--quiet", "--python", python, "-r", pins]]
    else:
        steps = [[sys.executable, "-m", "venv", venv],
                 [python, "-m", "pip", "install", "--quiet", "-r", pins]]
    env = dict(os.environ)
    # uv reads none of pip's settings: an index or certificate of the machine counts for both.
    for ours, pips in (("UV_INDEX_URL", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT"),
                       ("UV_FIND_LINKS", "PIP_FIND_LINKS")):
        if pips in env:
            env.setdefault(ours, env[pips])
    for step in steps:
        subprocess.run(step, check=True, env=env, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    with open(mark, "w") as file:
        file.write(stamp)
    return python


def pytest_environment(options):
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "PYTHON"))}
    # Some tests know the program and the folder of the test programs by other names.
    program = os.path.abspath(os.path.join(options.release, "testmesh"))
    kept.update(TESTMESH_BIN=program, TESTMESH_PROGRAM=program, PYTHONDONTWRITEBYTECODE="1")
    for name in ("TESTMESH_BUILD_DEBUG", "TESTMESH_BUILD_DIR", "TESTMESH_BUILD"):
        kept[name] = os.path.abspath(options.debug)
    # Tests give a node no variable of ours; it finds uv as a user's node would, on PATH.
    if os.environ.get("TESTMESH_UV"):
        kept["PATH"] = os.path.dirname(os.environ["TESTMESH_UV"]) + ":" + kept.get("PATH", "")
    if options.full:
        kept["TESTMESH_FULL"] = "1"
    return kept


def read_junit(path, result):
    for case in xml.parse(path).getroot().iter("testcase"):
        test = f"{case.get('classname', '')}::{case.get('name', '')}"
        bad = [part for part in case if part.tag in ("failure", "error")]
        skipped = case.find("skipped")
        if bad:
            result.fail(test, "\n".join((part.text or part.get("message") or "") for part in bad))
        elif skipped is not None:
            reason = skipped.get("message") or ""
            if reason == "collection skipped":  # a whole file; its reason stands in the text
                found = re.search(r"Skipped: (.*?)['\"]\)\s*$", skipped.text or "", re.S)
                reason = found.group(1) if found else reason
            result.skip(test, reason)
        else:
            result.passed += 1


def run_pytest(name, files, options, lane=0):
    result = Result(name)
    junit = os.path.join(LOGS, name + ".xml")
    os.makedirs(LOGS, exist_ok=True)
    if os.path.exists(junit):
        os.unlink(junit)
    begin = time.monotonic()
    try:
        python = ensure_venv()
    except (OSError, subprocess.CalledProcessError) as error:
        result.fail(name, f"the environment for pytest cannot be made: {error}")
        return result
    argv = [python, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "-o",
            "python_files=test_*.py check_*.py", "-o", "junit_family=xunit1", "--rootdir", ROOT,
            "--import-mode=importlib", "--continue-on-collection-errors",
            f"--junitxml={junit}"] + files
    code, output = run_command(argv, name + ".log", PYTEST_FULL_S if options.full else PYTEST_S,
                               dict(pytest_environment(options), TESTMESH_TEST_LANE=str(lane)))
    result.seconds = time.monotonic() - begin
    if os.path.exists(junit):
        read_junit(junit, result)
    if code is None:
        result.fail(name, "takes too long\n" + cut(output))
    elif code != 0 and result.failed == 0:
        result.fail(name, f"pytest ended with {code}\n" + cut(output))
    return result


def suite_pytest(name, pattern):
    def run(options):
        files = wanted_files(name, pattern, options)
        return [run_pytest(name, files, options)] if files else []
    return run


def wanted_files(name, pattern, options):
    files = sorted(glob.glob(os.path.join(ROOT, pattern)))
    return [file for file in files if options.wants(name, os.path.relpath(file, ROOT))]


# Seconds, about: what takes long begins first.
SLOW = {"test_docker.py": 260, "test_mesh.py": 150, "test_job.py": 150, "test_class.py": 140, "test_faults.py": 90,
        "test_mesh_api.py": 80, "test_git_clones.py": 60, "test_editable.py": 60, "test_corpus.py": 60,
        "test_git_status.py": 60, "test_git_mesh.py": 50, "test_git.py": 50, "test_attacks.py": 40,
        "test_members.py": 40, "test_front.py": 40, "test_boot.py": 30, "test_metrics.py": 25, "test_egress.py": 25}


def weight(file):
    return (SLOW.get(os.path.basename(file), 0), os.path.getsize(file))


def suite_pytest_side_by_side(name, pattern):
    """A process for each file, one in each lane, the slowest first (by what is known of them, then
    by size): a file has its own users, ports and folders."""
    def run(options):
        files = sorted(wanted_files(name, pattern, options), key=weight, reverse=True)

        def run_file(file):
            lane = FREE_LANES.get()
            try:
                return run_pytest(f"{name}-{os.path.splitext(os.path.basename(file))[0]}", [file],
                                  options, lane)
            finally:
                FREE_LANES.put(lane)

        if files:
            try:
                with VENV:  # before two want to make it
                    ensure_venv()
            except (OSError, subprocess.CalledProcessError):
                pass  # run_pytest() says so
        with concurrent.futures.ThreadPoolExecutor(LANES) as pool:
            return list(pool.map(run_file, files))
    return run


# ---- all of it ----

# One after the other; those of a row beside each other.
SUITES = [
    [("layers", suite_pytest("layers", "tests/check_*.py"))],
    [("unit", suite_programs("unit", 2))],
    # Real processes and limits, one at a time; they wait a lot, and fuzzers never do.
    [("it", suite_programs("it", 1)), ("fuzz", suite_fuzz)],
    [("sim", suite_pytest_side_by_side("sim", "tests/sim/test_*.py"))],
    [("pytest-it", suite_pytest_side_by_side("pytest-it", "tests/it/test_*.py"))],
    [("e2e", suite_pytest_side_by_side("e2e", "tests/e2e/test_*.py"))],
]
NAMES = [name for row in SUITES for name, _ in row]


def show(name, results, seconds):
    counts = [sum(getattr(result, kind) for result in results)
              for kind in ("passed", "failed", "skipped")]
    print("%-10s %5d passed  %3d failed  %3d skipped  %7.1f s" % (name, *counts, seconds))
    reasons = {}
    for result in results:
        for test, reason in result.skips:
            reasons.setdefault(reason, []).append(test)
    for reason, tests in sorted(reasons.items()):
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        print(f"           skipped: {tests[0]}{more}: {reason}")
    shown = set()
    for result in results:
        for test, text in result.failures:
            print(f"\n---- FAILED {test}")
            if text not in shown:  # one program's output, once for all that failed in it
                print(text.rstrip())
                shown.add(text)
            print("----", flush=True)
    sys.stdout.flush()
    return counts


def parse(argv):
    parser = argparse.ArgumentParser(description="Runs every test and counts them.")
    parser.add_argument("--full", action="store_true", help="with the large numbers")
    parser.add_argument("--only", action="append", default=[], metavar="NAME",
                        help="a suite, or part of a program's or file's name; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the suites")
    parser.add_argument("--debug", default=os.path.join(BUILD, "debug"), metavar="FOLDER")
    parser.add_argument("--release", default=os.path.join(BUILD, "release"), metavar="FOLDER")
    parser.add_argument("--fuzz", default=os.path.join(BUILD, "fuzz"), metavar="FOLDER")
    options = parser.parse_args(argv)
    options.wants = lambda suite, name: (not options.only or suite in options.only or any(
        word in name for word in options.only if word not in NAMES))
    return options


def timed(run, options):
    begin = time.monotonic()
    return run(options), time.monotonic() - begin


def main(argv):
    options = parse(argv)
    if options.list:
        print("\n".join(NAMES))
        return 0
    totals = [0, 0, 0]
    for row in SUITES:
        with concurrent.futures.ThreadPoolExecutor(len(row)) as pool:
            begun = [(name, pool.submit(timed, run, options)) for name, run in row]
            for name, end in begun:
                results, seconds = end.result()
                if results:
                    counts = show(name, results, seconds)
                    totals = [total + count for total, count in zip(totals, counts)]
    print("%d passed, %d failed, %d skipped" % tuple(totals))
    return 1 if totals[1] or not any(totals) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
