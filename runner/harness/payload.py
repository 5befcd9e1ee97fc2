"""What the job's own process does: become what `python -m pytest` would be, then run.

Everything up to the first line of the project happens here. The process has been forked from the
server and, in a sandbox, already confined; its working folder is the project's.
"""
import gc
import os
import sys


def run(job, fds, root, parts):
    """Runs one job and ends the process. `fds`: (record socket, stdout, stderr)."""
    records = parts["records"]
    stream = records.Stream(fds[0])
    become_clean(job, fds, root)
    status = 3
    try:
        stream.send(records.BEGIN, records.VERSION)
        status = KINDS[job["kind"]](job, root, stream, parts)
    except BaseException as error:
        import traceback

        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        stream.send(records.INTERNAL, records.cut(text, records.LONGREPR_MAX))
        os.write(2, text.encode("utf-8", "backslashreplace"))
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except Exception:
            pass
    os._exit(int(status) & 255)


def become_clean(job, fds, root):
    os.dup2(fds[1], 1)
    os.dup2(fds[2], 2)
    os.environ.clear()
    os.environ.update(job["env"])
    home = job["env"].get("HOME")
    if home:
        os.makedirs(home, exist_ok=True)
    os.umask(0o022)


def pose_as_pytest(root, arguments):
    """sys as `python -m pytest ARGUMENTS` in `root` has it."""
    import importlib.util
    import types

    spec = importlib.util.find_spec("pytest.__main__")
    main = types.ModuleType("__main__", None)
    main.__file__ = spec.origin
    main.__cached__ = spec.cached
    main.__loader__ = spec.loader
    main.__package__ = "pytest"
    main.__spec__ = spec
    main.__builtins__ = sys.modules["builtins"]
    sys.modules["__main__"] = main
    sys.argv[:] = [spec.origin] + arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [sys.executable, "-m", "pytest"] + arguments
    sys.path.insert(0, root)
    src = os.path.join(root, "src")
    if use_installed(os.path.join(root, ".testmesh")):
        pass  # its own metadata says where its packages are
    elif has_src_layout(src):
        sys.path.insert(1, src)
        # Programs that the tests start find the project too, as if it were installed.
        os.environ["PYTHONPATH"] = src


def use_installed(place):
    """What installer.py made of the project; for programs that the tests start as well."""
    import site

    folder = os.path.join(place, "site")
    if not os.path.isdir(folder):
        return False
    os.environ["PYTHONPATH"] = folder
    os.environ["PATH"] = os.path.join(place, "bin") + os.pathsep + os.environ.get("PATH", "")
    site.addsitedir(folder)
    return True


def has_src_layout(src):
    """A src folder with code right in it, and no package itself."""
    try:
        names = os.listdir(src)
    except OSError:
        return False
    if "__init__.py" in names:
        return False
    return any(name.endswith(".py") or os.path.isdir(os.path.join(src, name)) for name in names)


def run_module(job, root, stream, parts):
    pytest = sys.modules["pytest"]
    recorder = parts["plugin"].Recorder(stream, root, job["module"])
    return run_pytest(pytest, root, list(job["args"]) + [job["module"]], recorder)


def discover(job, root, stream, parts):
    pytest = sys.modules["pytest"]
    return run_pytest(pytest, root, list(job["args"]), parts["plugin"].Discoverer(stream, root))


def run_pytest(pytest, root, arguments, plugin):
    pose_as_pytest(root, arguments)
    status = pytest.main(arguments, plugins=[plugin])
    plugin.finish(status)
    return status


def compile_tree(job, root, stream, parts):
    import json

    report = parts["compiler"].compile_tree(root, job["output_fd"], not job["temp"])
    stream.send_blob(json.dumps(report).encode())
    stream.send(parts["records"].END, 0, 0, 0, 0)
    return 0


def install(job, root, stream, parts):
    import json

    report = parts["installer"]().install(root, job, stream)
    stream.send_blob(json.dumps(report).encode())
    stream.send(parts["records"].END, 0, 0, 0, 0)
    return 0


def describe(job, root, stream, parts):
    import json

    report = parts["describe"]().describe(root)
    stream.send_blob(json.dumps(report).encode())
    stream.send(parts["records"].END, 0, 0, 0, 0)
    return 0


KINDS = {"run": run_module, "discover": discover, "compile": compile_tree, "describe": describe,
         "install": install}
