"""The fork server of one environment: imports pytest once, then forks a process for each job.

    python server.py CONTROL_FD [--confine LIBRARY] [--once]

No code of a project ever runs here. Jobs come as packets over a SOCK_SEQPACKET with descriptors
beside them; the answers are hello, started, exited, failed. Each job is an init, which supervises,
and its payload, which runs the project's code:

    server ── fork ── init ── fork ── payload
                       └ writes the payload's wait status, or "!" and why there is none, to `status`

With --confine both go through runner/jail/confine.h. Without, for operators who asked for it, init
copies the project into a folder, reaps and kills what the payload leaves behind, and removes it.

It is not started with -I, which a project's own child processes would inherit through sys.flags:
its environment is given by the node, and its own folder leaves sys.path at once. Nothing of ours
stays in sys.modules.
"""
import sys

RUNTIME = sys.path.pop(0)

import array  # noqa: E402
import gc  # noqa: E402
import importlib  # noqa: E402
import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import types  # noqa: E402
import warnings  # noqa: E402

PROTOCOL = 1
FDS_MAX = 16
HIGH_FD = 1000  # where tests that close "all" descriptors seldom look

# What a run of pytest imports late, then what the tests of many projects import. Only modules whose
# import neither looks at the environment (readline does; OpenSSL reads its settings once, and no job
# has others), nor warns, nor starts anything: they are the same in every process that has them, and
# a job that needs them need not load them again.
EARLY = ("_pytest._argcomplete _pytest.config.compat cmd code codeop email.parser faulthandler "
         "getpass pdb pwd termios tomllib "
         "asyncio concurrent.futures contextvars doctest fractions hashlib pickle pkgutil queue ssl "
         "unittest.mock").split()


def load(name):
    """A module of ours that sys.modules does not know, so that a project may have the name."""
    path = os.path.join(RUNTIME, name + ".py")
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    module = types.ModuleType("testmesh_" + name)
    module.__file__ = path
    exec(code, module.__dict__)
    return module


def import_pytest(will_serve):
    """pytest and what most runs of it import; returns its version, None where there is none."""
    try:
        import pytest
    except ImportError:
        return None
    try:
        from _pytest.config import default_plugins

        names = ["_pytest." + name for name in default_plugins]
    except Exception:
        names = []  # another pytest has other insides: then they are imported after the fork
    for name in names + (EARLY if will_serve else []):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                importlib.import_module(name)
        except (ImportError, Warning):
            pass
    return pytest.__version__


class Confine:
    """runner/jail/confine.h through ctypes."""

    def __init__(self, path):
        import ctypes

        self.c = ctypes
        self.lib = ctypes.CDLL(path)
        self.error = ctypes.create_string_buffer(512)

    def _check(self, result):
        if result != 0:
            raise OSError(self.error.value.decode("utf-8", "replace") or "the sandbox failed")

    def before_fork(self):
        self._check(self.lib.confine_before_fork())

    def after_fork(self):
        self._check(self.lib.confine_after_fork())

    def enter(self, spec, layers, cgroup):
        fds = (self.c.c_int * len(layers))(*layers)
        self._check(self.lib.confine_enter(
            spec, self.c.c_size_t(len(spec)), fds, self.c.c_size_t(len(layers)),
            self.c.c_int(cgroup), self.error, self.c.c_size_t(512)))

    def payload(self, spec):
        self._check(self.lib.confine_payload(spec, self.c.c_size_t(len(spec)), self.error,
                                             self.c.c_size_t(512)))

    def close_others(self, keep):
        fds = (self.c.c_int * len(keep))(*keep)
        self._check(self.lib.confine_close_others(fds, self.c.c_size_t(len(keep))))

    def reap(self, payload, status):
        self.lib.confine_init_reap(self.c.c_int(payload), self.c.c_int(status))


