"""What jailed code reaches of the mesh that its node belongs to: nothing."""

import json
import os
import socket
import stat

import zips
from mesh import free_ports, new_key
from node import Node

# In the jail; where the mesh is and where its key lies is told to the attacker.
ATTACK = '''
import os
import socket

import pytest

HOST, PORT, KEY_FILE, DATA, KEY = {host!r}, {port}, {key_file!r}, {data!r}, {key!r}


def test_no_stream():
    with socket.socket() as peer:
        peer.settimeout(2)
        with pytest.raises(OSError):
            peer.connect((HOST, PORT))


def test_no_datagram():
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.settimeout(2)
        with pytest.raises(OSError):
            for _ in range(3):
                peer.sendto(b"a packet of the mesh", (HOST, PORT))
                peer.connect((HOST, PORT))
                peer.send(b"another")
                peer.recv(1)


def test_no_key():
    for path in (KEY_FILE, DATA, "/proc/1/root" + KEY_FILE, "/proc/self/root/.." + KEY_FILE):
        with pytest.raises(OSError):
            os.listdir(path) if path == DATA else open(path).read()


def test_no_key_in_what_it_was_given():
    told = [*os.environ.values()]
    for name in filter(str.isdigit, os.listdir("/proc")):
        for file in ("environ", "cmdline"):
            try:
                with open(f"/proc/{{name}}/{{file}}", errors="replace") as opened:
                    told.append(opened.read())
            except OSError:
                pass
    assert not [text for text in told if KEY in text or KEY_FILE in text]


def test_no_descriptor_of_the_node():
    for name in os.listdir("/proc/self/fd"):
        try:
            to = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        assert "key" not in to and not to.startswith(DATA)
'''


def counted(node):
    """Datagrams that came, and were dropped."""
    counters = node.get_json("/nodes")["nodes"][0]["counters"]["net"]
    return sum(counters[name] for name in ("datagrams_malformed", "datagrams_keyless",
                                           "datagrams_forged"))


def send_from_here(host, port):
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.sendto(b"a packet of the mesh", (host, port))


def test_jailed_code_reaches_neither_the_mesh_nor_its_key(tmp_path):
    port, = free_ports(1)
    key_file = new_key(str(tmp_path / "cluster.key"))
    with open(key_file) as file:
        key = file.read().strip()
    with Node(tmp_path / "n", "--key-file", key_file, "--mesh", f"127.0.0.1:{port}") as node:
        # From outside the jail both are there: else the attack would prove nothing.
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        before = counted(node)
        send_from_here("127.0.0.1", port)
        node.wait_until(lambda: counted(node) == before + 1, "a datagram is counted", 10)
        text = ATTACK.format(host="127.0.0.1", port=port, key_file=key_file, data=node.data, key=key)
        done = node.wait_done(node.submit(zips.of_files({"p/test_reach.py": text})))
        tests = list(node.tests(done["id"]))
        assert len(tests) == 5, done
        assert {row["outcome"] for row in tests} == {"passed"}, json.dumps(tests, indent=1)
        assert counted(node) == before + 1


def test_what_a_node_keeps_is_its_users_alone(tmp_path):
    key_file = new_key(str(tmp_path / "cluster.key"))
    before = os.umask(0)  # the worst that a start script can leave
    try:
        node = Node(tmp_path / "n", "--key-file", key_file)
    finally:
        os.umask(before)
    with node:
        assert stat.S_IMODE(os.stat(node.data).st_mode) == 0o700
        token = os.path.join(node.data, "operator.token")
        assert stat.S_IMODE(os.stat(token).st_mode) == 0o600
        with open(key_file) as file:
            key = file.read().strip().encode()
        for folder, _, names in os.walk(node.data):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 20:
                    with open(path, "rb") as file:
                        assert key not in file.read(), path
