"""A real node under test: start, ask, kill, look for what it left behind.

    with Node(folder) as node:
        id = node.submit(zips.of_folder("examples"))
        document = node.wait_done(id)

Nodes listen on a free port of loopback and keep everything in their own folder. They are ended by
process id, never by name.
"""

import http.client
import json
import os
import re
import signal
import subprocess
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("TESTMESH_PROGRAM", os.path.join(ROOT, "build", "release", "testmesh"))
FULL = os.environ.get("TESTMESH_FULL") == "1"
START_S = 30
# Test files that run side by side have users of their own for what their nodes run (tests/run.py).
UID_BASE = 700000 + 100000 * int(os.environ.get("TESTMESH_TEST_LANE", "0"))
EVALUATION_S = 300

# Variables of the caller that would change what is measured, or configure the node behind our back.
KEPT_BACK = re.compile(r"^(TESTMESH_|PYTHON|PYTEST_|COV_|VIRTUAL_ENV$)")


class NodeFailed(AssertionError):
    pass


class Answer:
    """What came back: status, headers (names in lower case) and body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


def environment():
    return {name: value for name, value in os.environ.items() if not KEPT_BACK.match(name)}


def find_address(text):
    """HOST:PORT in what a node prints when it serves, or None. The only place that knows the form:
    the first `http://HOST:PORT` in the banner or in a log line."""
    found = re.search(r"https?://((?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[1-9][0-9]*)", text)
    return found.group(1) if found else None


class Node:
    prefix = []  # a program that starts it, with its words

    def __init__(self, folder, *options, program=None, start=True, uid=None, env=None):
        self.data = os.path.join(str(folder), "data")
        self.log = os.path.join(str(folder), "node.log")
        own = [] if "--uid-base" in options else ["--uid-base", str(UID_BASE)]
        self.options = [*own, *options]
        self.program = program or PROGRAM
        self.uid = uid  # to run as, when we are root
        self.env = env or {}  # variables of its own, None takes one away
        self.process = None
        self.address = None
        os.makedirs(str(folder), exist_ok=True)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    # ---- life ----

    def start(self, *more):
        """Starts the node on its data folder and returns when it is ready."""
        return self.wait_ready(self.launch(*more))

    def launch(self, *more):
        """Starts it only; returns what wait_ready() wants to know."""
        if not os.access(self.program, os.X_OK):
            raise NodeFailed(f"{self.program} is missing: ./boot.sh build")
        # A node that comes back has its old address, as one with a port of its own would.
        listen = self.address or "127.0.0.1:0"
        argv = [self.program, "node", "--listen", listen, "--data", self.data]
        begin = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.prefix + argv + self.options + list(more),
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            cwd="/", **self.identity())
        self.address = None
        return begin

    def wait_ready(self, begin):
        deadline = time.monotonic() + START_S
        while not self.is_ready(begin):
            if self.process.poll() is not None:
                raise NodeFailed(f"the node ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NodeFailed(f"the node is not ready after {START_S} s:\n{self.tail()}")
            time.sleep(0.02)
        return self

    def identity(self):
        """Whom it runs as, and with which variables."""
        env = {name: value for name, value in {**environment(), **self.env}.items()
               if value is not None}
        if self.uid is None:
            return {"env": env}
        return {"env": env, "user": self.uid, "group": self.uid, "extra_groups": []}

    def is_ready(self, begin):
        if self.address is None:
            with open(self.log, "rb") as log:
                log.seek(begin)
                self.address = find_address(log.read().decode("utf-8", "replace"))
        if self.address is None:
            return False
        try:
            return self.get("/readyz", timeout=5).status == 200
        except OSError:
            return False

    def stop(self, timeout=60):
        """SIGTERM, then SIGKILL when that does not end it; returns the exit code, None if killed."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def kill(self):
        """kill -9, as a crash or a power cut would."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    @property
    def pid(self):
        return self.process.pid

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def tail(self, bytes_kept=4000):
        with open(self.log, "rb") as log:
            return log.read()[-bytes_kept:].decode("utf-8", "replace")

    # ---- HTTP ----

    def connection(self, timeout):
        return http.client.HTTPConnection(self.address, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=60):
        """One request on its own connection. `path` goes out as it is."""
        connection = self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def get(self, path, headers=None, timeout=60):
        return self.request("GET", path, headers=headers, timeout=timeout)

    def get_json(self, path):
        answer = self.get(path)
        assert answer.status == 200, answer
        return answer.json()

    def post_zip(self, data, name="projects.zip", query="", headers=None, fields=()):
        """POST /evaluation as a form with field `file`."""
        kind, body = form([("file", name, "application/zip", data), *fields])
        return self.request("POST", "/evaluation" + query, body,
                            {"Content-Type": kind, **(headers or {})})

    def submit(self, data, **more):
        """The id of a new evaluation of a zip's bytes."""
        answer = self.post_zip(data, **more)
        assert answer.status == 202, answer
        return answer.json()["id"]

    # ---- evaluations ----

    def evaluation(self, id):
        return self.get_json(f"/evaluation/{id}")

    def wait_until(self, condition, what, timeout=EVALUATION_S, pause=0.05):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise NodeFailed(f"not within {timeout} s: {what}\n{self.tail()}")
            time.sleep(pause)

    def wait_done(self, id, timeout=EVALUATION_S):
        def done():
            document = self.evaluation(id)
            return document if document["status"] in ("done", "cancelled", "failed") else None

        return self.wait_until(done, f"evaluation {id} done", timeout)

    def tests(self, id, limit=1000, **filters):
        """All items of /evaluation/<id>/tests, page after page."""
        cursor = None
        while True:
            query = dict(filters, limit=limit)
            if cursor is not None:
                query["cursor"] = cursor
            page = self.get_json(f"/evaluation/{id}/tests?" + urllib.parse.urlencode(query))
            assert len(page["items"]) <= limit
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def files(self):
        """Every path below the data folder, as a set."""
        found = set()
        for folder, folders, files in os.walk(self.data):
            found |= {os.path.relpath(os.path.join(folder, name), self.data)
                      for name in folders + files}
        return found


def form(parts, boundary="testmesh-test-boundary-7d1f"):
    """(Content-Type, body) of a multipart form; parts are (name, filename or None, type or None, bytes)."""
    out = []
    for name, filename, kind, data in parts:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if filename is not None:
            head += f'; filename="{filename}"'
        if kind is not None:
            head += f"\r\nContent-Type: {kind}"
        out += [head.encode() + b"\r\n\r\n", data, b"\r\n"]
    out.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(out)
