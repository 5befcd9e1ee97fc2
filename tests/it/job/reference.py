"""What `python -m pytest FILE` reports, per test, written as JSON: the other side of comparisons.

    python -m pytest -p reference FILE      with REFERENCE_OUT=FILE.json in the environment
"""
import atexit
import json
import os

ORDER = ["passed", "skipped", "xfailed", "xpassed", "failed", "error"]
OUT = os.environ.pop("REFERENCE_OUT")
worst = {}
problems = {}


def pytest_runtest_logreport(report):
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
        outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
    elif outcome == "failed" and report.when in ("setup", "teardown"):
        outcome = "error"
    if outcome not in ORDER:
        return
    before = worst.setdefault(report.nodeid, "passed")
    worst[report.nodeid] = max(before, outcome, key=ORDER.index)


def pytest_collectreport(report):
    if report.outcome != "passed":
        problems[report.nodeid] = "error" if report.outcome == "failed" else "skipped"


def save(pid=os.getpid()):
    if os.getpid() == pid:
        with open(OUT, "w") as file:
            json.dump({"tests": worst, "problems": problems}, file)


atexit.register(save)
