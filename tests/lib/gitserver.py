"""A real git server on loopback: git's own http backend behind nginx, with TLS from an authority of its own.

    with GitServer(folder) as server:
        server.repository("owner/calc", {"tests/test_a.py": "…"})
        node = Node(…, *server.node_options(), env=server.node_env())

Repositories below `private/` need a token (any user's name, as hosts do it); those with `slow` in their
path come at `rate` bytes a second. nginx and fcgiwrap are Debian's; what is started here is ended by
process id.
"""

import base64
import hashlib
import http.server
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import zlib

from mesh import free_ports

START_S = 10
HOST = "localhost"
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

CONFIG = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
    log_format times "$msec $request_time $request_method $uri";
    map $uri $rate {{ ~slow {rate}; default 0; }}
    access_log {folder}/access.log;
    access_log {folder}/times.log times;
    client_body_temp_path {folder}/body; fastcgi_temp_path {folder}/fastcgi; proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {host};
        ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;
        ssl_protocols {protocols};
        limit_rate $rate;
        location ~ ^/private/ {{
            if ($http_authorization != "{authorization}") {{
                add_header WWW-Authenticate 'Basic realm="git"' always;
                return 401;
            }}
            {backend}
        }}
        {places}
        location / {{ {backend} }}
    }}
}}
"""

BACKEND = """
            fastcgi_pass unix:{folder}/cgi.sock;
            fastcgi_param SCRIPT_FILENAME {program};
            fastcgi_param GIT_PROJECT_ROOT {folder}/repositories;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param GIT_CONFIG_NOSYSTEM 1;
            fastcgi_param HOME {folder};
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
            fastcgi_buffering {buffering}; fastcgi_max_temp_file_size 0;
