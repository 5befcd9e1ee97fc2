"""docs/openapi.json is what the node answers: every route is there, and nothing else."""

import os
import re

import pytest
from described import check, described
from node import ROOT

SCHEMAS = {"/stats": "Stats", "/network": "Network", "/peers": "Peers", "/nodes": "Nodes",
           "/load": "Load", "/ping": "Ping", "/evaluation": "Evaluations"}


def routes():
    """(METHOD, pattern) of the table in api.c, in the form of the description."""
    with open(os.path.join(ROOT, "node", "api", "api.c"), encoding="utf-8") as file:
        rows = re.findall(r'\.method = "(\w+)",\s*\.pattern = "([^"]+)"', file.read())
    return {(method, re.sub(r"[:*](\w+)", r"{\1}", pattern)) for method, pattern in rows}


def test_it_is_served(node):
    answer = node.get("/openapi.json")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
    assert answer.json() == described()


def test_every_route_is_described():
    methods = ("get", "post", "put", "delete")
    rows = {(method.upper(), path) for path, item in described()["paths"].items()
            for method in item if method in methods}
    assert rows == routes()


def test_every_path_answers(node, examples):
    values = {"id": examples["id"], "project": "bank-failing", "module": "tests/test_account.py",
              "code": "bad-query"}
    without_log = "/evaluation/{id}/logs/{project}"
    for path, item in described()["paths"].items():
        if "get" not in item:
            continue
        answer = node.get(re.sub(r"\{(\w+)\}", lambda name: values[name.group(1)], path))
        assert answer.status == (404 if path == without_log else 200), (path, answer)


def test_query_parameters_are_read(node, examples):
    """A number that is no number is refused where the description has one."""
    values = {"id": examples["id"]}
    for path, item in described()["paths"].items():
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query" and parameter["schema"]["type"] == "integer" and "logs" not in path:
                target = re.sub(r"\{(\w+)\}", lambda name: values[name.group(1)], path)
                answer = node.get(f"{target}?{parameter['name']}=x")
                assert answer.status == 400, (target, parameter)


@pytest.mark.parametrize("path", sorted(SCHEMAS))
def test_answers_are_as_described(node, path):
    check(described(), {"$ref": "#/" + SCHEMAS[path]}, node.get_json(path))


def test_documents_are_as_described(node, examples):
    check(described(), {"$ref": "#/Evaluation"}, node.evaluation(examples["id"]))
    check(described(), {"$ref": "#/Tests"}, node.get_json(f"/evaluation/{examples['id']}/tests"))
    check(described(), {"$ref": "#/Problem"}, node.get("/evaluation/1").json())


def test_a_full_log_is_what_is_kept(node, examples):
    path = f"/evaluation/{examples['id']}/logs/bank-failing/tests/test_account.py"
    assert node.get(path + "?full=1").body == node.get(path).body
