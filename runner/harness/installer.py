"""Installs a project in editable form, as PEP 660 has it, and hands over what that leaves.

The project's own code runs here (setup.py, its build backend): in a job like any other, with its
limits and without network, in an environment of what its build asks for. It runs in a process that
has neither the record socket nor the folder that the results go to; this one only unpacks what it
left, within bounds:

    .testmesh/site/    what the wheel holds: metadata, .pth files, a finder
    .testmesh/bin/     its console scripts
    ...                files that the build put into the project's folder, compiled modules say

The layer is laid under the project's tree in each of its jobs, so that it replaces none of its
files. payload.py puts it to use.
"""
import configparser
import os
import re
import stat
import sys
import zipfile

PLACE = ".testmesh"
BYTES_MAX = 128 << 20
FILES_MAX = 10000
ANSWER_MAX = 32768
WALK_MAX = 100000
PR_SET_DUMPABLE = 4

# Child Pythons of the tests find the folder through PYTHONPATH, which knows no .pth files.
SITECUSTOMIZE = "import os, site\nsite.addsitedir(os.path.dirname(os.path.abspath(__file__)))\n"
SCRIPT = "#!%s\nimport sys\nfrom %s import %s\nif __name__ == '__main__':\n    sys.exit(%s())\n"


class TooMuch(Exception):
    pass


def install(root, job, stream):
    """What came of it: {"installed": n}, {"requires": [...]} to try again with, {"error": text}."""
    output_fd = job["output_fd"]
    set_dumpable(0)  # else what runs below finds our descriptors in /proc
    before = set(files_below(root))
    wheels = os.path.join(job["env"].get("TMPDIR", "/tmp"), "wheels")
    os.mkdir(wheels)
    answer = ask_backend(root, job["args"], wheels, (output_fd, stream.fd))
    if "wheel" not in answer:
        return answer
    layer = Layer(output_fd)
    try:
        unpack(os.path.join(wheels, os.path.basename(answer["wheel"])), layer)
        for path in files_below(root):
            if path not in before:
                copy(root, path, layer)
    except TooMuch:
        return {"error": "what the installation of the project leaves is too large"}
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, configparser.Error) as error:
        return {"error": "the wheel that the project's build made: %s" % error}
    layer.write(PLACE + "/site/sitecustomize.py", SITECUSTOMIZE.encode())
    return {"installed": layer.files}


def set_dumpable(value):
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, value, 0, 0, 0)


def files_below(root):
    found = 0
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in ("__pycache__", ".git")
                      and (folder != root or name != "build")]
        for name in files:
            found += 1
            if found > WALK_MAX:
                return
            yield os.path.relpath(os.path.join(folder, name), root)


def ask_backend(root, args, wheels, secret):
    import json

    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in secret + (reader,):
                os.close(fd)
            set_dumpable(1)
            answer = run_backend(root, args[0], args[1:], wheels)
        except BaseException as error:
            answer = {"error": words_of(error)}
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(writer, json.dumps(answer).encode()[:ANSWER_MAX] + b"\n")
        os._exit(0)
    os.close(writer)
    text = b""
    while not text.endswith(b"\n") and len(text) <= ANSWER_MAX:
        piece = os.read(reader, 4096)
        if not piece:
            break
        text += piece
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    try:
        answer = json.loads(text)
        return answer if isinstance(answer, dict) else {"error": "its build gave no answer"}
    except ValueError:
        return {"error": "its build ended before it was done (wait status %d)" % status}


def words_of(error):
    """The tool's words for people; the whole of it goes to the log."""
    import traceback

    traceback.print_exception(type(error), error, error.__traceback__)
    return "".join(traceback.format_exception_only(type(error), error)).strip()[-1000:]


def run_backend(root, backend, paths, wheels):
    import importlib

    sys.argv[:] = ["setup.py"]
    sys.path[:0] = [os.path.join(root, path) for path in paths]
    module, _, attributes = backend.partition(":")
    hooks = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        hooks = getattr(hooks, name)
    if not hasattr(hooks, "build_editable"):
        return {"error": "%s cannot install a project in editable form (PEP 660)" % backend}
    wanted = getattr(hooks, "get_requires_for_build_editable", lambda settings: [])(None)
    missing = [text for text in wanted if not is_there(text)]
    if missing:
        return {"requires": missing[:100]}
    return {"wheel": hooks.build_editable(wheels, None, None)}


def is_there(requirement):
    import importlib.metadata

    name = re.match(r"[A-Za-z0-9._-]*", requirement.strip()).group()
    try:
        importlib.metadata.distribution(name)
        return True
    except importlib.metadata.PackageNotFoundError:
        return False


class Layer:
    """Writes below a folder that nobody else has, within bounds."""

    def __init__(self, fd):
        self.fd = fd
        self.bytes = 0
        self.files = 0

    def write(self, path, data, mode=0o644):
        self.bytes += len(data)
        self.files += 1
        if self.bytes > BYTES_MAX or self.files > FILES_MAX:
            raise TooMuch
        made = ""
        for part in path.split("/")[:-1]:
            made = made + part + "/"
            try:
                os.mkdir(made, 0o755, dir_fd=self.fd)
            except FileExistsError:
                pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, mode, dir_fd=self.fd), "wb") as out:
            out.write(data)


def unpack(path, layer):
    with zipfile.ZipFile(path) as wheel:
        for info in wheel.infolist():
            name = info.filename
            parts = name.split("/")
            if name.endswith("/"):
                continue
            if not all(parts) or {".", ".."} & set(parts) or "\\" in name or "\0" in name:
                raise ValueError("a file that is called %r" % name)
            if info.file_size > BYTES_MAX:
                raise TooMuch
            data = wheel.read(info)
            if not parts[0].endswith(".data"):
                layer.write("%s/site/%s" % (PLACE, name), data)
            elif parts[1] in ("purelib", "platlib") and len(parts) > 2:
                layer.write("%s/site/%s" % (PLACE, "/".join(parts[2:])), data)
            elif parts[1] == "scripts" and len(parts) == 3:
                shebang = ("#!%s" % sys.executable).encode()
                if data.startswith(b"#!python"):
                    data = shebang + b"\n" + data.partition(b"\n")[2]
                layer.write("%s/bin/%s" % (PLACE, parts[2]), data, 0o755)
            if len(parts) == 2 and parts[0].endswith(".dist-info") and parts[1] == "entry_points.txt":
                write_scripts(data.decode("utf-8"), layer)


def write_scripts(text, layer):
    entries = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    entries.optionxform = str
    entries.read_string(text)
    if not entries.has_section("console_scripts"):
        return
    for name, target in entries.items("console_scripts"):
        found = re.match(r"\s*([\w.]+)\s*:\s*([\w.]+)", target)
        if found and re.fullmatch(r"[\w-][\w.-]*", name):
            module, attribute = found.groups()
            script = SCRIPT % (sys.executable, module, attribute.split(".")[0], attribute)
            layer.write("%s/bin/%s" % (PLACE, name), script.encode(), 0o755)


def copy(root, path, layer):
    """A file that the build put into the project: not a link, nothing special."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(os.path.join(root, path), flags), "rb")
    except OSError:
        return
    with file:
        found = os.fstat(file.fileno())
        if stat.S_ISREG(found.st_mode):
            layer.write(path, file.read(BYTES_MAX + 1), 0o755 if found.st_mode & 0o100 else 0o644)
