"""Which processes belong to a node, and which outlived it: read from /proc."""

import os
import time


class Processes:
    """The table of processes at one moment."""

    def __init__(self):
        self.parents = {}
        self.births = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                self.read(int(name))

    def read(self, pid):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return
        if fields[0] not in (b"Z", b"X"):
            self.parents[pid] = int(fields[1])
            self.births[pid] = int(fields[19])

    def below(self, pid):
        """{(pid, start time)} of all descendants of `pid`."""
        children = {}
        for child, parent in self.parents.items():
            children.setdefault(parent, []).append(child)
        found, queue = set(), [pid]
        while queue:
            for child in children.get(queue.pop(), ()):
                found.add((child, self.births[child]))
                queue.append(child)
        return found

    def alive(self, wanted):
        return {(pid, birth) for pid, birth in wanted if self.births.get(pid) == birth}


def mentions(pid, folder):
    """True when a process was started with, works in, or has mounted something of `folder`."""
    needle = os.fsencode(os.path.realpath(folder))
    for name in ("cmdline", "mountinfo"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                if needle in file.read():
                    return True
        except OSError:
            pass
    try:
        return os.fsencode(os.readlink(f"/proc/{pid}/cwd")).startswith(needle)
    except OSError:
        return False


def of_folder(folder):
    """{(pid, start time)} of every process but ourselves that has to do with `folder`."""
    table = Processes()
    return {(pid, birth) for pid, birth in table.births.items()
            if pid != os.getpid() and mentions(pid, folder)}


def left(known, folder):
    """What is alive now of `known`, and of whatever else has to do with `folder`."""
    return Processes().alive(known) | of_folder(folder)


def wait_gone(known, folder, seconds):
    """Waits until nothing is left; returns what still is after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        remaining = left(known, folder)
        if not remaining or time.monotonic() > deadline:
            return remaining
        time.sleep(0.05)


def describe(remaining):
    lines = []
    for pid, _ in sorted(remaining):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                lines.append(f"{pid}: {file.read().replace(bytes(1), b' ').decode(errors='replace')[:200]}")
        except OSError:
            pass
    return "\n".join(lines)


def memory_bytes(pid):
    """Resident memory of one process."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def descendants(pid):
    """The ids of all processes below one."""
    return sorted(child for child, _ in Processes().below(pid))
