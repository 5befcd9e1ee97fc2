"""/stats is the sum of the evaluations, before and after a restart, however the node went down."""

import pytest
import zips
from node import Node


def sums(node):
    """What /stats must say, computed from the evaluations."""
    ids = node.get_json("/evaluation?limit=1000")["evaluations"]
    passed = failed = modules = 0
    projects, executed = set(), set()
    for id in ids:
        document = node.evaluation(id)
        for project, rows in document["module_results"].items():
            projects.add(project)
            for row in rows.values():
                passed += row["passed"]
                failed += row["failed"] + row["errors"]
                if row["node"] is not None:
                    modules += 1
                    executed.add(int(id))
    return {"passed": passed, "failed": failed, "projects": len(projects),
            "evaluations": len(ids)}, modules, executed


def check(node):
    stats = node.get_json("/stats")
    everything, modules, executed = sums(node)
    assert stats["all"] == everything
    (row,) = stats["nodes"]
    assert row["modules"] == modules
    assert (row["passed"], row["failed"]) == (everything["passed"], everything["failed"])
    assert set(row["evaluations"]) == executed
    return stats


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_totals_survive(tmp_path, how):
    node = Node(tmp_path)
    try:
        assert node.get_json("/stats")["all"] == {"passed": 0, "failed": 0, "projects": 0,
                                                  "evaluations": 0}
        for names in (["calculator", "bank-failing"], ["calculator"], ["no-tests"]):
            node.wait_done(node.submit(zips.of_examples(*names)))
        before = check(node)
        assert before["all"]["passed"] == 13 + 6 + 13
        assert before["all"]["failed"] == 4
        assert before["all"]["evaluations"] == 3
        documents = {id: node.evaluation(id)["module_results"]
                     for id in node.get_json("/evaluation")["evaluations"]}
        getattr(node, how)()
        node.start()
        after = check(node)
        assert after["all"] == before["all"]
        assert after["nodes"][0]["modules"] == before["nodes"][0]["modules"]
        for id, results in documents.items():
            assert node.evaluation(id)["module_results"] == results
    finally:
        node.stop()