class Server:
    def __init__(self, control, confine, once):
        self.control = control
        self.confine = confine
        self.once = once
        self.jobs = {}  # pid of init -> id of the job
        self.parts = {name: load(name) for name in ("records", "payload", "compiler")}
        self.parts["describe"] = lambda: load("describe")
        self.parts["installer"] = lambda: load("installer")
        self.pack = self.parts["records"].pack
        self.pytest = import_pytest(not once)
        if self.pytest:
            self.parts["plugin"] = load("plugin")
            self.parts["plugin"].setup(self.parts["records"])
        if not confine:
            self.parts["plain"] = load("plain")

    def say(self, *fields, fds=()):
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        self.control.sendmsg([self.pack(fields)], ancillary)

    def serve(self):
        wake_in, wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake_out, warn_on_full_buffer=False)
        self.wake = (wake_in, wake_out)
        self.say("hello", PROTOCOL, "%d.%d.%d" % sys.version_info[:3], self.pytest or "")
        # Never thawed: a job that does so writes to every page of the server's objects (20 ms), and
        # all that it would get for it is that gc.get_objects() lists them.
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(wake_in, select.POLLIN)
        served = False
        while not (self.once and served and not self.jobs):
            ready = dict(poll.poll())
            if wake_in in ready:
                os.read(wake_in, 4096)
                self.reap()
            if self.control.fileno() in ready:
                if not self.take_job():
                    break
                served = True
        os._exit(0)

    def reap(self):
        while self.jobs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            job = self.jobs.pop(pid, None)
            if job is not None:
                self.say("exited", job, status, int(usage.ru_utime * 1e6),
                         int(usage.ru_stime * 1e6), usage.ru_maxrss)

    def take_job(self):
        data, ancillary, flags, _ = self.control.recvmsg(
            1 << 18, socket.CMSG_SPACE(4 * FDS_MAX), socket.MSG_CMSG_CLOEXEC)
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:len(payload) - len(payload) % 4])
        if not data:
            return False
        job = self.parts["records"].unpack(data)
        try:
            self.start(job, list(fds))
        except Exception as error:
            self.say("failed", job["id"], str(error)[:400] or repr(error))
        for fd in fds:
            os.close(fd)
        return True

    def start(self, job, fds):
        if self.confine:
            self.confine.before_fork()
        try:
            pid = os.fork()
            if pid == 0:
                self.init(job, fds)
        finally:
            if self.confine:
                self.confine.after_fork()
        self.jobs[pid] = job["id"]
        handle = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else pidfd_open(pid)
        try:
            self.say("started", job["id"], fds=[handle])
        finally:
            os.close(handle)

    def init(self, job, fds):
        """The job's first process; does not return."""
        status = fds[3]
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.control.close()
            for fd in self.wake:
                os.close(fd)
            layers = fds[4:4 + job["layers"]]
            rest = fds[4 + job["layers"]:]
            output = rest.pop(0) if job["output"] else -1
            cgroups = rest[:job["cgroups"]]
            job["output_fd"] = output
            if self.confine:
                for other in cgroups[1:]:
                    os.write(other, b"0")
                    os.close(other)
                self.confine.enter(job["spec"], layers, cgroups[0] if cgroups else -1)
                root = os.getcwd()
            else:
                root = self.parts["plain"].prepare(job, layers, cgroups)
            pid = os.fork()
            if pid == 0:
                self.run(job, fds[:4], output, root)
            if self.confine:
                self.confine.reap(pid, status)
            self.parts["plain"].reap(pid, status, job)
        except BaseException as error:
            refuse(status, error)

    def run(self, job, fds, output, root):
        """The payload; does not return."""
        try:
            record = high(fds[0])
            status = fds[3]
            if self.confine:
                self.confine.payload(job["spec"])
                keep = [record, fds[1], fds[2], status] + ([output] if output >= 0 else [])
                self.confine.close_others(keep)
            else:
                self.parts["plain"].limit(job, root)
                os.close(fds[0])
        except BaseException as error:
            refuse(fds[3], error)
        # From here on nothing of ours but the record socket is open.
        os.close(status)
        for number in (1, 2):
            os.dup2(fds[number], number)
        for fd in {fds[1], fds[2]}:
            os.close(fd)
        self.parts["payload"].run(job, (record, 1, 2), root, self.parts)


def high(fd):
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, HIGH_FD)
    except OSError:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def pidfd_open(pid):
    import ctypes

    fd = ctypes.CDLL(None).syscall(434, pid, 0)
    if fd < 0:
        raise OSError("pidfd_open")
    return fd


def refuse(status, error):
    """There is no job: say why, where the node reads how it ended."""
    try:
        os.write(status, b"!" + (str(error) or repr(error)).encode("utf-8", "replace")[:500])
    finally:
        os._exit(125)


def main():
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    confine = None
    if "--confine" in sys.argv:
        confine = Confine(sys.argv[sys.argv.index("--confine") + 1])
    Server(control, confine, "--once" in sys.argv).serve()


if __name__ == "__main__":
    main()
