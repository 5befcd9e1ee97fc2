"""A network of its own for each test: a namespace a node, all on one bridge in one more.

    with Network(4) as network:
        with Mesh(folder, 4, network=network) as mesh:
            network.split([0, 1], [2, 3])
            network.heal()

Nothing of it is in the machine's own network, and nothing gets out. Names begin with the maker's pid
and something random: all go when the test ends, and what a killed test left goes with the next one.
"""

import ctypes
import os
import re
import secrets
import shutil
import socket
import subprocess

CLONE_NEWNET = 0x40000000
FOLDER = "/run/netns"
NAME = re.compile(r"tm-(\d+)-[0-9a-f]{6}-\w+")
PLACES_MAX = 16
COMMAND_S = 20
ETHERNET_BYTES = 14

libc = ctypes.CDLL(None, use_errno=True)


class NoNamespaces(Exception):
    pass


def run(*words):
    result = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S)
    if result.returncode != 0:
        raise NoNamespaces(f"{' '.join(words)}: {result.stdout.strip() or result.returncode}")
    return result.stdout


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise NoNamespaces(f"{name} is not installed")
    return found


def hardware(number):
    """A locally administered address of Ethernet."""
    return f"02:00:00:00:00:{number + 1:02x}"


def enter(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Place:
    """One namespace with one address."""

    def __init__(self, name, address):
        self.name, self.address = name, address
        self.prefix = [program("nsenter"), f"--net={FOLDER}/{name}", "--"]

    def connect(self, address, timeout=None, source_address=None):
        """socket.create_connection() from inside: a socket stays where it was made."""
        outside = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        inside = os.open(f"{FOLDER}/{self.name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(inside)
            try:
                return socket.create_connection(address, timeout, source_address)
            finally:
                enter(outside)
        finally:
            os.close(outside)
            os.close(inside)

    def sent(self):
        """(packets, bytes) that its interface has sent; bytes with all headers but Ethernet's."""
        text = run(program("ip"), "netns", "exec", self.name, "cat",
                   "/sys/class/net/eth0/statistics/tx_packets",
                   "/sys/class/net/eth0/statistics/tx_bytes")
        packets, sent = (int(line) for line in text.split())
        return packets, sent - ETHERNET_BYTES * packets


class Network:
    def __init__(self, count):
        assert 1 <= count <= PLACES_MAX
        self.prefix = f"tm-{os.getpid()}-{secrets.token_hex(3)}"
        self.hub = f"{self.prefix}-hub"
        self.places = []
        try:
            self.ip, self.iptables = program("ip"), program("iptables")
            remove_left_behind(self.ip)
            self.make(count)
        except (NoNamespaces, OSError, subprocess.TimeoutExpired) as error:
            self.close()
            raise NoNamespaces(str(error)) from error

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def make(self, count):
        run(self.ip, "netns", "add", self.hub)
        run(self.ip, "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run(self.ip, "-n", self.hub, "link", "set", "bridge", "up")
        for number in range(count):
            place = Place(f"{self.prefix}-{number}", f"10.77.0.{number + 1}")
            self.places.append(place)
            run(self.ip, "netns", "add", place.name)
            run(self.ip, "-n", self.hub, "link", "add", f"port{number}", "type", "veth", "peer",
                "name", "eth0", "netns", place.name)
            run(self.ip, "-n", self.hub, "link", "set", f"port{number}", "master", "bridge", "up")
            run(self.ip, "netns", "exec", place.name, "sh", "-c",
                "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")  # it talks by itself
            run(self.ip, "-n", place.name, "link", "set", "lo", "up")
            run(self.ip, "-n", place.name, "address", "add", f"{place.address}/24", "dev", "eth0")
            run(self.ip, "-n", place.name, "link", "set", "eth0", "address", hardware(number), "up")
        for place in self.places:  # so that nobody has to ask, which would count as traffic
            for number, other in enumerate(self.places):
                if other is not place:
                    run(self.ip, "-n", place.name, "neigh", "replace", other.address, "lladdr",
                        hardware(number), "dev", "eth0", "nud", "permanent")

    def close(self):
        for name in [place.name for place in self.places] + [self.hub]:
            if os.path.exists(f"{FOLDER}/{name}"):
                subprocess.run([self.ip, "netns", "del", name], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               timeout=COMMAND_S)
        self.places = []

    def rule(self, place, *words):
        run(self.ip, "netns", "exec", place.name, self.iptables, "-w", *words)

    # ---- faults ----

    def deafen(self, to, by):
        """What `by` sends never arrives at `to`: one way, and silent. Both are numbers."""
        self.rule(self.places[to], "-A", "INPUT", "-s", self.places[by].address, "-j", "DROP")

    def cut(self, a, b):
        self.deafen(a, b)
        self.deafen(b, a)

    def split(self, *groups):
        """No group hears another."""
        for at, group in enumerate(groups):
            for other in groups[at + 1:]:
                for a in group:
                    for b in other:
                        self.cut(a, b)

    def heal(self):
        for place in self.places:
            self.rule(place, "-F", "INPUT")


def remove_left_behind(ip):
    """Namespaces whose maker is gone."""
    for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else ():
        found = NAME.fullmatch(name)
        if found and not os.path.exists(f"/proc/{found.group(1)}"):
            subprocess.run([ip, "netns", "del", name], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=COMMAND_S)
