"""nginx before the nodes: one address, and nothing is done twice or lost because a node fails."""

import json
import os
import re
import socket
import subprocess
import threading

import pytest
import zips
from front import Front, find_nginx
from mesh import Mesh, free_ports
from node import FULL, ROOT, form

if find_nginx() is None:
    pytest.skip("nginx is not installed", allow_module_level=True)

UPLOAD_MAX = 1 << 20
MODULES = 12


def work(name="steady", modules=MODULES, seconds=0.1):
    return zips.of_files(zips.project(name, **{f"test_{n}": zips.sleeping(seconds, 2)
                                               for n in range(modules)}))


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    with Mesh(tmp_path_factory.mktemp("mesh"), 3, ["--slots", "2", "--upload-max", "1M"]) as running:
        yield running


@pytest.fixture(scope="module")
def front(mesh, tmp_path_factory):
    with Front(tmp_path_factory.mktemp("front"), [node.home for node in mesh.nodes], "1M") as running:
        yield running


@pytest.fixture
def whole(mesh):
    """Gives a test a mesh to hurt, and leaves a whole one behind."""
    yield mesh
    mesh.start()


def problem(answer, status, code):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json", answer
    text = answer.json()
    assert (text["status"], text["code"], text["type"]) == (status, code, f"/problems/{code}")
    assert text["title"] and text["hint"] and text["error"] == text["detail"]
    return text


class Upstream(threading.Thread):
    """A server of one behaviour: `act(connection)` gets each connection, and it is counted."""

    def __init__(self, act):
        super().__init__(daemon=True)
        self.act, self.seen = act, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                self.seen.append(self.act(connection))

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(20)


