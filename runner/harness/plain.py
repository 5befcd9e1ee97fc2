"""Jobs without a sandbox, for operators who asked for that: a copy of the project in a folder of its
own, limits by process, and an init that ends what the payload leaves behind. Nothing is promised."""
import os
import shutil
import signal
import struct
import tempfile

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1


def _prctl(option, value):
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def prepare(job, layers, cgroups):
    """In init: adopt what the payload orphans, copy the project. Returns its folder."""
    os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    for cgroup in cgroups:
        os.write(cgroup, b"0")
    top = tempfile.mkdtemp(prefix="testmesh-", dir=job["temp"])
    job["top"] = os.path.realpath(top)
    signal.signal(signal.SIGTERM, lambda number, frame: end(job))
    root = os.path.join(job["top"], job["project"])
    os.mkdir(root)
    for layer in layers:
        shutil.copytree("/proc/self/fd/%d" % layer, root, symlinks=True, dirs_exist_ok=True)
    os.chdir(root)
    job["env"] = {name: value.replace("{top}", job["top"]) for name, value in job["env"].items()}
    os.mkdir(os.path.join(job["top"], "tmp"))
    return root


def limit(job, root):
    """In the payload."""
    import resource

    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name, value in job["rlimits"].items():
        number = getattr(resource, name)
        soft, hard = resource.getrlimit(number)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(number, (value, value))


def children():
    with open("/proc/self/task/%d/children" % os.getpid()) as file:
        return [int(pid) for pid in file.read().split()]


def sweep():
    """Kills and reaps until no descendant is left: whoever loses his parent becomes our child."""
    while True:
        try:
            for pid in children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def end(job):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sweep()
    shutil.rmtree(job["top"], ignore_errors=True)
    os._exit(0)


def reap(payload, status, job):
    """In init, until the payload has ended; does not return."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    while True:
        pid, code = os.waitpid(-1, 0)
        if pid == payload:
            break
    os.write(status, struct.pack("=i", code))
    end(job)
