"""A token for repositories is where it must be while it is used, and nowhere afterwards."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import gitserver
import memory
import mesh
import pytest
import zips
from node import PROGRAM, Node, form
from processes import descendants

if gitserver.missing():
    pytest.skip(gitserver.missing(), allow_module_level=True)

ANY_UID = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="looks into other processes and at packets")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gitserver.GitServer(tmp_path_factory.mktemp("git")) as running:
        running.repository("private/calc", {"test_a.py": "def test_a():\n    pass\n"})
        yield running


@pytest.fixture(scope="module")
def odd(server):
    with gitserver.OddServer(server) as running:
        yield running


def secrets_of(server):
    return [server.token.encode(),
            base64.b64encode(f"x-access-token:{server.token}".encode())]


def clean(data, secrets, where):
    assert not [secret for secret in secrets if secret in data], where


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def clean_files(node, secrets):
    for path in [node.log, *(os.path.join(node.data, path) for path in sorted(node.files()))]:
        clean(read(path), secrets, path)


def post(client, projects, token):
    """One request by a connected socket: its port is known, and its body comes by itself."""
    body = json.dumps({"name": "x" * 1000, "auth_token": token, "projects": projects}).encode()
    client.sendall(b"POST /evaluation HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                   b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
    client.sendall(body)


def answer_of(client):
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def connect(node):
    host, _, port = node.address.rpartition(":")
    return socket.create_connection((host, int(port)))


def core_limit(pid):
    (core,) = [line for line in read(f"/proc/{pid}/limits").decode().splitlines()
               if line.startswith("Max core file size")]
    return core.split()[4:6]


def helpers(node):
    return [pid for pid in descendants(node.pid)
            if b"--helper\0fetch\0" in read(f"/proc/{pid}/cmdline")]


def test_the_token_is_nowhere(server, odd, tmp_path):
    """Not in any command line, environment, log, file or answer, while it is used and after."""
    secrets = secrets_of(server)
    with Node(tmp_path, *server.node_options(), *odd.node_options(), "--git-timeout", "5s",
              "--log-level", "debug", env=server.node_env()) as node:
        with connect(node) as client:
            post(client, [odd.url("silent/asks"), server.url("private/calc")], server.token)
            node.wait_until(lambda: [seen for seen in odd.seen if seen[1]], "the token at the host", 20)
            fetching = helpers(node)
            assert fetching
            for pid in [node.pid, *descendants(node.pid)]:
                for name in ("cmdline", "environ"):
                    clean(read(f"/proc/{pid}/{name}"), secrets, (pid, name))
            assert core_limit(fetching[0]) == core_limit(node.pid) == ["0", "0"]
            if os.geteuid() == 0:  # it has gone to the child; sealed it lies here
                assert not memory.find(node.pid, secrets)
            answer = answer_of(client)
        clean(answer, secrets, "answer")
        id = json.loads(answer.partition(b"\r\n\r\n")[2])["id"]
        node.wait_done(id)
        for path in (f"/evaluation/{id}", f"/evaluation/{id}/tests", "/evaluation", "/nodes"):
            clean(node.get(path).body, secrets, path)
        clean_files(node, secrets)


@needs_root
def test_the_token_leaves_the_memory(server, tmp_path):
    """After some requests no byte of it is left in the node; and a crash would write none."""
    secrets = secrets_of(server)
    with Node(tmp_path, *server.node_options(), env=server.node_env()) as node:
        marker = b"a-name-that-is-kept-31337"
        for _ in range(3):
            with connect(node) as client:
                post(client, [server.url("private/calc")], server.token)
                answer = answer_of(client)
            node.wait_done(json.loads(answer.partition(b"\r\n\r\n")[2])["id"])
        body = {"projects": [server.url("private/calc")], "auth_token": server.token}
        kind, data = form([("projects", None, None, json.dumps(body).encode()),
                           ("tests", "t.zip", None, zips.of_files({"test_b.py": zips.passing(1)}))])
        answer = node.request("POST", "/evaluation", data, {"Content-Type": kind})
        assert answer.status == 202, answer
        node.wait_done(answer.json()["id"])
        node.request("POST", "/evaluation", json.dumps({"projects": [server.url("private/calc")],
                                                        "name": marker.decode()}),
                     {"Content-Type": "application/json"})
        assert memory.find(node.pid, [marker]), "it does find what is there"
        node.wait_until(lambda: not memory.find(node.pid, secrets), "no token in the node's memory", 10)
        process, node.process = node.process, None
        process.send_signal(signal.SIGABRT)
        end = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        process.wait()
        assert end.si_code == os.CLD_KILLED, "no core file"


def closed_files(pid):
    """What of a process another one of the same user cannot even open."""
    look = 'for name in mem environ maps; do ( : < "/proc/$0/$name" ) 2>/dev/null || echo $name; done'
    done = subprocess.run(["/bin/sh", "-c", look, str(pid)], stdout=subprocess.PIPE, user=ANY_UID,
                          group=ANY_UID, extra_groups=[], cwd="/", timeout=20, check=True)
    return done.stdout.decode().split()


@needs_root
def test_another_process_of_its_user_sees_nothing(server):
    folder = tempfile.mkdtemp(prefix="testmesh-token-")
    try:
        os.chmod(folder, 0o755)
        program = shutil.copy(PROGRAM, os.path.join(folder, "testmesh"))
        os.chmod(program, 0o755)
        home = os.path.join(folder, "home")
        os.mkdir(home)
        os.chown(home, ANY_UID, ANY_UID)
        with Node(home, program=program, uid=ANY_UID, env={"HOME": home}) as node:
            assert closed_files(node.pid) == ["mem", "environ", "maps"]
        other = subprocess.Popen(["sleep", "60"], user=ANY_UID, group=ANY_UID, extra_groups=[], cwd="/")
        assert closed_files(other.pid) == [], "an ordinary process of that user is open to him"
        other.kill()
        other.wait()
    finally:
        shutil.rmtree(folder)


class Packets:
    """All TCP and UDP that goes over the loopback, but for the flows of one port."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.2)
        self.flows = {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.take, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *unused):
        self.ended.set()
        self.thread.join()
        self.socket.close()

    def take(self):
        while not self.ended.is_set():
            try:
                data, where = self.socket.recvfrom(1 << 17)
            except socket.timeout:
                continue
            head = 14 + (data[14] & 15) * 4  # of IPv4
            if where[2] == socket.PACKET_OUTGOING or data[12:14] != b"\x08\x00":
                continue
            ports = int.from_bytes(data[head:head + 2], "big"), int.from_bytes(data[head + 2:head + 4], "big")
            self.flows.setdefault(ports, bytearray()).extend(data[head + 4:])

    def without(self, port):
        return {ports: bytes(data) for ports, data in self.flows.items() if port not in ports}


@needs_root
def test_peers_get_the_bundle_and_never_the_token(server, tmp_path, monkeypatch):
    """Neither on their disks nor on the way there."""
    secrets = secrets_of(server)
    monkeypatch.setenv("SSL_CERT_FILE", server.bundle())
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with mesh.Mesh(tmp_path / "mesh", 2, options=server.node_options()) as nodes, Packets() as packets:
        nodes.wait_agree()
        with connect(nodes[0]) as client:
            mine = client.getsockname()[1]
            post(client, [server.url("private/calc")], server.token)
            answer = json.loads(answer_of(client).partition(b"\r\n\r\n")[2])
        assert answer["replicas"] == 2
        document = nodes.wait_same(answer["id"])
        assert document["projects"]["calc"]["passed"] == 1
        bundles = [{path for path in node.files() if path.endswith(".zst")} for node in nodes.nodes]
        assert bundles[0] == bundles[1] != set()
        for node in nodes.nodes:
            clean_files(node, secrets)
            node.wait_until(lambda: not memory.find(node.pid, secrets), "no token in memory", 10)
    assert packets.flows.keys() != packets.without(mine).keys(), "it does see packets"
    for ports, data in packets.without(mine).items():
        clean(data, secrets, ports)
