"""GET /metrics: what it tells is well formed, true, cheap, and names nobody; and Prometheus takes it."""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import exposition
import prometheus
import pytest
import zips
from mesh import Mesh
from node import FULL, ROOT, Node

EVALUATIONS = 20000 if FULL else 2000
SCRAPES = 30
WITHIN_MS = 50  # of a whole scrape, on a busy machine; 1 to 5 ms are usual
TOKEN = "a-token-of-the-tests"

MIXED = {"test_good": zips.passing(3),
         "test_bad": "def test_a():\n    assert 1 == 2\n\n\ndef test_b():\n    pass\n",
         "test_broken": "import nothing_of_that_name\n",
         "test_left": "import os\n\n\ndef test_a():\n    os._exit(3)\n",
         "test_skip": "import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    pass\n"}


def told(node, **more):
    answer = node.get("/metrics", **more)
    assert answer.status == 200, answer
    return exposition.read(answer.body)


class Worked:
    """A node that has run one evaluation, and what it told before and after it."""

    def __init__(self, node):
        self.node, self.before = node, told(node)
        self.document = node.wait_done(node.submit(zips.of_files(zips.project("mixed", **MIXED))))
        assert node.post_zip(b"this is no zip").status == 422
        assert node.get("/nowhere").status == 404
        self.wait_idle()
        self.after = told(node)

    def wait_idle(self):
        self.node.wait_until(lambda: told(self.node).value("testmesh_slots", state="busy") == 0,
                             "no slot is busy")


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    with Node(tmp_path_factory.mktemp("worked")) as node:
        yield Worked(node)


# ---- the form ----

def test_its_form(worked):
    node = worked.node
    answer = node.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    families = exposition.read(answer.body).families
    assert len(families) > 60
    assert all(re.match(r"(testmesh|process)_[a-z_]+$", name) for name in families)
    empty = [name for name, family in families.items() if not family.samples]
    assert set(empty) <= {"testmesh_http_problems_total", "testmesh_uploads_refused_total"}, empty
    assert node.request("HEAD", "/metrics").status == 200