def read_request(connection):
    """Head and body as they came; empty for a probe that sends nothing."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def swallow_answer_of(address):
    """Passes the request on to a real node, waits for its answer, and hangs up without a word: a
    node that is killed between its 202 and the client."""
    def act(connection):
        request = read_request(connection)
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as node:
            node.sendall(request)
            return request, node.recv(65536)
    return act


# ---- the configuration ----

def test_nginx_takes_the_configuration(tmp_path):
    front = Front(tmp_path / "front", ["127.0.0.1:1", "127.0.0.1:2"], start=False)
    ok, said = front.check()
    assert ok and "warn" not in said and "emerg" not in said, said


@pytest.mark.parametrize("folder", ["relative", "/tmp/a b", "/tmp/a;b", "/tmp/$a", "/tmp/{a}"])
def test_a_folder_that_nginx_would_misread_is_refused(folder):
    made = subprocess.run([os.path.join(ROOT, "nginx", "render.sh"), folder, "1", "1M", "a:1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert made.returncode == 1 and not made.stdout and b"must be absolute" in made.stderr


def test_its_errors_are_rows_of_the_table():
    with open(os.path.join(ROOT, "node", "http", "problems.tbl"), encoding="utf-8") as file:
        rows = {code: (int(status), title) for code, status, title in
                re.findall(r'^PROBLEM\("([a-z0-9-]+)", (\d+), "([^"]+)"', file.read(), re.M)}
    with open(os.path.join(ROOT, "nginx", "front.conf.in"), encoding="utf-8") as file:
        text = file.read()

    def table(name):
        body = re.search(r"map \$status \$%s \{(.*?)\n    \}" % name, text, re.S)[1]
        return dict(re.findall(r'^\s+(\d+|default)\s+"?([^"\n]*?)"?;$', body, re.M))

    codes, titles = table("code"), table("title")
    assert len(codes) > 8 and codes.keys() == titles.keys()
    for status, code in codes.items():
        assert rows[code] == (rows[code][0] if status == "default" else int(status), titles[status])


def test_every_operators_route_is_kept_back():
    with open(os.path.join(ROOT, "node", "api", "api.c"), encoding="utf-8") as file:
        rows = re.findall(r"\{\s*\.method[^{}]*\}", file.read())
    paths = {re.search(r'\.pattern = "(/[^"]*)"', row)[1] for row in rows if "HTTP_OPERATOR" in row}
    with open(os.path.join(ROOT, "nginx", "front.conf.in"), encoding="utf-8") as file:
        kept_back = re.search(r"location ~ (\^/\([a-z|]+\)/\*\$) \{\s*return 403;", file.read())[1]
    assert len(paths) >= 3 and all(re.fullmatch(kept_back, path) for path in paths), paths


def test_it_touches_nothing_outside_its_folder(front):
    workers = [int(pid) for pid in
               open(f"/proc/{front.pid}/task/{front.pid}/children").read().split()]
    assert workers
    for pid in (front.pid, *workers):
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
            except FileNotFoundError:
                continue
            if target.startswith("/") and not target.startswith(("/dev/", "/memfd")):
                assert target.startswith(os.path.realpath(front.folder)), (pid, target)


def test_it_listens_on_the_loopback_alone(front):
    port = int(front.address.rpartition(":")[2])
    with open("/proc/net/tcp") as file:
        rows = [line.split()[1:4] for line in file][1:]
    mine = {row[0] for row in rows if row[2] == "0A" and int(row[0].split(":")[1], 16) == port}
    assert mine == {f"0100007F:{port:04X}"}


# ---- passing on ----

def test_marks_are_those_of_the_nodes(mesh, front):
    id = front.submit(work())
    seen = front.wait_done(id)
    assert seen["_run_info"]["nota"] == 20 and seen["executed"] == MODULES
    assert mesh.wait_same(id) == front.evaluation(id) == seen


def test_an_answer_is_held_through_it(front):
    id = front.submit(work("held", 3, 1.2))
    document = front.get(f"/evaluation/{id}?wait=120", timeout=150).json()
    assert document["status"] == "done" and document["executed"] == 3


def test_the_clients_address_is_passed_on_and_not_believed(tmp_path):
    def act(connection):
        request = read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        return request

    upstream = Upstream(act)
    with Front(tmp_path, [upstream.address]) as front:
        front.get("/evaluation/1/tests?a=%2F&b=%C3%A9", {"X-Forwarded-For": "6.6.6.6",
                                                        "X-Real-IP": "6.6.6.6"})
    upstream.close()
    head = upstream.seen[-1].decode()
    assert head.startswith("GET /evaluation/1/tests?a=%2F&b=%C3%A9 HTTP/1.1\r\n")
    assert f"Host: {front.address}\r\n" in head and "6.6.6.6" not in head
    assert "X-Forwarded-For: 127.0.0.1\r\n" in head and "X-Real-IP: 127.0.0.1\r\n" in head


def test_a_body_flows_through_as_it_comes(tmp_path):
    """The node gets the first bytes while the client still has the last."""
    begun = threading.Event()

    def act(connection):
        head = b""
        while b"first" not in head:
            head += connection.recv(65536)
        begun.set()
        while b"last" not in head:
            head += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return head

    upstream = Upstream(act)
    try:
        with Front(tmp_path, [upstream.address]) as front:
            host, _, port = front.address.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as client:
                client.sendall(b"POST /evaluation HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                               b"Content-Length: 9\r\n\r\nfirst")
                assert begun.wait(10)
                client.sendall(b"last")
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        upstream.close()


# ---- refusing ----

@pytest.mark.parametrize("method, path", [
    ("POST", "/kill"), ("GET", "/kill"), ("POST", "/join"), ("POST", "/drain"), ("POST", "//kill"), ("POST", "/kill/"),
    ("POST", "/%6bill"), ("POST", "/x/../kill"), ("POST", "/kill?x=1"), ("POST", "/./join")])
def test_operators_routes_are_refused(mesh, front, method, path):
    problem(front.request(method, path, b"{}"), 403, "operator-route")
    assert all(node.is_alive() for node in mesh.nodes)


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/%6detrics?a=b"])
def test_metrics_are_a_nodes_own(mesh, front, path):
    problem(front.get(path), 421, "node-route")
    assert mesh[0].get("/metrics").status == 200


def test_a_body_over_the_limit(front):
    answer = front.post_zip(os.urandom(UPLOAD_MAX + 1000))
    text = problem(answer, 413, "body-too-large")
    assert text["instance"] == "/evaluation" and "1M" in text["hint"]


def test_a_body_over_the_limit_whose_length_nobody_said(front):
    kind, body = form([("file", "a.zip", "application/zip", os.urandom(UPLOAD_MAX + 300000))])
    connection = front.connection(60)
    try:
        connection.request("POST", "/evaluation", iter([body[:100000], body[100000:]]),
                           {"Content-Type": kind, "Transfer-Encoding": "chunked"},
                           encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413
        assert answer.getheader("Content-Type") == "application/problem+json"
    except (BrokenPipeError, ConnectionResetError):
        pass  # it stopped reading, which is as good
    finally:
        connection.close()
    assert front.get("/ping").status == 200


def test_a_body_at_the_nodes_limit_gets_to_the_node(front):
    """Not a zip: the node says so, and not the front that it is too large."""
    kind, body = form([("file", "a.zip", "application/zip", b"x" * (UPLOAD_MAX - 1000))])
    answer = front.request("POST", "/evaluation", body, {"Content-Type": kind})
    assert answer.status == 422 and answer.json()["code"].startswith("archive-"), answer


def test_nonsense_gets_a_problem_too(front):
    problem(front.get("/", {"X": "y" * 200000}), 431, "http-head-too-large")
    problem(front.get("/?" + "y" * 200000), 414, "http-target-too-long")
    problem(front.get("/.problem"), 404, "not-found")
    problem(front.get("/%zz"), 400, "bad-request")


def test_a_node_s_own_refusals_are_left_alone(front):
    answer = front.get("/evaluation/12345")
    assert answer.status == 404 and answer.json()["code"] == "evaluation-not-found"


def test_when_no_node_answers(tmp_path):
    with Front(tmp_path, [f"127.0.0.1:{port}" for port in free_ports(3)]) as front:
        answer = front.get('/evaluation?x="}')
        text = problem(answer, 502, "no-node-answers")
        assert text["instance"] == "/evaluation" and int(answer.headers["retry-after"]) > 0
        problem(front.post_zip(b"x"), 502, "no-node-answers")


# ---- nodes that fail ----

def test_the_first_upstream_is_killed_mid_run(whole, front):
    before = whole.totals()
    id = front.submit(work("killed", 16, 0.2))
    front.wait_until(lambda: front.evaluation(id)["executed"] >= 3, "three are done")
    whole[0].kill()
    seen = []
    while not seen or seen[-1]["status"] not in ("done", "failed", "cancelled"):
        answer = front.get(f"/evaluation/{id}?wait=1")
        assert answer.status == 200, answer
        seen.append(answer.json())
    assert [one["executed"] for one in seen] == sorted(one["executed"] for one in seen)
    document = whole.wait_same(id)
    assert document["status"] == "done" and document["_run_info"]["nota"] == 20
    rows = document["module_results"]["killed"]
    assert len(rows) == 16 and all(row["passed"] == 2 for row in rows.values())
    after = whole.totals()
    assert after["passed"] == before["passed"] + 32 and after["failed"] == before["failed"]


def test_a_node_that_is_down_is_not_noticed(whole, front):
    whole[1].kill()
    for _ in range(20):
        assert front.get("/evaluation").status == 200
    assert front.post_zip(work("without", 1)).status == 202


def test_a_post_is_sent_once(mesh, tmp_path):
    """The node took it, the answer was lost: the front must not send it to another."""
    upstream = Upstream(swallow_answer_of(mesh[0].home))
    before = set(mesh[0].get_json("/evaluation")["evaluations"])
    try:
        with Front(tmp_path, [upstream.address, mesh[1].home]) as front:
            while sum(request.startswith(b"POST") for request, _ in upstream.seen) == 0:
                answer = front.post_zip(work("once", 1))
            problem(answer, 502, "no-node-answers")
    finally:
        upstream.close()
    posts = [said for request, said in upstream.seen if request.startswith(b"POST")]
    assert len(posts) == 1 and posts[0].startswith(b"HTTP/1.1 202")
    taken = re.search(rb'"id": *"(\d+)"', posts[0])[1].decode()
    mesh.wait_same(taken)
    new = set(mesh[0].get_json("/evaluation")["evaluations"]) - before
    named = [id for id in new if "once" in mesh[0].evaluation(id)["projects"]]
    assert taken in named and len(named) == len(new), (taken, named)


def test_a_post_with_a_key_is_sent_to_the_next(mesh, tmp_path):
    upstream = Upstream(swallow_answer_of(mesh[0].home))
    before = set(mesh[0].get_json("/evaluation")["evaluations"])
    ids, data = [], work("keyed", 1)
    try:
        with Front(tmp_path, [upstream.address, mesh[1].home]) as front:
            while sum(request.startswith(b"POST") for request, _ in upstream.seen) == 0:
                answer = front.post_zip(data, headers={"Idempotency-Key": "the-same"})
                assert answer.status in (200, 202), answer
                ids.append(answer.json()["id"])
    finally:
        upstream.close()
    assert len(set(ids)) == 1
    document = mesh.wait_same(ids[0])
    assert document["status"] == "done" and document["executed"] == 1
    assert set(mesh[2].get_json("/evaluation")["evaluations"]) - before == {ids[0]}


def test_all_nodes_killed_and_back(whole, front):
    id = front.submit(work("back", 2))
    whole.kill_all()
    problem(front.get(f"/evaluation/{id}"), 502, "no-node-answers")
    whole.start()
    front.wait_until(lambda: front.get("/readyz").status == 200, "the front sees them again", 20)
    assert whole.wait_same(id)["_run_info"]["nota"] == 20


# ---- clients that are slow ----

class Hasty(Front):
    """The same front with less patience, so that a test need not wait a minute."""

    def render(self):
        super().render()
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        assert "client_body_timeout 60s;" in text and "client_header_timeout 30s;" in text
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text.replace("client_body_timeout 60s;", "client_body_timeout 1s;")
                       .replace("client_header_timeout 30s;", "client_header_timeout 1s;"))


def post_in_pieces(front, data, pieces, pause, stop_after=None, headers="", patience=20):
    """All that comes back; `stop_after` pieces the client falls silent."""
    kind, body = form([("file", "a.zip", "application/zip", data)])
    host, _, port = front.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=patience) as client:
        client.sendall(f"POST /evaluation HTTP/1.1\r\nHost: {front.address}\r\nContent-Type: {kind}\r\n{headers}"
                       f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode())
        size = -(-len(body) // pieces)
        for number in range(pieces if stop_after is None else stop_after):
            client.sendall(body[number * size:(number + 1) * size])
            threading.Event().wait(pause)
        answer = b""
        while more := client.recv(65536):
            answer += more
    return answer


@pytest.mark.parametrize("headers", ["", "Idempotency-Key: stops\r\n"])
def test_a_client_that_stops_in_its_body(mesh, tmp_path, headers):
    """nginx itself has no word for it and hangs up. Nothing of it is an evaluation."""
    before = set(mesh[0].get_json("/evaluation")["evaluations"])
    with Hasty(tmp_path, [node.home for node in mesh.nodes], "1M") as front:
        assert post_in_pieces(front, work("stops", 1), 10, 0, stop_after=6, headers=headers) == b""
        assert front.get("/ping").status == 200
    assert set(mesh[0].get_json("/evaluation")["evaluations"]) == before


def test_what_a_node_says_to_a_client_that_stops_is_passed_on(tmp_path):
    """A node has less patience than the front, and words for it."""
    said = b'{"code":"http-slow"}'

    def act(connection):
        head = b""
        while b"stops" not in head:
            head += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Type: application/problem+json\r\n"
                           b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(said), said))
        return head

    upstream = Upstream(act)
    try:
        with Front(tmp_path, [upstream.address]) as front:
            answer = post_in_pieces(front, work("stops", 1), 10, 0, stop_after=6)
    finally:
        upstream.close()
    assert answer.startswith(b"HTTP/1.1 408 ") and b"application/problem+json" in answer
    assert answer.endswith(said)


@pytest.mark.skipif(not FULL, reason="half a minute: only with TESTMESH_FULL=1")
def test_a_client_that_stops_is_told_by_the_node(mesh, front):
    before = set(mesh[0].get_json("/evaluation")["evaluations"])
    answer = post_in_pieces(front, work("stops", 1), 10, 0, stop_after=6, patience=60)
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"http-slow"' in answer
    assert set(mesh[0].get_json("/evaluation")["evaluations"]) == before


def test_a_client_that_stops_in_its_head_is_hung_up_on(mesh, tmp_path):
    with Hasty(tmp_path, [node.home for node in mesh.nodes], "1M") as front:
        host, _, port = front.address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.")
            assert client.recv(100) == b""


def test_a_slow_client_is_taken_once(mesh, tmp_path):
    """Each piece comes in time, all of them together do not."""
    before = set(mesh[0].get_json("/evaluation")["evaluations"])
    with Hasty(tmp_path, [node.home for node in mesh.nodes], "1M") as front:
        answer = post_in_pieces(front, work("slowly", 1), 12, 0.15)
    assert answer.startswith(b"HTTP/1.1 202 "), answer
    id = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
    assert mesh.wait_same(id)["_run_info"]["nota"] == 20
    assert set(mesh[0].get_json("/evaluation")["evaluations"]) - before == {id}


# ---- in a container ----

GETENT = """\
#!/bin/sh
# Names as a container engine's name server has them: getent ahostsv4 NAME
while read -r name address; do
    [ "$name" = "$2" ] && echo "$address STREAM $name"
