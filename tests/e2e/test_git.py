"""Projects from git hosts: a real git server over TLS, and hosts that misbehave."""

import json
import os
import socket
import subprocess
import time

import gitserver
import pytest
import zips
from node import PROGRAM, Node, environment, form

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

CALC = {"calc.py": "def add(a, b):\n    return a + b\n",
        "tests/test_calc.py": "from calc import add\n\n\ndef test_one():\n    assert add(1, 2) == 3\n\n\n"
                              "def test_two():\n    assert add(1, 2) == 4\n",
        "tools/go.sh": "#!/bin/sh\n", "deep/er/est/README": "x\n"}
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gitserver.GitServer(tmp_path_factory.mktemp("git")) as running:
        running.repository("o/calc", CALC, {"deep/link": "er/est/README"})
        running.repository("other/calc", CALC)
        running.repository("private/calc", CALC)
        running.bare("o/empty")
        yield running


@pytest.fixture(scope="module")
def odd(server):
    with gitserver.OddServer(server) as running:
        yield running


@pytest.fixture(scope="module")
def node(server, odd, tmp_path_factory):
    with Node(tmp_path_factory.mktemp("node"), *server.node_options(), *odd.node_options(),
              "--git-bytes", "4M", "--git-timeout", "60s", env=server.node_env()) as running:
        yield running
        assert running.is_alive(), running.tail()
        assert running.stop() == 0, running.tail()


def post(node, projects, token=None, headers=None, timeout=130, **more):
    body = {"projects": projects, **more}
    if token is not None:
        body["auth_token"] = token
    return node.request("POST", "/evaluation", json.dumps(body),
                        {"Content-Type": "application/json", **(headers or {})}, timeout=timeout)


def run(node, projects, **more):
    """The finished document."""
    answer = post(node, projects, **more)
    assert answer.status == 202, answer
    return node.wait_done(answer.json()["id"])


def failure_of(node, project, **more):
    """What became of one repository that cannot be fetched."""
    (result,) = run(node, [project], **more)["projects"].values()
    assert result["executed"] == 0 and result["message"]
    return result


def outcomes(node, id):
    return sorted((item["project"], item["module"], item["test"], item["outcome"])
                  for item in node.tests(id))


# ---- what works ----

