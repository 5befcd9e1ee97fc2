"""The HTTP server on real sockets: deadlines, back-pressure, refusals before the body, forms as curl
sends them, and what h11 makes of the same bytes."""

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TESTMESH_BUILD_DEBUG", os.path.join(ROOT, "build", "debug"))
SERVER = os.path.join(BUILD, "tests", "http_testmain")
HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1\r\n"
GET = b"GET /healthz" + HEAD + b"\r\n"

pytestmark = pytest.mark.skipif(not os.path.exists(SERVER), reason=f"{SERVER} is not built")


class Server:
    def __init__(self, **limits):
        self.process = subprocess.Popen(
            [SERVER, *(f"{name}={value}" for name, value in limits.items())], stdout=subprocess.PIPE,
            # Freed memory that a sanitizer keeps back would count as ours.
            env={**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"})
        self.port, self.port_six = map(int, self.process.stdout.readline().split())
        self.is_stopped = False

    def connect(self, timeout=10):
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout))

    def ask(self, raw):
        with self.connect() as client:
            client.send(raw)
            return client.answer()

    def get(self, path, *headers):
        return self.ask(b"GET " + path.encode() + HEAD + b"".join(h + b"\r\n" for h in headers) + b"\r\n")

    def counters(self):
        return self.get("/counters").json()

    def wait_for(self, name, value):
        end = time.monotonic() + 5
        while self.counters()[name] != value:
            assert time.monotonic() < end, (name, value, self.counters())
            time.sleep(0.01)

    def stop(self):
        """Drains; the exit code tells of leaks and of anything else that the sanitizers see."""
        if not self.is_stopped:
            self.is_stopped = True
            self.process.send_signal(signal.SIGTERM)
            try:
                assert self.process.wait(10) == 0
            finally:
                self.process.kill()
                self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


class Answer:
    def __init__(self, status, headers, body, is_whole):
        self.status, self.headers, self.body, self.is_whole = status, headers, body, is_whole

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        document = self.json()
        assert self.headers["content-type"] == "application/problem+json"
        assert document["status"] == self.status
        assert document["type"] == "/problems/" + document["code"]
        assert document["error"] == document["detail"] != ""
        return document["code"]


class Client:
    """A raw connection that understands answers and nothing else."""

    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def send(self, raw):
        self.sock.sendall(raw)

    def _body(self, headers):
        if headers.get("transfer-encoding") != "chunked":
            want = int(headers.get("content-length", 0))
            body = self.file.read(want)
            return body, len(body) == want
        body = b""
        while True:
            line = self.file.readline()
            if not line:
                return body, False
            size = int(line, 16)
            body += self.file.read(size)
            assert self.file.read(2) == b"\r\n"
            if size == 0:
                return body, True

    def answer(self, has_body=True):
        status = self.file.readline()
        if not status:
            return None
        headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            assert line.endswith(b"\r\n"), line
            name, value = line.decode().rstrip("\r\n").split(": ", 1)
            headers[name.lower()] = value
        code = int(status.split()[1])
        has_body = has_body and code not in (100, 204, 304)
        body, is_whole = self._body(headers) if has_body else (b"", True)
        return Answer(code, headers, body, is_whole)

    def is_closed(self):
        try:
            return self.file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


def post(path, body=b"", *headers):
    return (b"POST " + path.encode() + HEAD + b"".join(h + b"\r\n" for h in headers)
            + b"Content-Length: %d\r\n\r\n" % len(body) + body)


# ---- plain requests ---------------------------------------------------------------------------


def test_a_connection_serves_one_request_after_another(server):
    with server.connect() as client:
        for _ in range(3):
            client.send(GET)
            answer = client.answer()
            assert (answer.status, answer.body) == (200, b"ok")
            assert answer.headers["date"].endswith("GMT")
            assert "connection" not in answer.headers


