"""A real Prometheus under test, with the project's own configuration but for whom it asks.

    with Prometheus(folder, [node.home for node in mesh], workers=[…]) as prometheus:
        prometheus.query('sum(up)')       # [{"metric": {…}, "value": [time, "4"]}, …]

It listens on a free port of loopback and keeps everything in its folder.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from mesh import free_ports
from node import ROOT, NodeFailed

START_S = 30
SCRAPE_S = 1


def find(program):
    return shutil.which(program)


class Prometheus:
    def __init__(self, folder, nodes, token=None, scrape_s=SCRAPE_S):
        self.folder = str(folder)
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.log = os.path.join(self.folder, "prometheus.log")
        os.makedirs(self.folder, exist_ok=True)
        shutil.copy(os.path.join(ROOT, "deploy", "prometheus", "alerts.yml"), self.folder)
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(self.render(nodes, token, scrape_s))
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [find("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address={self.address}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        self.wait(self.is_ready, "Prometheus is ready", START_S)

    def render(self, nodes, token, scrape_s):
        """The file that is delivered, with names that are looked up replaced by addresses."""
        with open(os.path.join(ROOT, "deploy", "prometheus", "prometheus.yml"), encoding="utf-8") as file:
            text = file.read()
        jobs = re.split(r"(?=^  - job_name: )", text, flags=re.M)
        assert [re.search(r"job_name: (\S+)", job)[1] for job in jobs[1:]] == \
            ["testmesh", "testmesh-workers", "prometheus"]
        head = re.sub(r"_interval: \d+s", f"_interval: {scrape_s}s", jobs[0])
        head = re.sub(r"scrape_timeout: \d+s", f"scrape_timeout: {scrape_s}s", head)
        more = ""
        if token:
            path = os.path.join(self.folder, "token")
            with open(path, "w", encoding="utf-8") as file:
                file.write(token)
            more = f"    authorization:\n      credentials_file: {path}\n"

        def job(name, targets):
            return (f"  - job_name: {name}\n{more}    static_configs:\n"
                    f"      - targets: {json.dumps(targets)}\n")

        return head + job("testmesh", nodes[:4]) + job("testmesh-workers", nodes[4:])

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=20) as answer:
            return json.load(answer)

    def is_ready(self):
        if self.process.poll() is not None:
            raise NodeFailed(f"Prometheus ended with {self.process.returncode}:\n{self.tail()}")
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def query(self, expression):
        """The samples; an expression that makes no sense raises."""
        try:
            answer = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode('utf-8', 'replace')}") from error
        return answer["data"]["result"]

    def targets(self):
        """{address: (health, last error)}"""
        return {target["labels"]["instance"]: (target["health"], target["lastError"])
                for target in self.get("/api/v1/targets")["data"]["activeTargets"]}

    def rules(self):
        """{alert: what it says of itself}"""
        groups = self.get("/api/v1/rules")["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def wait(self, condition, what, timeout, pause=0.2):
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise NodeFailed(f"not within {timeout} s: {what}\n{self.tail()}")
            time.sleep(pause)

    def tail(self):
        with open(self.log, "rb") as log:
            return log.read()[-3000:].decode("utf-8", "replace")