def test_promtool_takes_it(worked):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    said = subprocess.run(["promtool", "check", "metrics"], input=worked.node.get("/metrics").body,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert said.returncode == 0 and not said.stdout, said.stdout.decode()


def test_it_tells_every_family_of_the_sources(worked):
    """A counter that a machine of the mesh has no longer would be missing, without a word."""
    node = worked.node
    counters = next(row["counters"] for row in node.get_json("/nodes")["nodes"] if "counters" in row)
    with open(os.path.join(ROOT, "node", "api", "metrics_mesh.c"), encoding="utf-8") as file:
        text = file.read()
    rows = re.findall(r'\{"(\w+)", "(\w+)", (?:NULL|"\w+")\}', text)
    assert len(rows) > 40
    assert not [row for row in rows if row[1] not in counters[row[0]]]
    for name in re.findall(r'"(testmesh_\w+)"', text):
        assert worked.after.samples(name), name


def test_labels_are_of_small_sets_and_name_nobody(worked):
    node = worked.node
    body = node.get("/metrics").body.decode()
    identity = [row["id"] for row in node.get_json("/nodes")["nodes"]]
    private = [worked.document["id"], node.address, *identity, os.uname().nodename,
               *worked.document["projects"], *MIXED]
    assert not [word for word in private if re.search(r"\b%s\b" % re.escape(word), body)]
    values = {}
    for name, family in exposition.read(node.get("/metrics").body).families.items():
        for _, labels in family.samples:
            for label, value in labels:
                values.setdefault(label, set()).add(value)
    assert set(values) == {"version", "sandbox", "installer", "state", "outcome", "blame", "result",
                           "method", "route", "status", "reason", "direction", "kind", "le"}
    assert values["blame"] == {"none", "tests", "project", "cluster"}
    assert values["sandbox"] <= {"A", "none"}
    with open(os.path.join(ROOT, "node", "api", "api.c"), encoding="utf-8") as file:
        patterns = set(re.findall(r'\.pattern = "([^"]+)"', file.read()))
    assert values["route"] == patterns | {"other"}


def test_it_needs_a_token_where_there_are_tokens(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN + "\n")
    tokens.chmod(0o600)
    with Node(tmp_path / "node", "--token-file", str(tokens)) as node:
        assert node.get("/metrics").status == 401
        headers = {"Authorization": f"Bearer {TOKEN}"}
        refused = told(node, headers=headers)
        assert refused.value("testmesh_http_requests_total", route="/metrics", status="4xx") == 1
        assert refused.value("testmesh_http_problems_total", reason="unauthorized") == 1
        with open(os.path.join(node.data, "operator.token"), encoding="utf-8") as file:
            told(node, headers={"Authorization": f"Bearer {file.read().strip()}"})


# ---- the numbers ----

def test_numbers_move_as_the_work_does(worked):
    before, after = worked.before, worked.after
    assert before.total("testmesh_modules_total") == before.total("testmesh_evaluations") == 0
    outcomes = {}
    for module in worked.document["module_results"]["mixed"].values():
        outcomes[module["outcome"]] = outcomes.get(module["outcome"], 0) + 1
    assert len(outcomes) >= 4 and sum(outcomes.values()) == len(MIXED), outcomes
    for outcome, count in outcomes.items():
        assert after.total("testmesh_modules_total", outcome=outcome) == count, outcome
    assert after.total("testmesh_modules_total") == len(MIXED)
    assert after.total("testmesh_modules_total", blame="cluster") == 0
    assert after.value("testmesh_module_duration_seconds_count") == len(MIXED)
    assert after.value("testmesh_tests_total", outcome="passed") == 4
    assert after.value("testmesh_tests_total", outcome="failed") == 1
    assert after.value("testmesh_tests_total", outcome="skipped") == 1
    assert after.value("testmesh_queue_assigned_total", kind="module") == len(MIXED)


def test_projects_and_environments(worked):
    after = worked.after
    assert after.value("testmesh_projects_total", outcome="ready") == 1
    assert after.value("testmesh_project_prepare_duration_seconds_count") == 1
    assert after.value("testmesh_environment_requests_total", result="miss") == 1
    assert after.value("testmesh_environment_builds_total", outcome="built") == 1
    assert after.value("testmesh_environments", state="ready") == 1
    assert after.value("testmesh_environments_bytes") > 1 << 20


def test_the_store_and_requests(worked):
    after = worked.after
    assert after.value("testmesh_evaluations", state="done") == after.total("testmesh_evaluations") == 1
    assert after.value("testmesh_evaluations_oldest_open_age_seconds") == 0
    assert after.value("testmesh_store_appends_total", outcome="durable") >= len(MIXED) + 3
    assert after.value("testmesh_store_append_duration_seconds_count") == \
        after.value("testmesh_store_appends_total", outcome="durable")
    assert after.value("testmesh_uploads_accepted_total") == 1
    assert after.value("testmesh_uploads_refused_total", reason="archive-not-zip") == 1
    assert after.total("testmesh_uploads_refused_total") == 1
    assert after.value("testmesh_http_problems_total", reason="not-found") == 1
    assert after.value("testmesh_http_requests_total", method="POST", route="/evaluation", status="2xx") == 1
    assert after.value("testmesh_http_requests_total", method="POST", route="/evaluation", status="4xx") == 1
    assert after.value("testmesh_http_requests_total", route="other", status="4xx") == 1
    assert after.value("testmesh_http_request_duration_seconds_count", method="POST",
                       route="/evaluation") == 2


def test_an_open_evaluation_and_its_work_are_seen(worked):
    node = worked.node
    id = node.submit(zips.of_files(zips.project("slow", test_a=zips.sleeping(60), test_b=zips.sleeping(60))))
    node.wait_until(lambda: told(node).value("testmesh_slots", state="busy"), "a slot is busy")
    during = told(node)
    slots = node.get_json("/load")["slots"]
    assert during.total("testmesh_slots") == during.value("testmesh_mesh_slots") == slots
    assert during.value("testmesh_evaluations_led") == 1
    assert during.total("testmesh_evaluations") == 2
    assert during.value("testmesh_evaluations", state="done") == 1
    assert during.value("testmesh_evaluations_oldest_open_age_seconds") > 0
    assert node.request("DELETE", f"/evaluation/{id}").status in (200, 202)
    node.wait_done(id)
    worked.wait_idle()
    after = told(node)
    assert after.value("testmesh_evaluations", state="cancelled") == 1
    assert after.value("testmesh_evaluations_oldest_open_age_seconds") == 0


def test_the_process_and_its_disk(worked):
    node = worked.node

    def descriptors():
        return len(os.listdir(f"/proc/{node.pid}/fd"))

    first = told(node)
    assert abs(first.value("process_open_fds") - descriptors()) <= 3
    assert first.value("process_max_fds") >= first.value("process_open_fds")
    with open(f"/proc/{node.pid}/statm", encoding="utf-8") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    assert resident / 2 < first.value("process_resident_memory_bytes") < resident * 2
    assert abs(time.time() - first.value("process_start_time_seconds")) < 3600
    disk = os.statvfs(node.data)
    assert first.value("testmesh_disk_size_bytes") == disk.f_blocks * disk.f_frsize
    assert 0 < first.value("testmesh_disk_free_bytes") <= first.value("testmesh_disk_size_bytes")
    assert first.value("testmesh_store_writable") == first.value("testmesh_ready") == 1
    looked = first.value("testmesh_loop_late_seconds_count")
    node.wait_until(lambda: told(node).value("testmesh_loop_late_seconds_count") > looked, "it looks again")


def test_a_drained_node_says_so(own_node):
    with open(os.path.join(own_node.data, "operator.token"), encoding="utf-8") as file:
        token = file.read().strip()
    assert own_node.request("POST", "/drain", headers={"Authorization": f"Bearer {token}"}).status == 202
    now = told(own_node)
    assert now.value("testmesh_draining") == 1 and now.value("testmesh_ready") == 0


# ---- the price ----

def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


def log_line(text, table=tuple(crc32c_table())):
    """As node/store/line.h has it."""
    length = b"%08x" % len(text)
    crc = 0xFFFFFFFF
    for byte in length + text.encode():
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return b"%08x %s %s\n" % (crc ^ 0xFFFFFFFF, length, text.encode())


def multiply(data, count):
    """Makes `count` finished evaluations of the one that a store holds, as far as its index goes."""
    evals = os.path.join(data, "evals")
    with open(os.path.join(evals, "index.jsonl"), encoding="utf-8") as file:
        row = json.loads(file.readline()[18:])
    path = os.path.join(evals, row["file"])
    with open(os.path.join(evals, "index.jsonl"), "ab") as index:
        for number in range(1, count):
            id = str(row["id"] - number)
            name = row["file"].replace(str(row["id"]), id)
            os.link(path, os.path.join(evals, name))
            made = dict(row, id=int(id), file=name, created_ms=row["created_ms"] - number)
            index.write(log_line(json.dumps(made, separators=(",", ":"))))


def test_a_scrape_is_cheap_however_much_there_is(worked):
    node = worked.node
    node.wait_until(lambda: glob.glob(os.path.join(node.data, "evals", "*", "*.json")), "its file is written")
    node.stop()
    multiply(node.data, EVALUATIONS)
    node.start()
    assert told(node).value("testmesh_evaluations", state="done") >= EVALUATIONS
    took = []
    for _ in range(SCRAPES):
        begin = time.monotonic()
        node.get("/metrics")
        took.append((time.monotonic() - begin) * 1e3)
    print(f"{EVALUATIONS} evaluations: {statistics.median(took):.2f} ms a scrape", file=sys.stderr)
    assert statistics.median(took) < WITHIN_MS, took


# ---- a mesh ----

def test_members_are_counted_and_missed(tmp_path):
    with Mesh(tmp_path, 3) as mesh:
        for node in mesh.nodes:
            now = told(node)
            assert now.value("testmesh_mesh_members", state="alive") == 3
            assert now.value("testmesh_mesh_members", state="dead") == 0
            assert now.value("testmesh_mesh_datagrams_total", direction="in") > 0
        mesh.wait(lambda: all(0 < told(node).value("testmesh_mesh_round_trip_max_seconds") < 1
                              for node in mesh.nodes), "round trips are measured", 30)
        mesh[0].wait_done(mesh[0].submit(zips.of_files(zips.project("one", test_a=zips.passing(1)))))
        mesh.wait(lambda: all(told(node).value("testmesh_evaluations", state="done") == 1
                              and told(node).value("testmesh_mesh_store_differs_seconds") == 0
                              for node in mesh.nodes), "all stores are equal", 30)
        assert sum(told(node).total("testmesh_modules_total") for node in mesh.nodes) == 1
        mesh[2].kill()
        mesh.wait(lambda: all(told(node).value("testmesh_mesh_members", state="dead") == 1
                              and told(node).value("testmesh_mesh_members_disagreeing") == 0
                              for node in mesh.nodes[:2]), "the dead one is missed", 30)


# ---- Prometheus ----

def queries():
    """{where: expression} of the dashboard, as Grafana would send them."""
    with open(os.path.join(ROOT, "deploy", "grafana", "dashboards", "testmesh.json"), encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    return {f"{panel['title']}/{target['refId']}":
            target["expr"].replace("$__rate_interval", "30s").replace("$instance", ".*")
            for panel in panels for target in panel.get("targets", ())}


def selectors(expression):
    """Each metric with its labels, alone: what an alert compares must be there while all is well."""
    return re.findall(r"\b(?:(?:testmesh|process)_\w+|up)\b(?:\{[^}]*\})?",
                      re.sub(r"\b(?:by|on|ignoring) *\([^)]*\)", "", expression))


@pytest.fixture
def watched(tmp_path):
    """Four nodes that a Prometheus has asked while they worked."""
    if not FULL:
        pytest.skip("half a minute: only with TESTMESH_FULL=1")
    if prometheus.find("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian's package of that name)")
    with Mesh(tmp_path / "mesh", 4, ["--slots", "2"]) as mesh:
        with prometheus.Prometheus(tmp_path / "prometheus", [node.home for node in mesh.nodes]) as server:
            server.wait(lambda: [health for health, _ in server.targets().values()] == ["up"] * 4,
                        "all targets are up", 30)
            ids = [node.submit(zips.of_files(zips.project(f"work{number}", **MIXED)))
                   for number, node in enumerate(mesh.nodes)]
            mesh[1].post_zip(b"no zip")
            for id in ids:
                mesh.wait_same(id)
            yield mesh, server


def test_every_query_has_an_answer(watched):
    mesh, server = watched

    def unanswered():
        return {where: query for where, query in queries().items() if not server.query(query)}

    missing = None
    deadline = time.monotonic() + 30
    while missing is None or (missing and time.monotonic() < deadline):
        missing = unanswered()
        time.sleep(1 if missing else 0)
    assert not missing, missing
    assert len(queries()) > 40
    rules = server.rules()
    for alert, rule in rules.items():
        assert rule["health"] == "ok" and not rule.get("lastError"), (alert, rule)
        for selector in selectors(rule["query"]):
            assert server.query(selector), (alert, selector)
    check_what_it_says(mesh, server)


def check_what_it_says(mesh, server):
    assert server.query("sum(up)")[0]["value"][1] == "4"
    server.wait(lambda: int(server.query("sum(testmesh_modules_total)")[0]["value"][1]) >= 4 * len(MIXED),
                "all modules are counted", 10)
    firing = {alert for alert, rule in server.rules().items()
              if any(one["state"] == "firing" for one in rule["alerts"])}
    assert not firing & {"TestmeshMembersDisagree", "TestmeshStoreStopped", "TestmeshAllDown"}, firing
    mesh[3].kill()
    server.wait(lambda: server.query('ALERTS{alertname="TestmeshNodeDown"}'), "a dead node is noticed", 30)
