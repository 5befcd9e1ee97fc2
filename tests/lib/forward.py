"""A proxy as firms have one: CONNECT, and http URLs in whole. What is asked of it is written down."""

import select
import socket
import socketserver
import threading
import urllib.parse


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode("latin-1").split()
        headers = {}
        while True:
            row = self.rfile.readline().decode("latin-1").strip()
            if not row:
                break
            name, _, value = row.partition(":")
            headers[name.strip().lower()] = value.strip()
        if len(line) != 3:
            return
        proxy = self.server.owner
        proxy.asked.append(f"{line[0]} {line[1]}")
        if proxy.authorization and headers.get("proxy-authorization") != proxy.authorization:
            self.wfile.write(b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        self.connect(line, headers)

    def connect(self, line, headers):
        if line[0] == "CONNECT":
            host, _, port = line[1].rpartition(":")
        else:
            url = urllib.parse.urlsplit(line[1])
            host, port = url.hostname, url.port or 80
        try:
            other = socket.create_connection((host.strip("[]"), int(port)), 20)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with other:
            if line[0] == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = url.path + ("?" + url.query if url.query else "")
                kept = "".join(f"{name}: {value}\r\n" for name, value in headers.items()
                               if not name.startswith("proxy-"))
                other.sendall(f"{line[0]} {path} HTTP/1.1\r\n{kept}\r\n".encode("latin-1"))
            self.relay(other)

    def relay(self, other):
        sides = {self.connection: other, other: self.connection}
        while True:
            ready, _, _ = select.select(list(sides), [], [], 60)
            for side in ready:
                data = side.recv(65536)
                if not data:
                    return
                sides[side].sendall(data)
            if not ready:
                return


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Proxy:
    def __init__(self, authorization=None):
        self.asked = []
        self.authorization = authorization
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.owner = self
        self.host = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