def test_a_repository_runs_as_its_upload_does(node, server, tmp_path):
    """The same tests with the same outcomes as a clone's, zipped; and the same bundle."""
    fetched = run(node, [server.url("o/calc", ".git/")], name="from git")
    before = bundles(node)
    assert before
    clone = tmp_path / "calc"
    subprocess.run(["git", "-c", f"http.sslCAInfo={server.authority}", "clone", "-q",
                    server.url("o/calc"), str(clone)], check=True, timeout=60,
                   env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    packed = subprocess.run([PROGRAM, "run", "--node", f"http://{node.address}", "--json", str(clone)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=120,
                            env=environment(), check=False)
    uploaded = json.loads(packed.stdout)
    assert outcomes(node, fetched["id"]) == outcomes(node, uploaded["id"])
    assert len(outcomes(node, fetched["id"])) == 2
    assert fetched["projects"]["calc"]["%passed"] == 50
    assert bundles(node) == before, "it is the same bundle"


def bundles(node):
    return {path for path in node.files() if path.endswith(".zst")}


def test_a_branch_and_a_commit(node, server):
    first = server.repository("o/many", {"tests/test_a.py": zips.passing(1)})
    server.repository("o/many", {"tests/test_a.py": zips.passing(3)}, branch="feature/x")
    document = run(node, [server.url("o/many"), server.url("o/many", "/tree/feature/x"),
                          server.url("o/many", "/commit/" + first)])
    passed = {name: project["passed"] for name, project in document["projects"].items()}
    assert passed == {"many": 1, "many-2": 3, "many-3": 1}
    assert document["projects"]["many"]["source"] == server.url("o/many", "/tree/" + first)


def test_two_of_one_name_are_kept_apart(node, server):
    document = run(node, [server.url("o/calc"), server.url("other/calc")])
    assert sorted(document["projects"]) == ["calc", "calc-2"]
    assert "/other/calc" in document["projects"]["calc-2"]["source"]


def test_history_is_not_fetched(node, server):
    """Only the tree of one commit comes: 6 MiB that lie in its past do not, and would be too many."""
    server.bare("o/old")
    path = server.path("o/old")
    old = server.commit_tree("o/old", server.tree_of(path, {"big": os.urandom(6 * MIB)}))
    server.commit_tree("o/old", server.tree_of(path, {"test_a.py": zips.passing(1)}), parent=old)
    assert run(node, [server.url("o/old")])["projects"]["old"]["passed"] == 1


def test_a_submodule_is_an_empty_folder(node, server):
    server.bare("o/sub")
    blob = server.blob(server.path("o/sub"), zips.passing(1))
    server.commit_tree("o/sub", server.raw_tree("o/sub", [
        ("160000", "lib", "1" * 40), ("100644", "test_a.py", blob)]))
    assert run(node, [server.url("o/sub")])["projects"]["sub"]["passed"] == 1


def test_a_repository_that_was_renamed_is_found(node, server):
    assert run(node, [server.url("renamed/calc")])["projects"]["calc"]["passed"] == 1


def test_each_version_of_tls_by_itself(tmp_path):
    with gitserver.GitServer(tmp_path / "old", protocols="TLSv1.2") as old, \
            gitserver.GitServer(tmp_path / "new", protocols="TLSv1.3") as new:
        both = tmp_path / "both.pem"
        both.write_bytes(read(old.bundle()) + read(new.authority))
        for server in (old, new):
            server.repository("o/a", {"test_a.py": zips.passing(1)})
        with Node(tmp_path / "node", *old.node_options(), *new.node_options(),
                  env={"SSL_CERT_FILE": str(both), "SSL_CERT_DIR": None}) as node:
            document = run(node, [old.url("o/a"), new.url("o/a")])
        assert [document["projects"][name]["passed"] for name in ("a", "a-2")] == [1, 1]


# ---- who may see it ----

def test_a_private_repository_needs_its_token(node, server):
    document = run(node, [server.url("private/calc")], token=server.token)
    assert document["projects"]["calc"]["passed"] == 1
    without = failure_of(node, server.url("private/calc"))
    assert without["blame"] == "project" and "no token was given (repo-not-found)" in without["message"]
    wrong = failure_of(node, server.url("private/calc"), token="wrong-" + server.token)
    assert wrong["blame"] == "project" and "(repo-token)" in wrong["message"]
    assert server.token not in json.dumps(wrong)
    absent = failure_of(node, server.url("o/absent"), token=server.token)
    assert "the token does not open it (repo-not-found)" in absent["message"]


def test_a_token_is_for_the_first_host_only(node, server, odd):
    document = run(node, [server.url("private/calc"), odd.url("forbidden/x")], token=server.token)
    assert document["projects"]["calc"]["passed"] == 1
    assert not [seen for seen in odd.seen if seen[1]]


# ---- what fails, by name ----

@pytest.mark.parametrize("url, reason, blame", [
    ("o/empty", "repo-empty", "project"),
    ("o/absent", "repo-not-found", "project"),
    ("o/calc/tree/absent", "repo-branch", "project"),
    ("o/calc/commit/" + "1" * 40, "repo-commit", "project"),
])
def test_what_is_not_there(node, server, url, reason, blame):
    result = failure_of(node, server.url(url))
    assert f"({reason})" in result["message"] and result["blame"] == blame
    assert result["nota"] == 0


@pytest.mark.parametrize("way, reason, blame", [
    ("endless", "repo-too-large", "project"),
    ("liar", "repo-too-large", "project"),
    ("bomb", "too-large", "project"),
    ("damaged", "repo-damaged", "project"),
    ("elsewhere", "repo-redirect", "project"),
    ("plain", "repo-redirect", "project"),
    ("login", "repo-not-found", "project"),
    ("round", "repo-not-git", "project"),
    ("html", "repo-not-git", "project"),
    ("forbidden", "repo-forbidden", "project"),
    ("busy", "repo-rate-limit", "cluster"),
    ("limited", "repo-rate-limit", "cluster"),
    ("broken", "repo-unreachable", "cluster"),
])
def test_a_host_that_misbehaves(node, odd, way, reason, blame):
    asked = len(odd.seen)
    result = failure_of(node, odd.url(way + "/x"))
    assert f"{reason})" in result["message"] and result["blame"] == blame, result
    assert (result["nota"] is None) == (blame == "cluster")
    if way == "broken":
        assert len(odd.seen) - asked == 4, "it was tried again"
    if way == "forbidden":
        assert len(odd.seen) - asked == 1


def hostile(server, name, entries):
    server.bare(name)
    server.commit_tree(name, server.raw_tree(name, [
        (mode, item, oid if oid is not None else server.blob(server.path(name), text))
        for mode, item, oid, text in entries]))


def test_trees_that_git_would_not_make(node, server):
    hostile(server, "bad/link", [("120000", "link", None, "../../etc/passwd"),
                                 ("100644", "test_a.py", None, zips.passing(1))])
    hostile(server, "bad/rooted", [("120000", "link", None, "/etc/passwd")])
    hostile(server, "bad/dotgit", [("100644", ".GIT", None, "x")])
    hostile(server, "bad/hfs", [("100644", ".g\u200cit", None, "x")])
    hostile(server, "bad/ntfs", [("100644", "git~1", None, "x")])
    hostile(server, "bad/back", [("100644", "a\\b", None, "x")])
    hostile(server, "bad/control", [("100644", "a\x1bb", None, "x")])
    hostile(server, "bad/twice", [("100644", "a", None, "x"), ("100644", "a", None, "y")])
    hostile(server, "bad/huge", [("100644", "huge.bin", None, b"\0" * (65 * MIB))])
    hostile(server, "bad/vast", [("100644", "vast.bin", None, b"\0" * (130 * MIB))])
    server.bare("bad/parent")
    inner = server.raw_tree("bad/parent", [("100644", "x.py", server.blob(server.path("bad/parent"), "x"))])
    hostile(server, "bad/parent", [("40000", "..", inner, None)])
    want = {"link": "link-outside", "rooted": "link-outside", "dotgit": "archive-bad-name",
            "hfs": "archive-bad-name", "ntfs": "archive-bad-name", "back": "archive-bad-name",
            "control": "archive-bad-name", "twice": "archive-duplicate",
            "huge": "archive-too-large", "vast": "archive-too-large", "parent": "archive-escape"}
    document = run(node, [server.url("bad/" + name) for name in want] + [server.url("o/calc")])
    got = {name: project["message"] for name, project in document["projects"].items()}
    assert got.pop("calc") is None
    assert {name: want[name] in text for name, text in got.items()} == dict.fromkeys(want, True), got
    assert "huge.bin has 65 MiB" in got["huge"]
    assert document["projects"]["calc"]["passed"] == 1


# ---- URLs and addresses ----

@pytest.mark.parametrize("url, reason", [
    ("file:///etc/passwd", "repo-url"),
    ("git+ssh://github.com/o/r", "repo-url"),
    ("ssh://git@github.com/o/r", "repo-url"),
    ("https://user:hunter2@github.com/o/r", "repo-url"),
    ("https://github.com/o/r?token=hunter2", "repo-url"),
    ("https://github.com/o", "repo-url"),
    ("https://127.0.0.1/o/r", "repo-host"),
    ("https://[::1]/o/r", "repo-url"),
    ("https://0x7f000001/o/r", "repo-host"),
    ("https://2130706433/o/r", "repo-host"),
    ("https://localhost/o/r", "repo-host"),
    ("https://github.com.example.org/o/r", "repo-host"),
    ("https://github.com:8443/o/r", "repo-host"),
])
def test_urls_that_are_not_taken(node, url, reason):
    """Refused at once where nothing else was asked for; a failed project beside others."""
    answer = post(node, [url])
    assert answer.status == 422 and answer.json()["code"] == reason, answer
    assert b"hunter2" not in answer.body


def test_a_wrong_url_fails_alone(node, server):
    document = run(node, ["https://user:hunter2@github.com/o/r", server.url("o/calc")])
    assert document["projects"]["calc"]["passed"] == 1
    assert "(repo-url)" in document["projects"]["project-1"]["message"]
    assert "hunter2" not in json.dumps(document) and "hunter2" not in node.tail(1 << 20)


def test_addresses_that_are_not_public(server, tmp_path):
    """The same host without --git-allow-address, and one whose certificate nobody knows."""
    with Node(tmp_path / "a", *server.node_options()[:2], env=server.node_env()) as node:
        asked = len(server.requests())
        result = failure_of(node, server.url("o/calc"))
        assert "(repo-address)" in result["message"] and result["blame"] == "project"
        assert len(server.requests()) == asked
    with Node(tmp_path / "b", *server.node_options()) as node:
        result = failure_of(node, server.url("o/calc"))
        assert "(repo-certificate)" in result["message"] and result["blame"] == "cluster"


@pytest.mark.parametrize("body, code", [
    (b"{", "bad-json"), (b"[]", "bad-projects"), (b"{}", "bad-projects"),
    (b'{"projects": []}', "bad-projects"), (b'{"projects": [1]}', "bad-projects"),
    (b'{"projects": ["https://github.com/a/b"], "auth_token": 1}', "bad-token"),
    (b'{"projects": ["https://github.com/a/b"], "auth_token": "a\\r\\nX: b"}', "bad-token"),
    (b'{"projects": ["https://github.com/a/b"], "options": {"x": 1}}', "bad-option"),
    (b'{"projects": ["https://github.com/a/b"], "tests": "x"}', "unprocessable"),
])
def test_bodies_that_make_no_sense(node, body, code):
    answer = node.request("POST", "/evaluation", body, {"Content-Type": "application/json"})
    assert answer.status in (400, 422) and answer.json()["code"] == code, answer


# ---- time, and what is left ----

def head(body):
    return (f"POST /evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n").encode()


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def left_behind(node):
    return [path for path in node.files() if "upload-" in path or "clone-" in path]


def test_a_silent_host_is_left_in_time_and_nothing_waits_for_it(server, odd, tmp_path):
    with Node(tmp_path, *server.node_options(), *odd.node_options(), "--git-timeout", "4s",
              "--git-at-once", "2", env=server.node_env()) as node:
        began = time.monotonic()
        document = run(node, [odd.url("silent/x"), server.url("o/calc"), server.url("other/calc")])
        assert "(repo-timeout)" in document["projects"]["x"]["message"]
        assert document["projects"]["x"]["blame"] == "cluster"
        assert document["incomplete"]
        assert [document["projects"][name]["passed"] for name in ("calc", "calc-2")] == [1, 1]
        assert time.monotonic() - began < 60
        assert not left_behind(node)


def test_a_client_that_leaves_takes_nothing_back(node, server):
    """What was sent whole is submitted, whether its client waits for the answer or not."""
    body = json.dumps({"projects": [server.url("o/calc")], "name": "left alone"}).encode()
    host, _, port = node.address.rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head(body) + body)

    def done():
        found = [item for item in node.get_json("/evaluation")["items"] if item["name"] == "left alone"]
        return found and found[0]["status"] == "done"

    node.wait_until(done, "an evaluation of a client that left", 30)
    assert not left_behind(node)


def test_a_request_sent_twice_is_one(node, server):
    headers = {"Idempotency-Key": "git-twice"}
    first = post(node, [server.url("o/calc")], headers=headers)
    again = post(node, [server.url("o/calc", ".git/")], headers=headers, token="another-token")
    other = post(node, [server.url("other/calc")], headers=headers)
    assert first.status == again.status == 202 and first.json()["id"] == again.json()["id"]
    assert other.status == 422 and other.json()["code"] == "idempotency-key-reused"


# ---- tests that the author cannot touch ----

TRUSTED = {"tests/test_calc.py": "from calc import add\n\n\ndef test_trusted():\n    assert add(2, 2) == 4\n"}


def post_form(node, projects, *fields, headers=None):
    body = projects if isinstance(projects, bytes) else json.dumps({"projects": projects}).encode()
    kind, data = form([("projects", None, "application/json", body), *fields])
    return node.request("POST", "/evaluation", data, {"Content-Type": kind, **(headers or {})}, timeout=130)


def test_tests_are_laid_over_repositories(node, server):
    tests = ("tests", "tests.zip", "application/zip", zips.of_files(TRUSTED))
    fields = [("other", None, None, b"x"), tests]
    answer = post_form(node, [server.url("o/calc"), server.url("other/calc")], *fields)
    assert answer.status == 202, answer
    document = node.wait_done(answer.json()["id"])
    assert sorted(item["test"] for item in node.tests(document["id"])) == ["tests/test_calc.py::test_trusted"] * 2
    assert document["_run_info"]["%passed"] == 100


def test_a_form_of_repositories(node, server):
    """Without tests it is the request that its JSON alone is; what fits not together is refused."""
    headers = {"Idempotency-Key": "git-form"}
    plain = post(node, [server.url("o/calc")], headers=headers)
    same = post_form(node, [server.url("o/calc")], headers=headers)
    tests = ("tests", "tests.zip", None, zips.of_files(TRUSTED))
    other = post_form(node, [server.url("o/calc")], tests, headers=headers)
    assert plain.status == same.status == 202 and plain.json()["id"] == same.json()["id"]
    assert other.status == 422 and other.json()["code"] == "idempotency-key-reused"
    asked = len(server.requests())
    for projects, fields, status, code in [
            ([server.url("o/calc")], [("file", "a.zip", None, zips.of_files(TRUSTED))], 400, "field-mixed"),
            ([server.url("o/calc")], [("name", None, None, b"x")], 400, "field-mixed"),
            ([server.url("o/calc")], [("projects", None, None, b"{}")], 400, "field-twice"),
            (b"{", [], 400, "bad-json"),
            ([server.url("o/calc")], [("tests", "tests.zip", None, b"no zip")], 422, "archive-not-zip")]:
        answer = post_form(node, projects, *fields)
        assert answer.status == status and answer.json()["code"] == code, answer
    assert len(server.requests()) == asked, "it is refused before anything is fetched"


def test_the_client_sends_tests_with_repositories(node, server, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_calc.py").write_text(TRUSTED["tests/test_calc.py"])
    done = client(node, "--tests", str(tmp_path), server.url("o/calc"))
    assert done.returncode == 0 and "test_two" not in done.stdout, done


# ---- the client ----

def client(node, *words, stdin="", **env):
    return subprocess.run([PROGRAM, "run", "--node", f"http://{node.address}", *words], text=True,
                          input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=120, env={**environment(), "GITHUB_TOKEN": "", **env}, check=False)


def test_the_client_sends_repositories(node, server, tmp_path):
    done = client(node, server.url("o/calc"))
    assert done.returncode == 1 and "test_two" in done.stdout, done
    assert "fetches 1 repository, with no token" in done.stdout
    token = tmp_path / "token"
    token.write_text(server.token + "\n")
    token.chmod(0o600)
    by_file = client(node, "--token-file", str(token), server.url("private/calc"))
    assert by_file.returncode == 1 and "with the token of --token-file" in by_file.stdout, by_file
    by_variable = client(node, server.url("private/calc"), GITHUB_TOKEN=server.token)
    assert by_variable.returncode == 1 and "the token in $GITHUB_TOKEN" in by_variable.stdout
    token.chmod(0o640)
    refused = client(node, "--token-file", str(token), server.url("private/calc"))
    assert refused.returncode == 4 and "others may read it (mode 0640)" in refused.stderr, refused
    for done in (by_file, by_variable, refused):
        assert server.token not in done.stdout + done.stderr


def test_the_client_reads_urls_from_a_file(node, server, tmp_path):
    urls = tmp_path / "urls.txt"
    urls.write_text(f"# a class\n\n  {server.url('o/calc')}  # the first\r\n{server.url('other/calc')}")
    done = client(node, "--json", f"@{urls}")
    assert sorted(json.loads(done.stdout)["projects"]) == ["calc", "calc-2"], done
    done = client(node, "--json", server.url("other/calc"), "@-", stdin=server.url("o/calc") + "\n")
    assert sorted(json.loads(done.stdout)["projects"]) == ["calc", "calc-2"], done


def test_what_the_client_does_not_mix(node, server, tmp_path):
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{server.url('o/calc')}\n{tmp_path}\n")
    for words, said in [
            ([server.url("o/calc"), str(tmp_path)], "a path beside URLs"),
            ([str(tmp_path), server.url("o/calc")], "a path beside URLs"),
            ([f"@{urls}"], "urls.txt:2: not the URL of a repository"),
            (["@/nowhere"], "/nowhere"),
            (["@-"], "no URL of a repository"),
            ([str(tmp_path), "--statuses"], "go with repositories only"),
            ([server.url("o/calc"), "--statuses"], "--statuses needs --token-file or $GITHUB_TOKEN")]:
        done = client(node, *words)
        assert done.returncode == 4 and said in done.stderr, (words, done)
