"""A mesh of real nodes under test: start, kill -9, stop and continue, restart, compare what they say.

    with Mesh(folder, 4) as mesh:
        id = mesh[0].submit(data)
        mesh[0].kill()
        document = mesh.wait_same(id)      # done, and the same answer from every survivor

Nodes are on loopback with a key of their own, or, with a Network (netns.py), in a namespace each.
"""

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import time

import zips
from node import UID_BASE, Node, NodeFailed

AGREE_S = 30
OVER = ("done", "cancelled", "failed")


def free_ports(count, host="127.0.0.1"):
    """Ports that are free now, for TCP and for UDP."""
    held, ports = [], []
    while len(ports) < count:
        tcp = socket.socket()
        tcp.bind((host, 0))
        udp = socket.socket(type=socket.SOCK_DGRAM)
        held += [tcp, udp]
        try:
            udp.bind((host, tcp.getsockname()[1]))
        except OSError:
            continue
        ports.append(tcp.getsockname()[1])
    for one in held:
        one.close()
    return ports


def new_key(path):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    return path


class Member(Node):
    """One node of a mesh; `place` is its Place in a Network, or None on loopback."""

    def __init__(self, folder, number, address, options, place=None):
        super().__init__(folder, *options, start=False)
        self.number, self.address, self.place = number, address, place
        self.home = address
        self.is_stopped = False
        if place is not None:
            self.prefix = place.prefix

    def connection(self, timeout):
        made = super().connection(timeout)
        if self.place is not None:
            made._create_connection = self.place.connect
        return made

    def restart(self):
        self.address = self.home
        return self.start()

    def pause(self):
        """SIGSTOP: it is silent, and does not know it."""
        self.process.send_signal(signal.SIGSTOP)
        self.is_stopped = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_stopped = False

    def kill(self):
        self.is_stopped = False
        super().kill()

    def try_json(self, path, timeout=5):
        """What it says, or None where it does not answer, or not with 200."""
        try:
            answer = self.get(path, timeout=timeout)
        except OSError:
            return None
        return answer.json() if answer.status == 200 else None

    def members(self):
        """The addresses that it sees alive, its own too."""
        return set(self.try_json("/network") or ())

    def __repr__(self):
        return f"<node {self.number} {self.home}>"


class Mesh:
    def __init__(self, folder, count=4, options=(), network=None, start=True):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        key = new_key(os.path.join(self.folder, "cluster.key"))
        if network is None:
            homes = [f"127.0.0.1:{port}" for port in free_ports(count)]
        else:
            homes = [f"{place.address}:5001" for place in network.places[:count]]
        self.nodes = []
        for number, home in enumerate(homes):
            more = ["--key-file", key, "--name", f"node-{number}", "--uid-base",
                    str(UID_BASE + number * 1024), *options]
            for other in homes:
                more += ["--join", other] if other != home else []
            if network is not None:
                more.append("--open")
            self.nodes.append(Member(os.path.join(self.folder, str(number)), number, home, more,
                                     network.places[number] if network else None))
        if start:
            try:
                self.start()
            except BaseException:
                self.stop()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def __getitem__(self, number):
        return self.nodes[number]

    # ---- life ----

    def start(self):
        """Starts whoever does not run, all at once, and returns when they see each other."""
        begun = []
        for node in self.nodes:
            if not node.is_alive():
                node.address = node.home
                begun.append((node, node.launch()))
        for node, begin in begun:
            node.wait_ready(begin)
        return self.wait_agree()

    def stop(self):
        """Ends all of them, each in its own time."""
        for node in self.nodes:
            if node.is_alive():
                if node.is_stopped:
                    node.resume()
                node.process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            node.stop(20)

    def kill_all(self):
        for node in self.alive():
            node.process.kill()
        for node in self.alive():
            node.process.wait()

    def alive(self):
        return [node for node in self.nodes if node.is_alive()]

    def talking(self):
        return [node for node in self.alive() if not node.is_stopped]

    def random(self, rng=random, but=()):
        return rng.choice([node for node in self.talking() if node not in but])

    def warm(self):
        """Gives each node the environment of a project without requirements, made on the loopback: what
        follows is not about downloads, and in a Network there are none. To be called before start()."""
        with Node(os.path.join(self.folder, "first")) as first:
            document = first.wait_done(first.submit(zips.of_files(zips.project("warm",
                                                                              test_a="def test(): pass\n"))))
            assert document["_run_info"]["nota"] == 20, document
        for node in self.nodes:
            os.makedirs(node.data, exist_ok=True)
            subprocess.run(["cp", "-a", os.path.join(first.data, "envs"), node.data], check=True)
        return self

    # ---- agreement ----

    def wait(self, condition, what, timeout, pause=0.05):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise NodeFailed(f"not within {timeout} s: {what}\n{self.tails()}")
            time.sleep(pause)

    def agree(self, among=None):
        """Do all of `among` (all that run) see exactly each other?"""
        among = among or self.talking()
        wanted = {node.home for node in among}
        return all(node.members() == wanted for node in among)

    def wait_agree(self, among=None, timeout=AGREE_S):
        self.wait(lambda: self.agree(among), "all see each other", timeout)
        return self

    def answers(self, path, among=None):
        """[what each says, without how old it is]"""
        said = []
        for node in among or self.talking():
            text = node.try_json(path)
            if text is not None:
                text.pop("stale_ms", None)
            said.append(text)
        return said

    def wait_same(self, id, timeout=120, among=None):
        """Until every node that runs says that the evaluation is over, in the same words and with the
        same totals. Returns the document."""
        def over():
            said = self.answers(f"/evaluation/{id}", among)
            return all(text and text["status"] in OVER for text in said) and said

        said = self.wait(over, f"evaluation {id} over everywhere", timeout)
        assert all(text == said[0] for text in said), differences(said)
        self.wait(lambda: self.same_totals(among), "the same totals everywhere", 15)
        assert self.answers(f"/evaluation/{id}", among) == said
        return said[0]

    def same_totals(self, among=None):
        said = [text and text["all"] for text in self.answers("/stats", among)]
        return said[0] if said[0] and all(one == said[0] for one in said) else None

    def totals(self):
        return self.wait(self.same_totals, "the same totals everywhere", 15)

    def tails(self):
        shown = 1500
        return "\n".join(f"--- {node}{'' if node.is_alive() else ' is down'}\n{node.tail(shown)}"
                         for node in self.nodes if os.path.exists(node.log))


def differences(said):
    """Where documents differ, for people."""
    lines = []
    for key in sorted({key for text in said for key in text}):
        values = [text.get(key) for text in said]
        if key == "module_results":
            values = [{f"{project}/{path}": row for project, rows in value.items()
                       for path, row in rows.items()} for value in values]
            for name in sorted({name for value in values for name in value}):
                rows = [value.get(name) for value in values]
                if any(row != rows[0] for row in rows):
                    lines.append(f"{name}: " + json.dumps(rows))
        elif any(value != values[0] for value in values):
            lines.append(f"{key}: " + json.dumps(values))
    return "\n".join(lines)
