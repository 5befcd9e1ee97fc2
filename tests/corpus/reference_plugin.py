"""What a test's outcome is, told by pytest itself while somebody runs it by hand.

Put beside pytest in the environment and loaded with `-p testmesh_reference`; it is deliberately not
the harness, so that the two can be held against each other. It writes JSON to /record/result.json.
"""

import json

WORST_FIRST = ["error", "failed", "xpassed", "xfailed", "skipped", "passed"]
RECORD = "/record/result.json"


class Recorder:
    def __init__(self, config):
        # Under xdist the workers load this too, and their tests are reported to the controller.
        self.is_worker = hasattr(config, "workerinput")
        self.modules = []
        self.collected = []
        self.seen = {}
        self.collect_errors = []

    def pytest_collectstart(self, collector):
        import pytest

        if isinstance(collector, pytest.File) and not isinstance(collector, pytest.Package):
            self.modules.append(collector.nodeid)

    def pytest_collectreport(self, report):
        if report.failed:
            self.collect_errors.append(report.nodeid)

    def pytest_collection_finish(self, session):
        self.collected = [item.nodeid for item in session.items]

    def pytest_runtest_logreport(self, report):
        outcome = outcome_of(report)
        if outcome:
            self.seen.setdefault(report.nodeid, []).append(outcome)

    def pytest_sessionfinish(self, exitstatus):
        if self.is_worker:
            return
        tests = {}
        for nodeid in dict.fromkeys(self.collected + list(self.seen)):
            phases = self.seen.get(nodeid, ["error"])
            tests[nodeid] = min(phases, key=WORST_FIRST.index)
        if not self.seen:
            tests = {}
        with open(RECORD, "w") as file:
            json.dump(
                {
                    "modules": self.modules,
                    "tests": tests,
                    "collected": len(self.collected),
                    "collect_errors": self.collect_errors,
                    "exit": int(exitstatus),
                },
                file,
            )


def outcome_of(report):
    """The outcome of one phase; None for a subtest that does not decide about its test."""
    part = is_subtest(report)
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if part:
        return None
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else ("xpassed" if report.when == "call" else None)
    if report.skipped:
        return "skipped"
    return "passed"


def is_subtest(report):
    return type(report).__name__ in ("SubtestReport", "SubTestReport")


def pytest_configure(config):
    config.pluginmanager.register(Recorder(config), "testmesh-reference-recorder")