def test_pipelined_requests_are_answered_in_order(server):
    with server.connect() as client:
        client.send(post("/buffer", b"one") + b"GET /hold?ms=50" + HEAD + b"\r\n" + post("/buffer", b"two") + GET)
        assert [client.answer().body for _ in range(4)] == [b"one", b"held", b"two", b"ok"]


def test_a_request_byte_by_byte(server):
    with server.connect() as client:
        for byte in post("/buffer", b"slowly"):
            client.send(bytes([byte]))
        assert client.answer().body == b"slowly"


def test_head_is_a_get_without_the_body(server):
    with server.connect() as client:
        for path, length in ((b"/large?len=100000", "100000"), (b"/file?len=5", "5")):
            client.send(b"HEAD " + path + HEAD + b"\r\n")
            answer = client.answer(has_body=False)
            assert (answer.status, answer.headers["content-length"]) == (200, length)
        client.send(GET)
        assert client.answer().body == b"ok"


def test_what_is_in_the_request_reaches_the_handler(server):
    answer = server.get("/echo/a%20b/tests/test_%C3%A9.py?q=1%262", b"x-test:  v ").json()
    assert answer["peer"].startswith("127.0.0.1:")
    assert {**answer, "peer": ""} == {"method": "GET", "name": "a b", "rest": "tests/test_é.py",
                                      "q": "1&2", "x": "v", "peer": ""}


def test_http_1_0_ends_with_its_answer_unless_it_asks(server):
    with server.connect() as client:
        client.send(b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.answer().headers["connection"] == "keep-alive"
        assert client.answer().headers["connection"] == "close"
        assert client.is_closed()


def test_unknown_paths_and_methods(server):
    assert server.get("/nowhere").code == "not-found"
    answer = server.ask(b"PUT /healthz" + HEAD + b"\r\n")
    assert (answer.status, answer.code) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert server.ask(b"BREW /healthz" + HEAD + b"\r\n").status == 501
    for path in (b"/healthz", b"*"):
        answer = server.ask(b"OPTIONS " + path + HEAD + b"\r\n")
        assert answer.status == 204 and "OPTIONS" in answer.headers["allow"]


def test_etag_and_304(server):
    answer = server.get("/tagged")
    assert answer.body == b"content"
    tag = answer.headers["etag"].encode()
    for value in (tag, b'"other", W/' + tag, b"*"):
        answer = server.get("/tagged", b"If-None-Match: " + value)
        assert (answer.status, answer.headers["etag"].encode()) == (304, tag)
    assert server.get("/tagged", b'If-None-Match: "other"').status == 200


def test_no_value_begins_a_header_of_its_own(server):
    assert "injected" not in server.ask(post("/buffer", b"x")).headers


def test_six(server):
    if not server.port_six:
        pytest.skip("this machine has no IPv6 loopback")
    with Client(socket.create_connection(("::1", server.port_six), 5)) as client:
        client.send(b"GET /echo/a/b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n")
        assert client.answer().json()["peer"].startswith("[::1]:")


# ---- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("raw, code", [
    (b"POST /buffer" + HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, "http-length-and-encoding"),
    (b"POST /buffer" + HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" + GET, "http-content-length-twice"),
    (b"GET /healthz" + HEAD + b"A : b\r\n\r\n" + GET, "http-blank-before-colon"),
    (b"GET /healthz HTTP/1.1\nHost: a\n\n" + GET, "http-bare-lf"),
    (b"GET /healthz" + HEAD + b"\0: b\r\n\r\n", "http-control-character"),
    (b"GET /evaluation/../../etc/passwd" + HEAD + b"\r\n", "http-dot-segment"),
    (b"GET /%2e%2e" + HEAD + b"\r\n", "http-dot-segment"),
    (b"GET /a%00" + HEAD + b"\r\n", "http-escape"),
    (b"GET / HTTP/3.0\r\n\r\n", "http-version"),
    (b"GET /" + b"a" * 9000 + HEAD + b"\r\n", "http-target-too-long"),
    (b"GET /" + HEAD + b"a: " + b"b" * 40000, "http-head-too-large"),
    (b"GET /" + HEAD + b"a: b\r\n" * 10000 + b"\r\n", "http-too-many-headers"),
    (b"POST /buffer" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "http-chunk-size"),
    (b"MSH2 is no magic\r\n\r\n", "http-request-line"),
])
def test_what_is_doubtful_ends_the_connection_after_one_answer(server, raw, code):
    with server.connect() as client:
        client.send(raw)
        answer = client.answer()
        assert answer.code == code
        assert answer.headers["connection"] == "close"
        assert client.is_closed()  # what came behind it is not another request


