"""A mesh of real nodes on loopback: start, see it whole, hurt it, compare what its nodes answer.

    with Mesh(folder, 4) as mesh:
        id = mesh[0].submit(zips.of_examples())
        mesh[0].kill()
        documents = mesh.wait_done(id)

Small on purpose: tests of faults and tests of the API share it. A node of a mesh is an ordinary
Node (node.py); it has `--join` with the addresses of those that were started before it.
"""

import concurrent.futures
import json
import os
import time

from node import Node, NodeFailed

MEET_S = 20

# What two nodes may say differently about one evaluation without disagreeing about it.
ASIDE = ("stale_ms",)


class Mesh:
    def __init__(self, folder, count=4, *options, start=True, names=None):
        self.folder = str(folder)
        self.options = list(options)
        self.nodes = []
        if not start:
            return
        try:
            for index in range(count):
                self.add(name=names[index] if names else None)
            self.wait_whole()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def __getitem__(self, index):
        return self.nodes[index]

    def __iter__(self):
        return iter(self.nodes)

    def __len__(self):
        return len(self.nodes)

    def add(self, *options, name=None, join=None):
        """One more node; joins through those that are alive, or through `join`."""
        name = name or f"n{len(self.nodes)}"
        known = [node.address for node in self.alive()] if join is None else join
        more = [word for address in known for word in ("--join", address)]
        node = Node(os.path.join(self.folder, name), "--name", name, *more, *self.options, *options)
        self.nodes.append(node)
        return node

    def alive(self):
        return [node for node in self.nodes if node.is_alive()]

    def stop(self):
        """Ends all of them, side by side."""
        with concurrent.futures.ThreadPoolExecutor(max(1, len(self.nodes))) as pool:
            list(pool.map(lambda node: node.stop(), self.nodes))

    def kill_all(self):
        for node in self.alive():
            node.kill()

    # ---- what they see ----

    def states(self, node):
        """{address: state} as one node sees it, itself included."""
        return {row["address"]: row["state"] for row in node.get_json("/nodes")["nodes"]}

    def is_whole(self, among=None):
        """Every living node sees exactly the living ones."""
        nodes = among or self.alive()
        wanted = sorted(node.address for node in nodes)
        return all(sorted(node.get_json("/network")) == wanted for node in nodes)

    def wait_whole(self, timeout=MEET_S, among=None):
        return self.wait_until(lambda: self.is_whole(among), "all nodes see each other", timeout)

    def wait_until(self, condition, what, timeout=60, pause=0.05):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {node.address}\n{node.tail(1500)}" for node in self.nodes)
                raise NodeFailed(f"not within {timeout} s: {what}\n{tails}")
            time.sleep(pause)

    def answers(self, path, nodes=None):
        """What each living node answers to GET path, read as JSON."""
        return [node.get_json(path) for node in nodes or self.alive()]

    def wait_same(self, path, nodes=None, timeout=30):
        """Waits until all living nodes give one answer to GET path; returns it."""
        def same():
            found = self.answers(path, nodes)
            return found if all(value == found[0] for value in found) else None

        return self.wait_until(same, f"the same {path} everywhere", timeout)[0]

    def wait_done(self, id, timeout=300, nodes=None):
        """Waits until every living node has the end of an evaluation; returns the one document that
        they must all give."""
        nodes = nodes or self.alive()
        documents = [node.wait_done(id, timeout) for node in nodes]
        texts = {json.dumps({key: value for key, value in document.items() if key not in ASIDE},
                            sort_keys=True) for document in documents}
        assert len(texts) == 1, texts
        return documents[0]
