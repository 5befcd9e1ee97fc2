"""A fork server as small as can be: takes jobs through confine's way and says how they ended.

argv: the shared object, the spec's descriptor, layer descriptors.
stdin: a JSON list of jobs, each {"code": ..., "bare": bool, "cgroup": fd}; all run at once, or one after
the other where they are "alone".
stdout: one JSON list of {"status": [kind, value], "out": text, "error": text, "ms": float,
"seen": [flags, bytes, inodes] of struct confine_end}.
"""
import ctypes
import json
import os
import struct
import sys
import time

lib = ctypes.CDLL(sys.argv[1])
spec = os.read(int(sys.argv[2]), 1 << 16)
layers = [int(fd) for fd in sys.argv[3:]]
SIZE = ctypes.c_size_t
END = struct.Struct("=iIQQ")


def payload(job):
    error = ctypes.create_string_buffer(512)
    if lib.confine_payload(spec, SIZE(len(spec)), error, SIZE(512)) != 0:
        os.write(2, b"payload: " + error.value + b"\n")
        os._exit(99)
    lib.confine_close_others(None, SIZE(0))
    scope = {"__name__": "__main__"}
    try:
        exec(compile(job["code"], "<job>", "exec"), scope)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        sys.stdout.flush()
        os._exit(code & 255)
    except BaseException:
        import traceback
        traceback.print_exc()
        sys.stdout.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def init(job, status_fd):
    error = ctypes.create_string_buffer(512)
    fds = (ctypes.c_int * len(layers))(*[os.dup(fd) for fd in layers])
    cgroup = job.get("cgroup", -1)
    cgroup = os.dup(cgroup) if cgroup >= 0 else -1
    if lib.confine_enter(spec, SIZE(len(spec)), fds, SIZE(len(layers)), cgroup, error,
                         SIZE(512)) != 0:
        os.write(2, b"enter: " + error.value + b"\n")
        os._exit(98)
    child = os.fork()
    if child == 0:
        payload(job)
    lib.confine_init_reap(child, status_fd)


def start(job):
    out, out_child = os.pipe()
    status, status_child = os.pipe()
    began = time.perf_counter()
    if job.get("bare"):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
    else:
        if lib.confine_before_fork() != 0:
            raise SystemExit("before_fork failed")
        pid = os.fork()
        if pid == 0:
            os.dup2(out_child, 1)
            os.dup2(out_child, 2)
            init(job, status_child)
        if lib.confine_after_fork() != 0:
            raise SystemExit("after_fork failed")
    os.close(out_child)
    os.close(status_child)
    return {"pid": pid, "out": out, "status": status, "began": began,
            "kill_after": job.get("kill_after")}


def finish(run):
    if run["kill_after"] is not None:
        time.sleep(run["kill_after"])
        os.kill(run["pid"], 9)
    text = b""
    while True:
        piece = os.read(run["out"], 65536)
        if not piece:
            break
        text += piece
    status = os.read(run["status"], 64)
    _, own = os.waitpid(run["pid"], 0)
    ms = (time.perf_counter() - run["began"]) * 1000
    os.close(run["out"])
    os.close(run["status"])
    seen = None
    if len(status) == END.size:
        value, *seen = END.unpack(status)
        how = ["signal", os.WTERMSIG(value)] if os.WIFSIGNALED(value) else \
            ["exit", os.WEXITSTATUS(value)]
    else:
        how = ["init", own]
    return {"status": how, "out": text.decode("utf-8", "replace"), "ms": ms, "seen": seen}


def bench(count):
    def median(job):
        times = sorted(finish(start(job))["ms"] for _ in range(count))
        return times[count // 2]
    median({"bare": True})
    median({"code": ""})
    return {"bare": median({"bare": True}), "confined": median({"code": ""})}


jobs = json.load(sys.stdin)
if isinstance(jobs, dict):
    print(json.dumps(bench(jobs["bench"])))
elif all(job.get("alone") for job in jobs):
    print(json.dumps([finish(start(job)) for job in jobs]))
else:
    print(json.dumps([finish(run) for run in [start(job) for job in jobs]]))