def test_who_may_come_in(server):
    assert server.ask(b"GET /healthz HTTP/1.1\r\nHost: Grades.example:8080\r\n\r\n").status == 200
    answer = server.ask(b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert (answer.status, answer.code) == (421, "host-not-allowed")
    evil = b"Origin: https://evil.example"
    assert server.get("/healthz", evil).status == 200
    assert server.ask(post("/buffer", b"x", evil)).code == "origin-not-allowed"
    assert server.ask(post("/buffer", b"x", b"Sec-Fetch-Site: cross-site")).status == 403
    assert server.ask(post("/buffer", b"x", b"Origin: http://127.0.0.1")).status == 200


def test_tokens(server):
    answer = server.ask(post("/kill"))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert server.ask(post("/kill", b"", b"Authorization: Bearer wrong")).status == 401
    assert server.ask(post("/kill", b"", b"Authorization: bearer secret")).status == 403


def expecting(path, *headers):
    return (b"POST " + path + HEAD + b"".join(h + b"\r\n" for h in headers) + b"Expect: 100-continue\r\n\r\n")


@pytest.mark.parametrize("request_head, status", [
    (expecting(b"/user", b"Content-Length: 100"), 401),
    (expecting(b"/nowhere", b"Content-Length: 100"), 404),
    (expecting(b"/buffer", b"Content-Length: 99999999"), 413),
    (expecting(b"/healthz", b"Content-Length: 5"), 405),
    (expecting(b"/user", b"Content-Length: 5", b"Authorization: Bearer secret", b"Content-Type: text/html"), 415),
    (expecting(b"/sink?refuse=1", b"Transfer-Encoding: chunked"), 415),
    (b"POST /buffer" + HEAD + b"Content-Length: 5\r\nExpect: tea\r\n\r\n", 417),
])
def test_refusals_come_before_the_body(server, request_head, status):
    with server.connect() as client:
        client.send(request_head)
        assert client.answer().status == status
        assert client.is_closed()


def test_100_continue(server):
    with server.connect() as client:
        client.send(expecting(b"/buffer", b"Content-Length: 5"))
        assert client.answer().status == 100
        client.send(b"hello")
        assert client.answer().body == b"hello"


def test_a_client_that_does_not_wait_still_gets_the_refusal(server):
    """It goes on sending after the answer: the server reads on for a while instead of resetting."""
    with server.connect() as client:
        client.send(b"POST /buffer" + HEAD + b"Content-Length: 20000000\r\n\r\n")
        for _ in range(50):
            client.send(b"x" * 65536)
            time.sleep(0.001)
        assert client.answer().code == "body-too-large"


def test_a_chunked_body_over_the_limit(server):
    with server.connect() as client:
        client.send(b"POST /buffer" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        assert client.answer().code == "body-too-large"


def test_buffered_bodies_share_a_budget():
    with Server(budget_bytes=100000) as server:
        answer = server.ask(post("/buffer", b"x" * 200000))
        assert (answer.status, answer.code) == (503, "busy-bodies")
        assert int(answer.headers["retry-after"]) > 0
        with server.connect() as half:
            half.send(b"POST /buffer" + HEAD + b"Content-Length: 90000\r\n\r\n" + b"x" * 60000)
            server.wait_for("budget", 60000)
            assert server.ask(post("/buffer", b"x" * 50000)).status == 503
        server.wait_for("budget", 0)
        assert server.ask(post("/buffer", b"x" * 50000)).status == 200


# ---- deadlines and crowds ----------------------------------------------------------------------


def test_a_slow_head_a_slow_body_and_an_idle_connection():
    with Server(head_ms=200, body_ms=200, idle_ms=300) as server:
        with server.connect() as client:
            client.send(b"GET / HTTP/1.1\r\n")
            assert client.answer().code == "http-slow" and client.is_closed()
        with server.connect() as client:
            started = time.monotonic()
            try:  # a byte now and then does not help: the head has one deadline
                while time.monotonic() - started < 5:
                    client.send(b"G")
                    time.sleep(0.05)
            except OSError:
                pass
            assert time.monotonic() - started < 3
        with server.connect() as client:
            client.send(b"POST /sink" + HEAD + b"Content-Length: 10\r\n\r\n")
            for _ in range(5):
                time.sleep(0.1)
                client.send(b"x")
            assert client.answer().status == 408 and client.is_closed()
        server.wait_for("aborted", 1)
        with server.connect() as client:
            assert client.is_closed()
        with server.connect() as client:
            client.send(GET)
            assert client.answer().status == 200
            assert client.is_closed()


def test_a_slow_reader_is_cut_and_does_not_fill_the_memory():
    with Server(write_ms=300) as server:
        before = server.counters()["rss_kib"]
        with server.connect() as client:
            client.send(b"GET /file?len=9000000000" + HEAD + b"\r\n")
            server.wait_for("connections", 1)
            assert server.counters()["rss_kib"] - before < 16 * 1024


def test_a_thousand_idle_connections_do_not_keep_others_out():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2500:
        pytest.skip(f"only {hard} descriptors are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2500), hard))
    crowd = []
    try:
        with Server() as server:
            for i in range(1000):
                crowd.append(socket.create_connection(("127.0.0.1", server.port), 10))
                if i % 2:
                    crowd[-1].sendall(b"GET /healthz HTTP/1.1\r\nHo")
            started = time.monotonic()
            assert server.get("/healthz").body == b"ok"
            assert time.monotonic() - started < 1
            assert server.counters()["connections"] == 1001
            for sock in crowd:
                sock.close()
    finally:
        for sock in crowd:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_out_of_descriptors_the_newest_is_still_served():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (24, hard))  # the least number of connections is 16
    try:
        server = Server()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with server:
        crowd = [server.connect() for _ in range(60)]
        assert server.get("/healthz").body == b"ok"
        for client in crowd:
            client.close()


def test_the_idlest_goes_when_there_are_too_many():
    with Server(connections=5) as server:
        crowd = [server.connect() for _ in range(5)]
        crowd[0].send(b"GET /hold?ms=400" + HEAD + b"\r\n")  # busy: stays
        crowd[1].send(GET)
        assert crowd[1].answer().status == 200  # idle, but less than the others
        assert server.get("/healthz").status == 200
        assert crowd[2].is_closed()
        assert crowd[0].answer().body == b"held"
        crowd[1].send(GET)
        assert crowd[1].answer().status == 200
        for client in crowd:
            client.close()


# ---- bodies -----------------------------------------------------------------------------------


def test_half_a_gigabyte_goes_through_a_sink_in_little_memory(server):
    block = b"z" * (1 << 20)
    with server.connect(60) as client:
        client.send(b"POST /sink" + HEAD + b"Content-Length: %d\r\n\r\n" % (512 << 20))
        for _ in range(512):
            client.send(block)
        answer = client.answer().json()
    assert answer["bytes"] == 512 << 20
    assert answer["rss_kib"] < 64 * 1024


def test_a_slow_disk_holds_the_sender_back(server):
    with server.connect(30) as client:
        client.send(post("/slow", b"x" * (8 << 20)) + GET)
        answer = client.answer().json()
        assert answer["bytes"] == 8 << 20
        assert client.answer().body == b"ok"


def test_a_sink_may_refuse_at_any_time(server):
    before = server.counters()
    assert server.ask(post("/sink?refuse_at=70000", b"x" * 200000)).status == 422
    assert server.ask(post("/sink", b"x" * 13)).status == 422
    with server.connect() as client:  # the whole request was read: the connection goes on
        client.send(post("/sink", b"x" * 13) + GET)
        assert [client.answer().status, client.answer().status] == [422, 200]
    with server.connect() as client:
        client.send(b"POST /sink" + HEAD + b"Content-Length: 10\r\n\r\nhalf")
    server.wait_for("aborted", before["aborted"] + 4)


def part(name, data, more=""):
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{data}\r\n'.encode()


def form(*parts, types=("multipart/form-data; boundary=B",)):
    return post("/form", b"".join(parts) + b"--B--\r\n", *(b"Content-Type: " + t.encode() for t in types))


def test_forms(server):
    parts = part("file", "PK", '; filename="x.zip"\r\nContent-Type: application/zip'), part("n", "")
    want = b"file|x.zip|application/zip|2\nn|-|text/plain|0\n"
    assert server.ask(form(*parts)).body == want
    for types in (("multipart/form-data", "multipart/form-data; boundary=B"),
                  ("multipart/form-data; boundary=B", "multipart/form-data"),
                  ("multipart/form-data; boundary=mine; boundary=B",),
                  ('Multipart/Form-Data; charset=utf-8; boundary="B"',)):
        assert server.ask(form(*parts, types=types)).body == want, types
    assert server.ask(post("/form", b"PK", b"Content-Type: application/zip")).body == b"file|-|application/zip|2\n"


@pytest.mark.parametrize("raw, status, code", [
    (form(part("a", "b"), types=("multipart/form-data",)), 400, "form-boundary"),
    (form(part("a", "b"), types=("multipart/form-data; boundary=" + "B" * 71,)), 400, "form-boundary"),
    (form(part("a", "b"), types=("multipart/form-data; boundary=C",)), 400, "form-start"),
    (form(part("a", "b"), types=("multipart/form-data; boundary=B", "text/html")), 415, "form-type"),
    (form(*[part("a", "b")] * 65), 413, "form-too-many-parts"),
    (form(*[part("a", "b")] * 100000), 413, "form-too-many-parts"),
    (form(part("bad", "b")), 422, "unprocessable"),
    (post("/form", part("a", "b"), b"Content-Type: multipart/form-data; boundary=B"), 400, "form-truncated"),
    (post("/form"), 415, "form-type"),
    (post("/form", b"a=b", b"Content-Type: application/x-www-form-urlencoded"), 415, "form-type"),
])
def test_bad_forms(server, raw, status, code):
    answer = server.ask(raw)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("more", [
    [], ["-H", "Content-Type: multipart/form-data"],
    ["-H", "Content-Type: multipart/form-data; boundary=mine"], ["--http1.0"],
    ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"],
])
def test_curl_uploads(server, tmp_path, more):
    upload = tmp_path / 'proj "1";x.zip'
    upload.write_bytes(random.Random(1).randbytes(3000000))
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", *more, "-F", f'file=@"{str(upload).replace(chr(34), chr(92) + chr(34))}"',
         "-F", "name=a b", f"http://127.0.0.1:{server.port}/form"], capture_output=True, timeout=30)
    if more == ["--http1.0"]:
        assert done.stdout.endswith(b"3000000\nname|-|text/plain|3\n"), done
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("file|proj ") and lines[0].endswith("|3000000"), done
    assert lines[1] == "name|-|text/plain|3"


