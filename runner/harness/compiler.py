"""Byte code for a whole tree, made once by us and used by every job of that tree.

For each .py file the plain .pyc and, where pytest would rewrite it, the rewritten one, both bound to
the source's size and time, so that Python and pytest take them as their own. No code of the project
is imported. A file whose compilation warns is left out: a suite that turns warnings into errors must
meet them as it would in a fresh checkout.
"""
import marshal
import os
import struct
import sys
import warnings
from importlib.util import MAGIC_NUMBER

SOURCE_MAX = 8 << 20
FILES_MAX = 20000
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
    _store(output_fd, folder, "%s.%s.pyc" % (stem, tag), code, stat)
    report["plain"] += 1
    if rewrite and "test" in name:
        code = _quiet(lambda: rewrite.code(source, path))
        if code is not None:
            _store(output_fd, folder, stem + rewrite.tail, code, stat)
            report["rewritten"] += 1


def _quiet(make):
    """What `make` returns, None where it fails or warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return make()
        except (SyntaxError, ValueError, Warning, RecursionError, MemoryError, OverflowError):
            return None


def _store(output_fd, folder, name, code, stat):
    place = os.path.join(folder, "__pycache__")
    made = ""
    for part in place.split(os.sep):
        made = os.path.join(made, part)
        try:
            os.mkdir(made, 0o755, dir_fd=output_fd)
        except FileExistsError:
            pass
    data = MAGIC_NUMBER + struct.pack("<III", 0, int(stat.st_mtime) & 0xFFFFFFFF,
                                      stat.st_size & 0xFFFFFFFF) + marshal.dumps(code)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(os.path.join(place, name), flags, 0o644, dir_fd=output_fd), "wb") as out:
        out.write(data)


class _Rewrite:
    """pytest's own rewriting; its inner interface, so guarded by a trial."""

    def __init__(self):
        import _pytest.assertion.rewrite as rewrite

        self.inner = rewrite
        self.tail = rewrite.PYC_TAIL
        probe = self.code(b"def test():\n    assert len([1]) == 1\n", "/probe.py")
        if "@pytest_ar" not in probe.co_names or not self.tail.endswith(".pyc"):
            raise ImportError("pytest rewrites in another way")

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