done <"$TESTMESH_TEST_NAMES"
true
"""


class Watching(Front):
    """nginx/container.sh with a name server of the test's own."""

    def __init__(self, folder, ports, names):
        self.ports, self.names = ports, os.path.join(str(folder), "names")
        os.makedirs(str(folder), exist_ok=True)
        with open(os.path.join(str(folder), "getent"), "w") as file:
            file.write(GETENT)
        os.chmod(file.name, 0o755)
        self.say(names)
        super().__init__(folder, [])

    def say(self, names):
        with open(self.names + ".new", "w") as file:
            file.writelines(f"{name} {address}\n" for name, address in names)
        os.rename(file.name, self.names)

    def render(self):
        pass

    def start(self, *more):
        host, _, port = self.address.rpartition(":")
        env = dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}:/usr/sbin", FRONT_FOLDER=self.folder,
                   FRONT_ADDRESS=host, FRONT_PORT=port, FRONT_WATCH_S="0.1", TESTMESH_UPLOAD_MAX="1M",
                   TESTMESH_TEST_NAMES=self.names, TESTMESH_NODES=" ".join(f"{name}:{port}" for name, port in self.ports))
        with open(os.path.join(self.folder, "out"), "ab") as out:
            self.process = subprocess.Popen([os.path.join(ROOT, "nginx", "container.sh")], env=env, stdout=out,
                                            stderr=out, stdin=subprocess.DEVNULL)
        self.log = out.name
        self.wait_until(self.is_up, "nginx answers", 10)

    def is_up(self):
        try:
            return self.get("/.problem", timeout=5)
        except OSError:
            return False


def test_nodes_that_move_are_found(mesh, tmp_path):
    """a is there from the start, b comes later, under a name that had no address; then a goes."""
    ports = [(name, node.home.rpartition(":")[2]) for name, node in zip("ab", mesh.nodes)]
    with Watching(tmp_path / "front", ports, []) as front:
        problem(front.get("/ping"), 502, "no-node-answers")
        front.say([("a", "127.0.0.1")])
        # While nginx changes over, its old workers still take a connection now and then.
        front.wait_until(lambda: all(front.get("/ping").status == 200 for _ in range(10)), "the first node is found", 10)
        held = []
        id = front.submit(work("held", 2, 0.7))
        reader = threading.Thread(target=lambda: held.append(front.get(f"/evaluation/{id}?wait=60", timeout=90)))
        reader.start()
        front.say([("b", "127.0.0.1")])
        front.wait_until(lambda: f"nodes: 127.0.0.1:{ports[1][1]}\n" in front.tail(), "only the second is there", 10)
        for _ in range(20):
            assert front.get("/evaluation").status == 200
        front.say([])  # a name server without an answer is no reason to forget
        reader.join()
        assert held[0].status == 200 and held[0].json()["status"] == "done"
        assert front.get("/ping").status == 200
        assert front.stop() == 0
