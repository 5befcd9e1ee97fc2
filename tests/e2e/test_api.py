"""The shapes of the API, to the letter where it has users."""

import json
import subprocess
import time

import pytest
import zips
from node import form

SMALL = zips.of_files(zips.project("small", test_one="def test_a():\n    pass\n"))
MODULE_KEYS = {"%passed", "%failed", "passed", "failed", "errors", "skipped", "time", "status",
               "outcome", "blame", "node", "attempts", "cached"}
PROJECT_KEYS = {"%passed", "%failed", "nota", "executed", "executing", "pending", "time", "source",
                "requirements"}
RUN_KEYS = {"errors", "%passed", "%failed", "nota", "mean_nota", "eval_time"}
OUTCOMES = {"passed", "failed", "error", "skipped", "xfailed", "xpassed"}


def is_int(value):
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# ---- the answer to an upload ----


def test_submit(node):
    answer = node.post_zip(SMALL)
    assert answer.status == 202
    body = answer.json()
    assert body["status"] == "submitted"
    assert isinstance(body["id"], str) and body["id"].isdecimal() and int(body["id"]) < 2**53
    assert body["eval_id"] == body["id"]
    assert isinstance(body["links"], dict)
    assert answer.headers["location"] == f"/evaluation/{body['id']}"
    assert int(answer.headers["retry-after"]) >= 0
    assert answer.headers["content-type"].startswith("application/json")
    node.wait_done(body["id"])


def test_submit_does_not_wait_for_the_run(node):
    slow = zips.of_files(zips.project("slow", test_one=zips.sleeping(3)))
    started = time.monotonic()
    id = node.submit(slow)
    assert time.monotonic() - started < 2
    assert node.evaluation(id)["status"] != "done"
    assert node.wait_done(id)["status"] == "done"


def test_wait_holds_the_answer(node):
    answer = node.post_zip(SMALL, query="?wait=60")
    assert answer.status in (200, 202), answer
    id = answer.json()["id"]
    assert node.evaluation(id)["status"] == "done"


def test_wait_ends_in_time(node):
    slow = zips.of_files(zips.project("slow", test_one=zips.sleeping(5)))
    started = time.monotonic()
    answer = node.post_zip(slow, query="?wait=1")
    assert 0.9 < time.monotonic() - started < 4
    assert answer.status in (200, 202), answer
    assert answer.json()["status"] != "done"
    node.request("DELETE", f"/evaluation/{answer.json()['id']}")


def test_raw_zip_body(node):
    answer = node.request("POST", "/evaluation", SMALL, {"Content-Type": "application/zip"})
    assert answer.status == 202, answer
    assert node.wait_done(answer.json()["id"])["_run_info"]["%passed"] == 100


def test_curl(node, tmp_path):
    path = tmp_path / "small.zip"
    path.write_bytes(SMALL)
    done = subprocess.run(["curl", "-sS", "-F", f"file=@{path}", f"http://{node.address}/evaluation"],
                          stdout=subprocess.PIPE, check=True)
    assert node.wait_done(json.loads(done.stdout)["id"])["status"] == "done"


def test_curl_with_a_content_type_of_its_own(node, tmp_path):
    """`-H` beside `-F`: curl adds the boundary to the header that the user wrote."""
    path = tmp_path / "small.zip"
    path.write_bytes(SMALL)
    done = subprocess.run(
        ["curl", "-sS", "-X", "POST", "-H", "Content-Type: multipart/form-data",
         "-F", f"file=@{path}", f"http://{node.address}/evaluation"],
        stdout=subprocess.PIPE, check=True)
    assert node.wait_done(json.loads(done.stdout)["id"])["status"] == "done"


def test_idempotency_key(node):
    key = {"Idempotency-Key": f"class-7b-{time.time_ns()}"}
    first, second = node.post_zip(SMALL, headers=key), node.post_zip(SMALL, headers=key)
    assert first.status == 202 and second.status in (200, 202)
    assert second.json()["id"] == first.json()["id"]
    other = zips.of_files(zips.project("other", test_one="def test_b():\n    pass\n"))
    refused = node.post_zip(other, headers=key)
    assert refused.status == 422, refused
    assert refused.json()["error"] == refused.json()["detail"]
    done = node.wait_done(first.json()["id"])
    assert list(done["module_results"]) == ["small"]


def test_two_uploads_are_two_evaluations(node):
    assert node.submit(SMALL) != node.submit(SMALL)


