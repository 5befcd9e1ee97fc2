"""The front under test: nginx with the project's own configuration, on a free port.

    with Front(folder, [node.home for node in mesh], upload_max="1M") as front:
        front.get("/evaluation")

A Front asks and answers as a Node does.
"""

import os
import shutil
import subprocess
import time

from mesh import free_ports
from node import ROOT, Node, NodeFailed

START_S = 10


def find_nginx():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


class Front(Node):
    def __init__(self, folder, nodes, upload_max="512M", start=True):
        self.folder, self.nodes, self.upload_max = str(folder), nodes, upload_max
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.config = os.path.join(self.folder, "nginx.conf")
        self.log = os.path.join(self.folder, "error.log")
        self.process = None
        os.makedirs(self.folder, exist_ok=True)
        self.render()
        if start:
            self.start()

    def render(self):
        made = subprocess.run([os.path.join(ROOT, "nginx", "render.sh"), self.folder,
                               self.address.rpartition(":")[2], self.upload_max, *self.nodes],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        with open(self.config, "wb") as file:
            file.write(made.stdout)

    def command(self, *more):
        return [find_nginx(), "-p", self.folder + "/", "-e", self.log, "-c", self.config, *more]

    def check(self):
        """What `nginx -t` says: (is it well, text)."""
        said = subprocess.run(self.command("-t"), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=START_S)
        return said.returncode == 0, said.stdout

    def start(self, *more):
        with open(os.path.join(self.folder, "nginx.out"), "ab") as out:
            self.process = subprocess.Popen(self.command("-g", "daemon off;"), stdout=out,
                                            stderr=out, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_S
        while True:
            try:
                return self.get("/.problem", timeout=5) and self  # asks no node
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise NodeFailed(f"nginx does not answer:\n{self.tail()}") from None
            time.sleep(0.02)
