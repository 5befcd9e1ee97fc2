"""A Docker engine for tests: the one that runs, or, in a full run as root, one of our own.

    with engine.find(folder) as found:            # NoEngine says why there is none
        found.docker("ps")

One of our own has its data, its socket and its pid file in `folder`, and everything of it ends with it.
Its base image is made by debootstrap: a registry may be out of reach.
"""

import glob
import os
import shutil
import signal
import subprocess
import time

from node import FULL, ROOT

BASE = "debian:bookworm-slim"
PACKAGES = ("docker.io", "docker-compose", "debootstrap")
START_S = 60
MAKE_S = 600


class NoEngine(Exception):
    pass


def find(folder):
    if answers({}):
        found = Engine({})
        if not found.has(BASE) and found.run("pull", "-q", BASE)[0] != 0:
            raise NoEngine(f"the Docker engine has no image {BASE}, and no registry that gives it one")
        return found
    if not FULL:
        raise NoEngine("no Docker engine answers (./boot.sh test --full starts one, as root)")
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and only root can start one")
    return OwnEngine(str(folder))


def answers(env):
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, env={**os.environ, **env}).returncode == 0


def has_compose(env):
    return shutil.which("docker-compose") is not None or subprocess.run(
        ["docker", "compose", "version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, **env}).returncode == 0


class Engine:
    def __init__(self, env):
        self.env = env
        if not has_compose(env):
            raise NoEngine("there is a Docker engine, and no docker-compose")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        pass

    def run(self, *words, timeout=MAKE_S):
        """(exit code, what it said)"""
        done = subprocess.run(["docker", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=timeout,
                              env={**os.environ, **self.env})
        return done.returncode, done.stdout

    def docker(self, *words, timeout=MAKE_S):
        code, said = self.run(*words, timeout=timeout)
        assert code == 0, said
        return said

    def lines(self, *words):
        return self.docker(*words).split()

    def has(self, image):
        return self.run("image", "inspect", image)[0] == 0


class Machine:
    """What an engine changes in the machine's network, to be put back."""

    BRIDGE = "/sys/class/net/docker0"
    FORWARD = "/proc/sys/net/ipv4/ip_forward"

    def __init__(self):
        self.had_bridge = os.path.exists(self.BRIDGE)
        with open(self.FORWARD) as file:
            self.forwards = file.read()
        self.policy = self.rules("filter")[:3]
        self.groups = set(self.cgroups())
        self.had_rules = any("DOCKER" in rule for rule in self.rules("filter"))

    @staticmethod
    def cgroups():
        return glob.glob("/sys/fs/cgroup/docker") + glob.glob("/sys/fs/cgroup/*/docker")

    @staticmethod
    def rules(table):
        listed = subprocess.run(["iptables", "-t", table, "-S"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True)
        return listed.stdout.splitlines()

    @staticmethod
    def do(*words):
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def put_back(self):
        if not self.had_bridge and os.path.exists(self.BRIDGE):
            self.do("ip", "link", "del", "docker0")
        if not self.had_rules:
            for table in ("filter", "nat"):
                rules = [rule for rule in self.rules(table) if "DOCKER" in rule or "docker0" in rule]
                for rule in rules:
                    if rule.startswith("-A "):
                        self.do("iptables", "-t", table, "-D", *rule.split()[1:])
                for rule in rules:
                    if rule.startswith("-N "):
                        self.do("iptables", "-t", table, "-X", rule.split()[1])
            for rule in self.policy:
                self.do("iptables", *rule.split())
        with open(self.FORWARD, "w") as file:
            file.write(self.forwards)
        for path in set(self.cgroups()) - self.groups:
            try:
                os.rmdir(path)
            except OSError:
                pass  # not empty: not ours alone


class OwnEngine(Engine):
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        install(os.path.join(folder, "apt.log"))
        self.machine = Machine()
        socket = os.path.join(folder, "docker.sock")
        self.log = os.path.join(folder, "dockerd.log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--data-root", os.path.join(folder, "data"), "--exec-root", os.path.join(folder, "exec"),
                 "--pidfile", os.path.join(folder, "dockerd.pid"), "-H", "unix://" + socket],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        env = {"DOCKER_HOST": "unix://" + socket}
        try:
            self.wait(env)
            super().__init__(env)
            self.make_base()
        except BaseException:
            self.__exit__()
            raise

    def wait(self, env):
        deadline = time.monotonic() + START_S
        while not answers(env):
            if self.process.poll() is not None or time.monotonic() > deadline:
                with open(self.log, errors="replace") as log:
                    raise NoEngine("dockerd does not start here: " + log.read()[-1500:])
            time.sleep(0.2)

    def make_base(self):
        """A minimal Debian with this machine's own package sources."""
        tree = os.path.join(self.folder, "base")
        must(["debootstrap", "--variant=minbase", "bookworm", tree])
        for path in sources():
            shutil.copy(path, tree + os.path.dirname(path))
        shutil.rmtree(os.path.join(tree, "var/cache/apt/archives"))
        os.makedirs(os.path.join(tree, "var/cache/apt/archives/partial"))
        made = subprocess.Popen(["tar", "-C", tree, "--numeric-owner", "-c", "."], stdout=subprocess.PIPE)
        done = subprocess.run(["docker", "import", "-", BASE], stdin=made.stdout, stdout=subprocess.DEVNULL,
                              env={**os.environ, **self.env}, timeout=MAKE_S)
        made.stdout.close()
        assert made.wait() == 0 and done.returncode == 0
        shutil.rmtree(tree)

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.machine.put_back()
        shutil.rmtree(self.folder, ignore_errors=True)


def install(log):
    missing = [name for name, program in zip(PACKAGES, ("dockerd", "docker-compose", "debootstrap"))
               if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None]
    if not missing:
        return
    if subprocess.run([os.path.join(ROOT, "deps", "install.sh"), log, *missing],
                      stdin=subprocess.DEVNULL, timeout=MAKE_S).returncode != 0:
        raise NoEngine(f"{' '.join(missing)} cannot be installed: see {log}")
    if "docker.io" in missing and shutil.which("systemctl"):  # they would start at the next boot
        Machine.do("systemctl", "disable", "docker.service", "docker.socket", "containerd.service")


def sources():
    """Where this machine's apt gets its packages, and how; nothing that runs programs."""
    found = [path for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
             if os.path.exists(path)]
    for name in sorted(os.listdir("/etc/apt/apt.conf.d")):
        path = os.path.join("/etc/apt/apt.conf.d", name)
        with open(path, errors="replace") as file:
            text = file.read()
        if text.startswith("Acquire::") and "Invoke" not in text:
            found.append(path)
    return found


def must(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=MAKE_S)
    assert done.returncode == 0, done.stdout[-2000:]