def test_a_hostile_file_name_is_only_a_name(node):
    before = node.files()
    answer = node.post_zip(SMALL, name="../../app/x.py")
    assert answer.status == 202
    node.wait_done(answer.json()["id"])
    assert not [path for path in node.files() - before if path.endswith("x.py")]


# ---- the document ----


def test_document(examples):
    assert {"id", "status", "_run_info", "executed", "executing", "pending", "module_results",
            "projects"} <= set(examples)
    assert set(examples["_run_info"]) == RUN_KEYS
    assert is_int(examples["_run_info"]["errors"])
    for key in RUN_KEYS - {"errors"}:
        assert is_number(examples["_run_info"][key]), key
    for project in examples["projects"].values():
        assert PROJECT_KEYS <= set(project)
    for modules in examples["module_results"].values():
        for module in modules.values():
            assert MODULE_KEYS <= set(module)
            assert module["status"] == "done" and module["outcome"] is not None
            ran = module["outcome"] != "setup_failed"
            assert module["attempts"] >= (1 if ran else 0)
            assert module["blame"] in ("tests", "project", "cluster", None)


def test_percentages(examples):
    for modules in examples["module_results"].values():
        for module in modules.values():
            good, bad = module["passed"], module["failed"] + module["errors"]
            if good + bad == 0:
                assert (module["%passed"], module["%failed"]) == (0, 0)
            else:
                assert module["%passed"] == pytest.approx(100 * good / (good + bad), abs=0.01)
                assert module["%failed"] == pytest.approx(100 * bad / (good + bad), abs=0.01)


def test_module_counts(examples):
    modules = [m for rows in examples["module_results"].values() for m in rows.values()]
    assert examples["executed"] == len(modules)
    assert (examples["executing"], examples["pending"]) == (0, 0)


def test_all_modules_are_there_while_it_runs(node):
    files = zips.project("many", **{f"test_{n}": zips.sleeping(0.5, 4) for n in range(6)})
    id = node.submit(zips.of_files(files))

    def planned():
        document = node.evaluation(id)
        return document if document["module_results"].get("many") else None

    document = node.wait_until(planned, "the plan")
    rows = document["module_results"]["many"]
    assert sorted(rows) == [f"tests/test_{n}.py" for n in range(6)]
    assert document["executed"] + document["executing"] + document["pending"] == 6
    for row in rows.values():
        assert (row["outcome"] is None) == (row["status"] != "done")
    assert node.wait_done(id)["executed"] == 6


def test_etag(node, examples):
    answer = node.get(f"/evaluation/{examples['id']}")
    tag = answer.headers["etag"]
    again = node.get(f"/evaluation/{examples['id']}", {"If-None-Match": tag})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == tag
    other = node.get(f"/evaluation/{examples['id']}", {"If-None-Match": '"something-else"'})
    assert other.status == 200 and other.body == answer.body


def test_list(node, examples):
    page = node.get_json("/evaluation?limit=1000")
    assert examples["id"] in page["evaluations"]
    assert page["evaluations"] == [item["id"] for item in page["items"]]
    for item in page["items"]:
        assert {"id", "name", "status", "submitted_at", "projects", "modules", "%passed",
                "nota"} <= set(item)
    times = [item["submitted_at"] for item in page["items"]]
    assert times == sorted(times, reverse=True)


def test_list_pages(node, examples):
    everything = node.get_json("/evaluation?limit=1000")["evaluations"]
    page = node.get_json("/evaluation?limit=1")
    assert page["evaluations"] == everything[:1]


# ---- tests and logs ----


def test_items_add_up(node, examples):
    counts = {}
    for item in node.tests(examples["id"]):
        assert {"project", "module", "test", "outcome", "time"} <= set(item)
        assert item["outcome"] in OUTCOMES
        counts.setdefault((item["project"], item["module"]), []).append(item["outcome"])
    for project, modules in examples["module_results"].items():
        for path, module in modules.items():
            outcomes = counts[project, path]
            assert sum(o in ("passed", "xpassed") for o in outcomes) == module["passed"]
            assert outcomes.count("failed") == module["failed"]
            assert outcomes.count("error") == module["errors"]


def test_paging_gives_the_same_items(node, examples):
    whole = list(node.tests(examples["id"]))
    assert list(node.tests(examples["id"], limit=7)) == whole


def test_filters(node, examples):
    failed = list(node.tests(examples["id"], outcome="failed"))
    assert failed and {item["outcome"] for item in failed} == {"failed"}
    one = list(node.tests(examples["id"], project="shapes", module="tests/test_table.py"))
    assert [item["test"] for item in one] == ["tests/test_table.py::test_table"]