# ---- held and cut answers ------------------------------------------------------------


def test_who_holds_an_answer_is_told_that_the_client_left(server):
    before = server.counters()["gone"]
    for raw in (b"GET /hold?ms=60000" + HEAD + b"\r\n", post("/hold?ms=60000")):
        client = server.connect()
        client.send(raw)
        time.sleep(0.05)
        client.close()
    server.wait_for("gone", before + 2)


def test_a_client_that_closed_its_side_still_gets_its_answer(server):
    with server.connect() as client:
        client.send(b"GET /large?len=5000000" + HEAD + b"\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert len(client.answer().body) == 5000000
        assert client.is_closed()


def test_a_file_is_sent_in_pieces(server):
    with server.connect(30) as client:
        client.send(b"GET /file?len=50000000" + HEAD + b"\r\n" + b"GET /file?len=0" + HEAD + b"\r\n" + GET)
        assert client.answer().body == bytes(50000000)
        assert client.answer().body == b""
        assert client.answer().body == b"ok"


def test_what_is_cut_is_seen_to_be_cut(server):
    assert not server.get("/file?len=1000000&real=500000").is_whole


# ---- the rest ---------------------------------------------------------------------------------


def test_a_mesh_connection_is_handed_over(server):
    with server.connect() as client:
        client.send(b"MS")
        time.sleep(0.05)
        client.send(b"H1\0\1binary")
        got = client.file.read()
    assert got.startswith(b"mesh:MSH1") and b"mesh:MSH1\0\1binary".startswith(got)


def test_a_drain_lets_run_what_runs():
    server = Server()
    idle, busy = server.connect(), server.connect()
    busy.send(b"GET /hold?ms=500" + HEAD + b"\r\n")
    time.sleep(0.1)
    server.process.send_signal(signal.SIGTERM)
    assert idle.is_closed()
    with pytest.raises(OSError):
        server.connect()
    answer = busy.answer()
    assert (answer.body, answer.headers["connection"]) == (b"held", "close")
    assert busy.is_closed()
    assert server.process.wait(5) == 0
    server.process.stdout.close()
    idle.close()
    busy.close()


# ---- against h11 ------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def h11(tmp_path_factory):
    try:
        import h11 as module
        yield module
        return
    except ImportError:
        pass
    folder = tmp_path_factory.mktemp("h11")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, "h11==0.16.0"],
                          capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        pytest.skip(f"h11 could not be installed: {done.stderr[-200:]}")
    sys.path.insert(0, str(folder))
    try:
        import h11 as module
        yield module
    finally:
        sys.path.remove(str(folder))


