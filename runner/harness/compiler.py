"""Byte code for a whole tree, made once by us and used by every job of that tree.

For each .py file the plain .pyc and, where pytest would rewrite it, the rewritten one, bound to the
source as Python and pytest bind theirs, so that they take them as their own. No code of the project
is imported. A file whose compilation warns is left out: a suite that turns warnings into errors must
meet them as it would in a fresh checkout.
"""
import marshal
import os
import pathlib
import re
import struct
import sys
import tempfile
import warnings
from importlib.util import MAGIC_NUMBER, source_hash

SOURCE_MAX = 8 << 20
FILES_MAX = 20000
# Almost never imported in another way, and every file of a tree is copied for every job.
ALWAYS_REWRITTEN = re.compile(r"test_.*\.py|.*_test\.py|conftest\.py")
SKIPPED = {"__pycache__", ".git", ".tox", ".nox", ".venv", "venv", "node_modules"}


def compile_tree(root, output_fd, may_rewrite):
    rewrite = _find_rewrite(root) if may_rewrite else None
    report = {"files": 0, "plain": 0, "rewritten": 0}
    for folder, names, files in os.walk(root):
        names[:] = sorted(set(names) - SKIPPED)
        for name in sorted(files):
            if not name.endswith(".py") or report["files"] >= FILES_MAX:
                continue
            report["files"] += 1
            _compile_file(root, os.path.join(folder, name), output_fd, rewrite, report)
    return report


def _compile_file(root, path, output_fd, rewrite, report):
    try:
        if os.path.islink(path):
            return
        stat = os.stat(path)
        if stat.st_size > SOURCE_MAX:
            return
        with open(path, "rb") as file:
            source = file.read()
    except OSError:
        return
    folder, name = os.path.split(os.path.relpath(path, root))
    stem, tag = name[:-3], sys.implementation.cache_tag
    code = _quiet(lambda: compile(source, path, "exec", dont_inherit=True))
    if code is None:
        return
    if rewrite and "test" in name:
        rewritten = _quiet(lambda: rewrite.code(source, path))
        if rewritten is not None:
            binding = rewrite.binding(source, stat)
            _store(output_fd, folder, stem + rewrite.tail, binding, rewritten)
            report["rewritten"] += 1
            if ALWAYS_REWRITTEN.fullmatch(name):
                return
    _store(output_fd, folder, "%s.%s.pyc" % (stem, tag), by_time(source, stat), code)
    report["plain"] += 1


def _quiet(make):
    """What `make` returns, None where it fails or warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return make()
        except (SyntaxError, ValueError, Warning, RecursionError, MemoryError, OverflowError):
            return None


def by_time(source, stat):
    return struct.pack("<III", 0, int(stat.st_mtime) & 0xFFFFFFFF, stat.st_size & 0xFFFFFFFF)


def by_hash(source, stat):
    return struct.pack("<I", 3) + source_hash(source)


def _store(output_fd, folder, name, binding, code):
    place = os.path.join(folder, "__pycache__")
    made = ""
    for part in place.split(os.sep):
        made = os.path.join(made, part)
        try:
            os.mkdir(made, 0o755, dir_fd=output_fd)
        except FileExistsError:
            pass
    data = MAGIC_NUMBER + binding + marshal.dumps(code)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(os.path.join(place, name), flags, 0o644, dir_fd=output_fd), "wb") as out:
        out.write(data)


class _Rewrite:
    """pytest's own rewriting; its inner interface, so guarded by a trial.

    Which binding it believes is tried too: up to some version 9 time and size, then a hash of the
    source. One that it does not believe costs every job the rewriting again, and nobody notices.
    """

    PROBE = b"def test():\n    assert len([1]) == 1\n"

    def __init__(self):
        import _pytest.assertion.rewrite as rewrite

        self.inner = rewrite
        self.tail = rewrite.PYC_TAIL
        probe = self.code(self.PROBE, "/probe.py")
        if "@pytest_ar" not in probe.co_names or not self.tail.endswith(".pyc"):
            raise ImportError("pytest rewrites in another way")
        believed = [binding for binding in (by_hash, by_time) if self.is_believed(binding, probe)]
        if not believed:
            raise ImportError("pytest binds byte code in another way")
        self.binding = believed[0]

    def is_believed(self, binding, code):
        with tempfile.TemporaryDirectory() as folder:
            source, cached = pathlib.Path(folder, "probe.py"), pathlib.Path(folder, "probe.pyc")
            source.write_bytes(self.PROBE)
            data = MAGIC_NUMBER + binding(self.PROBE, os.stat(source)) + marshal.dumps(code)
            cached.write_bytes(data)
            return self.inner._read_pyc(source, cached) is not None

    def code(self, source, path):
        import ast

        tree = ast.parse(source, filename=path)
        self.inner.rewrite_asserts(tree, source, path, None)
        return compile(tree, path, "exec", dont_inherit=True)


def _find_rewrite(root):
    """None where pytest is absent or unknown, or where the project asks for another rewriting."""
    if "pytest" not in sys.modules:
        return None
    for name in ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml",
                 "tox.ini", "setup.cfg"):
        try:
            with open(os.path.join(root, name), "rb") as file:
                if b"enable_assertion_pass_hook" in file.read(1 << 20):
                    return None
        except OSError:
            pass
    try:
        return _Rewrite()
    except Exception:
        return None
