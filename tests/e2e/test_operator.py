"""What only the operator may ask: nobody else ends a node, or sends it elsewhere."""

import json
import os
import stat

import pytest
import zips
from node import Node

USER = "a-token-of-a-user-0001"
ROUTES = ("/join", "/drain", "/kill")


@pytest.fixture
def node(tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(USER + "\n")
    tokens.chmod(0o600)
    with Node(tmp_path, "--token-file", str(tokens)) as running:
        yield running


def token_of(node):
    path = os.path.join(node.data, "operator.token")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def ask(node, path, token, body=None, origin=None):
    headers = {"Authorization": "Bearer " + token} if token else {}
    if origin:
        headers["Origin"] = origin
    if body is not None:
        headers["Content-Type"] = "application/json"
    return node.request("POST", path, json.dumps(body) if body is not None else b"", headers)


def test_nobody_else_may(node):
    body = {"address": "127.0.0.1:1"}
    for path in ROUTES:
        assert ask(node, path, None, body).status == 401
        assert ask(node, path, USER, body).status == 403
        assert ask(node, path, token_of(node)[:-1], body).status == 403
        assert ask(node, path, token_of(node), body, "http://example.org").status == 403
    assert node.get("/readyz").status == 200


def test_a_node_without_users_tokens_asks_too(tmp_path):
    with Node(tmp_path) as node:
        assert node.get("/stats").status == 200
        assert [ask(node, path, None).status for path in ROUTES] == [401] * 3
        assert node.is_alive() and node.get("/readyz").status == 200


def test_the_token_stays(node):
    token = token_of(node)
    node.stop()
    node.start()
    assert token_of(node) == token


def test_a_bad_address(node):
    for body in ({}, {"address": ""}, {"address": 5}, [], {"address": "a b:1"}):
        answer = ask(node, "/join", token_of(node), body)
        assert (answer.status, answer.json()["code"]) == (400, "bad-join"), (body, answer)


def test_drain_stays_and_answers(node):
    user = {"Authorization": "Bearer " + USER}
    assert ask(node, "/drain", token_of(node)).status == 202
    node.wait_until(lambda: node.get("/readyz").status == 503, "it drains")
    answer = node.post_zip(zips.of_files(zips.project("late")), headers=user)
    assert (answer.status, answer.json()["code"]) == (503, "draining")
    (row,) = node.get("/nodes", user).json()["nodes"]
    assert row["state"] == "draining"
    assert node.is_alive()
    assert node.stop() == 0


def test_kill_ends_it(node):
    assert ask(node, "/kill", token_of(node)).status == 202
    assert node.process.wait(30) == 0
