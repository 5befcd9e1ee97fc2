"""The layers of docs/architecture.md, held: who may include whom, and that the pure parts are pure."""

import glob
import os
import re
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("TESTMESH_BUILD_DEBUG") or os.path.join(ROOT, "build", "debug")

# A room, and the rooms whose headers it may include. The first that fits a path counts.
MAY_INCLUDE = [
    ("node/main.c", ["proto/", "loadbalance/", "runner/", "node/", "cli/"]),  # the composition root
    ("proto/base/", ["proto/base/"]),
    ("proto/", ["proto/"]),
    ("loadbalance/", ["proto/", "loadbalance/"]),
    ("runner/", ["proto/", "runner/"]),
    ("node/", ["proto/", "loadbalance/", "runner/", "node/"]),
    ("cli/", ["proto/base/", "cli/"]),
]
ROOMS = ("proto", "loadbalance", "runner", "node", "cli")
OURS = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)

# What a pure part must not call: input and output, clocks, chance, the loop, threads, the
# environment. Memory is allowed.
FORBIDDEN = re.compile(
    r"^(open(at|at2)?(64)?|creat|read|pread|write|pwrite|readv|writev|close|dup\d?|pipe2?|ioctl|fcntl(64)?"
    r"|fopen(64)?|fdopen|fread|fwrite|fputs|fputc|fflush|puts|putchar|v?f?printf|__v?f?printf_chk|perror"
    r"|stat|lstat|fstat(at)?|unlink(at)?|rename(at)?|mkdir(at)?|opendir|readdir|scandir|realpath|access|mmap"
    r"|socket|socketpair|bind|listen|accept4?|connect|send(to|msg)?|recv(from|msg)?|poll|select|epoll_.*"
    r"|time|clock|clock_gettime|gettimeofday|localtime(_r)?|nanosleep|usleep|sleep|alarm|timer_.*"
    r"|rand|srand|random|getrandom|getentropy|randombytes.*|rand_system"
    r"|fork|vfork|clone3?|exec.*|posix_spawn.*|wait(pid|id|3|4)?|kill|raise|signal|sigaction|system|popen"
    r"|getenv|setenv|putenv|environ|getpid|getuid|geteuid|exit|_exit"
    r"|event_.*|evbuffer_.*|bufferevent_.*|evutil_.*|evtimer_.*|evconnlistener_.*|evhttp_.*|pthread_.*"
    r"|clock_mono_[mu]s|clock_wall_ms|file_.*|log_line|log_setup)$")


def sources():
    return sorted(os.path.relpath(path, ROOT) for room in ROOMS
                  for path in glob.glob(os.path.join(ROOT, room, "**", "*.[ch]"), recursive=True))


def allowed_for(path):
    return next(allowed for prefix, allowed in MAY_INCLUDE if path.startswith(prefix))


def test_includes_go_the_allowed_way():
    wrong = []
    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for include in OURS.findall(file.read()):
                if not include.startswith(tuple(allowed_for(path))):
                    wrong.append(f"{path} includes {include}")
    assert not wrong, "\n".join(wrong)


def test_the_rule_would_find_a_wrong_include():
    assert "node/" not in " ".join(allowed_for("runner/child/child.c"))
    assert allowed_for("proto/base/err.c") == ["proto/base/"]
    assert "proto/" not in allowed_for("cli/run.c")


def libraries():
    """The pure targets: those whose name ends with _core, and the decisions of loadbalance."""
    found = glob.glob(os.path.join(BUILD, "**", "lib*_core.a"), recursive=True)
    return sorted(found + glob.glob(os.path.join(BUILD, "**", "libloadbalance.a"), recursive=True))


def declared():
    """The pure targets that the build's files name."""
    names = set()
    for path in glob.glob(os.path.join(ROOT, "**", "CMakeLists.txt"), recursive=True):
        if os.path.relpath(path, ROOT).startswith("build"):
            continue
        with open(path, encoding="utf-8") as file:
            names.update(re.findall(r"testmesh_room\(\s*(\w+_core|loadbalance)\b", file.read()))
    return names


def test_pure_parts_call_nothing_that_is_not():
    if not os.path.isdir(BUILD):
        pytest.skip(f"{os.path.relpath(BUILD, ROOT)} is not built")
    built = {os.path.basename(path)[3:-2]: path for path in libraries()}
    assert set(built) >= declared(), f"not built: {sorted(declared() - set(built))}"
    wrong = []
    for name in sorted(declared()):
        symbols = subprocess.run(["nm", "-u", built[name]], stdout=subprocess.PIPE, check=True, text=True)
        for line in symbols.stdout.splitlines():
            fields = line.split()
            if len(fields) == 2 and fields[0] == "U" and FORBIDDEN.match(fields[1].split("@")[0]):
                wrong.append(f"{name} calls {fields[1]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("symbol, forbidden", [
    ("read", True), ("openat64", True), ("event_add", True), ("clock_gettime", True), ("fprintf", True),
    ("file_read", True), ("malloc", False), ("free", False), ("snprintf", False), ("vsnprintf", False),
    ("__snprintf_chk", False), ("buf_printf", False), ("rand_u64", False), ("doc_time", False),
    ("__assert_fail", False), ("memcpy", False),
])
def test_the_list_of_forbidden_symbols_means_what_it_says(symbol, forbidden):
    assert bool(FORBIDDEN.match(symbol)) == forbidden


def test_no_name_is_defined_in_two_rooms():
    """Static libraries hide that: the linker takes whichever it meets first."""
    if not os.path.isdir(BUILD):
        pytest.skip(f"{os.path.relpath(BUILD, ROOT)} is not built")
    owners = {}
    for path in sorted(glob.glob(os.path.join(BUILD, "**", "lib*.a"), recursive=True)):
        symbols = subprocess.run(["nm", "--defined-only", "-g", path], stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL, check=True, text=True)
        for line in symbols.stdout.splitlines():
            fields = line.split()
            if len(fields) == 3 and fields[1] in "TDRB" and not fields[2].startswith("__"):
                owners.setdefault(fields[2], set()).add(os.path.basename(path))
    twice = {name: sorted(libraries) for name, libraries in owners.items() if len(libraries) > 1}
    assert not twice
