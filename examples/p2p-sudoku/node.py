"""A peer of the course exercise: checks and solves sudoku grids for others, over HTTP.

    python3 node.py -p HTTP_PORT -s PEER_PORT [-a HOST:PEER_PORT]

Peers find each other by datagrams on PEER_PORT; clients talk to HTTP_PORT.
"""

import argparse
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sudoku.grid import is_solved, solve


class Peer:
    def __init__(self, port, anchor):
        self.address = f"127.0.0.1:{port}"
        self.peers = set()
        self.solved = 0
        self.validations = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        threading.Thread(target=self.listen, daemon=True).start()
        if anchor:
            self.send(anchor, {"kind": "hello", "from": self.address})

    def send(self, address, message):
        host, port = address.split(":")
        self.socket.sendto(json.dumps(message).encode(), (host, int(port)))

    def listen(self):
        while True:
            data, _ = self.socket.recvfrom(65535)
            message = json.loads(data)
            if message["kind"] == "hello":
                self.send(message["from"], {"kind": "peers", "from": self.address,
                                            "peers": sorted(self.peers)})
                for peer in self.peers:
                    self.send(peer, {"kind": "joined", "peer": message["from"]})
                self.peers.add(message["from"])
            elif message["kind"] == "peers":
                self.peers |= {message["from"], *message["peers"]}
            elif message["kind"] == "joined":
                self.peers.add(message["peer"])

    def network(self):
        everyone = sorted(self.peers | {self.address})
        return {one: [other for other in everyone if other != one] for one in everyone}

    def stats(self):
        return {"all": {"solved": self.solved, "validations": self.validations},
                "nodes": [{"address": self.address, "validations": self.validations}]}

    def solve(self, grid):
        solution, validations = solve(grid)
        self.solved += 1
        self.validations += validations
        return solution


def handler_of(peer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/stats":
                self.answer(200, peer.stats())
            elif self.path == "/network":
                self.answer(200, peer.network())
            else:
                self.answer(404, {"error": "no such path"})

        def do_POST(self):
            length = int(self.headers.get("Content-Length", 0))
            grid = json.loads(self.rfile.read(length))["sudoku"]
            if self.path == "/solve":
                self.answer(200, peer.solve(grid))
            elif self.path == "/check":
                self.answer(200, {"valid": is_solved(grid)})
            else:
                self.answer(404, {"error": "no such path"})

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *unused):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", type=int, required=True)
    parser.add_argument("-s", type=int, required=True)
    parser.add_argument("-a", default=None)
    arguments = parser.parse_args()
    peer = Peer(arguments.s, arguments.a)
    ThreadingHTTPServer(("127.0.0.1", arguments.p), handler_of(peer)).serve_forever()


if __name__ == "__main__":
    main()