"""


def find(*names):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/usr/lib/git-core"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    return None


def missing():
    """What this machine lacks for a server, or None."""
    for name in ("git", "nginx", "fcgiwrap", "openssl", "git-http-backend"):
        if not find(name):
            return f"{name} is not installed"
    return None


def run(*words, cwd=None, data=None):
    env = {"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
           "GIT_COMMITTER_DATE": "1700000000 +0000"}
    done = subprocess.run(words, cwd=cwd, input=data, env=env, timeout=120, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class GitServer:
    def __init__(self, folder, start=True, protocols="TLSv1.2 TLSv1.3", rate=0, workers=4):
        self.folder = str(folder)
        # Its own: who looks for it on the loopback does not find that of a test beside.
        self.token = "s3cret-canary-" + secrets.token_hex(16)
        self.protocols = protocols
        self.rate = rate  # bytes a second; 0: as fast as it goes
        self.workers = workers  # requests that git serves at once
        self.port = free_ports(1)[0]
        self.places = "location ~ ^/renamed/(.*)$ { return 301 https://$http_host/o/$1?$args; }"
        self.processes = []
        os.makedirs(os.path.join(self.folder, "repositories"), exist_ok=True)
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    # ---- life ----

    def make_certificates(self):
        def openssl(*words):
            run(find("openssl"), *words, cwd=self.folder)

        if os.path.exists(self.authority):
            return
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
                "-days", "2", "-subj", "/CN=testmesh test authority",
                "-addext", "basicConstraints=critical,CA:TRUE")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr",
                "-subj", f"/CN={HOST}")
        with open(os.path.join(self.folder, "server.ext"), "w", encoding="ascii") as file:
            file.write(f"subjectAltName=DNS:{HOST}\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "server.ext")

    def authorization(self):
        return "Basic " + base64.b64encode(f"x-access-token:{self.token}".encode()).decode()

    def start(self):
        self.make_certificates()
        backend = BACKEND.format(folder=self.folder, program=find("git-http-backend"),
                                 buffering="on" if self.rate else "off")  # else there is no rate
        config = os.path.join(self.folder, "nginx.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(folder=self.folder, port=self.port, host=HOST, backend=backend,
                                     protocols=self.protocols, places=self.places, rate=self.rate,
                                     authorization=self.authorization()))
        sock = os.path.join(self.folder, "cgi.sock")
        if os.path.exists(sock):
            os.unlink(sock)
        with open(os.path.join(self.folder, "out"), "ab") as out:
            for words in ([find("fcgiwrap"), "-c", str(self.workers), "-s", "unix:" + sock],
                          [find("nginx"), "-p", self.folder, "-e", self.folder + "/error.log", "-c",
                           config]):
                self.processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out,
                                                       stderr=out, cwd=self.folder,
                                                       start_new_session=True))
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.02)

    def stop(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            try:
                os.killpg(process.pid, signal.SIGKILL)  # fcgiwrap's workers outlive it
            except ProcessLookupError:
                pass
        self.processes = []

    def log(self):
        text = ""
        for name in ("error.log", "out"):
            path = os.path.join(self.folder, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()[-4000:]
        return text

    def requests(self):
        with open(os.path.join(self.folder, "access.log"), encoding="utf-8") as file:
            return file.read().splitlines()

    def busiest(self, part):
        """How many packs of repositories with `part` in their path were under way at once, at most."""
        edges = []
        with open(os.path.join(self.folder, "times.log"), encoding="utf-8") as file:
            for line in file:
                end, seconds, method, path = line.split(None, 3)
                if method == "POST" and part in path:
                    edges += [(float(end) - float(seconds), 1), (float(end), -1)]
        busy = most = 0
        for _, step in sorted(edges):
            busy += step
            most = max(most, busy)
        return most

    # ---- for a node ----

    @property
    def authority(self):
        return os.path.join(self.folder, "ca.pem")

    def bundle(self):
        """Our authority beside those of this machine: what installers need is fetched as ever."""
        path = os.path.join(self.folder, "bundle.pem")
        with open(path, "wb") as out:
            for name in (self.authority, os.environ.get("SSL_CERT_FILE", SYSTEM_AUTHORITIES)):
                if os.path.exists(name):
                    with open(name, "rb") as file:
                        out.write(file.read())
        return path

    def node_options(self):
        return ["--git-host", f"{HOST}:{self.port}", "--git-allow-address", "127.0.0.1/32",
                "--git-allow-address", "::1"]

    def node_env(self):
        return {"SSL_CERT_FILE": self.bundle(), "SSL_CERT_DIR": None}

    def url(self, name, more=""):
        return f"https://{HOST}:{self.port}/{name}{more}"

    # ---- repositories ----

    def path(self, name):
        return os.path.join(self.folder, "repositories", name + ".git")

    def bare(self, name):
        """An empty repository; its path."""
        path = self.path(name)
        run("git", "init", "-q", "--bare", "-b", "main", path)
        run("git", "config", "uploadpack.allowReachableSHA1InWant", "true", cwd=path)
        return path

    def repository(self, name, files, links=(), branch="main"):
        """A repository, or one more branch of it, with one commit of {path: text}; the commit."""
        path = self.path(name)
        if not os.path.exists(path):
            self.bare(name)
        return self.commit_tree(name, self.tree_of(path, files, dict(links)), branch)

    def tree_of(self, path, files, links=None):
        """Makes the tree of {path: text or bytes} and {path: target}, as git would; its id."""
        index = os.path.join(self.folder, "index")
        if os.path.exists(index):
            os.unlink(index)
        env_git = ["env", f"GIT_INDEX_FILE={index}", "git"]
        lines = b""
        for kind, some in (("100644", files), ("120000", links or {})):
            for name, text in some.items():
                blob = self.blob(path, text)
                mode = "100755" if name.endswith(".sh") else kind
                lines += f"{mode} {blob}\t{name}\n".encode()
        run(*env_git, "update-index", "--add", "--index-info", cwd=path, data=lines)
        return run(*env_git, "write-tree", cwd=path).decode().strip()

    def blob(self, path, text):
        data = text if isinstance(text, bytes) else text.encode()
        return run("git", "hash-object", "-w", "--stdin", cwd=path, data=data).decode().strip()

    def raw_tree(self, name, entries):
        """A tree that git itself would not make: [(mode, name, object id)]; its id."""
        data = b"".join(f"{mode} {item}".encode() + b"\0" + bytes.fromhex(oid)
                        for mode, item, oid in entries)
        return run("git", "hash-object", "-t", "tree", "--literally", "-w", "--stdin",
                   cwd=self.path(name), data=data).decode().strip()

    def commit_tree(self, name, tree, branch="main", parent=None):
        path = self.path(name)
        words = ["-p", parent] if parent else []
        commit = run("git", "commit-tree", tree, "-m", "x", *words, cwd=path).decode().strip()
        run("git", "update-ref", f"refs/heads/{branch}", commit, cwd=path)
        return commit


# ---- packs by hand (gitformat-pack(5)) ----

def varint(value):
    """A size, seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def head_of(kind, size):
    first = kind << 4 | size & 15
    return bytes([first | 0x80]) + varint(size >> 4) if size >> 4 else bytes([first])


def packed(kind, data):
    return head_of(kind, len(data)) + zlib.compress(data)


def distance(value):
    """How far before an object its base begins."""
    out = [value & 0x7F]
    while value := value >> 7:
        value -= 1
        out.insert(0, value & 0x7F | 0x80)
    return bytes(out)


