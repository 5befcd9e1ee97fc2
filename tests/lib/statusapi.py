"""A git host's API for commit statuses, over TLS with the git server's certificate.

    with StatusApi(server) as api:
        node = Node(…, *api.node_options(), …)
        api.told("owner/name")  # [(commit, state, body)] in the order that they came

What a repository's posts are answered with, one after the other, is in `ways`: a status, a status with
headers, or a function that does as it likes with the request. Behind the last one all is well."""

import http.server
import json
import os
import ssl
import threading
import time
import urllib.parse

from gitserver import HOST


class StatusApi:
    def __init__(self, server, kind="github"):
        self.server = server
        self.kind = kind
        self.posts = []  # (repository, commit, body, headers, time) of those that were answered 201
        self.seen = []  # (path, headers) of all
        self.ways = {}
        self.ended = threading.Event()
        self.released = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *unused):
                pass

            def do_POST(self):
                try:
                    api.take(self)
                except OSError:
                    pass  # the client has had enough

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(server.folder, "server.pem"),
                                os.path.join(server.folder, "server.key"))
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True,
                                               do_handshake_on_connect=False)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.ended.set()
        self.released.set()
        self.http.shutdown()
        self.http.server_close()

    def node_options(self):
        path = "/api/v4" if self.kind == "gitlab" else ""
        return ["--status-api", f"{HOST}:{self.server.port}=https://{HOST}:{self.port}{path}"]

    # ---- what comes ----

    def read_path(self, path):
        """(repository, commit) of a path as the host documents it, or None."""
        parts = path.split("/")
        if self.kind == "gitlab":
            if len(parts) == 7 and parts[:4] == ["", "api", "v4", "projects"] and parts[5] == "statuses":
                return urllib.parse.unquote(parts[4]), parts[6]
        elif len(parts) == 6 and parts[1] == "repos" and parts[4] == "statuses":
            return f"{parts[2]}/{parts[3]}", parts[5]
        return None

    def is_known(self, headers):
        if self.kind == "gitlab":
            return headers.get("PRIVATE-TOKEN") == self.server.token
        return (headers.get("Authorization") == "Bearer " + self.server.token
                and headers.get("User-Agent"))

    def take(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", "0")))
        self.seen.append((request.path, dict(request.headers)))
        place = self.read_path(request.path)
        if place is None:
            self.answer(request, 404)
        elif not self.is_known(request.headers):
            self.answer(request, 401)
        elif self.ways.get(place[0]):
            way = self.ways[place[0]].pop(0)
            if callable(way):
                way(request)
            else:
                self.answer(request, *(way if isinstance(way, tuple) else (way,)))
        else:
            self.posts.append((*place, json.loads(body), dict(request.headers), time.monotonic()))
            self.answer(request, 201)

    @staticmethod
    def answer(request, status, headers=None):
        body = json.dumps({"message": "as you said: " + str(request.headers)}).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    # ---- ways to misbehave ----

    def silent(self, request):
        self.released.wait(60)
        request.close_connection = True

    def endless(self, request):
        request.send_response(500)
        request.end_headers()
        while not self.ended.is_set():
            request.wfile.write(b"x" * 65536)

    # ---- what was told ----

    def told(self, repository):
        return [(commit, body["state"], body) for name, commit, body, *_ in self.posts
                if name == repository]

    def states(self, repository):
        return [state for _, state, _ in self.told(repository)]
