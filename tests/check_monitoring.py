"""deploy/: the dashboard, the alerts and the scrape configuration fit the metrics, the docs and each other."""

import glob
import json
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROMETHEUS = os.path.join(ROOT, "deploy", "prometheus")
ALERTS = os.path.join(PROMETHEUS, "alerts.yml")
SEVERITIES = {"info", "warning", "critical"}

needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None,
                                    reason="promtool is not installed (Debian's package prometheus)")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def families():
    """{name: kind} of what the sources tell; each is begun once."""
    found = []
    for path in sorted(glob.glob(os.path.join(ROOT, "node", "api", "metrics*.c"))):
        text = read(path)
        found += re.findall(r'EXPOSITION_(\w+),\s*"(\w+)"', text)
        found += [(kind.upper(), name) for kind, name in
                  re.findall(r'exposition_(counter|gauge)\(\s*out,\s*"(\w+)"', text)]
        found += [("COUNTER", name) for name in re.findall(r'put_reasons\(out,\s*"(\w+)"', text)]
    names = [name for _, name in found]
    assert len(names) > 60 and len(names) == len(set(names)), sorted(names)
    return {name: kind for kind, name in found}


def dashboard():
    return json.loads(read("deploy", "grafana", "dashboards", "testmesh.json"))


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions():
    """All queries: of the dashboard, and of the alerts by their names."""
    queries = {f"panel {panel['title']}/{target['refId']}": target["expr"]
               for panel in panels() for target in panel["targets"]}
    return {**queries, **alerts()}


def alerts():
    """{alert: expression} of a file whose form is simple."""
    found = re.findall(r"^      - alert: (\w+)\n        expr: (?:\|\n((?:          .*\n)+)|(.*)\n)",
                       read("deploy", "prometheus", "alerts.yml"), re.M)
    return {name: " ".join((block or line).split()) for name, block, line in found}


def selected(expression):
    """Names of metrics: words that are followed by what can only follow one."""
    text = re.sub(r'"[^"]*"', '""', expression)
    text = re.sub(r"\b(by|on|ignoring) *\([^)]*\)", "", text)
    return set(re.findall(r"\b((?:testmesh|process)_\w+|up)\b", re.sub(r"\{[^}]*\}", "", text)))


# ---- that they fit ----

def test_every_metric_is_described():
    told = set(re.findall(r"`(…?\w+)`", read("docs", "operations.md")))
    ends = tuple(name[1:] for name in told if name.startswith("…"))
    missing = [name for name in families() if name not in told and not name.endswith(ends)]
    assert not missing, f"not in docs/operations.md: {missing}"


def test_no_metric_is_described_that_nobody_tells():
    table = re.search(r"^\| metric \|.*?\n\n", read("docs", "operations.md"), re.M | re.S)[0]
    names = set(re.findall(r"`((?:testmesh|process)_\w+)`", table)) - {"process_", "testmesh_draining"}
    assert not names - set(families())


@pytest.mark.parametrize("where", sorted(expressions()))
def test_queries_name_what_there_is(where):
    known = families()
    used = selected(expressions()[where])
    assert used, expressions()[where]
    for name in used - {"up"}:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        is_part = base != name and known.get(base) == "HISTOGRAM"
        assert is_part or known.get(name) in ("COUNTER", "GAUGE"), name
        if known.get(name) == "COUNTER" or is_part:
            assert re.search(r"(rate|increase)\([^()]*%s\b" % name, expressions()[where]), \
                f"{name} only grows: take its rate"


def test_the_dashboards_source_is_the_one_that_is_provided():
    source = re.search(r"uid: (\S+)", read("deploy", "grafana", "provisioning", "datasources",
                                           "prometheus.yml"))[1]
    text = read("deploy", "grafana", "dashboards", "testmesh.json")
    assert set(re.findall(r'"type": ?"prometheus",\s*"uid": ?"([^"]+)"', text)) == {source}
    assert "path: /var/lib/grafana/dashboards" in read("deploy", "grafana", "provisioning", "dashboards",
                                                       "testmesh.yml")


def test_panels_have_places_of_their_own():
    taken = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids)) and all(panel["description"] for panel in panels())