class OddServer:
    """A host that speaks TLS as the git server does, and git never as it should. The first part of a
    path says how it misbehaves."""

    def __init__(self, server):
        self.server = server
        self.seen = []  # (path, authorization)
        self.ended = threading.Event()
        odd = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *unused):
                pass

            def do_GET(self):
                odd.seen.append((self.path, self.headers.get("Authorization")))
                try:
                    getattr(odd, "get_" + self.path.split("/")[1])(self)
                except OSError:
                    pass  # the client has had enough

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.do_GET()

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
        self.http.shutdown()
        self.http.server_close()

    def node_options(self):
        return ["--git-host", f"{HOST}:{self.port}"]

    def url(self, name):
        return f"https://{HOST}:{self.port}/{name}"

    # ---- ways to misbehave ----

    @staticmethod
    def refs(commit="1" * 40):
        line = commit.encode() + b" HEAD\0side-band-64k ofs-delta symref=HEAD:refs/heads/main\n"
        return b"001e# service=git-upload-pack\n0000" + b"%04x" % (len(line) + 4) + line + b"0000"

    @staticmethod
    def answer(request, status, kind="text/plain", body=b"", **headers):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    def say_refs(self, request, *commit):
        """The list of branches, and whether that was what was asked for."""
        if "info/refs" not in request.path:
            return False
        self.answer(request, 200, "application/x-git-upload-pack-advertisement", self.refs(*commit))
        return True

    def begin_pack(self, request):
        request.send_response(200)
        request.send_header("Content-Type", "application/x-git-upload-pack-result")
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        request.wfile.write(b"0008NAK\n")

    def get_endless(self, request):
        """A pack of very many objects, each of which is fine."""
        if self.say_refs(request):
            return
        self.begin_pack(request)

        def put(data):
            request.wfile.write(b"%04x\x01" % (len(data) + 5) + data)

        put(b"PACK" + (2).to_bytes(4, "big") + (900000).to_bytes(4, "big"))
        for _ in range(900000):
            if self.ended.is_set():
                return
            put(packed(3, os.urandom(20000)))

    def get_liar(self, request):
        """A pack that claims more objects than anybody has."""
        if self.say_refs(request):
            return
        self.begin_pack(request)
        data = b"PACK" + (2).to_bytes(4, "big") + (0xFFFFFFFF).to_bytes(4, "big") + b"x" * 50
        request.wfile.write(b"%04x\x01" % (len(data) + 5) + data + b"0000")

    def get_damaged(self, request):
        if self.say_refs(request):
            return
        self.begin_pack(request)
        data = b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\xff" * 50
        request.wfile.write(b"%04x\x01" % (len(data) + 5) + data + b"0000")

    def get_bomb(self, request):
        """A pack of 20 KiB with a file of 1 GiB: a difference that says 64 times "the whole of that"."""
        base = b"\0" * (16 * 1024 * 1024 - 1)
        whole = 64 * len(base)
        blob = hashlib.sha1(b"blob %d\0" % whole)
        for _ in range(64):
            blob.update(base)
        tree = b"100644 bomb.bin\0" + blob.digest()
        tree_id = hashlib.sha1(b"tree %d\0" % len(tree) + tree).hexdigest()
        person = b"a <a@example.org> 1700000000 +0000"
        commit = b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree_id.encode(), person, person)
        commit_id = hashlib.sha1(b"commit %d\0" % len(commit) + commit).hexdigest()
        if self.say_refs(request, commit_id):
            return
        first = packed(3, base)
        delta = varint(len(base)) + varint(whole) + b"\xf0\xff\xff\xff" * 64
        second = head_of(6, len(delta)) + distance(len(first)) + zlib.compress(delta)
        pack = (b"PACK" + (2).to_bytes(4, "big") + (4).to_bytes(4, "big") + first + second
                + packed(2, tree) + packed(1, commit))
        pack += hashlib.sha1(pack).digest()
        self.begin_pack(request)
        for at in range(0, len(pack), 60000):
            piece = pack[at:at + 60000]
            request.wfile.write(b"%04x\x01" % (len(piece) + 5) + piece)
        request.wfile.write(b"0000")

    def get_silent(self, request):
        """Takes the request, asks for a token first, and then says nothing."""
        if not request.headers.get("Authorization") and "asks" in request.path:
            self.answer(request, 401, WWW_Authenticate='Basic realm="x"')
            return
        self.ended.wait(120)

    def get_elsewhere(self, request):
        self.answer(request, 301, Location=self.server.url("o/calc.git/info/refs?service=git-upload-pack"))

    def get_plain(self, request):
        to = f"http://{HOST}:{self.port}/damaged/x.git/info/refs?service=git-upload-pack"
        self.answer(request, 302, Location=to)

    def get_login(self, request):
        self.answer(request, 302, Location=self.url("html/sign_in"))

    def get_round(self, request):
        self.answer(request, 302, Location=self.url("round/x.git/info/refs?service=git-upload-pack"))

    def get_html(self, request):
        self.answer(request, 200, "text/html", b"<html>hello</html>")

    def get_busy(self, request):
        self.answer(request, 429, Retry_After="3600")

    def get_limited(self, request):
        self.answer(request, 403, X_RateLimit_Remaining="0")

    def get_forbidden(self, request):
        self.answer(request, 403)

    def get_broken(self, request):
        self.answer(request, 502)
