"""The example projects get the marks that examples/expected.json promises."""

import json
import os

import pytest
import zips

with open(os.path.join(zips.EXAMPLES, "expected.json")) as file:
    EXPECTED = json.load(file)


def test_every_example_has_an_expectation():
    folders = {name for name in os.listdir(zips.EXAMPLES)
               if os.path.isdir(os.path.join(zips.EXAMPLES, name))}
    assert folders == set(EXPECTED["projects"])


@pytest.mark.parametrize("name", sorted(EXPECTED["projects"]))
def test_marks(examples, name):
    expected = EXPECTED["projects"][name]
    project = examples["projects"][name]
    assert project["nota"] == pytest.approx(expected["mark"], abs=0.01)
    modules = examples["module_results"].get(name, {})
    assert {path: module["outcome"] for path, module in modules.items()} == expected["modules"]
    for count in ("passed", "failed", "errors", "skipped"):
        assert sum(module[count] for module in modules.values()) == expected[count], count


def test_the_whole_mark(examples):
    info = examples["_run_info"]
    assert info["nota"] == pytest.approx(EXPECTED["nota"], abs=0.01)
    assert info["mean_nota"] == pytest.approx(EXPECTED["mean_nota"], abs=0.01)
    assert info["errors"] == sum(row["errors"] for row in EXPECTED["projects"].values())
    assert examples.get("incomplete", False) is False


def test_the_missing_package_is_named(node, examples):
    items = list(node.tests(examples["id"], project="needs-missing"))
    assert [(item["test"], item["outcome"]) for item in items] == [("tests/test_report.py", "error")]
    assert "testmesh-there-is-no-such-package" in json.dumps(items)
    module = examples["module_results"]["needs-missing"]["tests/test_report.py"]
    assert module["blame"] == "project"
