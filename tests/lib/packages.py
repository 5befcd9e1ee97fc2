"""A package index on loopback, with source packages that are made here.

    with Index() as index:
        index.add("probe", code="import os\\n")        # runs while it is built
        node = Node(…, env={"PIP_EXTRA_INDEX_URL": index.url})

A package needs nothing to be built: its backend is in itself, and its module is what `code` leaves in
RESULTS.
"""

import hashlib
import http.server
import io
import tarfile
import threading

BACKEND = '''
import base64, hashlib, os, pprint, zipfile

NAME = {name!r}
RESULTS = {{}}


def code():
{code}


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = NAME + "-1.0.dist-info"
    os.makedirs(os.path.join(metadata_directory, folder))
    for name, text in metadata().items():
        with open(os.path.join(metadata_directory, name), "w") as file:
            file.write(text)
    return folder


def metadata():
    return {{NAME + "-1.0.dist-info/METADATA": "Metadata-Version: 2.1\\nName: " + NAME + "\\nVersion: 1.0\\n",
            NAME + "-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\n"
                                           "Tag: py3-none-any\\n"}}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    code()
    files = {{NAME + ".py": "RESULTS = " + pprint.pformat(RESULTS) + "\\n", **metadata()}}
    record = NAME + "-1.0.dist-info/RECORD"
    rows = []
    path = os.path.join(wheel_directory, NAME + "-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
            rows.append(f"{{name}},sha256={{digest.decode()}},{{len(text)}}")
            wheel.writestr(name, text)
        wheel.writestr(record, "\\n".join([*rows, record + ",,"]) + "\\n")
    return os.path.basename(path)
'''

PROJECT = """[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "{name}"
version = "1.0"
"""


def source_package(name, code):
    """The bytes of a .tar.gz whose build runs `code`."""
    indented = "".join(f"    {line}\n" for line in (code or "pass").splitlines())
    files = {"pyproject.toml": PROJECT.format(name=name),
             "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
             "backend.py": BACKEND.format(name=name, code=indented)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{path}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


class Index:
    def __init__(self, address="127.0.0.1"):
        self.files = {}  # path: bytes
        self.links = {}  # name: where its file is, when that is not here
        self.asked = []  # request lines
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked.append(self.requestline)
                body = outer.page(self.path)
                self.send_response(404 if body is None else 200)
                body = body or b"no\n"
                self.send_header("Content-Type", "text/html" if self.path.endswith("/")
                                 else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.host = f"{address}:{self.port}"
        self.url = f"http://{self.host}/simple/"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add(self, name, code="", link=None):
        self.files[f"/files/{name}-1.0.tar.gz"] = source_package(name, code)
        self.links[name] = link

    def page(self, path):
        if path in self.files:
            return self.files[path]
        name = path[len("/simple/"):-1] if path.startswith("/simple/") else None
        if name not in self.links:
            return None
        file = f"/files/{name}-1.0.tar.gz"
        digest = hashlib.sha256(self.files[file]).hexdigest()
        base = self.links[name] or ""
        return f'<a href="{base}{file}#sha256={digest}">{name}-1.0.tar.gz</a>\n'.encode()