def test_alerts_say_what_and_how_bad():
    text = read("deploy", "prometheus", "alerts.yml")
    rules = re.split(r"^      - alert: ", text, flags=re.M)[1:]
    assert len(rules) == len(alerts()) >= 15
    for rule in rules:
        assert re.search(r"severity: (\w+)", rule)[1] in SEVERITIES, rule
        assert "summary: " in rule and "description: " in rule, rule


def test_the_nodes_that_are_asked_are_those_of_the_compose_file():
    path = os.path.join(ROOT, "docker-compose.yml")
    if not os.path.exists(path):
        pytest.skip("there is no docker-compose.yml")
    text = read("docker-compose.yml")
    asked = re.findall(r"names: \[(\S+)\]\s+type: A\s+port: (\d+)", read("deploy", "prometheus", "prometheus.yml"))
    assert len(asked) == 5
    for name, port in asked:
        service = re.search(r"^  %s:\n(.*?)(?=^  \S|^\S)" % name, text, re.M | re.S)
        assert service, f"no service {name}"
        assert re.search(r"TESTMESH_PORT: (?:\$\{\w+:-)?%s\}?\s" % port, service[1]), (name, port)


# ---- what promtool says ----

def promtool(*argv, stdin=None):
    done = subprocess.run(["promtool", *argv], input=stdin, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


@needs_promtool
def test_the_configuration_is_well_formed():
    promtool("check", "config", os.path.join(PROMETHEUS, "prometheus.yml"))


def series(name, values, instance="node-1:5001", job="testmesh", **labels):
    labels = {"job": job, "instance": instance, **labels}
    text = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return {"series": f"{name}{{{text}}}", "values": values}


def slow(name):
    """A histogram of which all but the first bucket's share takes long: 3 in a minute, in (1, 2.5] s."""
    return [series(name + "_bucket", f"0+{per}x60", le=le)
            for le, per in (("0.5", 0), ("1", 0), ("2.5", 3), ("+Inf", 3))]


def quick(name):
    return [series(name + "_bucket", "0+3x60", le=le) for le in ("0.001", "0.5", "1", "2.5", "+Inf")]


def members(*seen):
    return [series("testmesh_mesh_members", f"{count}x60", instance=f"node-{number}:500{number}",
                   state=state)
            for number, count in enumerate(seen, 1)
            for state, count in (("alive", count), ("suspect", 0))]


def ups(*values):
    return [series("up", f"{value}x60", instance=f"node-{number}:500{number}")
            for number, value in enumerate(values, 1)]


def open_work(age, modules, projects="5x60"):
    return [series("testmesh_evaluations_oldest_open_age_seconds", age),
            series("testmesh_modules_total", modules, outcome="passed", blame="none"),
            series("testmesh_projects_total", projects, outcome="ready", blame="none")]


def blamed(name, cluster, others="0+10x60", **labels):
    return [series(name, cluster, blame="cluster", **labels), series(name, others, blame="none", **labels)]


def disk(free, files="100000x60"):
    return [series("testmesh_disk_free_bytes", free), series("testmesh_disk_size_bytes", "100x60"),
            series("testmesh_disk_free_files", files), series("testmesh_disk_size_files", "200000x60")]


# {alert: (what makes it fire within 39 minutes, what must not)}
CASES = {
    "TestmeshNodeDown": (ups(1, 0), ups(1, 1)),
    "TestmeshAllDown": (ups(0, 0), ups(0, 1)),
    "TestmeshMembersDisagree": (members(2, 2, 4), members(4, 4, 4) + ups(1, 1, 1)),
    "TestmeshWrongKey": ([series("testmesh_mesh_datagrams_dropped_total", "0+2x60", reason="unknown_key")],
                         [series("testmesh_mesh_datagrams_dropped_total", "0+2x60", reason="replayed")]),
    "TestmeshNotReady": ([series("testmesh_ready", "0x60"), series("testmesh_draining", "0x60")],
                         [series("testmesh_ready", "0x60"), series("testmesh_draining", "1x60")]),
    "TestmeshStoreStopped": ([series("testmesh_store_writable", "0x60")],
                             [series("testmesh_store_writable", "1x60")]),
    "TestmeshStoreRepairing": ([series("testmesh_store_repairing", "1x60")],
                               [series("testmesh_store_repairing", "0x30 1x30")]),
    "TestmeshStoresDiffer": ([series("testmesh_mesh_store_differs_seconds", "0+60x60")],
                             [series("testmesh_mesh_store_differs_seconds", "30x60")]),
    "TestmeshDegraded": ([series("testmesh_evaluations_degraded_total", "0x30 1x30")],
                         [series("testmesh_evaluations_degraded_total", "7x60")]),
    "TestmeshNoProgress": (open_work("0+60x60", "3x60"), open_work("0+60x60", "0+1x60")),
    "TestmeshClusterFaults": (blamed("testmesh_modules_total", "0+5x60", outcome="lost"),
                              blamed("testmesh_modules_total", "0x60", outcome="lost")),
    "TestmeshEnvironmentsFail": (
        blamed("testmesh_environment_builds_total", "0+1x60", outcome="failed"),
        [series("testmesh_environment_builds_total", "0+1x60", outcome="failed", blame="project")]),
    "TestmeshRepositoriesFail": (
        blamed("testmesh_repositories_total", "0+1x60", outcome="failed"),
        [series("testmesh_repositories_total", "0+1x60", outcome="failed", blame="project")]),
    "TestmeshQueueLong": ([series("testmesh_queue_predicted_seconds", "9000x60"),
                           series("testmesh_slots", "2x60", state="busy")],
                          [series("testmesh_queue_predicted_seconds", "9000x60"),
                           series("testmesh_slots", "20x60", state="busy")]),
    "TestmeshDiskFilling": (disk("9x60"), disk("11x60")),
    "TestmeshDiskFull": (disk("50x60", "10x60"), disk("9x60")),
    "TestmeshDiskSlow": (slow("testmesh_store_append_duration_seconds"),
                         quick("testmesh_store_append_duration_seconds")),
    "TestmeshLoopLate": (slow("testmesh_loop_late_seconds"), quick("testmesh_loop_late_seconds")),
    "TestmeshServerErrors": ([series("testmesh_http_requests_total", "0+9x60", status="5xx"),
                              series("testmesh_http_requests_total", "0+60x60", status="2xx")],
                             [series("testmesh_http_requests_total", "0+1x60", status="5xx"),
                              series("testmesh_http_requests_total", "0+60x60", status="2xx")]),
    "TestmeshDescriptors": ([series("process_open_fds", "900x60"), series("process_max_fds", "1024x60")],
                            [series("process_open_fds", "90x60"), series("process_max_fds", "1024x60")]),
    "TestmeshRestarts": ([series("process_start_time_seconds", "0+300x60")],
                         [series("process_start_time_seconds", "0x30 300x30")]),
}


def test_every_alert_has_a_case():
    assert set(CASES) == set(alerts())


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path):
    tests = []
    for alert, (bad, good) in CASES.items():
        firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0'
        for input_series, is_bad in ((bad, True), (good, False)):
            expected = [{"labels": "{}", "value": 1}] if is_bad else []
            tests.append({"name": f"{alert} {is_bad}", "interval": "1m", "input_series": input_series,
                          "promql_expr_test": [{"expr": firing, "eval_time": "39m",
                                                "exp_samples": expected}]})
    path = tmp_path / "tests.yml"
    path.write_text(json.dumps({"rule_files": [ALERTS], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(path))


# ---- what systemd says ----

@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_is_well_formed(tmp_path):
    text = read("deploy", "testmesh.service")
    unit = tmp_path / "testmesh.service"
    unit.write_text(text.replace("ExecStart=/usr/local/bin/testmesh", "ExecStart=/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60)
    if "Failed to initialize manager" in done.stdout:
        pytest.skip("systemd-analyze does not work here")
    assert done.returncode == 0 and str(unit) not in done.stdout, done.stdout


def test_the_unit_leaves_what_a_sandbox_needs():
    """Lines that bubblewrap cannot live with (the unit's last section says why)."""
    unit = re.sub(r"^#.*\n", "", read("deploy", "testmesh.service"), flags=re.M)
    for name in ("RestrictNamespaces", "PrivateUsers", "ProtectProc", "ProcSubset", "ProtectKernelTunables",
                 "ProtectKernelLogs", "ProtectControlGroups", "ProtectHostname", "MemoryDenyWriteExecute",
                 "PrivateNetwork"):
        assert f"{name}=" not in unit
    denied = re.search(r"^SystemCallFilter=~(.*)$", unit, re.M)[1].split()
    assert not {"@mount", "@privileged", "@process", "@setuid", "@sandbox"} & set(denied)