def by_h11(h11, raw):
    """The body of the first request, or None where it is refused."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=65536)
    try:
        connection.receive_data(raw)
        connection.receive_data(b"")
        request = connection.next_event()
        body = b""
        while type(event := connection.next_event()) is h11.Data:
            body += bytes(event.data)
        return body if type(event) is h11.EndOfMessage and type(request) is h11.Request else None
    except h11.RemoteProtocolError:
        return None


def mutated(rand):
    raw = bytearray(rand.choice([
        b"POST /buffer" + HEAD + b"Content-Length: 5\r\n\r\nhello",
        b"POST /buffer" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
        b"POST /buffer" + HEAD + b"Content-Length: 0\r\nX: y\r\n\r\n",
    ]))
    words = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"0", b"5", b"a", b"\0", b"+", b"Content-Length: 3\r\n",
             b"Transfer-Encoding: chunked\r\n", b"chunked", b",", b";", b"\x80", b"\x0b", b"Host: b\r\n"]
    for _ in range(rand.randint(1, 2)):
        at = rand.randrange(len(raw))
        kind = rand.randrange(3)
        raw[at:at + (kind > 0)] = b"" if kind == 2 else rand.choice(words)
    return bytes(raw)


def test_what_h11_and_we_accept_means_the_same(server, h11):
    seed = int(os.environ.get("SEED", "0")) or random.randrange(1 << 32)
    rand = random.Random(seed)
    both = 0
    for _ in range(1500):
        raw = mutated(rand)
        with server.connect(5) as client:
            client.send(raw)
            client.sock.shutdown(socket.SHUT_WR)
            answer = client.answer()
        theirs = by_h11(h11, raw)
        if answer is None or answer.status != 200 or theirs is None:
            continue
        both += 1
        assert answer.body == theirs, (seed, raw)
    assert both > 50, (seed, both)