def test_details(node, examples):
    failed = list(node.tests(examples["id"], project="bank-failing", outcome="failed"))
    assert all(item["message"] for item in failed)
    assert any("assert" in item["longrepr"] for item in failed)
    for item in node.tests(examples["id"], project="bank-failing", detail=0):
        assert not {"longrepr", "stdout", "stderr"} & set(item)


def test_limit_is_bounded(node, examples):
    answer = node.get(f"/evaluation/{examples['id']}/tests?limit=100000")
    assert answer.status == 400 or len(answer.json()["items"]) <= 1000


def test_logs(node, examples):
    answer = node.get(f"/evaluation/{examples['id']}/logs/bank-failing/tests/test_account.py")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"test_withdraw_everything" in answer.body


# ---- the node ----


def test_stats_to_the_letter(node, examples):
    stats = node.get_json("/stats")
    assert set(stats) == {"all", "nodes"}
    assert set(stats["all"]) == {"failed", "passed", "projects", "evaluations"}
    assert all(is_int(value) for value in stats["all"].values())
    assert isinstance(stats["nodes"], list) and len(stats["nodes"]) == 1
    (row,) = stats["nodes"]
    assert set(row) == {"address", "failed", "passed", "projects", "modules", "evaluations"}
    assert row["address"] == node.address
    assert all(is_int(row[key]) for key in ("failed", "passed", "projects", "modules"))
    assert isinstance(row["evaluations"], list) and all(is_int(id) for id in row["evaluations"])
    assert int(examples["id"]) in row["evaluations"]


def test_network_to_the_letter(node):
    assert node.get_json("/network") == {node.address: []}


def test_peers(node):
    assert node.get_json("/peers") == {"peers": []}


def test_ping_load_and_health(node):
    assert node.get_json("/ping")["status"] == "ok"
    assert isinstance(node.get_json("/load"), dict)
    assert node.get("/healthz").status == 200
    assert node.get("/readyz").status == 200


def test_nodes(node):
    text = json.dumps(node.get_json("/nodes"))
    assert node.address in text


def test_two_projects_of_one_name(node):
    """What zip tools make of two folders `a` from two places: the second gets a name of its own."""
    files = {"left/a/test_l.py": "def test_l():\n    pass\n",
             "right/a/test_r.py": "def test_r():\n    assert 0\n"}
    done = node.wait_done(node.submit(zips.of_files(files)))
    modules = [path for rows in done["module_results"].values() for path in rows]
    assert len(modules) == 2, done["module_results"]
    assert done["_run_info"]["%passed"] == 50


@pytest.mark.parametrize("wrap", ["", "class-7b/"])
def test_one_wrapping_folder(node, wrap):
    files = {**zips.project(wrap + "ana", test_x="def test_x():\n    pass\n"),
             **zips.project(wrap + "rui", test_x="def test_x():\n    assert 0\n")}
    done = node.wait_done(node.submit(zips.of_files(files)))
    assert set(done["module_results"]) == {"ana", "rui"}


def test_a_single_project_at_the_top(node):
    files = {"test_top.py": "import helper\n\n\ndef test_a():\n    assert helper.X == 1\n",
             "helper.py": "X = 1\n"}
    done = node.wait_done(node.submit(zips.of_files(files)))
    (rows,) = done["module_results"].values()
    assert list(rows) == ["test_top.py"] and rows["test_top.py"]["outcome"] == "passed"


def test_form_fields_besides_the_file(node):
    kind, body = form([("name", None, None, b"homework 3"),
                       ("file", "x.zip", "application/zip", SMALL)])
    answer = node.request("POST", "/evaluation", body, {"Content-Type": kind})
    assert answer.status == 202, answer
    id = answer.json()["id"]
    items = node.get_json("/evaluation?limit=1000")["items"]
    assert [item["name"] for item in items if item["id"] == id] == ["homework 3"]
    node.wait_done(id)


def test_cancel(node):
    files = zips.project("long", **{f"test_{n}": zips.sleeping(20) for n in range(4)})
    id = node.submit(zips.of_files(files))
    node.wait_until(lambda: node.evaluation(id)["executing"] > 0, "a module to run")
    answer = node.request("DELETE", f"/evaluation/{id}")
    assert answer.status in (200, 202, 204), answer
    done = node.wait_done(id, timeout=10)
    assert done["status"] == "cancelled"
    for module in done["module_results"]["long"].values():
        assert module["status"] == "done" and module["outcome"] == "cancelled"
    again = node.request("DELETE", f"/evaluation/{id}")
    assert again.status in (200, 202, 204, 409), again
