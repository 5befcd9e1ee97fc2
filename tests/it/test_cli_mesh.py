"""The verbs about the mesh, against a fake node: what they show, warn of, and send."""

import json
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from fake_node import FakeNode  # noqa: E402
from test_cli import client  # noqa: E402


def node(name, state="alive", address=None, **more):
    row = {"address": address or f"127.0.0.1:{name[1:]}001", "mesh": "127.0.0.1:1", "name": name,
           "id": "00" * 16, "generation": 1, "state": state, "rtt_ms": 3, "agrees": True,
           "compatible": True, "load": {"slots": 4, "free": 3, "waiting": 2}}
    return dict(row, **more)


def me(counters=None, **more):
    row = node("n1", **more)
    for key in ("rtt_ms", "agrees", "compatible"):
        del row[key]
    return dict(row, counters=counters or {"net": {}})


def mesh(*nodes, stats=()):
    return FakeNode(answers={"/nodes": (200, {"nodes": list(nodes)}),
                             "/stats": (200, {"all": {}, "nodes": list(stats)})})


def lines(fake, *words):
    with fake as running:
        done = client("mesh", *words, node=running)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_table_of_nodes():
    stats = [{"address": "127.0.0.1:1001", "modules": 12}, {"address": "127.0.0.1:2001", "modules": 7}]
    table = lines(mesh(me(), node("n2"), node("n3", "dead"), stats=stats))
    assert table[0].split() == ["address", "name", "state", "slots", "free", "waiting", "rtt", "ms", "modules"]
    assert table[1].split() == ["127.0.0.1:1001", "n1", "alive", "4", "3", "2", "-", "12"]
    assert table[2].split() == ["127.0.0.1:2001", "n2", "alive", "4", "3", "2", "3", "7"]
    assert table[3].split() == ["127.0.0.1:3001", "n3", "dead", "4", "3", "2", "3", "-"]
    assert len(table) == 4 and "\x1b" not in "".join(table)


@pytest.mark.parametrize("row, words", [
    (node("n2", agrees=False), "n2 sees other members"),
    (node("n2", "incompatible", compatible=False), "n2 speaks another version of the protocol"),
    (node("n2", "repairing"), "n2 has lost records"),
    (me({"net": {"datagrams_keyless": 2, "datagrams_forged": 1}}), "3 refused packets or links came with another key"),
    (me({"net": {"links_mismatched": 4}}), "4 refused packets or links were of another node"),
    (me({"net": {"datagrams_foreign": 5, "links_foreign": 1}}), "6 refused packets or links came from other machines"),
    (me({"net": {}, "own": {"degraded": 1}}), "1 results were settled without a majority")])
def test_warnings(row, words):
    found = [line for line in lines(mesh(row)) if line.startswith("warning: ")]
    assert len(found) == 1 and words in found[0], found
    assert words in "".join(json.loads("\n".join(lines(mesh(row), "--json")))["warnings"])


def test_no_warning_of_those_that_are_gone_or_whole():
    rows = (me({"net": {"datagrams_keyless": 0}}), node("n2", "dead", agrees=False), node("n3", "left", agrees=False))
    assert not any(line.startswith("warning") for line in lines(mesh(*rows)))


def test_names_of_strangers_do_not_reach_the_terminal():
    text = "\n".join(lines(mesh(node("n2", agrees=False) | {"name": "a\x1b[31m\nb", "address": "\x1b]0;x"})))
    assert "\x1b" not in text and "a?[31m b" in text


def test_json_is_what_the_node_told():
    told = json.loads("\n".join(lines(mesh(me(), node("n2"), stats=[{"address": "127.0.0.1:2001", "modules": 7}]), "--json")))
    assert told["warnings"] == [] and told["nodes"][1]["modules"] == 7
    assert told["nodes"][1]["load"] == {"slots": 4, "free": 3, "waiting": 2}


@pytest.fixture
def data(tmp_path):
    (tmp_path / "operator.token").write_text("the-token-of-the-operator\n")
    return str(tmp_path)


def ask(*words, status=202, **env):
    """(how the client ended, the requests that a node got)."""
    answers = {path: (status, {"status": "ok", "detail": "not for you"}) for path in ("/join", "/drain", "/kill")}
    with FakeNode(answers=answers) as fake:
        done = client(*words, node=fake, **env)
    return done, [(method, path, headers.get("Authorization"), headers.get("Content-Type"))
                  for method, path, _, headers in fake.requests]


@pytest.mark.parametrize("words, path", [(("join", "10.0.0.7:5001"), "/join"), (("drain",), "/drain"),
                                         (("leave",), "/kill")])
def test_the_operators_verbs(data, words, path):
    for given, env in ((("--data", data), {}), (("--operator-token-file", data + "/operator.token"), {}),
                       ((), {"TESTMESH_DATA": data}), ((), {"TESTMESH_OPERATOR_TOKEN_FILE": data + "/operator.token"})):
        done, requests = ask(*words, *given, TESTMESH_TOKEN="a-users-token-of-this-node", **env)
        assert done.returncode == 0, done.stderr
        method, asked, token, kind = requests[0]
        assert len(requests) == 1 and (method, asked) == ("POST", path)
        assert token == "Bearer the-token-of-the-operator"
        assert kind == "application/json" or path != "/join"


def test_the_default_folder_is_the_nodes(tmp_path):
    root = os.geteuid() == 0
    folder = tmp_path / "testmesh"
    folder.mkdir()
    (folder / "operator.token").write_text("the-token-of-the-operator\n")
    done, requests = ask("drain", XDG_STATE_HOME=str(tmp_path))
    if root and not os.path.exists("/var/lib/testmesh/operator.token"):
        assert done.returncode == 4 and "/var/lib/testmesh/operator.token" in done.stderr and not requests
    elif not root:
        assert done.returncode == 0 and requests[0][2] == "Bearer the-token-of-the-operator"


def test_a_token_of_this_machine_does_not_travel(data):
    for url in ("http://192.0.2.1:5001", "http://127.evil.example:5001", "http://localhost@192.0.2.1:5001",
                "http://127.0.0.1.example:5001"):
        done = client("drain", "--node", url, "--data", data)
        assert done.returncode == 4 and "--operator-token-file" in done.stderr, url


def test_refusals_of_the_operators_verbs(data, tmp_path):
    done, _ = ask("leave", "--data", data, status=403)
    assert done.returncode == 4 and "not for you" in done.stderr
    done, requests = ask("leave", "--data", str(tmp_path / "none"))
    assert done.returncode == 4 and "operator.token" in done.stderr and not requests
    done, requests = ask("join", "--data", data)
    assert done.returncode == 4 and "usage: testmesh join" in done.stderr and not requests
    done = client("drain", "--node", "http://127.0.0.1:1", "--data", data)
    assert done.returncode == 8
